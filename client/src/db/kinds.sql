-- As before, but for how the kind is checked: a list of three is built anew for each row.
DROP VIEW v_files;
DROP INDEX installed_file_resolved;
DROP INDEX installed_file_elsewhere;
ALTER TABLE installed_file RENAME TO installed_file_before;
CREATE TABLE installed_file (
    path TEXT NOT NULL,
    name TEXT NOT NULL REFERENCES installed (name) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    -- the same path without symlinked directories, as it was when the file was placed
    resolved TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind = 'file' OR kind = 'directory' OR kind = 'link'),
    -- the member of the manifest, as JSON
    entry TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT, WITHOUT ROWID;
INSERT INTO installed_file (path, name, resolved, kind, entry)
SELECT path, name, resolved, kind, entry FROM installed_file_before ORDER BY name, path;
DROP TABLE installed_file_before;
-- directories are shared, everything else has one owner
CREATE UNIQUE INDEX installed_file_resolved
ON installed_file (resolved, CASE kind WHEN 'directory' THEN name || ' ' || path ELSE '' END);
-- few paths lead through symlinks
CREATE INDEX installed_file_elsewhere ON installed_file (path) WHERE path <> resolved;
CREATE VIEW v_files AS
SELECT
    '/' || f.path AS path,
    f.name,
    i.version,
    f.kind,
    json_extract(f.entry, '$.mode') AS mode,
    CASE f.kind WHEN 'link' THEN NULL
        ELSE coalesce(json_extract(f.entry, '$.owner'), 'root:root') END AS owner,
    json_extract(f.entry, '$.size') AS size,
    json_extract(f.entry, '$.sha256') AS sha256,
    json_extract(f.entry, '$.target') AS target,
    coalesce(json_extract(f.entry, '$.config'), 0) AS config
FROM installed_file f
JOIN installed i ON i.name = f.name;
