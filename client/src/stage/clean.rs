//! Removes what transactions leave in working areas.

use std::io;
use std::os::fd::OwnedFd;

use countersign_store::crash::step;

use super::{AREA, KEPT, StageError, area_path, must_be_closed};
use crate::object;
use crate::root::{DirPath, Root, io_error};

/// What becomes of a transaction's backups when its staging is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backups {
    /// They stay: a rollback needs them.
    Stay,
    /// There are none as yet; what is there is another state's.
    NotMade,
    /// They go, but for what is somebody's.
    Go,
}

/// Removes a transaction's staging directories, and its backups where that is said. Areas that are
/// not there need no cleaning.
pub fn clean<'a>(
    root: &Root,
    txn: i64,
    areas: impl IntoIterator<Item = &'a DirPath>,
    backups: Backups,
) -> Result<(), StageError> {
    for at in areas {
        let Ok(top) = root.open_directory(at) else { continue };
        let Ok(directory) = object::open_directory(&top, AREA) else { continue };
        must_be_closed(root, &directory, &area_path(at))?;
        let failed = |source| io_error("clean", &area_path(at), source);
        let number = txn.to_string();
        clean_staging(&directory, &number).map_err(failed)?;
        if backups != Backups::Stay {
            step("transaction.clean", || {
                let Ok(parent) = object::open_directory(&directory, "backup") else {
                    return Ok(());
                };
                clean_backups(&parent, &number, backups)
            })
            .map_err(failed)?;
        }
    }
    Ok(())
}

/// Nothing is done where nothing is left: a finished transaction is looked at more than once.
fn clean_staging(area: &OwnedFd, number: &str) -> io::Result<()> {
    let Ok(parent) = object::open_directory(area, "staging") else { return Ok(()) };
    if object::look(&parent, number)?.is_none() {
        return Ok(());
    }
    step("transaction.clean", || object::remove_all(&parent, number))
}

fn clean_backups(parent: &OwnedFd, number: &str, backups: Backups) -> io::Result<()> {
    if object::look(parent, number)?.is_none() {
        return Ok(());
    }
    let directory = object::open_directory(parent, number)?;
    let (mut is_empty, names) = (true, object::names(&directory)?);
    for name in names.iter().map(|name| name.to_string_lossy()) {
        if name.contains(KEPT) || backups == Backups::NotMade {
            is_empty = false;
        } else {
            object::remove_all(&directory, &name)?;
        }
    }
    if is_empty { object::remove_all(parent, number) } else { Ok(()) }
}
