//! The backups that rollbacks need, and their end.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use countersign_format::relpath::RelPath;
use rustix::fs::AtFlags;

use super::error::RecoverError;
use crate::db::{Database, DatabaseError};
use crate::journal;
use crate::object::{self, Size};
use crate::root::{DirPath, Root};
use crate::stage::{self, StageError};

/// What dropping backups gave back to the file systems.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freed {
    /// The transactions that can be rolled back no more.
    pub transactions: Vec<i64>,
    /// What they took.
    pub size: Size,
}

impl Freed {
    /// Adds what else was freed.
    pub fn add(&mut self, other: Self) {
        self.transactions.extend(other.transactions);
        self.size += other.size;
    }
}

/// The finished transactions whose backups are there, the newest first: how far a rollback can go.
pub fn kept_backups(database: &Database) -> Result<Vec<i64>, DatabaseError> {
    let finished = journal::finished(database.connection())?;
    Ok(finished.into_iter().filter(|(_, kept)| *kept).map(|(id, _)| id).collect())
}

/// Drops the backups of a finished transaction, except for copies of local changes, which nobody
/// but a person may drop. No rollback can go back beyond it any more.
pub fn drop_backups(
    database: &Database,
    root: &Root,
    transaction: i64,
) -> Result<Freed, RecoverError> {
    let connection = database.connection();
    if !journal::finished(connection)?.iter().any(|(id, _)| *id == transaction) {
        return Err(RecoverError::NotFinished(transaction));
    }
    // first said, then done: a rollback must never find half of it, and what is left after a crash
    // is dropped at the next start
    journal::backups_dropped(connection, transaction)?;
    countersign_store::crash::crash_point("transaction.backups-dropped");
    let freed = remove_dropped(database, root, transaction)?;
    journal::cleaned(connection, transaction)?;
    Ok(freed)
}

/// Removes what is left of backups that were dropped.
pub(super) fn remove_dropped(
    database: &Database,
    root: &Root,
    transaction: i64,
) -> Result<Freed, RecoverError> {
    let mut freed = Freed { transactions: vec![transaction], ..Freed::default() };
    for slot in slots(database, root, transaction)? {
        let failed = |source| RecoverError::Clean {
            transaction,
            source: crate::root::io_error("drop backups in", &slot.area, source).into(),
        };
        freed.size += object::measure(&slot.directory, &slot.name).map_err(failed)?;
        object::remove_all(slot.directory.as_fd(), &slot.name).map_err(failed)?;
    }
    remove_empty(database, root, transaction)?;
    Ok(freed)
}

/// Removes the directories that held the backups, unless something of somebody's is in them.
fn remove_empty(database: &Database, root: &Root, transaction: i64) -> Result<(), RecoverError> {
    for at in journal::areas(database.connection(), transaction)? {
        let path: Result<RelPath, _> = format!("{}/backup", stage::area_path(&at)).parse();
        let Some(open) = path.ok().and_then(|path| root.open_directory(&path.into()).ok()) else {
            continue;
        };
        // one that is not empty, or that is gone, is no failure
        let _ = rustix::fs::unlinkat(&open, transaction.to_string(), AtFlags::REMOVEDIR);
    }
    Ok(())
}

/// How much dropping the backups of a transaction would free.
pub fn droppable(
    database: &Database,
    root: &Root,
    transaction: i64,
) -> Result<Freed, RecoverError> {
    let mut freed = Freed { transactions: vec![transaction], ..Freed::default() };
    for slot in slots(database, root, transaction)? {
        let failed = |source| RecoverError::Clean {
            transaction,
            source: crate::root::io_error("measure backups in", &slot.area, source).into(),
        };
        freed.size += object::measure(&slot.directory, &slot.name).map_err(failed)?;
    }
    Ok(freed)
}

/// One backup that may be dropped.
struct Slot {
    area: String,
    directory: Rc<OwnedFd>,
    name: String,
}

/// The backups of a transaction that hold nothing of somebody's.
fn slots(database: &Database, root: &Root, transaction: i64) -> Result<Vec<Slot>, RecoverError> {
    let journal = journal::read(database.connection(), transaction)?;
    let kept: HashSet<(usize, String)> = journal
        .steps
        .iter()
        .filter(|step| step.aside)
        .map(|step| (step.area, stage::name(step.slot)))
        .collect();
    let mut slots = Vec::new();
    for (area, at) in journal.areas.iter().enumerate() {
        let failed = |source| RecoverError::Clean { transaction, source };
        let Some((path, directory)) = open_backups(root, transaction, at).map_err(failed)? else {
            continue;
        };
        let directory = Rc::new(directory);
        let names = object::names(&*directory)
            .map_err(|source| failed(crate::root::io_error("list", &path, source).into()))?;
        for name in names {
            let name = name.to_string_lossy().into_owned();
            if !kept.contains(&(area, name.clone())) && !name.contains(stage::KEPT) {
                slots.push(Slot { area: path.clone(), directory: directory.clone(), name });
            }
        }
    }
    Ok(slots)
}

fn open_backups(
    root: &Root,
    transaction: i64,
    at: &DirPath,
) -> Result<Option<(String, OwnedFd)>, StageError> {
    let path = stage::area_path(at);
    let backup: RelPath = format!("{path}/backup/{transaction}")
        .parse()
        .map_err(|source| crate::root::RootError::Path { path: path.clone(), source })?;
    if root.look(&backup)?.is_none() {
        return Ok(None);
    }
    Ok(Some((path, root.open_directory(&backup.into())?)))
}
