-- The log entries of patches, byte for byte, in values of 64 lines.
CREATE TABLE patch_lines (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    -- leaf index of the first line; a multiple of 64
    first INTEGER NOT NULL,
    -- a line each; null where an entry is no patch, or one that was passed over
    lines BLOB NOT NULL,
    PRIMARY KEY (source, first)
) STRICT;
-- Where patches are found by name and by archive. A record is 12 bytes: a key, a second one, the leaf
-- index; big-endian. A bucket has the records whose keys begin with the bits of its number, as many
-- bits as the logarithm to base 2 of the log's size over 256.
CREATE TABLE patch_key (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('name', 'archive')),
    bucket INTEGER NOT NULL,
    records BLOB NOT NULL,
    PRIMARY KEY (source, kind, bucket)
) STRICT;

INSERT INTO patch_lines (source, first, lines)
WITH RECURSIVE leaf (source, number, size) AS (
    SELECT source, 0, size FROM log WHERE log = 'collection' AND size > 0
    UNION ALL
    SELECT source, number + 1, size FROM leaf WHERE number + 1 < size)
SELECT
    l.source,
    l.number / 64 * 64,
    CAST(group_concat(
        coalesce(CAST(p.entry AS TEXT), 'null' || char(10)), '' ORDER BY l.number) AS BLOB)
FROM leaf l
LEFT JOIN patch p ON p.source = l.source AND p.leaf = l.number
GROUP BY l.source, l.number / 64;

DROP VIEW v_installed;
DROP VIEW v_available;
DROP TABLE patch;

CREATE VIEW patch AS
SELECT
    l.source,
    l.first + e.key AS leaf,
    json_extract(e.value, '$.name') AS name,
    json_extract(e.value, '$.version') AS version,
    coalesce(json_extract(e.value, '$.base'), '') AS base,
    coalesce(json_extract(e.value, '$.platform'), 'any') AS platform,
    json_extract(e.value, '$.archive.sha256') AS archive,
    coalesce(json_extract(e.value, '$.severity'), 'none') AS severity,
    coalesce(json_extract(e.value, '$.summary'), '') AS summary,
    e.value AS entry
FROM patch_lines l, json_each(
    '[' || replace(rtrim(CAST(l.lines AS TEXT), char(10)), char(10), ',') || ']') e
WHERE e.type = 'object';

CREATE VIEW v_installed AS
SELECT
    i.name,
    i.version,
    i.platform,
    strftime('%Y-%m-%dT%H:%M:%SZ', t.finished, 'unixepoch') AS installed_at,
    i.transaction_id,
    i.installer AS installer_uid,
    i.archive AS archive_sha256,
    i.tree AS tree_sha256,
    s.name AS source,
    p.leaf AS entry_index,
    coalesce(p.severity, 'none') AS severity,
    coalesce(p.summary, '') AS summary,
    r.reason AS revoked,
    (SELECT group_concat(k.key, ' ') FROM signer k
     WHERE k.archive = i.archive AND k.role = 'collection') AS collection_keys,
    (SELECT group_concat(k.key, ' ') FROM signer k
     WHERE k.archive = i.archive AND k.role = 'distribution') AS distribution_keys
FROM installed i
JOIN txn t ON t.id = i.transaction_id
-- one source, should several have the archive: the other columns are those of the smallest
LEFT JOIN (
    SELECT q.name, q.version, q.archive, min(q.source) AS source, q.leaf, q.severity, q.summary
    FROM patch q
    WHERE q.name IN (SELECT name FROM installed)
    GROUP BY q.name, q.version, q.archive
) p ON p.name = i.name AND p.version = i.version AND p.archive = i.archive
LEFT JOIN source s ON s.id = p.source
LEFT JOIN revocation r ON r.source = p.source AND r.patch = p.leaf;

CREATE VIEW v_available AS
SELECT
    s.name AS source,
    p.leaf AS entry_index,
    p.name,
    p.version,
    nullif(p.base, '') AS base,
    p.platform,
    p.severity,
    (SELECT group_concat(a.value, ' ')
     FROM json_each(p.entry, '$.advisories') a) AS advisories,
    p.summary,
    json_extract(p.entry, '$.archive.size') AS size,
    json_extract(p.entry, '$.archive.unpacked') AS unpacked_size,
    coalesce(json_extract(p.entry, '$.reboot'), 0) AS reboot,
    json_extract(p.entry, '$.collected') AS collected_at,
    p.archive AS archive_sha256,
    r.reason AS revoked,
    -- of each ring the last decision within the held log that covers the patch
    (SELECT group_concat(standing.ring, ' ') FROM (
        SELECT d.ring, json_extract(CAST(d.entry AS TEXT), '$.type') AS type, max(d.leaf)
        FROM decision d
        WHERE d.source = p.source AND d.origin = l.origin AND d.size <= l.size AND EXISTS (
            SELECT 1 FROM json_each(CAST(d.entry AS TEXT), '$.patches') span
            WHERE json_extract(span.value, '$[0]') <= p.leaf
                AND p.leaf < json_extract(span.value, '$[1]'))
        GROUP BY d.ring) standing
     WHERE standing.type = 'release/v1') AS released_to
FROM patch p
JOIN source s ON s.id = p.source
JOIN log l ON l.source = p.source AND l.log = 'collection'
LEFT JOIN revocation r ON r.source = p.source AND r.patch = p.leaf;
