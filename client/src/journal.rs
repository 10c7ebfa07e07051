//! The journal: every step of a transaction, durable before the first of them is done.
//!
//! A step is undone by looking at what is there, not by what was last written down, so undoing
//! twice, or undoing what was never done, changes nothing. What tells the two apart:
//!
//! | operation | doing it | it was done if |
//! |---|---|---|
//! | create | rename staged → path, nothing may be there | the staged object is gone |
//! | create-within | it comes with the nearest directory above it that is created | that one's is gone |
//! | replace | link path → backup beforehand; rename staged → path | the staged object is gone |
//! | exchange | new object lies in the backup; swap it with path | the backup is of the old kind |
//! | remove | rename path → backup | the backup is there |
//! | remove-directory | the same, if it is empty | the backup is there, or nothing is at the path |
//! | metadata | set owner and mode of a directory | setting the old ones does no harm |

use countersign_format::relpath::RelPath;
use rusqlite::{Connection, params};

use crate::db::{self, Database, DatabaseError, bad_value, parse, parse_json, to_json};
use crate::hooks::Action;
use crate::object::Identity;
use crate::root::DirPath;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Puts an object where nothing is.
    Create,
    /// Puts an object into a directory that the same transaction creates. That directory is put in
    /// place with all that is in it, so there is nothing left to do for this.
    CreateWithin,
    /// Puts a file or symlink in the place of a file or symlink.
    Replace,
    /// Swaps a directory for a file or symlink, or the reverse.
    Exchange,
    /// Takes a file or symlink away.
    Remove,
    /// Takes a directory away if it is empty.
    RemoveDirectory,
    /// Sets a directory's owner and mode.
    Metadata,
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::Create,
        Self::CreateWithin,
        Self::Replace,
        Self::Exchange,
        Self::Remove,
        Self::RemoveDirectory,
        Self::Metadata,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateWithin => "create-within",
            Self::Replace => "replace",
            Self::Exchange => "exchange",
            Self::Remove => "remove",
            Self::RemoveDirectory => "remove-directory",
            Self::Metadata => "metadata",
        }
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub operation: Operation,
    /// The resolved path that it does it to.
    pub path: RelPath,
    /// The working area, an index into [`Journal::areas`].
    pub area: usize,
    /// The name of its objects in the area's staging and backup directories.
    pub slot: u64,
    /// What was at the path.
    pub old: Option<Identity>,
    /// What will be.
    pub new: Option<Identity>,
    /// Whether the old object carries local changes.
    pub aside: bool,
}

/// A transaction's steps and where it works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// The roots of the mounts touched.
    pub areas: Vec<DirPath>,
    /// The steps in the order in which they are done.
    pub steps: Vec<Step>,
}

/// What starts a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub command: &'a str,
    pub action: Action,
    pub now: u64,
    pub allow_stale: bool,
    pub rolled_back_to: Option<i64>,
}

/// Opens a transaction that stages. Its number is durable before anything of it is on disk: that is
/// once the first working area is noted, in one commit with it. `tidied` are finished transactions
/// of which nothing is left in working areas but backups.
pub(crate) fn open(
    connection: &Connection,
    beginning: &Beginning<'_>,
    tidied: &[i64],
) -> Result<i64, DatabaseError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let opened = insert(connection, beginning, tidied);
    if opened.is_err() {
        // the error that counts is the first
        let _ = connection.execute_batch("ROLLBACK");
    }
    opened
}

fn insert(
    connection: &Connection,
    beginning: &Beginning<'_>,
    tidied: &[i64],
) -> Result<i64, DatabaseError> {
    for txn in tidied {
        cleaned(connection, *txn)?;
    }
    connection.execute(
        "INSERT INTO txn (command, started, state, action, allow_stale, rolled_back_to)
         VALUES (?1, ?2, 'staging', ?3, ?4, ?5)",
        params![
            beginning.command,
            seconds(beginning.now),
            beginning.action.as_str(),
            beginning.allow_stale,
            beginning.rolled_back_to,
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Makes a transaction durable that was just opened.
pub(crate) fn settle(connection: &Connection) -> Result<(), DatabaseError> {
    if !connection.is_autocommit() {
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// Notes a working area before it is made.
pub(crate) fn add_area(
    connection: &Connection,
    txn: i64,
    area: usize,
    path: &DirPath,
) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT INTO txn_area (txn, area, path) VALUES (?1, ?2, ?3)",
        params![txn, db::count(area), path.as_str()],
    )?;
    settle(connection)
}

/// The working areas of a transaction.
pub(crate) fn areas(connection: &Connection, txn: i64) -> Result<Vec<DirPath>, DatabaseError> {
    let mut statement =
        connection.prepare("SELECT path FROM txn_area WHERE txn = ?1 ORDER BY area")?;
    let rows = statement.query_map([txn], |row| row.get::<_, String>(0))?;
    rows.map(|path| {
        let path = path?;
        if path.is_empty() {
            return Ok(DirPath::ROOT);
        }
        Ok(DirPath::from(parse::<RelPath>("txn_area.path", &path)?))
    })
    .collect()
}

/// Writes all steps and marks the transaction begun; part of one database transaction.
pub(crate) fn begin(
    connection: &Connection,
    txn: i64,
    steps: &[Step],
) -> Result<(), DatabaseError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO txn_step (txn, sequence, operation, area, slot, path, old, new, aside)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (sequence, step) in steps.iter().enumerate() {
        statement.execute(params![
            txn,
            db::count(sequence),
            step.operation.as_str(),
            db::count(step.area),
            step.slot.cast_signed(),
            step.path.as_str(),
            step.old.as_ref().map(to_json),
            step.new.as_ref().map(to_json),
            step.aside,
        ])?;
    }
    connection.execute("UPDATE txn SET state = 'begun' WHERE id = ?1", [txn])?;
    Ok(())
}

/// Reads a transaction's journal.
pub(crate) fn read(connection: &Connection, txn: i64) -> Result<Journal, DatabaseError> {
    let mut statement = connection.prepare(
        "SELECT operation, area, slot, path, old, new, aside FROM txn_step WHERE txn = ?1
         ORDER BY sequence",
    )?;
    let areas = areas(connection, txn)?;
    let mut rows = statement.query([txn])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let identity = |text: Option<String>| {
            text.map(|text| parse_json::<Identity>("txn_step.old", &text)).transpose()
        };
        let word: String = row.get(0)?;
        steps.push(Step {
            operation: Operation::ALL
                .into_iter()
                .find(|operation| operation.as_str() == word)
                .ok_or_else(|| bad_value("txn_step.operation", &word))?,
            area: count(row.get(1)?).and_then(|area| {
                let is_known = area < areas.len();
                is_known.then_some(area).ok_or_else(|| bad_value("txn_step.area", &area))
            })?,
            slot: count(row.get(2)?)? as u64,
            path: parse("txn_step.path", &row.get::<_, String>(3)?)?,
            old: identity(row.get(4)?)?,
            new: identity(row.get(5)?)?,
            aside: row.get(6)?,
        });
    }
    Ok(Journal { areas, steps })
}

/// Forgets steps that were not needed after all, by their place in the order.
pub(crate) fn forget(
    connection: &Connection,
    txn: i64,
    sequences: &[usize],
) -> Result<(), DatabaseError> {
    for sequence in sequences {
        connection.execute(
            "DELETE FROM txn_step WHERE txn = ?1 AND sequence = ?2",
            params![txn, db::count(*sequence)],
        )?;
    }
    Ok(())
}

/// Changes what a step is to put in place, before it is done.
pub(crate) fn change_new(
    connection: &Connection,
    txn: i64,
    sequence: usize,
    new: Option<&Identity>,
) -> Result<(), DatabaseError> {
    connection.execute(
        "UPDATE txn_step SET new = ?3 WHERE txn = ?1 AND sequence = ?2",
        params![txn, db::count(sequence), new.map(to_json)],
    )?;
    Ok(())
}

/// Marks a transaction done: this row is the commit.
pub(crate) fn commit(connection: &Connection, txn: i64, now: u64) -> Result<(), DatabaseError> {
    connection.execute(
        "UPDATE txn SET state = 'done', finished = ?2, kept = 1 WHERE id = ?1 AND state = 'begun'",
        params![txn, seconds(now)],
    )?;
    Ok(())
}

/// Marks a transaction undone.
pub(crate) fn undone(
    connection: &Connection,
    txn: i64,
    now: u64,
    error: &str,
) -> Result<(), DatabaseError> {
    connection.execute(
        "UPDATE txn SET state = 'undone', finished = ?2, error = coalesce(error, ?3) WHERE id = ?1",
        params![txn, seconds(now), error],
    )?;
    Ok(())
}

/// Notes why a transaction is about to be undone.
pub(crate) fn failed(connection: &Connection, txn: i64, error: &str) -> Result<(), DatabaseError> {
    connection.execute("UPDATE txn SET error = ?2 WHERE id = ?1", params![txn, error])?;
    Ok(())
}

/// Forgets a transaction that never got beyond staging.
pub(crate) fn discard(connection: &Connection, txn: i64) -> Result<(), DatabaseError> {
    if !connection.is_autocommit() {
        // it never became durable
        return Ok(connection.execute_batch("ROLLBACK")?);
    }
    connection.execute("DELETE FROM txn WHERE id = ?1 AND state = 'staging'", [txn])?;
    Ok(())
}

/// Notes that nothing is left of a transaction in its working areas but backups.
pub(crate) fn cleaned(connection: &Connection, txn: i64) -> Result<(), DatabaseError> {
    connection.execute("UPDATE txn SET cleaned = 1 WHERE id = ?1", [txn])?;
    Ok(())
}

impl Database {
    /// The transaction that was interrupted, if one was: recovery must come first.
    pub fn unfinished(&self) -> Result<Option<i64>, DatabaseError> {
        use rusqlite::OptionalExtension as _;
        Ok(self
            .connection()
            .query_row("SELECT id FROM txn WHERE state = 'begun' ORDER BY id LIMIT 1", [], |row| {
                row.get(0)
            })
            .optional()?)
    }
}

/// The finished transactions, the newest first, and whether their backups are there.
pub(crate) fn finished(connection: &Connection) -> Result<Vec<(i64, bool)>, DatabaseError> {
    let mut statement =
        connection.prepare("SELECT id, kept FROM txn WHERE state = 'done' ORDER BY id DESC")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that a transaction's backups are about to go, and that they may still be on disk.
pub(crate) fn backups_dropped(connection: &Connection, txn: i64) -> Result<(), DatabaseError> {
    connection.execute("UPDATE txn SET kept = 0, cleaned = 0 WHERE id = ?1", [txn])?;
    Ok(())
}

/// Whether the backups of a transaction are there for rollbacks.
pub(crate) fn is_kept(connection: &Connection, txn: i64) -> Result<bool, DatabaseError> {
    Ok(connection.query_row("SELECT kept FROM txn WHERE id = ?1", [txn], |row| row.get(0))?)
}

/// Transactions in a state that still have something to be cleaned up.
pub(crate) fn uncleaned(connection: &Connection, state: &str) -> Result<Vec<i64>, DatabaseError> {
    let mut statement =
        connection.prepare("SELECT id FROM txn WHERE state = ?1 AND cleaned = 0 ORDER BY id")?;
    let rows = statement.query_map([state], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn seconds(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}

fn count(value: i64) -> Result<usize, DatabaseError> {
    usize::try_from(value).map_err(|error| bad_value("txn_step", &error))
}
