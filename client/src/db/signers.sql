-- Whose signatures counted for an archive when it was last installed: names, for people. What is
-- trusted is decided by the notes, each time anew.
CREATE TABLE signer (
    archive TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('collection', 'distribution')),
    key TEXT NOT NULL,
    PRIMARY KEY (archive, role, key)
) STRICT, WITHOUT ROWID;

DROP VIEW v_installed;
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
    r.reason AS revoked,
    (SELECT group_concat(k.key, ' ') FROM signer k
     WHERE k.archive = i.archive AND k.role = 'collection') AS collection_keys,
    (SELECT group_concat(k.key, ' ') FROM signer k
     WHERE k.archive = i.archive AND k.role = 'distribution') AS distribution_keys
FROM installed i
JOIN txn t ON t.id = i.transaction_id
-- one source, should several have the archive
LEFT JOIN patch p ON (p.source, p.leaf) = (
    SELECT q.source, q.leaf FROM patch q
    WHERE q.name = i.name AND q.version = i.version AND lower(hex(q.archive)) = i.archive
    ORDER BY q.source LIMIT 1)
LEFT JOIN source s ON s.id = p.source
LEFT JOIN revocation r ON r.source = p.source AND r.patch = p.leaf;
