PRAGMA application_id = 1129542516;
PRAGMA user_version = 1;
PRAGMA foreign_keys = OFF;
BEGIN;
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
CREATE TABLE txn_link (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    old_version TEXT,
    version TEXT NOT NULL,
    archive TEXT NOT NULL,
    PRIMARY KEY (txn, name, position)
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
CREATE INDEX txn_step_path ON txn_step (path);
CREATE TABLE txn_file (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    resolved TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (txn, name, path, side)
) STRICT, WITHOUT ROWID;
CREATE TABLE txn_directory (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    -- 1: made by the transaction; 0: dropped by it
    made INTEGER NOT NULL,
    PRIMARY KEY (txn, path)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE txn_notice (
    txn INTEGER NOT NULL REFERENCES txn (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    notice TEXT NOT NULL,
    PRIMARY KEY (txn, position)
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
    kind TEXT NOT NULL CHECK (kind IN ('file', 'directory', 'link')),
    -- the member of the manifest, as JSON
    entry TEXT NOT NULL,
    PRIMARY KEY (path, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX installed_file_name ON installed_file (name);
-- directories are shared, everything else has one owner
CREATE UNIQUE INDEX installed_file_owner ON installed_file (resolved) WHERE kind <> 'directory';
CREATE INDEX installed_file_resolved ON installed_file (resolved);
CREATE TABLE installed_hook (
    name TEXT NOT NULL REFERENCES installed (name) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    hook TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (name, hook)
) STRICT, WITHOUT ROWID;
CREATE TABLE created_directory (
    path TEXT PRIMARY KEY,
    transaction_id INTEGER NOT NULL REFERENCES txn (id)
) STRICT, WITHOUT ROWID;
CREATE TABLE held_back (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    transaction_id INTEGER NOT NULL REFERENCES txn (id),
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
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
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'acme-agent', 0, NULL, '1.0.0', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'back', 0, NULL, '1.0.0', 'da6bb3325f1cfeb13f8cd98b2d16e2b9a98baa4674e457804ae03406baef2431');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (1, 'bad', 0, NULL, '1.0.0', '5b78926385623180275c742fcee900190f2840e1162d32e54104f82180d1862e');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (2, 'acme-agent', 0, '1.0.0', '1.1.0', '9ce3a2c638061fcfba0f48c68c4e461cb461a8a172807f88a8bd6b107b91ab88');
INSERT INTO txn_link (txn, name, position, old_version, version, archive) VALUES (3, 'acme-agent', 0, '1.1.0', '1.0.0', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88');
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 0, 'create', 0, 6, 'opt', NULL, '{"kind":"directory","mode":493,"uid":0,"gid":0}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 1, 'create', 0, 7, 'opt/acme', NULL, '{"kind":"directory","mode":493,"uid":0,"gid":0}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 2, 'create', 0, 1, 'etc/acme.conf', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 3, 'create', 0, 2, 'opt/acme/agent', NULL, '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 4, 'create', 0, 3, 'opt/acme/data', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 5, 'create', 0, 4, 'opt/back', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (1, 6, 'create', 0, 5, 'opt/bad', NULL, '{"kind":"file","mode":420,"uid":0,"gid":0,"size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}', 0);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (2, 0, 'replace', 0, 1, 'opt/acme/agent', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":4,"sha256":"3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"}', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}', 1);
INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside) VALUES (3, 0, 'replace', 0, 1, 'opt/acme/agent', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}', '{"kind":"file","mode":493,"uid":0,"gid":0,"size":4,"sha256":"3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"}', 0);
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'etc/acme.conf', 'new', 'etc/acme.conf', '{"path":"etc/acme.conf","mode":"0644","size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522","config":true}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'acme-agent', 'opt/acme/data', 'new', 'opt/acme/data', '{"path":"opt/acme/data","mode":"0644","size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'back', 'opt/back', 'new', 'opt/back', '{"path":"opt/back","mode":"0644","size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (1, 'bad', 'opt/bad', 'new', 'opt/bad', '{"path":"opt/bad","mode":"0644","size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (2, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (2, 'acme-agent', 'opt/acme/agent', 'old', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (3, 'acme-agent', 'opt/acme/agent', 'new', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO txn_file (txn, name, path, side, resolved, entry) VALUES (3, 'acme-agent', 'opt/acme/agent', 'old', 'opt/acme/agent', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"7fbd210ebec11f65a97190ef900795c4b8da3805af3f5a1b8d1d272556b292ca"}');
INSERT INTO txn_directory (txn, path, made) VALUES (1, 'opt/acme', 1);
INSERT INTO txn_hook (txn, name, hook, content) VALUES (2, 'acme-agent', 'check', X'23212F62696E2F73680A6563686F202269742773207468657265220A');
INSERT INTO txn_hook_run (txn, position, name, hook, action, old_version, new_version, outcome, output, truncated) VALUES (2, 0, 'acme-agent', 'check', 'upgrade', '1.0.0', '1.1.0', 'ended well', X'697427732074686572650A', 0);
INSERT INTO txn_notice (txn, position, notice) VALUES (2, 1, '{"notice":"kept-aside","path":"opt/acme/agent","copy":".patchctl/backup/2/1"}');
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('acme-agent', '1.0.0', 'any', 'c662aa1809ae6724036422c3ecff09d0560ed4b1c26c3b8c21e7c45e00ea7e94', 'fe3b839cf3fcc1bfdc70865d156dfdd86f7003f57719e48a64b299344083ed88', 0, 3);
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('back', '1.0.0', 'any', 'b32b4de639b2a66005a94a06aa8d0ba4491221a4ed2ad623d0a120b627fc9c74', 'da6bb3325f1cfeb13f8cd98b2d16e2b9a98baa4674e457804ae03406baef2431', 0, 1);
INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id) VALUES ('bad', '1.0.0', 'any', '4b1b2f4b9492444eb6c868f986bd94ccf8ee18db49095b32b218690c7c617c5a', '5b78926385623180275c742fcee900190f2840e1162d32e54104f82180d1862e', 0, 1);
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('etc/acme.conf', 'acme-agent', 'etc/acme.conf', 'file', '{"path":"etc/acme.conf","mode":"0644","size":12,"sha256":"c926650c05cf29d3a37843be2a4ad9fa32bc20e4c30d78977648a4cd92d30522","config":true}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/acme/agent', 'acme-agent', 'opt/acme/agent', 'file', '{"path":"opt/acme/agent","mode":"0755","size":5,"sha256":"92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/acme/data', 'acme-agent', 'opt/acme/data', 'file', '{"path":"opt/acme/data","mode":"0644","size":16000,"sha256":"c94b9ec8d7359f80b24562ecc20a27c62058a411322690730b6c9565fbba1177"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/back', 'back', 'opt/back', 'file', '{"path":"opt/back","mode":"0644","size":4,"sha256":"3c482346f375027677fa8a0d6830a32714d4f13f9e94c2d9e215e0ac205ad4e5"}');
INSERT INTO installed_file (path, name, resolved, kind, entry) VALUES ('opt/bad', 'bad', 'opt/bad', 'file', '{"path":"opt/bad","mode":"0644","size":3,"sha256":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1"}');
INSERT INTO installed_hook (name, hook, content) VALUES ('acme-agent', 'check', X'23212F62696E2F73680A6563686F202269742773207468657265220A');
INSERT INTO created_directory (path, transaction_id) VALUES ('opt', 1);
INSERT INTO created_directory (path, transaction_id) VALUES ('opt/acme', 1);
INSERT INTO held_back (name, version, transaction_id) VALUES ('acme-agent', '1.1.0', 3);
COMMIT;
