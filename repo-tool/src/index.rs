//! What is found in a log without reading it: `state/index.db`.
//!
//! The index is a cache of what the logs' own files say, and is trusted for nothing beyond that. It
//! says of which tree it is: whoever opens it goes on from there by reading the entries since, and
//! makes it anew where it is of no tree of the log, torn, or not there. What it finds is read from
//! the log before it counts.
//!
//! In scope: the patches of the collection's log by name, version and archive; what the
//! distribution's log decided about them. Out of scope: what the entries mean, which
//! [`crate::catalogue`] says.
//!
//! SQLite's write-ahead log keeps the file whole through a power loss without a single `fsync` of
//! ours; what a power loss takes is read from the log again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_store::DirectoryWriter;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::publish::{PublishError, read_head, root_at};

mod decisions;
mod patches;
#[cfg(test)]
mod tests;

pub use decisions::{DecisionIndex, Said};
pub(crate) use patches::Known;
pub use patches::PatchIndex;

/// Below a role's `state/`.
const FILE: &str = "index.db";
/// Of `PRAGMA user_version`; a file of another is made anew.
const VERSION: i64 = 2;
/// How long to wait for another process that brings the index up to date.
const BUSY: Duration = Duration::from_secs(60);
/// Bytes of the write-ahead log before it is copied into the file and emptied: it is read whole at
/// each start, seven times a publication; emptying it takes three flushes.
const MAX_AHEAD: u64 = 128 * 1024;
/// Statements that are kept: about those of both parts.
const MAX_STATEMENTS: usize = 32;
/// Entries that are taken from the log at once: bounds memory.
const PIECE: u64 = 16 * 1024;

const SCHEMA: &str = "
    CREATE TABLE head (log TEXT PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL) STRICT, WITHOUT ROWID;
    -- key: 32 bits of the hash of the name, 32 bits of that of the version
    CREATE TABLE name (key INTEGER, entry INTEGER, identity INTEGER NOT NULL, PRIMARY KEY (key, entry)) STRICT, WITHOUT ROWID;
    CREATE TABLE archive (key INTEGER, entry INTEGER, PRIMARY KEY (key, entry)) STRICT, WITHOUT ROWID;
    CREATE TABLE revoked (patch INTEGER PRIMARY KEY, entry INTEGER NOT NULL) STRICT;
    -- of a collection's log: ranges of its patches, apart from each other, and the entry that
    -- stands; the entry that first released them; what anything was decided about, joined; the trees
    -- that decisions name
    CREATE TABLE ring (origin TEXT, ring TEXT, PRIMARY KEY (origin, ring)) STRICT, WITHOUT ROWID;
    CREATE TABLE standing (origin TEXT, ring TEXT, start INTEGER, end INTEGER NOT NULL, entry INTEGER NOT NULL, is_release INTEGER NOT NULL, PRIMARY KEY (origin, ring, start)) STRICT, WITHOUT ROWID;
    CREATE TABLE first (origin TEXT, start INTEGER, end INTEGER NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (origin, start)) STRICT, WITHOUT ROWID;
    CREATE TABLE named (origin TEXT, size INTEGER, root BLOB, PRIMARY KEY (origin, size, root)) STRICT, WITHOUT ROWID;
    CREATE TABLE decided (origin TEXT, ring TEXT, start INTEGER, end INTEGER NOT NULL, PRIMARY KEY (origin, ring, start)) STRICT, WITHOUT ROWID;
";

/// A part of the index: that of one log.
trait Part {
    /// The log.
    const LOG: Log;
    /// Its tables.
    const TABLES: &'static [&'static str];

    /// Takes the entries `from..to` of the log below `files`, which has `size`.
    fn take(
        connection: &Connection,
        files: &DirectoryWriter,
        range: (u64, u64),
        size: u64,
    ) -> Result<(), PublishError>;
}

/// An index of the log that is held below a directory.
struct Opened {
    connection: Connection,
    /// The head that it is of: the log's, or an earlier one.
    head: Option<Checkpoint>,
    /// Entries of the log.
    size: u64,
}

/// Opens the index in the directory `state` and brings it up to date with the log below `files`.
/// Where it cannot be written, such as by somebody who may only read, it is made in memory.
fn open<P: Part>(state: &Path, files: &DirectoryWriter) -> Result<Opened, PublishError> {
    let path = state.join(FILE);
    let failed = |source| PublishError::Index { path: path.clone(), source };
    let head = read_head(files, P::LOG)?;
    let begun =
        connect(&path).and_then(|connection| match follow::<P>(connection, files, head.as_ref()) {
            Err(Failed::Index(error)) => Err(error),
            followed => Ok(followed),
        });
    let followed = match begun {
        Ok(followed) => followed,
        Err(error) => {
            let again = if is_torn(&error) && remove(&path).is_ok() {
                connect(&path)
            } else {
                Connection::open_in_memory().and_then(prepare)
            };
            follow::<P>(again.map_err(failed)?, files, head.as_ref())
        }
    };
    let connection = match followed {
        Ok(connection) => connection,
        Err(Failed::Index(source)) => return Err(failed(source)),
        Err(Failed::Log(error)) => return Err(*error),
    };
    // all that is looked for is of one tree, and no look takes the file's locks anew
    connection.execute_batch("BEGIN").map_err(failed)?;
    let size = head.as_ref().map_or(0, |head| head.size);
    Ok(Opened { connection, head, size })
}

/// Opens the index in the directory `state` as it is, if it is of the log below `files`. Whose directory
/// it is, nobody knows: nothing is written to it, and no link followed.
fn look_into<P: Part>(state: &Path, files: &DirectoryWriter) -> Option<Opened> {
    let log = read_head(files, P::LOG).ok()??;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state.join(FILE), flags).ok()?;
    // all that is looked for is of one tree, whoever adds to it meanwhile
    connection.execute_batch("BEGIN").ok()?;
    if version_of(&connection).ok()? != VERSION {
        return None;
    }
    let indexed = read_indexed(&connection, P::LOG).ok()??;
    let is_earlier = is_earlier(&indexed, Some(&log), files, P::LOG).ok()?;
    is_earlier.then_some(Opened { connection, head: Some(indexed), size: log.size })
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether the file is to be made anew, rather than somebody may not use it.
fn is_torn(error: &rusqlite::Error) -> bool {
    let torn = [
        ErrorCode::DatabaseCorrupt,
        ErrorCode::NotADatabase,
        ErrorCode::ConstraintViolation,
        ErrorCode::SchemaChanged,
        ErrorCode::TypeMismatch,
        ErrorCode::Unknown,
    ];
    match error {
        rusqlite::Error::SqliteFailure(error, _) => torn.contains(&error.code),
        _ => true,
    }
}

/// Removes the index in the directory `state`: it is made anew when it is opened next.
pub(crate) fn forget(state: &Path) -> io::Result<()> {
    remove(&state.join(FILE))
}

fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // what is in the write-ahead log stays there: the last to close would wait for the disk
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // else each statement is compiled anew whenever another value is bound to it
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.set_prepared_statement_cache_capacity(MAX_STATEMENTS);
    prepare(connection)
}

/// Makes the tables where there are none.
fn prepare(mut connection: Connection) -> Result<Connection, rusqlite::Error> {
    if version_of(&connection)? == VERSION {
        return Ok(connection);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version_of(&transaction)? {
        // made by another process meanwhile
        VERSION => {}
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    transaction.commit()?;
    Ok(connection)
}

/// Why an index is not up to date.
enum Failed {
    /// The index itself.
    Index(rusqlite::Error),
    /// The log that it is of.
    Log(Box<PublishError>),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

impl From<PublishError> for Failed {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Index { source, .. } => Self::Index(source),
            error => Self::Log(Box::new(error)),
        }
    }
}

/// Takes the entries that the log has and the index has not.
fn follow<P: Part>(
    mut connection: Connection,
    files: &DirectoryWriter,
    head: Option<&Checkpoint>,
) -> Result<Connection, Failed> {
    let indexed = read_indexed(&connection, P::LOG)?;
    if indexed.as_ref() == head {
        return Ok(connection);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let indexed = read_indexed(&transaction, P::LOG)?;
    let size = head.map_or(0, |head| head.size);
    let mut next = match indexed {
        Some(indexed) if is_earlier(&indexed, head, files, P::LOG)? => indexed.size,
        _ => 0,
    };
    if next == 0 {
        for table in P::TABLES {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    while next < size {
        let to = size.min(next + PIECE);
        P::take(&transaction, files, (next, to), size)?;
        next = to;
    }
    match head {
        None => drop(transaction.execute("DELETE FROM head WHERE log = ?1", [P::LOG.as_str()])?),
        Some(head) => write_indexed(&transaction, P::LOG, head)?,
    }
    transaction.commit()?;
    shorten(&connection)?;
    Ok(connection)
}

/// Empties the write-ahead log if it is long, unless somebody reads it.
fn shorten(connection: &Connection) -> rusqlite::Result<()> {
    let Some(path) = connection.path().filter(|path| !path.is_empty()) else { return Ok(()) };
    let ahead = fs::metadata(format!("{path}-wal")).map_or(0, |file| file.len());
    if ahead > MAX_AHEAD {
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.busy_timeout(BUSY)?;
    }
    Ok(())
}

/// Says which tree the index is of.
fn write_indexed(on: &Connection, log: Log, head: &Checkpoint) -> rusqlite::Result<()> {
    let (origin, size, root) = (head.origin.as_str(), as_integer(head.size), head.root.as_bytes());
    let sql = "INSERT OR REPLACE INTO head VALUES (?1, ?2, ?3, ?4)";
    on.execute(sql, (log.as_str(), origin, size, root)).map(drop)
}

/// Whether the log has grown out of the tree that is indexed.
fn is_earlier(
    indexed: &Checkpoint,
    head: Option<&Checkpoint>,
    files: &DirectoryWriter,
    log: Log,
) -> Result<bool, PublishError> {
    let Some(head) = head.filter(|head| head.origin == indexed.origin) else { return Ok(false) };
    let (size, earlier) = (head.size, indexed.size);
    Ok(earlier <= size && root_at(files, log, size, earlier)? == indexed.root)
}

/// The tree that the index is of.
fn read_indexed(connection: &Connection, log: Log) -> Result<Option<Checkpoint>, rusqlite::Error> {
    let mut select =
        connection.prepare_cached("SELECT origin, size, root FROM head WHERE log = ?1")?;
    let row = select.query_row([log.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, [u8; 32]>(2)?))
    });
    let Some((origin, size, root)) = row.optional()? else { return Ok(None) };
    let origin: KeyName = origin.parse().map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(Some(Checkpoint { origin, size: from_integer(size), root: Hash32(root) }))
}

/// The number of an entry, as SQLite has numbers: no log has more than 2⁵³ entries.
fn as_integer(number: u64) -> i64 {
    number.cast_signed()
}

fn from_integer(number: i64) -> u64 {
    number.cast_unsigned()
}

/// The first 64 bits of a hash.
fn key_of(hash: &Hash32) -> i64 {
    let (first, _) = hash.0.split_first_chunk::<8>().expect("a hash has 32 bytes");
    i64::from_be_bytes(*first)
}
