-- nobody looks a step up by its path
DROP INDEX txn_step_path;

-- What a transaction changed of a component's files; `txn_file` has that of older transactions.
CREATE TABLE txn_files (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    -- a JSON array in order of paths: of the old side, what installed_file had, each an array of
    -- `resolved` and `entry`; of the new side, paths as the manifest has them
    files TEXT NOT NULL,
    PRIMARY KEY (txn, name, side)
) STRICT;

-- as before, but in the order in which the files of a component come
DROP VIEW v_files;
DROP INDEX installed_file_name;
DROP INDEX installed_file_owner;
DROP INDEX installed_file_resolved;
ALTER TABLE installed_file RENAME TO installed_file_before;
CREATE TABLE installed_file (
    path TEXT NOT NULL,
    name TEXT NOT NULL REFERENCES installed (name) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    -- the same path without symlinked directories, as it was when the file was placed
    resolved TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'directory', 'link')),
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
