//! Carries a prepared transaction out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use countersign_store::crash::{crash_point, step};
use rustix::fs::{AtFlags, RenameFlags};

use super::error::{ApplyError, Failure, UndoError};
use super::hook_runner::{Call, HookRunner, calls, recovery_calls};
use super::retention::retain;
use super::undo::{note_kept, undo_steps};
use super::{Outcome, Prepared};
use crate::db::DatabaseError;
use crate::db::change::{Change, put_change, put_link};
use crate::db::history::{LinkRecord, Notice};
use crate::hooks::HookKind;
use crate::journal::{self, Operation, Step};
use crate::object::{self, Identity};
use crate::report::{Event, Reporter};
use crate::root::Parents;
use crate::stage::{self, Backups};

impl Prepared<'_> {
    /// Carries the transaction out: the whole of it or nothing.
    pub fn apply(mut self, reporter: &mut dyn Reporter) -> Result<Outcome, ApplyError> {
        let transaction = self.transaction;
        if let Err(error) = self.write_journal() {
            let _ = self.discard();
            return Err(ApplyError::NotBegun(Box::new(error)));
        }
        crash_point("transaction.journalled");
        match self.carry_out(reporter) {
            Ok(()) => {}
            Err(failure) => return Err(self.put_back(failure, reporter)),
        }
        crash_point("transaction.committed");
        // committed: what cannot be cleaned now is cleaned at the next start
        let _ = self.areas.clean(Backups::Stay);
        let freed = retain(self.database, self.root, self.context.retention, self.now()).ok();
        Ok(Outcome {
            transaction,
            freed,
            changes: self.changes(),
            paths: self.steps.len(),
            notices: self.notices,
        })
    }

    /// The intent and every step, in one database transaction.
    fn write_journal(&mut self) -> Result<(), DatabaseError> {
        let (transaction, steps) = (self.transaction, &self.steps);
        let components = &self.components;
        let database = self.database.begin()?;
        for component in components {
            put_change(
                &database,
                transaction,
                &Change {
                    name: component.name.clone(),
                    was: component.was.clone(),
                    becomes: component.becomes.clone(),
                },
            )?;
            for (position, link) in component.links.iter().enumerate() {
                let record = LinkRecord {
                    name: component.name.clone(),
                    old: link.old.clone(),
                    version: link.version.clone(),
                    archive: link.archive,
                };
                put_link(&database, transaction, position, &record)?;
            }
        }
        journal::begin(&database, transaction, steps)?;
        Ok(database.commit()?)
    }

    fn carry_out(&mut self, reporter: &mut dyn Reporter) -> Result<(), Failure> {
        self.run_hooks(&[HookKind::PreRemove, HookKind::PreInstall], reporter)?;
        self.settle_owners()?;
        crash_point("transaction.before-backup");
        self.back_up()?;
        self.flush(reporter)?;
        crash_point("transaction.backed-up");
        let skipped = self.place_all(reporter)?;
        crash_point("transaction.placed");
        self.areas.begin_flush();
        self.run_hooks(&[HookKind::PostInstall], reporter)?;
        self.run_hooks(&[HookKind::Check], reporter)?;
        crash_point("transaction.checked");
        self.check_result(&skipped, reporter)?;
        // what the hooks wrote is to be as durable as what was placed
        self.flush(reporter)?;
        crash_point("transaction.verified");
        self.commit(&skipped)
    }

    fn run_hooks(
        &mut self,
        kinds: &[HookKind],
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let mut runner = HookRunner {
            database: self.database,
            root: self.root,
            areas: &mut self.areas,
            transaction: self.transaction,
            context: self.context,
            reporter,
        };
        for kind in kinds {
            runner.run_all(&calls(&self.components, *kind))?;
        }
        Ok(())
    }

    fn flush(&self, reporter: &mut dyn Reporter) -> Result<(), Failure> {
        reporter.report(&Event::Flushing);
        self.areas.iter().try_for_each(|area| Ok(area.flush()?))
    }

    /// What is there must still be what the decisions were made about. Comes before the first link,
    /// since linking one name of a file changes the status of all its names.
    fn check_unchanged(&self) -> Result<(), Failure> {
        let mut parents = Parents::new(self.root);
        for (work, stamps) in self.steps.iter().zip(&self.stamps) {
            if work.old.is_none() || work.operation == Operation::Metadata {
                continue;
            }
            let found = object::look(parents.of(&work.path)?, work.path.file_name());
            let found = found.map_err(failed("look at", work))?.map(|found| found.stamp);
            if found != stamps.found {
                return Err(Failure::Interference(work.path.to_string()));
            }
        }
        Ok(())
    }

    /// Links what will be replaced into the backups, and lays ready what will be swapped.
    fn back_up(&self) -> Result<(), Failure> {
        self.check_unchanged()?;
        let mut parents = Parents::new(self.root);
        let keep_owner = self.root.is_privileged();
        for work in &self.steps {
            let area = self.areas.get(work.area);
            let slot = stage::name(work.slot);
            match work.operation {
                Operation::Replace => {
                    let from = (parents.of(&work.path)?, work.path.file_name());
                    step("transaction.back-up", || {
                        link_or_copy(from, (area.backup(), &slot), keep_owner)
                    })
                    .map_err(failed("back up", work))?;
                }
                Operation::Exchange => step("transaction.lay-ready", || {
                    rename((area.staging(), &slot), (area.backup(), &slot), RenameFlags::empty())
                })
                .map_err(failed("stage", work))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Does every step; returns which were not needed after all.
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
            if !self.place(work, parents.of(&work.path)?)? {
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
    fn place(&self, work: &Step, parent: &OwnedFd) -> Result<bool, Failure> {
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

    /// Undoes everything after a failure; says how it ended.
    fn put_back(mut self, failure: Failure, reporter: &mut dyn Reporter) -> ApplyError {
        let transaction = self.transaction;
        let reason = super::error::chain(&failure);
        let _ = journal::failed(self.connection(), transaction, &reason);
        let undone = self.undo(&reason, reporter);
        let is_hook = matches!(failure, Failure::Hook(_));
        let failure = Box::new(failure);
        match undone {
            Err(undo) => ApplyError::UndoFailed { transaction, failure, undo: Box::new(undo) },
            Ok(()) if is_hook => ApplyError::Hook { transaction, failure },
            Ok(()) => ApplyError::RolledBack { transaction, failure },
        }
    }

    fn undo(&mut self, reason: &str, reporter: &mut dyn Reporter) -> Result<(), UndoError> {
        let kept = undo_steps(self.root, &self.areas, &self.steps, reporter)?;
        for area in self.areas.iter() {
            area.flush()?;
        }
        crash_point("transaction.undone");
        let calls: Vec<Call<'_>> = self
            .components
            .iter()
            .filter_map(|component| {
                let back = component.was.as_ref()?.version.clone();
                let failed = component.becomes.as_ref().map(|becomes| becomes.version.clone());
                recovery_calls(&component.name, &component.old_hooks, failed, back)
            })
            .collect();
        let mut runner = HookRunner {
            database: self.database,
            root: self.root,
            areas: &mut self.areas,
            transaction: self.transaction,
            context: self.context,
            reporter,
        };
        // the files are back; a hook that cannot even be started does not change that
        let _ = runner.run_recovery(&calls);
        // nor does a state that cannot be written, as on a full disk: the next start undoes once
        // more what is undone already, and writes it down then
        let _ = self.write_undone(&kept, reason);
        Ok(())
    }

    fn write_undone(&self, kept: &[Notice], reason: &str) -> Result<(), UndoError> {
        note_kept(self.database, self.transaction, kept)?;
        journal::undone(self.connection(), self.transaction, self.now(), reason)?;
        if self.areas.clean(Backups::Go).is_ok() {
            journal::cleaned(self.connection(), self.transaction)?;
        }
        Ok(())
    }
}

/// Removes a directory; false where something is in it.
fn remove_if_empty(parent: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(false),
        removed => Ok(removed.map(|()| true)?),
    }
}

fn rename(from: (impl AsFd, &str), to: (impl AsFd, &str), flags: RenameFlags) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags)?)
}

fn failed(what: &'static str, step: &Step) -> impl Fn(io::Error) -> Failure {
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

/// Links an object into the backups; copies it where the file system or its protection of hard
/// links does not let it.
fn link_or_copy(
    from: (&OwnedFd, &str),
    to: (std::os::fd::BorrowedFd<'_>, &str),
    keep_owner: bool,
) -> io::Result<()> {
    match rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty()) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => {
            let backup = object::copy((from.0.as_fd(), from.1), to, keep_owner);
            if backup.is_err() {
                object::remove_all(to.0, to.1)?;
            }
            backup
        }
    }
}
