//! Puts what is staged in place, step by step, and flushes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use countersign_format::relpath::RelPath;
use countersign_store::crash::{crash_point, step};
use rustix::fs::{AtFlags, RenameFlags};

use super::Component;
use super::error::Failure;
use super::place::Watched;
use super::steps::Stamps;
use crate::db::history::Notice;
use crate::journal::{Operation, Step};
use crate::object::{self, Identity};
use crate::report::{Event, Reporter};
use crate::root::{Parents, Root};
use crate::stage::{self, Areas, Ownership};

/// All of a prepared transaction that work on the machine needs; the state is not among it, so that
/// rows can be written to that meanwhile.
#[derive(Debug)]
pub(super) struct Site<'p, 'a> {
    pub root: &'a Root,
    pub areas: &'p mut Areas<'a>,
    pub ownership: &'p Ownership,
    pub components: &'p [Component],
    pub steps: &'p [Step],
    pub stamps: &'p [Stamps],
    pub watched: &'p [Watched],
    pub notices: &'p mut Vec<Notice>,
}

impl Site<'_, '_> {
    /// Does every step once all that is staged and backed up is durable; returns which were not
    /// needed after all.
    pub fn place(&mut self, reporter: &mut dyn Reporter) -> Result<Vec<usize>, Failure> {
        self.flush(reporter)?;
        crash_point("transaction.backed-up");
        let skipped = self.place_all(reporter)?;
        crash_point("transaction.placed");
        self.areas.begin_flush();
        Ok(skipped)
    }

    /// Compares what is there with what was promised, and makes it durable.
    pub fn judge(&mut self, skipped: &[usize], reporter: &mut dyn Reporter) -> Result<(), Failure> {
        crash_point("transaction.checked");
        self.check_result(skipped, reporter)?;
        self.flush(reporter)?;
        crash_point("transaction.verified");
        Ok(())
    }

    fn flush(&self, reporter: &mut dyn Reporter) -> Result<(), Failure> {
        reporter.report(&Event::Flushing);
        self.areas.iter().try_for_each(|area| Ok(area.flush()?))
    }

    fn place_all(&mut self, reporter: &mut dyn Reporter) -> Result<Vec<usize>, Failure> {
        let mut parents = Parents::new(self.root);
        let total = self.steps.len();
        let mut skipped = Vec::new();
        for (done, work) in self.steps.iter().enumerate() {
            reporter.report(&Event::Placing { done, total });
            // it came with a directory above it
            if work.operation == Operation::CreateWithin {
                continue;
            }
            if !self.do_step(work, parents.of(&work.path)?)? {
                skipped.push(done);
                self.notices.push(Notice::DirectoryStays { path: work.path.to_string() });
            }
            // what was swapped may be one of the open directories
            if work.operation == Operation::Exchange {
                parents.forget();
            }
        }
        reporter.report(&Event::Placing { done: total, total });
        Ok(skipped)
    }

    /// Does one step; false where it turned out that a directory must stay.
    fn do_step(&self, work: &Step, parent: &OwnedFd) -> Result<bool, Failure> {
        let area = self.areas.get(work.area);
        let (staging, backup) = (area.staging(), area.backup());
        let (name, slot) = (work.path.file_name(), &*stage::name(work.slot));
        let (label, what) = match work.operation {
            Operation::Create | Operation::CreateWithin => ("transaction.create", "create"),
            Operation::Replace => ("transaction.replace", "replace"),
            Operation::Exchange => ("transaction.exchange", "exchange"),
            Operation::Remove => ("transaction.remove", "remove"),
            Operation::Metadata => ("transaction.metadata", "set the mode of"),
            Operation::RemoveDirectory => return self.remove_directory(work, parent),
        };
        let privileged = self.root.is_privileged();
        step(label, || match work.operation {
            Operation::Create | Operation::CreateWithin => {
                rename((staging, slot), (parent, name), RenameFlags::NOREPLACE)
            }
            Operation::Replace => rename((staging, slot), (parent, name), RenameFlags::empty()),
            Operation::Exchange => rename((backup, slot), (parent, name), RenameFlags::EXCHANGE),
            Operation::Remove | Operation::RemoveDirectory => {
                rename((parent, name), (backup, slot), RenameFlags::empty())
            }
            Operation::Metadata => set_directory(parent, name, work.new.as_ref(), privileged),
        })
        .map_err(failed(what, work))?;
        Ok(true)
    }

    /// Takes a directory away whole and looks whether it is empty then: what it is made of, and not
    /// only its name, can so be put back. Where a directory cannot be moved, as from the lower layer
    /// of an overlay, it is removed, and undoing makes it anew.
    fn remove_directory(&self, work: &Step, parent: &OwnedFd) -> Result<bool, Failure> {
        let area = self.areas.get(work.area);
        let (name, slot) = (work.path.file_name(), stage::name(work.slot));
        let is_empty = |directory: io::Result<OwnedFd>| {
            Ok::<_, io::Error>(object::names(directory?)?.is_empty())
        };
        if !is_empty(object::open_directory(parent, name)).map_err(failed("open", work))? {
            return Ok(false);
        }
        let moved = step("transaction.remove-directory", || {
            rename((parent, name), (area.backup(), &slot), RenameFlags::empty())
        });
        match moved {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return remove_if_empty(parent, name).map_err(failed("remove", work));
            }
            moved => moved.map_err(failed("remove", work))?,
        }
        let empty = is_empty(object::open_directory(area.backup(), &*slot))
            .map_err(failed("open", work))?;
        if !empty {
            rename((area.backup(), &slot), (parent, name), RenameFlags::NOREPLACE)
                .map_err(failed("put back", work))?;
        }
        Ok(empty)
    }

    /// The directories that the steps made (true) and took away (false).
    pub fn directory_changes(&self, skipped: &[usize]) -> Vec<(RelPath, bool)> {
        let is_directory =
            |identity: &Option<Identity>| identity.as_ref().is_some_and(Identity::is_directory);
        let mut changes = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            if skipped.contains(&at) || step.operation == Operation::Metadata {
                continue;
            }
            match (is_directory(&step.old), is_directory(&step.new)) {
                (false, true) => changes.push((step.path.clone(), true)),
                (true, false) => changes.push((step.path.clone(), false)),
                _ => {}
            }
        }
        changes
    }
}

/// Removes a directory; false where something is in it.
fn remove_if_empty(parent: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(false),
        removed => Ok(removed.map(|()| true)?),
    }
}

/// Renames from one open directory to another.
pub(super) fn rename(
    from: (impl AsFd, &str),
    to: (impl AsFd, &str),
    flags: RenameFlags,
) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags)?)
}

/// The failure of a step.
pub(super) fn failed(what: &'static str, step: &Step) -> impl Fn(io::Error) -> Failure {
    let path = step.path.to_string();
    move |source| Failure::Step { what, path: path.clone(), source }
}

/// Sets a directory's owner and mode to those of an identity.
pub(super) fn set_directory(
    parent: impl AsFd,
    name: &str,
    to: Option<&Identity>,
    privileged: bool,
) -> io::Result<()> {
    let Some(Identity::Directory { mode, uid, gid }) = to else { return Ok(()) };
    let directory = object::open_directory(parent, name)?;
    object::set_metadata(directory, privileged.then_some((*uid, *gid)), *mode)
}
