//! The schema of `state.db`, one step after another. Steps are only ever appended: step `n` brings
//! a database from `user_version` `n` to `n + 1`. A new step needs a database of its version with
//! content below `tests/schema/`; the test there says how it is made.

/// Every migration, the oldest first.
pub const MIGRATIONS: &[&str] = &[TRANSACTIONS, INDEX, HOLDS, VIEWS, SIGNERS, LINES, FILES, KINDS];

/// The first schema that has patches as lines.
pub(super) const LINES_SINCE: usize = 6;

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

/// What this machine knows of its sources: what it trusts, the two logs, and what they say.
///
/// Times are seconds since 1970. `floor` and `signer_time` only ever rise; everything else of a
/// source can be fetched again.
const INDEX: &str = "
CREATE TABLE machine (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- 32 lowercase hex digits: this machine's place in rollouts
    id TEXT NOT NULL
) STRICT;
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
CREATE TABLE authority_note (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (source, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE directory_note (
    source INTEGER PRIMARY KEY REFERENCES source (id) ON DELETE CASCADE,
    -- when it was last asked for; the note is null where there was none
    asked INTEGER NOT NULL,
    note BLOB
) STRICT;
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
CREATE TABLE signer_time (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    log TEXT NOT NULL,
    key BLOB NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (source, log, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE patch (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    leaf INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    -- the requirement as written; empty for a full patch
    base TEXT NOT NULL,
    platform TEXT NOT NULL,
    archive BLOB NOT NULL,
    -- the log entry, byte for byte
    entry BLOB NOT NULL,
    PRIMARY KEY (source, leaf),
    UNIQUE (source, name, version, base, platform),
    UNIQUE (source, archive)
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    patch INTEGER NOT NULL,
    leaf INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (source, patch)
) STRICT, WITHOUT ROWID;
-- releases and withdrawals: the last one that covers a patch for a ring stands
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
-- entries that were passed over, kept since a later release may read them
CREATE TABLE oddity (
    source INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    log TEXT NOT NULL,
    leaf INTEGER NOT NULL,
    reason TEXT NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (source, log, leaf)
) STRICT, WITHOUT ROWID;
";

/// What an administrator keeps from changing. Times are seconds since 1970.
const HOLDS: &str = "
CREATE TABLE hold (
    name TEXT PRIMARY KEY,
    -- a pin: up to this version and no further; without one it stays as it is
    version TEXT,
    -- from then on the hold no longer counts
    until INTEGER,
    reason TEXT,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What administrators may look at with any SQLite shell: `v_installed`, `v_available`,
/// `v_history`, `v_files`.
const VIEWS: &str = include_str!("views.sql");

/// Who signed what is installed: `signer`, and two columns of `v_installed`.
const SIGNERS: &str = include_str!("signers.sql");

/// Patches as lines of text, many to a value, and what finds them: `patch_lines`, `patch_key`, and
/// the view `patch` in the place of a table. The records of `patch_key` are made by the program.
const LINES: &str = include_str!("lines.sql");

/// Files take fewer rows and indexes: a file is found by its component and by where it really is, and
/// what a transaction changed is one row a component and side.
const FILES: &str = include_str!("files.sql");

/// A file takes less time to be written down.
const KINDS: &str = include_str!("kinds.sql");
