PRAGMA application_id = 1129542516;
PRAGMA user_version = 8;
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE authority_note (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (source, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE created_directory (
    path TEXT PRIMARY KEY,
    transaction_id INTEGER NOT NULL REFERENCES txn (id)
) STRICT, WITHOUT ROWID;
CREATE TABLE decision (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    leaf INTEGER NOT NULL,
    ring TEXT NOT NULL,
    -- the tree that it speaks of; one beyond the head in hand is pending
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    -- the log entry, byte for byte
    entry BLOB NOT NULL,
    PRIMARY KEY (source, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE directory_note (
    source INTEGER PRIMARY KEY REFERENCES source (id) ON DELETE CASCADE,
    -- when it was last asked for; the note is null where there was none
    asked INTEGER NOT NULL,
    note BLOB
) STRICT;
CREATE TABLE held_back (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    transaction_id INTEGER NOT NULL REFERENCES txn (id),
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE hold (
    name TEXT PRIMARY KEY,
    -- a pin: up to this version and no further; without one it stays as it is
    version TEXT,
    -- from then on the hold no longer counts
    until INTEGER,
    reason TEXT,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE installed (
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    tree TEXT NOT NULL,
    -- SHA-256 of the archive that brought this version
    archive TEXT NOT NULL,
    -- the user who installed it: files of an unprivileged one are all this user's own
    installer INTEGER NOT NULL,
    transaction_id INTEGER NOT NULL REFERENCES txn (id)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE installed_hook (
    name TEXT NOT NULL REFERENCES installed (name) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    hook TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (name, hook)
) STRICT, WITHOUT ROWID;
CREATE TABLE log (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    log TEXT NOT NULL CHECK (log IN ('collection', 'distribution')),
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    -- the right edge of the tree, 32 bytes a hash
    frontier BLOB NOT NULL,
    -- bytes of the unfinished bundle that are held
    tail INTEGER NOT NULL,
    checkpoint BLOB NOT NULL,
    -- what the server with this name gave along with the checkpoint
    validator TEXT,
    server TEXT,
    PRIMARY KEY (source, log)
) STRICT, WITHOUT ROWID;
CREATE TABLE machine (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- 32 lowercase hex digits: this machine's place in rollouts
    id TEXT NOT NULL
) STRICT;
CREATE TABLE oddity (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    log TEXT NOT NULL,
    leaf INTEGER NOT NULL,
    reason TEXT NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (source, log, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE patch_key (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('name', 'archive')),
    bucket INTEGER NOT NULL,
    records BLOB NOT NULL,
    PRIMARY KEY (source, kind, bucket)
) STRICT;
CREATE TABLE patch_lines (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    -- leaf index of the first line; a multiple of 64
    first INTEGER NOT NULL,
    -- a line each; null where an entry is no patch, or one that was passed over
    lines BLOB NOT NULL,
    PRIMARY KEY (source, first)
) STRICT;
CREATE TABLE revocation (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    patch INTEGER NOT NULL,
    leaf INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (source, patch)
) STRICT, WITHOUT ROWID;
CREATE TABLE signer (
    archive TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('collection', 'distribution')),
    key TEXT NOT NULL,
    PRIMARY KEY (archive, role, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE signer_time (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    log TEXT NOT NULL,
    key BLOB NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (source, log, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- SHA-256 of the text of the authority note that this machine was enrolled with
    anchor TEXT NOT NULL,
    distribution TEXT NOT NULL,
    -- the highest version of the authority note that was ever accepted
    floor INTEGER NOT NULL,
    -- when an update last ended well
    updated INTEGER
) STRICT;
CREATE TABLE txn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    command TEXT NOT NULL,
    started INTEGER NOT NULL,
    finished INTEGER,
    -- staging: nothing outside the working areas was touched; begun: the journal is complete and
    -- the machine may be between old and new; done: committed; undone: put back
    state TEXT NOT NULL CHECK (state IN ('staging', 'begun', 'done', 'undone')),
    action TEXT NOT NULL,
    -- the transaction whose outcome a rollback went back to; 0 is the state before the first
    rolled_back_to INTEGER,
    allow_stale INTEGER NOT NULL DEFAULT 0,
    -- 0 while staging (or, of an undone transaction, backups) may still be on disk
    cleaned INTEGER NOT NULL DEFAULT 0,
    -- 1 while the backups that a rollback needs are there
    kept INTEGER NOT NULL DEFAULT 0,
    error TEXT
) STRICT;
CREATE TABLE txn_area (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    area INTEGER NOT NULL,
    -- the root of the mount, relative to the install root; empty for the install root itself
    path TEXT NOT NULL,
    PRIMARY KEY (txn, area)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_change (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    old_version TEXT,
    new_version TEXT,
    was TEXT,
    becomes TEXT,
    PRIMARY KEY (txn, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_directory (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    -- 1: made by the transaction; 0: dropped by it
    made INTEGER NOT NULL,
    PRIMARY KEY (txn, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_file (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    resolved TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (txn, name, path, side)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_files (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    -- a JSON array in order of paths: of the old side, what installed_file had, each an array of
    -- `resolved` and `entry`; of the new side, paths as the manifest has them
    files TEXT NOT NULL,
    PRIMARY KEY (txn, name, side)
) STRICT;
CREATE TABLE txn_hook (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hook TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (txn, name, hook)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_hook_run (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    hook TEXT NOT NULL,
    action TEXT NOT NULL,
    old_version TEXT,
    new_version TEXT,
    outcome TEXT NOT NULL,
    output BLOB NOT NULL,
    truncated INTEGER NOT NULL,
    PRIMARY KEY (txn, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_link (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    old_version TEXT,
    version TEXT NOT NULL,
    archive TEXT NOT NULL,
    PRIMARY KEY (txn, name, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_notice (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    notice TEXT NOT NULL,
    PRIMARY KEY (txn, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_step (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    operation TEXT NOT NULL,
    area INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    path TEXT NOT NULL,
    old TEXT,
    new TEXT,
    -- 1 where the old object carried local changes, which are never dropped unasked
    aside INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (txn, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX installed_file_elsewhere ON installed_file (path) WHERE path <> resolved;
CREATE UNIQUE INDEX installed_file_resolved
ON installed_file (resolved, CASE kind WHEN 'directory' THEN name || ' ' || path ELSE '' END);
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
INSERT INTO authority_note (source, version, note) VALUES (1, 1, X'7B0A20202274797065223A2022617574686F726974792F7631222C0A2020226E616D65223A2022706174636865732E6578616D706C652E6F72672F617574686F72697479222C0A20202276657273696F6E223A20312C0A20202265787069726573223A2022323032372D31312D32335430333A31363A34365A222C0A202022617574686F72697479223A207B0A20202020227468726573686F6C64223A20322C0A20202020226B657973223A205B0A20202020202022706174636865732E6578616D706C652E6F72672F617574686F726974792D312B64356238633930632B4166506D707A57675144352B48477A6B75786F5A6547727573414B6461674E7252326C3841364773506C3168222C0A20202020202022706174636865732E6578616D706C652E6F72672F617574686F726974792D322B38383232613131362B416249473666513330556A446A4975754C654E6A6E6D5179304E474C765A5454384D65682B556863374F574C222C0A20202020202022706174636865732E6578616D706C652E6F72672F617574686F726974792D332B61343830323732652B415A35315A4538725A6B6667644B574B496F3162644678496733506E37386B30335A53656A374E3155317743220A202020205D0A20207D2C0A202022636F6C6C656374696F6E223A207B0A20202020226F726967696E223A2022706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C0A20202020227468726573686F6C64223A20312C0A20202020226D61785F616765223A20323539323030302C0A20202020226B657973223A205B0A2020202020207B0A2020202020202020226964223A2022706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C0A20202020202020202265706F6368223A20312C0A2020202020202020226B6763223A2022416B2B5831564D6E6A2F325A30535256674A62796F666937784A77486F644D483753304B5A5850664831633D222C0A2020202020202020227265636F6E737472756374696F6E223A202242347758546474677A56527A354D3757384261515A484F6B5438745A6247306F38727A384B472F4C3463773D222C0A202020202020202022766B6579223A2022706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E2B31303633393034622B415145716E733644777635415245422F674B64684B422F693767527039427256546259317958594B6B41376B222C0A202020202020202022756E74696C223A206E756C6C0A2020202020207D0A202020205D0A20207D2C0A202022646973747269627574696F6E73223A205B0A202020207B0A202020202020226E616D65223A20226D61696E222C0A202020202020226F726967696E223A2022706174636865732E6578616D706C652E6F72672F646973747269627574696F6E222C0A202020202020227468726573686F6C64223A20312C0A202020202020226D61785F616765223A203235393230302C0A202020202020226B657973223A205B0A20202020202020207B0A20202020202020202020226964223A2022706174636865732E6578616D706C652E6F72672F646973747269627574696F6E222C0A202020202020202020202265706F6368223A20312C0A20202020202020202020226B6763223A2022416B2B5831564D6E6A2F325A30535256674A62796F666937784A77486F644D483753304B5A5850664831633D222C0A20202020202020202020227265636F6E737472756374696F6E223A202234707A33776154393569736C416158523168616E6347357A624370317731305348375250382F42784C70453D222C0A2020202020202020202022766B6579223A2022706174636865732E6578616D706C652E6F72672F646973747269627574696F6E2B32656164633739392B41514B5966704450517875316D7235713532737650693658534F704574543847782F42713243484D55587730222C0A2020202020202020202022756E74696C223A206E756C6C0A20202020202020207D0A2020202020205D0A202020207D0A20205D2C0A2020227769746E6573736573223A207B0A202020202271756F72756D223A20302C0A20202020226B657973223A205B5D0A20207D2C0A2020226469726563746F7279223A207B0A20202020226B657973223A205B0A20202020202022706174636865732E6578616D706C652E6F72672F6469726563746F72792B37643764383465332B41566F444E6B664475674947494E526D4C74692B5555713550533057552F596A5A79597441394274314F6142220A202020205D0A20207D0A7D0A0AE2809420706174636865732E6578616D706C652E6F72672F617574686F726974792D312031626A4A4441385353464E624F4E6343584670447838424C4159664D763366495346616C4130424A504F557A6D376477654C44303358416E7738736F6D6C55716E34394A775867532F4B5234394F32394A7569334167596573416B3D0AE2809420706174636865732E6578616D706C652E6F72672F617574686F726974792D322069434B68466A466367437656556E7068525034717A4E737342774A446F58626D766F61633565474F65354341416346305533446E36702B577170717A433845377833394547652F457635506C5A78754877356E7048572F766A676F3D0AE2809420706174636865732E6578616D706C652E6F72672F617574686F726974792D33207049416E4C6F4F726F5A6C7269496D4D7364334457447977515661523071704C65476534467071306B35594943536D53795A31417A41446D3649713762315665657A576879524B564B504D304D7A6458546157376E6A4A754441593D0A');
INSERT INTO created_directory (path, transaction_id) VALUES ('opt', 1);
INSERT INTO created_directory (path, transaction_id) VALUES ('opt/acme', 1);
INSERT INTO decision (source, leaf, ring, origin, size, root, entry) VALUES (1, 0, 'stable', 'patches.example.org/collection', 1, X'369DFED0904006D82FA8910473A50AFAFD1F9A0EC1756E041DB591F56D00BB57', X'7B2274797065223A2272656C656173652F7631222C226F66223A7B226F726967696E223A22706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C2273697A65223A312C22726F6F74223A224E70332B304A424142746776714A45456336554B2B7630666D6737426457344548625752395730417531633D227D2C2270617463686573223A5B5B302C315D5D2C2272696E67223A22737461626C65227D0A');
INSERT INTO decision (source, leaf, ring, origin, size, root, entry) VALUES (1, 1, 'stable', 'patches.example.org/collection', 3, X'82ED591D5B1AFC364DA04BBAB742C07251000327FF2D498A9D82D7FD71ADB49C', X'7B2274797065223A2272656C656173652F7631222C226F66223A7B226F726967696E223A22706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C2273697A65223A332C22726F6F74223A226775315A485673612F445A4E6F45753674304C41636C45414179662F4C556D4B6E594C582F584774744A773D227D2C2270617463686573223A5B5B312C335D5D2C2272696E67223A22737461626C65227D0A');
INSERT INTO decision (source, leaf, ring, origin, size, root, entry) VALUES (1, 2, 'stable', 'patches.example.org/collection', 5, X'2A6C2FF50BAFF20DBE24928227D121970363A57CB1874600C720463E521C7F71', X'7B2274797065223A2272656C656173652F7631222C226F66223A7B226F726967696E223A22706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C2273697A65223A352C22726F6F74223A224B6D7776395175763867322B4A4A4B434A3945686C774E6A705879786830594178794247506C49636633453D227D2C2270617463686573223A5B5B332C355D5D2C2272696E67223A22737461626C65227D0A');
INSERT INTO decision (source, leaf, ring, origin, size, root, entry) VALUES (1, 3, 'stable', 'patches.example.org/collection', 6, X'5488036D21E86CAF888A67C4A225A43871159A6C9AFBE7E932C8FB3936A22E6A', X'7B2274797065223A2277697468647261772F7631222C226F66223A7B226F726967696E223A22706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E222C2273697A65223A362C22726F6F74223A22564967446253486F624B2B49696D66456F69576B4F4845566D6D79612B2B66704D736A374F5461694C6D6F3D227D2C2270617463686573223A5B5B342C355D5D2C2272696E67223A22737461626C65222C22726561736F6E223A2269742773206265696E67206C6F6F6B6564206174227D0A');
INSERT INTO directory_note (source, asked, note) VALUES (1, 1795403806, X'7B0A20202274797065223A20226469726563746F72792F7631222C0A2020226E616D65223A2022706174636865732E6578616D706C652E6F72672F6469726563746F7279222C0A20202276657273696F6E223A20312C0A20202265787069726573223A2022323032372D30322D32315430333A31363A34365A222C0A20202273657276657273223A205B0A202020207B0A20202020202022646973747269627574696F6E223A20226D61696E222C0A2020202020202275726C73223A205B0A20202020202020202268747470733A2F2F706174636865732E6578616D706C652E6F72672F220A2020202020205D0A202020207D0A20205D0A7D0A0AE2809420706174636865732E6578616D706C652E6F72672F6469726563746F72792066583245343071373539764D4A76663837433876457550764E75592B6D5675376754367262776B503869555869797431487945326A2B56536F6D4954744A7963685553334E6E42426744302B2B63375376547A58304F306A5067633D0A');
INSERT INTO held_back (name, version, transaction_id) VALUES ('acme-agent', '1.1.0', 3);
INSERT INTO hold (name, version, until, reason, since) VALUES ('back', '1.0.0', 4073587200, 'year-end freeze', 1795403809);
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('acme-agent', '1.0.0', 'any', 'c662aa1809ae6724036422c3ecff09d0560ed4b1c26c3b8c21e7c45e00ea7e94', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88', 0, 3);
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('back', '1.0.0', 'any', 'b32b4de639b2a66005a94a06aa8d0ba4491221a4ed2ad623d0a120b627fc9c74', 'da6bb3325f1cfeb13f8cd98b2d16e2b9a98baa4674e457804ae03406baef2431', 0, 1);
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('bad', '1.0.0', 'any', '4b1b2f4b9492444eb6c868f986bd94ccf8ee18db49095b32b218690c7c617c5a', '5b78926385623180275c742fcee900190f2840e1162d32e54104f82180d1862e', 0, 1);
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('etc/acme.conf', 'acme-agent', 'etc/acme.conf', 'file', '{"path":"etc/acme.conf","mode":"0644","size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522","config":true}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/acme/agent', 'acme-agent', 'opt/acme/agent', 'file', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/acme/data', 'acme-agent', 'opt/acme/data', 'file', '{"path":"opt/acme/data","mode":"0644","size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/back', 'back', 'opt/back', 'file', '{"path":"opt/back","mode":"0644","size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/bad', 'bad', 'opt/bad', 'file', '{"path":"opt/bad","mode":"0644","size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}');
INSERT INTO installed_hook (name, hook, content) VALUES ('acme-agent', 'check', X'23212F62696E2F73680A6563686F202269742773207468657265220A');
INSERT INTO log (source, log, origin, size, frontier, tail, checkpoint, validator, server) VALUES (1, 'collection', 'patches.example.org/collection', 6, X'39C2620DF15EABBA2B16F73B94111C3BB15BF86B96F060F3CB34498F1E1076D334290F8CE244773F16158463433F914B60682F442F6BEC4B80F850DE46BB3ECF', 1437, X'706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E0A360A564967446253486F624B2B49696D66456F69576B4F4845566D6D79612B2B66704D736A374F5461694C6D6F3D0A0AE2809420706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E2045474F51533656446A37742B6A7664646D3547706631473851385775545768694161494978626A63627A626274454D35464F4E4951494B514E6837316B30693954304A3570684C71345A415A78433537337A56536A32734158516B3D0AE2809420706174636865732E6578616D706C652E6F72672F636F6C6C656374696F6E206F322F3236674141414142724137416556756741464E7A534A563348797147426F73642F767755694B6242646B536B36494C596D44514A483846594A516B3050546E466B6870394F4D41525355592F63576874686A335844625637305969734679646C2F41413D3D0AE2809420706174636865732E6578616D706C652E6F72672F646973747269627574696F6E20624935647867414141414272413741657969796B4D78427238506C477A6632794D534F6E50346D4F6E2B44366B68787542784C396A6130706A71644D434F6C644A6C2F4530466437545A6C426F516D666935575A5875594C556B7A6131336F686B39737142773D3D0A', NULL, 'https://patches.example.org/');
INSERT INTO log (source, log, origin, size, frontier, tail, checkpoint, validator, server) VALUES (1, 'distribution', 'patches.example.org/distribution', 4, X'1DCB36841E978D02B937292361734B2DC2BD5762609088374651E38719EE1263', 713, X'706174636865732E6578616D706C652E6F72672F646973747269627574696F6E0A340A48637332684236586A514B354E796B6A59584E4C4C634B3956324A676B496733526C486A68786E75456D4D3D0A0AE2809420706174636865732E6578616D706C652E6F72672F646973747269627574696F6E204C7133486D524D3135522F7662683330463442726149647A6270443571794A664468567A2F4C3339436B4C497579517337365971672F3735684A31496B362F6B6A6666424335714F394638654F696E3253554E4A5658495A5551413D0AE2809420706174636865732E6578616D706C652E6F72672F646973747269627574696F6E2062493564786741414141427241374165754B36497A476362587551666A444C4336426537673561736B6361746A497150706B3033584141444858304B5A61754E434C4A37593979587A7A57506938422F6D422F413562704238656F2F35323332317A6B3444673D3D0A', NULL, 'https://patches.example.org/');
INSERT INTO machine (one, id) VALUES (1, '9799b49b6d758f2424bc17e8400885cc');
INSERT INTO oddity (source, log, leaf, reason, entry) VALUES (1, 'collection', 99, 'type of a later release', X'7B2274797065223A226C617465722F7639227D');
INSERT INTO patch_key (source, kind, bucket, records) VALUES (1, 'archive', 0, X'FE3B839CF3FCC1BF00000000F8F3A0A27261600B000000019CE3A2C638061FCF000000025B7892638562318000000003DA6BB3325F1CFEB100000004');
INSERT INTO patch_key (source, kind, bucket, records) VALUES (1, 'name', 0, X'0634B3EC9B99F99A000000000634B3ECA89B8EE5000000010634B3ECE60BA3640000000213003EA1890FE85800000003306199999862B47F00000004');
INSERT INTO patch_lines (source, first, lines) VALUES (1, 0, X'7B2274797065223A2270617463682F7631222C226E616D65223A2261636D652D6167656E74222C2276657273696F6E223A22312E302E30222C2273756D6D617279223A2261636D652D6167656E7420312E302E30222C2261726368697665223A7B22736861323536223A2266653362383339636633666363316266646337303836356431353664666464383666373030336635373731396534386136346232393933343430383365643838222C2273697A65223A3531352C22756E7061636B6564223A31363031372C2266696C6573223A337D2C22636F6C6C6563746564223A22323032362D31312D32335430333A31363A34365A227D0A7B2274797065223A2270617463682F7631222C226E616D65223A2261636D652D6167656E74222C2276657273696F6E223A22312E312E30222C2273756D6D617279223A22436C6F73657320612068656170206F766572666C6F7720696E2074686520706172736572222C227365766572697479223A22637269746963616C222C2261647669736F72696573223A5B224356452D323032362D30303031225D2C2261726368697665223A7B22736861323536223A2266386633613061323732363136303062663663386539383664353236306361653530653264306631363136366432613562363862306366336336363937396636222C2273697A65223A3531362C22756E7061636B6564223A31363031372C2266696C6573223A337D2C22636F6C6C6563746564223A22323032362D31312D32335430333A31363A34365A227D0A7B2274797065223A2270617463682F7631222C226E616D65223A2261636D652D6167656E74222C2276657273696F6E223A22312E312E30222C2262617365223A223D312E302E30222C2273756D6D617279223A22436C6F73657320612068656170206F766572666C6F7720696E2074686520706172736572222C227365766572697479223A22637269746963616C222C2261647669736F72696573223A5B224356452D323032362D30303031225D2C2261726368697665223A7B22736861323536223A2239636533613263363338303631666366626130663438633638633465343631636234363161386131373238303766383861386264366231303762393161623838222C2273697A65223A3334302C22756E7061636B6564223A352C2266696C6573223A317D2C22636F6C6C6563746564223A22323032362D31312D32335430333A31363A34365A227D0A7B2274797065223A2270617463682F7631222C226E616D65223A22626164222C2276657273696F6E223A22312E302E30222C2273756D6D617279223A2262616420312E302E30222C2261726368697665223A7B22736861323536223A2235623738393236333835363233313830323735633734326663656539303031393066323834306531313632643332653534313034663832313830643138363265222C2273697A65223A3330362C22756E7061636B6564223A332C2266696C6573223A317D2C22636F6C6C6563746564223A22323032362D31312D32335430333A31363A34365A227D0A7B2274797065223A2270617463682F7631222C226E616D65223A226261636B222C2276657273696F6E223A22312E302E30222C2273756D6D617279223A226261636B20312E302E30222C2261726368697665223A7B22736861323536223A2264613662623333323566316366656231336638636439386232643136653262396139386261613436373465343537383034616530333430366261656632343331222C2273697A65223A3330372C22756E7061636B6564223A342C2266696C6573223A317D2C22636F6C6C6563746564223A22323032362D31312D32335430333A31363A34365A227D0A6E756C6C0A');
INSERT INTO revocation (source, patch, leaf, reason) VALUES (1, 3, 5, 'breaks the spooler');
INSERT INTO signer (archive, role, key) VALUES ('fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88', 'collection', 'patches.example.org/collection/1');
INSERT INTO signer (archive, role, key) VALUES ('fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88', 'distribution', 'patches.example.org/distribution/main/1');
INSERT INTO signer_time (source, log, key, time) VALUES (1, 'collection', X'012A9ECE83C2FE4044407F80A761281FE2EE0469F41AD54DB635C9760A900EE4', 1795403806);
INSERT INTO signer_time (source, log, key, time) VALUES (1, 'collection', X'02987E90CF431BB59ABE6AE76B2F3E2E9748EA44B53F06C7F06AD821CC517C34', 1795403806);
INSERT INTO signer_time (source, log, key, time) VALUES (1, 'distribution', X'02987E90CF431BB59ABE6AE76B2F3E2E9748EA44B53F06C7F06AD821CC517C34', 1795403806);
INSERT INTO source (id, name, anchor, distribution, floor, updated) VALUES (1, 'patches.example.org', '4325ad6c3366de64d93d151f899a4decd67a30d4fa4ae68c8ef17b4018020898', 'main', 1, 1795403808);
INSERT INTO txn (id, command, started, finished, state, action, rolled_back_to, allow_stale, cleaned, kept, error) VALUES (1, 'patchctl install acme-agent@1.0.0 bad back --yes', 1795403807, 1795403807, 'done', 'install', NULL, 0, 1, 1, NULL);
INSERT INTO txn (id, command, started, finished, state, action, rolled_back_to, allow_stale, cleaned, kept, error) VALUES (2, 'patchctl upgrade --yes', 1795403808, 1795403808, 'done', 'upgrade', NULL, 0, 1, 1, NULL);
INSERT INTO txn (id, command, started, finished, state, action, rolled_back_to, allow_stale, cleaned, kept, error) VALUES (3, 'patchctl rollback --yes --allow-vulnerable', 1795403808, 1795403808, 'done', 'rollback', 1, 0, 1, 1, NULL);
INSERT INTO txn_area (txn, area, path) VALUES (1, 0, '');
INSERT INTO txn_area (txn, area, path) VALUES (2, 0, '');
INSERT INTO txn_area (txn, area, path) VALUES (3, 0, '');
INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes) VALUES (1, 'acme-agent', NULL, '1.0.0', NULL, '{"name":"acme-agent","version":"1.0.0","platform":"any","tree":"c662aa1809ae6724036422c3ecff09d0560ed4b1c26c3b8c21e7c45e00ea7e94","archive":"fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88","installer":0,"transaction":1}');
INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes) VALUES (1, 'back', NULL, '1.0.0', NULL, '{"name":"back","version":"1.0.0","platform":"any","tree":"b32b4de639b2a66005a94a06aa8d0ba4491221a4ed2ad623d0a120b627fc9c74","archive":"da6bb3325f1cfeb13f8cd98b2d16e2b9a98baa4674e457804ae03406baef2431","installer":0,"transaction":1}');
INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes) VALUES (1, 'bad', NULL, '1.0.0', NULL, '{"name":"bad","version":"1.0.0","platform":"any","tree":"4b1b2f4b9492444eb6c868f986bd94ccf8ee18db49095b32b218690c7c617c5a","archive":"5b78926385623180275c742fcee900190f2840e1162d32e54104f82180d1862e","installer":0,"transaction":1}');
INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes) VALUES (2, 'acme-agent', '1.0.0', '1.1.0', '{"name":"acme-agent","version":"1.0.0","platform":"any","tree":"c662aa1809ae6724036422c3ecff09d0560ed4b1c26c3b8c21e7c45e00ea7e94","archive":"fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88","installer":0,"transaction":1}', '{"name":"acme-agent","version":"1.1.0","platform":"any","tree":"33f5fdd4f0c6396c21175746d459794cd2e1c7ffcef58bcf19d4167c1e9b00b6","archive":"9ce3a2c638061fcfba0f48c68c4e461cb461a8a172807f88a8bd6b107b91ab88","installer":0,"transaction":2}');
INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes) VALUES (3, 'acme-agent', '1.1.0', '1.0.0', '{"name":"acme-agent","version":"1.1.0","platform":"any","tree":"33f5fdd4f0c6396c21175746d459794cd2e1c7ffcef58bcf19d4167c1e9b00b6","archive":"9ce3a2c638061fcfba0f48c68c4e461cb461a8a172807f88a8bd6b107b91ab88","installer":0,"transaction":2}', '{"name":"acme-agent","version":"1.0.0","platform":"any","tree":"c662aa1809ae6724036422c3ecff09d0560ed4b1c26c3b8c21e7c45e00ea7e94","archive":"fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88","installer":0,"transaction":3}');
INSERT INTO txn_directory (txn, path, made) VALUES (1, 'opt/acme', 1);
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'etc/acme.conf', 'new', 'etc/acme.conf', '{"path":"etc/acme.conf","mode":"0644","size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522","config":true}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'opt/acme/data', 'new', 'opt/acme/data', '{"path":"opt/acme/data","mode":"0644","size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'back', 'opt/back', 'new', 'opt/back', '{"path":"opt/back","mode":"0644","size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'bad', 'opt/bad', 'new', 'opt/bad', '{"path":"opt/bad","mode":"0644","size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (2, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (2, 'acme-agent', 'opt/acme/agent', 'old', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (3, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (3, 'acme-agent', 'opt/acme/agent', 'old', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}');
INSERT INTO txn_files (txn, name, side, files) VALUES (2, 'acme-agent', 'new', '["opt/acme/agent"]');
INSERT INTO txn_files (txn, name, side, files) VALUES (2, 'acme-agent', 'old', '[["opt/acme/agent",{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}]]');
INSERT INTO txn_hook (txn, name, hook, content) VALUES (2, 'acme-agent', 'check', X'23212F62696E2F73680A6563686F202269742773207468657265220A');
INSERT INTO txn_hook_run (txn, position, name, hook, action, old_version, new_version, outcome, output, truncated) VALUES (2, 0, 'acme-agent', 'check', 'upgrade', '1.0.0', '1.1.0', 'ended well', X'697427732074686572650A', 0);
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'acme-agent', 0, NULL, '1.0.0', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'back', 0, NULL, '1.0.0', 'da6bb3325f1cfeb13f8cd98b2d16e2b9a98baa4674e457804ae03406baef2431');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'bad', 0, NULL, '1.0.0', '5b78926385623180275c742fcee900190f2840e1162d32e54104f82180d1862e');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (2, 'acme-agent', 0, '1.0.0', '1.1.0', '9ce3a2c638061fcfba0f48c68c4e461cb461a8a172807f88a8bd6b107b91ab88');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (3, 'acme-agent', 0, '1.1.0', '1.0.0', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88');
INSERT INTO txn_notice (txn, position, notice) VALUES (2, 1, '{"notice":"kept-aside","path":"opt/acme/agent","copy":".patchctl/backup/2/1"}');
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 0, 'create', 0, 6, 'opt', NULL, '{"kind":"directory","mode":493,"uid":0,"gid":0}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 1, 'create', 0, 7, 'opt/acme', NULL, '{"kind":"directory","mode":493,"uid":0,"gid":0}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 2, 'create', 0, 1, 'etc/acme.conf', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 3, 'create', 0, 2, 'opt/acme/agent', NULL, '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 4, 'create', 0, 3, 'opt/acme/data', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 5, 'create', 0, 4, 'opt/back', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 6, 'create', 0, 5, 'opt/bad', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (2, 0, 'replace', 0, 1, 'opt/acme/agent', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":4,"sha256":"3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"}', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}', 1);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (3, 0, 'replace', 0, 1, 'opt/acme/agent', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":4,"sha256":"3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"}', 0);
COMMIT;
