//! The backups that rollbacks need, and their end.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::error::RecoverError;
use crate::db::Database;
use crate::journal;
use crate::object;
use crate::root::Root;
use crate::stage::{self, StageError};

/// The finished transactions whose backups are there, the newest first: how far a rollback can go.
pub fn kept_backups(database: &Database) -> Result<Vec<i64>, crate::db::DatabaseError> {
    let finished = journal::finished(database.connection())?;
    Ok(finished.into_iter().filter(|(_, kept)| *kept).map(|(id, _)| id).collect())
}

/// Drops the backups of a finished transaction, except for copies of local changes, which nobody
/// but a person may drop. No rollback can go back beyond it any more.
pub fn drop_backups(
    database: &Database,
    root: &Root,
    transaction: i64,
) -> Result<(), RecoverError> {
    let connection = database.connection();
    if !journal::finished(connection)?.iter().any(|(id, _)| *id == transaction) {
        return Err(RecoverError::NotFinished(transaction));
    }
    // first said, then done: a rollback must never find half of it
    journal::backups_dropped(connection, transaction)?;
    let journal = journal::read(connection, transaction)?;
    let kept: HashSet<(usize, String)> = journal
        .steps
        .iter()
        .filter(|step| step.aside)
        .map(|step| (step.area, stage::name(step.slot)))
        .collect();
    for (area, at) in journal.areas.iter().enumerate() {
        let failed = |source| RecoverError::Clean { transaction, source };
        drop_area(root, transaction, at, |slot| kept.contains(&(area, slot.to_owned())))
            .map_err(failed)?;
    }
    Ok(())
}

fn drop_area(
    root: &Root,
    transaction: i64,
    at: &crate::root::DirPath,
    is_kept: impl Fn(&str) -> bool,
) -> Result<(), StageError> {
    let path = stage::area_path(at);
    let failed = |source| crate::root::io_error("drop backups in", &path, source);
    let backup: countersign_format::relpath::RelPath = format!("{path}/backup/{transaction}")
        .parse()
        .map_err(|source| crate::root::RootError::Path { path: path.clone(), source })?;
    if root.look(&backup)?.is_none() {
        return Ok(());
    }
    let open = root.open_directory(&backup.into())?;
    for name in object::names(&open).map_err(failed)? {
        let name = name.to_string_lossy();
        if !is_kept(&name) {
            object::remove_all(open.as_fd(), &name).map_err(failed)?;
        }
    }
    Ok(())
}
