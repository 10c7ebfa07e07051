//! Undoes the steps of a transaction, in reverse, as often as need be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use countersign_store::crash::step;
use rustix::fs::{Mode, RenameFlags};

use super::apply::set_directory;
use super::error::UndoError;
use crate::journal::{Operation, Step};
use crate::object::{self, Identity, Kind};
use crate::report::{Event, Reporter};
use crate::root::{DirPath, Root};
use crate::stage::{self, Areas};

/// Puts back what every step found. Each is tried even where another fails, so that as much as
/// possible is as it was; the first failure is returned. Afterwards nothing that was there may be lost.
pub(super) fn undo_steps(
    root: &Root,
    areas: &Areas<'_>,
    steps: &[Step],
    reporter: &mut dyn Reporter,
) -> Result<(), UndoError> {
    let total = steps.len();
    let mut first = None;
    for (done, work) in steps.iter().rev().enumerate() {
        reporter.report(&Event::Undoing { done, total });
        if let Err(error) = undo_step(root, areas, work) {
            first.get_or_insert(error);
        }
    }
    reporter.report(&Event::Undoing { done: total, total });
    match first {
        Some(error) => Err(error),
        None => steps.iter().try_for_each(|work| check_not_lost(root, areas, work)),
    }
}

fn undo_step(root: &Root, areas: &Areas<'_>, work: &Step) -> Result<(), UndoError> {
    let parent = match root.open_directory(&DirPath::of(&work.path)) {
        Ok(parent) => parent,
        // a directory of the transaction's own that was not made, or is gone again already
        Err(error) => {
            let is_new = work.old.is_none() || work.operation == Operation::Metadata;
            let gone = is_new && root.look(&work.path)?.is_none();
            return if gone { Ok(()) } else { Err(error.into()) };
        }
    };
    let area = areas.get(work.area);
    let slot = stage::name(work.slot);
    let place = Place { parent: &parent, name: work.path.file_name() };
    let (staging, backup) = (Slot(area.staging(), &slot), Slot(area.backup(), &slot));
    step("transaction.undo", || match work.operation {
        Operation::Create => undo_create(&place, &staging),
        Operation::Replace => undo_replace(&place, &staging, &backup),
        Operation::Exchange => undo_exchange(&place, &backup, work),
        Operation::Remove => undo_remove(&place, &staging, &backup),
        Operation::RemoveDirectory => {
            undo_remove(&place, &staging, &backup)?;
            if place.kind()?.is_some() {
                return Ok(());
            }
            // it could not be moved into the backup, so it is made anew
            rustix::fs::mkdirat(place.parent, place.name, Mode::RWXU)?;
            set_directory(place.parent, place.name, work.old.as_ref(), root.is_privileged())
        }
        Operation::Metadata => match place.kind()? {
            Some(Kind::Directory) => {
                set_directory(place.parent, place.name, work.old.as_ref(), root.is_privileged())
            }
            // the directory is a new one's, whose making is undone next
            _ => Ok(()),
        },
    })
    .map_err(|source| UndoError::Step { path: work.path.to_string(), source })
}

/// A path to be put back, by its open parent.
struct Place<'p> {
    parent: &'p OwnedFd,
    name: &'p str,
}

impl Place<'_> {
    fn kind(&self) -> io::Result<Option<Kind>> {
        Ok(object::look(self.parent, self.name)?.map(|found| found.kind))
    }
}

/// An object's place in a working area.
struct Slot<'s>(BorrowedFd<'s>, &'s str);

impl Slot<'_> {
    fn kind(&self) -> io::Result<Option<Kind>> {
        Ok(object::look(self.0, self.1)?.map(|found| found.kind))
    }

    /// A name beside the slot, for what is in the way.
    fn trash(&self) -> String {
        format!("{}.in-the-way", self.1)
    }
}

fn rename(from: (impl AsFd, &str), to: (impl AsFd, &str)) -> io::Result<()> {
    Ok(rustix::fs::renameat(from.0, from.1, to.0, to.1)?)
}

/// Done if the staged object is gone. What is there now goes back into staging, with whatever a
/// hook made of it.
fn undo_create(place: &Place<'_>, staging: &Slot<'_>) -> io::Result<()> {
    if staging.kind()?.is_some() || place.kind()?.is_none() {
        return Ok(());
    }
    rename((place.parent, place.name), (staging.0, staging.1))
}

/// Done if the staged object is gone. The backup goes back over what is there; once it has, it is
/// gone too.
fn undo_replace(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    if staging.kind()?.is_some() || backup.kind()?.is_none() {
        return Ok(());
    }
    clear_directory(place, staging)?;
    rename((backup.0, backup.1), (place.parent, place.name))
}

/// The slot holds either the new object or the old one, and one of them is a directory.
fn undo_exchange(place: &Place<'_>, backup: &Slot<'_>, work: &Step) -> io::Result<()> {
    let old_is_directory = work.old.as_ref().is_some_and(Identity::is_directory);
    let Some(kind) = backup.kind()? else { return Ok(()) };
    if (kind == Kind::Directory) != old_is_directory {
        return Ok(());
    }
    let flags =
        if place.kind()?.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    Ok(rustix::fs::renameat_with(backup.0, backup.1, place.parent, place.name, flags)?)
}

/// Done if the backup is there.
fn undo_remove(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    let Some(kind) = backup.kind()? else { return Ok(()) };
    match (kind, place.kind()?) {
        // a hook made it anew
        (Kind::Directory, Some(_)) => {
            rename((place.parent, place.name), (staging.0, &staging.trash()))?;
        }
        _ => clear_directory(place, staging)?,
    }
    rename((backup.0, backup.1), (place.parent, place.name))
}

/// A directory that a hook put where a file was cannot be renamed over.
fn clear_directory(place: &Place<'_>, staging: &Slot<'_>) -> io::Result<()> {
    if place.kind()? == Some(Kind::Directory) {
        rename((place.parent, place.name), (staging.0, &staging.trash()))?;
    }
    Ok(())
}

/// What was replaced or swapped must be there again.
fn check_not_lost(root: &Root, areas: &Areas<'_>, work: &Step) -> Result<(), UndoError> {
    if !matches!(work.operation, Operation::Replace | Operation::Exchange) {
        return Ok(());
    }
    let area = areas.get(work.area);
    let slot = stage::name(work.slot);
    let is_there = |directory| {
        let found = object::look(directory, &*slot);
        found.map_err(|source| UndoError::Step { path: work.path.to_string(), source })
    };
    // where the new object still waits, the step was never done
    let waits = is_there(area.staging())?.is_some() || is_there(area.backup())?.is_some();
    if waits || root.look(&work.path)?.is_some() {
        return Ok(());
    }
    Err(UndoError::Lost(work.path.to_string()))
}
