-- Views for administrators; what they mean is in docs/state.md. Their columns do not change: a step
-- that changes a table makes them anew so that they say the same.
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
    coalesce(json_extract(CAST(p.entry AS TEXT), '$.severity'), 'none') AS severity,
    coalesce(json_extract(CAST(p.entry AS TEXT), '$.summary'), '') AS summary,
    r.reason AS revoked
FROM installed i
JOIN txn t ON t.id = i.transaction_id
-- one source, should several have the archive
LEFT JOIN patch p ON (p.source, p.leaf) = (
    SELECT q.source, q.leaf FROM patch q
    WHERE q.name = i.name AND q.version = i.version AND lower(hex(q.archive)) = i.archive
    ORDER BY q.source LIMIT 1)
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
    coalesce(json_extract(CAST(p.entry AS TEXT), '$.severity'), 'none') AS severity,
    (SELECT group_concat(a.value, ' ')
     FROM json_each(CAST(p.entry AS TEXT), '$.advisories') a) AS advisories,
    coalesce(json_extract(CAST(p.entry AS TEXT), '$.summary'), '') AS summary,
    json_extract(CAST(p.entry AS TEXT), '$.archive.size') AS size,
    json_extract(CAST(p.entry AS TEXT), '$.archive.unpacked') AS unpacked_size,
    coalesce(json_extract(CAST(p.entry AS TEXT), '$.reboot'), 0) AS reboot,
    json_extract(CAST(p.entry AS TEXT), '$.collected') AS collected_at,
    lower(hex(p.archive)) AS archive_sha256,
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

CREATE VIEW v_history AS
SELECT
    t.id AS transaction_id,
    strftime('%Y-%m-%dT%H:%M:%SZ', t.started, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%SZ', t.finished, 'unixepoch') AS finished_at,
    t.command,
    t.action,
    t.state,
    c.name,
    c.old_version,
    c.new_version,
    t.rolled_back_to,
    t.allow_stale,
    t.kept AS can_be_undone,
    t.error
FROM txn t
LEFT JOIN txn_change c ON c.txn = t.id
WHERE t.state <> 'staging';

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
