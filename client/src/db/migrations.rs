//! The schema of `state.db`, one step after another. Steps are only ever appended: step `n` brings
//! a database from `user_version` `n` to `n + 1`.

/// Every migration, the oldest first.
pub const MIGRATIONS: &[&str] = &[TRANSACTIONS];

/// What is installed, the journal, and the history that rollbacks go back through.
///
/// Times are seconds since 1970; hashes are 64 lowercase hex digits; `old`, `new`, `was` and
/// `becomes` are JSON (an object's identity as it was found, a component's record).
const TRANSACTIONS: &str = "
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
";
