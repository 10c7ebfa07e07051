//! Carries a prepared transaction out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use countersign_store::crash::{crash_point, step};
use rustix::fs::{AtFlags, RenameFlags};

use super::commit::Rows;
use super::error::{ApplyError, Failure, UndoError};
use super::hook_runner::{Call, HookRunner, calls, recovery_calls};
use super::retention::retain;
use super::site::{Site, failed, rename};
use super::undo::{note_kept, undo_steps};
use super::{Component, Outcome, Prepared};
use crate::db::DatabaseError;
use crate::db::change::{Change, put_change, put_link};
use crate::db::history::{LinkRecord, Notice};
use crate::hooks::HookKind;
use crate::journal::{self, Operation};
use crate::object;
use crate::report::Reporter;
use crate::root::Parents;
use crate::stage::{self, Backups};

/// Most files, old and new, whose rows are written while files are placed: they take up to 40 MiB.
const MAX_ROWS: usize = 30_000;

impl<'a> Prepared<'a> {
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
        if self.components.iter().any(Component::runs_hooks) || self.has_many_rows() {
            self.place_before_rows(reporter)
        } else {
            self.place_beside_rows(reporter)
        }
    }

    /// Whether the rows of the commit are too many to be held in memory while files are placed.
    fn has_many_rows(&self) -> bool {
        let rows = |part: &Component| part.old_files.len() + part.new_files.len();
        self.components.iter().map(rows).sum::<usize>() > MAX_ROWS
    }

    /// How each hook ended is written down at once, so the rows of the commit come after all of them.
    fn place_before_rows(&mut self, reporter: &mut dyn Reporter) -> Result<(), Failure> {
        let skipped = self.split().1.place(reporter)?;
        self.run_hooks(&[HookKind::PostInstall], reporter)?;
        self.run_hooks(&[HookKind::Check], reporter)?;
        let clock = self.context.clock;
        let (mut rows, mut site) = self.split();
        // what the hooks wrote is to be as durable as what was placed
        site.judge(&skipped, reporter)?;
        rows.write()?;
        rows.commit(&site, &skipped, clock())
    }

    /// Without hooks nothing else is to be written down until the end: a thread of its own prepares the
    /// commit while files are placed, compared and flushed. Nothing of it counts before the commit, and
    /// nobody has to wait for it who reads the state.
    fn place_beside_rows(&mut self, reporter: &mut dyn Reporter) -> Result<(), Failure> {
        let clock = self.context.clock;
        let (mut rows, mut site) = self.split();
        let (placed, written) = thread::scope(|scope| {
            let writing = thread::Builder::new().name("rows".into());
            let writing = writing.spawn_scoped(scope, || rows.write_ahead());
            let placed = site.place(reporter).and_then(|skipped| {
                site.judge(&skipped, reporter)?;
                Ok(skipped)
            });
            let written = writing.map(|writing| writing.join().expect("writing does not panic"));
            (placed, written)
        });
        let skipped = placed?;
        // where there can be no thread it is done now
        written.unwrap_or_else(|_| rows.write())?;
        rows.commit(&site, &skipped, clock())
    }

    /// What writes to the state, and all that work on the machine needs besides.
    fn split(&mut self) -> (Rows<'_>, Site<'_, 'a>) {
        let rows = Rows::new(self.database, self.transaction, &self.components);
        let site = Site {
            root: self.root,
            areas: &mut self.areas,
            ownership: &self.ownership,
            components: &self.components,
            steps: &self.steps,
            stamps: &self.stamps,
            watched: &self.watched,
            notices: &mut self.notices,
        };
        (rows, site)
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
