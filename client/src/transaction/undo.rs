//! Undoes the steps of a transaction, in reverse, as often as need be.
//!
//! Between a crash and the next start a machine may be in use for long. What is at a path by then
//! and is neither what the transaction put there nor what it found is somebody's: it is not dropped
//! with the rest but kept among the backups, as `SLOT.kept-N`, and told of.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use countersign_store::crash::step;
use rustix::fs::{AtFlags, Mode, RenameFlags};

use super::error::UndoError;
use super::site::set_directory;
use crate::db::change::put_notice;
use crate::db::history::Notice;
use crate::db::{Database, DatabaseError};
use crate::journal::{Operation, Step};
use crate::object::{self, Identity, Kind};
use crate::report::{Event, Reporter};
use crate::root::{DirPath, Root};
use crate::stage::{self, Areas, KEPT};

/// Most things that are kept of one path: each needs a crash of its own.
const MAX_KEPT: u32 = 1000;

/// Puts back what every step found. Each is tried even where another fails, so that as much as
/// possible is as it was; the first failure is returned. Afterwards nothing that was there may be
/// lost. Returns what is kept aside.
pub(super) fn undo_steps(
    root: &Root,
    areas: &Areas<'_>,
    steps: &[Step],
    reporter: &mut dyn Reporter,
) -> Result<Vec<Notice>, UndoError> {
    let total = steps.len();
    let trees = trees(steps);
    let mut first = None;
    for (done, work) in steps.iter().rev().enumerate() {
        reporter.report(&Event::Undoing { done, total });
        if let Err(error) = undo_step(root, areas, work, &trees) {
            first.get_or_insert(error);
        }
    }
    reporter.report(&Event::Undoing { done: total, total });
    if let Some(error) = first {
        return Err(error);
    }
    steps.iter().try_for_each(|work| check_not_lost(root, areas, work))?;
    kept_aside(areas, steps)
}

/// Writes down what is kept aside, unless an earlier try did.
pub(super) fn note_kept(
    database: &Database,
    transaction: i64,
    kept: &[Notice],
) -> Result<(), DatabaseError> {
    let known = database.notices(transaction)?;
    let new = kept.iter().filter(|notice| !known.contains(notice));
    for notice in new {
        put_notice(database.connection(), transaction, notice)?;
    }
    Ok(())
}

/// The slots of directories that are created, by their paths: what comes with them lies in them.
type Trees<'s> = HashMap<&'s str, u64>;

fn trees(steps: &[Step]) -> Trees<'_> {
    let is_tree = |work: &&Step| {
        let makes_directory = work.new.as_ref().is_some_and(Identity::is_directory);
        work.operation == Operation::Create && makes_directory
    };
    steps.iter().filter(is_tree).map(|work| (work.path.as_str(), work.slot)).collect()
}

/// The slot that holds what a step puts in place as long as it has not.
fn waits_in(work: &Step, trees: &Trees<'_>) -> String {
    let of_tree = || {
        let mut above = work.path.as_str();
        while let Some((next, _)) = above.rsplit_once('/') {
            above = next;
            if let Some(slot) = trees.get(above) {
                return Some(*slot);
            }
        }
        None
    };
    let is_within = work.operation == Operation::CreateWithin;
    stage::name(is_within.then(of_tree).flatten().unwrap_or(work.slot))
}

/// Whether what a step creates was never put in place: it, or the directory that it comes with, is still
/// in staging. Then nothing is to be undone, whatever is now where it was to go, or above.
fn still_waits(areas: &Areas<'_>, work: &Step, trees: &Trees<'_>) -> Result<bool, UndoError> {
    if !matches!(work.operation, Operation::Create | Operation::CreateWithin) {
        return Ok(false);
    }
    let found = object::look(areas.get(work.area).staging(), &*waits_in(work, trees));
    let path = || work.path.to_string();
    Ok(found.map_err(|source| UndoError::Step { path: path(), source })?.is_some())
}

fn undo_step(
    root: &Root,
    areas: &Areas<'_>,
    work: &Step,
    trees: &Trees<'_>,
) -> Result<(), UndoError> {
    if still_waits(areas, work, trees)? {
        return Ok(());
    }
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
    let place = Place { parent: &parent, name: work.path.file_name(), work };
    let (staging, backup) = (Slot(area.staging(), &slot), Slot(area.backup(), &slot));
    step("transaction.undo", || match work.operation {
        // what is there now goes back into staging
        Operation::Create | Operation::CreateWithin => match place.kind()? {
            Some(_) => place.clear(&staging, &backup),
            None => Ok(()),
        },
        Operation::Replace => undo_replace(&place, &staging, &backup),
        Operation::Exchange => undo_exchange(&place, &staging, &backup),
        Operation::Remove => undo_remove(&place, &staging, &backup),
        Operation::RemoveDirectory => {
            undo_remove(&place, &staging, &backup)?;
            if place.kind()?.is_none() {
                // it could not be moved into the backup, so it is made anew
                rustix::fs::mkdirat(place.parent, place.name, Mode::RWXU)?;
            }
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
    work: &'p Step,
}

impl Place<'_> {
    fn kind(&self) -> io::Result<Option<Kind>> {
        Ok(object::look(self.parent, self.name)?.map(|found| found.kind))
    }

    /// Whether nothing is lost with what is there: it is what the step put there or what it found,
    /// or an empty directory.
    fn is_worthless(&self) -> io::Result<bool> {
        let Some(found) = object::identify(self.parent, self.name)? else { return Ok(true) };
        if found.is_directory() {
            return is_empty(self.parent, self.name);
        }
        let known = [&self.work.new, &self.work.old];
        Ok(known.into_iter().flatten().any(|known| match (known, &found) {
            (Identity::File { sha256: left, .. }, Identity::File { sha256: right, .. }) => {
                left == right
            }
            (known, found) => known == found,
        }))
    }

    /// Takes away what is there: to staging, which is dropped, or for good.
    fn clear(&self, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
        if self.is_worthless()? {
            let trash = staging.trash();
            object::remove_all(staging.0, &trash)?;
            return rename((self.parent, self.name), (staging.0, &trash));
        }
        self.keep(backup, |name| {
            let to = (backup.0, name);
            renameat((self.parent, self.name), to, RenameFlags::NOREPLACE)
        })
    }

    /// Gives what is there a second name among the backups before something is put over it.
    fn link_if_worth(&self, backup: &Slot<'_>) -> io::Result<()> {
        if self.is_worthless()? {
            return Ok(());
        }
        self.keep(backup, |name| {
            let to = (backup.0, name);
            match rustix::fs::linkat(self.parent, self.name, to.0, to.1, AtFlags::empty()) {
                Ok(()) => Ok(()),
                // where there are no hard links the path is absent for an instant
                Err(_) => renameat((self.parent, self.name), to, RenameFlags::NOREPLACE),
            }
        })
    }

    /// Keeps what is there by `keep` under a name that is free, unless it has one already.
    fn keep(&self, backup: &Slot<'_>, keep: impl FnOnce(&str) -> io::Result<()>) -> io::Result<()> {
        let here = object::look(self.parent, self.name)?.ok_or(io::ErrorKind::NotFound)?;
        for number in 1..=MAX_KEPT {
            let name = format!("{}{KEPT}{number}", backup.1);
            match object::look(backup.0, &*name)? {
                None => return step("transaction.keep", || keep(&name)),
                Some(found) if found.is_same_object(&here) => return Ok(()),
                Some(_) => {}
            }
        }
        Err(io::Error::other("too much is kept of it already"))
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

fn is_empty(directory: impl AsFd, name: &str) -> io::Result<bool> {
    Ok(object::names(object::open_directory(directory, name)?)?.is_empty())
}

fn rename(from: (impl AsFd, &str), to: (impl AsFd, &str)) -> io::Result<()> {
    Ok(rustix::fs::renameat(from.0, from.1, to.0, to.1)?)
}

fn renameat(from: (impl AsFd, &str), to: (impl AsFd, &str), flags: RenameFlags) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags)?)
}

/// Done if the staged object is gone. The backup goes back over what is there; once it has, it is
/// gone too.
fn undo_replace(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    if staging.kind()?.is_some() || backup.kind()?.is_none() {
        return Ok(());
    }
    put_over(place, staging, backup)
}

/// The slot holds either the new object or the old one, and one of them is a directory.
fn undo_exchange(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    let old_is_directory = place.work.old.as_ref().is_some_and(Identity::is_directory);
    let is_like_old = |kind: Kind| (kind == Kind::Directory) == old_is_directory;
    if !backup.kind()?.is_some_and(is_like_old) {
        return Ok(());
    }
    let flags = match place.kind()? {
        Some(kind) if !is_like_old(kind) && place.is_worthless()? => RenameFlags::EXCHANGE,
        Some(_) => {
            place.clear(staging, backup)?;
            RenameFlags::NOREPLACE
        }
        None => RenameFlags::NOREPLACE,
    };
    renameat((backup.0, backup.1), (place.parent, place.name), flags)
}

/// Done if the backup is there.
fn undo_remove(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    let Some(kind) = backup.kind()? else { return Ok(()) };
    // somebody made the directory anew; the one that was taken away was empty
    let is_there = kind == Kind::Directory && place.kind()? == Some(Kind::Directory);
    if is_there && is_empty(backup.0, backup.1)? {
        return Ok(());
    }
    put_over(place, staging, backup)
}

/// Puts the backup over what is there, or where nothing is.
fn put_over(place: &Place<'_>, staging: &Slot<'_>, backup: &Slot<'_>) -> io::Result<()> {
    match (place.kind()?, backup.kind()?) {
        (None, _) => {}
        // a directory cannot be renamed over, nor be put over anything
        (Some(Kind::Directory), _) | (_, Some(Kind::Directory)) => place.clear(staging, backup)?,
        _ => place.link_if_worth(backup)?,
    }
    rename((backup.0, backup.1), (place.parent, place.name))
}

/// What is kept aside of the steps' paths.
fn kept_aside(areas: &Areas<'_>, steps: &[Step]) -> Result<Vec<Notice>, UndoError> {
    let by_slot: HashMap<(usize, String), &Step> =
        steps.iter().map(|work| ((work.area, stage::name(work.slot)), work)).collect();
    let mut kept = Vec::new();
    for (at, area) in areas.iter().enumerate() {
        for name in area.kept()? {
            let Some((slot, _)) = name.split_once(KEPT) else { continue };
            let Some(work) = by_slot.get(&(at, slot.to_owned())) else { continue };
            let copy = format!("{}/{name}", areas.backup_path(at));
            kept.push(Notice::KeptAside { path: work.path.to_string(), copy });
        }
    }
    Ok(kept)
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
