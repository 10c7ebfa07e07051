//! Transactions: a plan is carried out whole or not at all, whatever happens in between.
//!
//! 1. *Prepare.* Archives are read into working areas on the mounts they are for; every member is
//!    checked against the manifest and the archive's hash. Chains of incremental patches are folded
//!    there; only the last tree counts. Then each path is looked at, and what to do about it is
//!    decided as data. Nothing outside the working areas is touched.
//! 2. *Apply.* The journal is written durably; every `pre-install` runs; what will be replaced is
//!    hard-linked into the backup; file systems are flushed; new objects are renamed into place, a
//!    path that is replaced never being absent; every `post-install` and `check` runs; what is
//!    installed is compared with what was promised; file systems are flushed; tables, history and
//!    the journal's end are committed in one database transaction.
//! 3. *Undo.* A failure anywhere puts everything back, in reverse; what is neither old nor new is
//!    somebody's and is kept aside. After a crash the next start
//!    does ([`recover()`]). Where a transaction was undone, the old version's `post-install` is run
//!    with `PATCHCTL_ACTION=recover`, since services may have been stopped or started.
//!
//! A user without privilege can install under a root of their own: owners and `security.*`
//! attributes are then left alone (all files are this user's, and that counts as fitting), hooks are
//! refused, and files in a directory that the user may not write to cannot be replaced.

mod apply;
mod backup;
mod check;
mod commit;
mod config;
mod decide;
mod delta;
mod error;
mod facts;
mod goal;
mod hook_runner;
mod mend;
mod owners;
mod place;
mod prepare;
mod read_ahead;
mod recover;
mod refusal;
mod reserved;
mod retention;
mod rollback;
mod site;
mod stager;
mod steps;
mod trees;
mod undo;
mod unpack;

use std::fs::File;

use countersign_format::archive::Announced;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::policy::{PatchNote, Verified};

use crate::db::history::Notice;
use crate::db::installed::{Installed, InstalledFile, InstalledHook};
use crate::db::signers::Signers;
use crate::db::{Database, DatabaseError};
use crate::hooks::{Action, HookLimits};
use crate::journal::Step;
use crate::root::Root;
use crate::stage::{Areas, Backups, Ownership};

pub use backup::{Freed, drop_backups, droppable, kept_backups};
pub use config::{ConfigPolicy, NEW_CONFIG};
pub use delta::BaseError;
pub use error::{ApplyError, Failure, NoOwner, PrepareError, RecoverError, UndoError};
pub use hook_runner::INTERRUPTS;
pub use mend::{Mending, Scope, prepare_adopt, prepare_mend};
pub use prepare::{Change, prepare_change};
pub use recover::{Recovered, recover};
pub use refusal::Refusal;
pub use retention::{KEPT_TRANSACTIONS, Retention, retain, surplus};
pub use rollback::{prepare_rollback, rollback_changes};

/// A verified patch and its archive, which is read from this open file and no other: nobody can
/// swap it between check and use.
#[derive(Debug)]
pub struct PlannedPatch {
    announced: Announced,
    archive: File,
    signers: Signers,
}

impl PlannedPatch {
    /// A patch whose note carries both signatures, and the file that is said to be its archive.
    pub fn new(note: &Verified<PatchNote>, archive: File) -> Self {
        let entry = &note.entry;
        Self {
            announced: Announced {
                name: entry.name.clone(),
                version: entry.version.clone(),
                base: entry.base.clone(),
                platform: entry.platform.clone(),
                size: entry.archive.size,
                sha256: entry.archive.sha256,
                unpacked: entry.archive.unpacked,
                files: entry.archive.files,
            },
            archive,
            signers: Signers::of(note),
        }
    }

    #[cfg(test)]
    fn unsigned(announced: Announced, archive: File) -> Self {
        Self { announced, archive, signers: Signers::default() }
    }
}

/// What a transaction is told of the outside world.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The command that a person gave, for the history.
    pub command: &'a str,
    /// Whether a stale index was let through by the person's word, for the history.
    pub allow_stale: bool,
    /// Seconds since 1970.
    pub clock: &'a dyn Fn() -> u64,
    /// Bounds on each hook.
    pub hooks: HookLimits,
    /// What is kept for rollbacks once it is done.
    pub retention: Retention,
    /// How often a person asked it to stop so far. The first time only what is under way is
    /// finished or undone; from [`INTERRUPTS`] times on a running hook is killed, which undoes it.
    pub interrupts: &'a dyn Fn() -> u32,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Context").field("command", &self.command).finish_non_exhaustive()
    }
}

/// A transaction that is staged and checked and waits to be applied. Dropping it leaves its staging
/// to the next [`recover()`]; [`Prepared::discard`] removes it at once.
#[derive(Debug)]
pub struct Prepared<'a> {
    database: &'a mut Database,
    root: &'a Root,
    context: Context<'a>,
    transaction: i64,
    areas: Areas<'a>,
    ownership: Ownership,
    components: Vec<Component>,
    steps: Vec<Step>,
    stamps: Vec<steps::Stamps>,
    notices: Vec<Notice>,
    watched: Vec<place::Watched>,
    awaited: Vec<owners::Awaited>,
    manner: facts::Manner,
}

/// What a transaction does to one component.
#[derive(Debug)]
struct Component {
    name: PatchName,
    action: Action,
    was: Option<Installed>,
    becomes: Option<Installed>,
    links: Vec<Link>,
    old_files: Vec<InstalledFile>,
    new_files: Vec<InstalledFile>,
    old_hooks: Vec<InstalledHook>,
    new_hooks: Vec<InstalledHook>,
    /// Its files stay, although it is not installed afterwards: it was adopted.
    lets_go: bool,
}

/// One link of the chain that leads a component to its new version.
#[derive(Debug)]
struct Link {
    old: Option<PatchVersion>,
    version: PatchVersion,
    archive: countersign_format::hash::Hash32,
    hooks: Vec<InstalledHook>,
    /// Whose signatures count for the archive; nobody where that was written down before.
    signers: Signers,
}

/// A component's versions before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentChange {
    /// The component.
    pub name: PatchName,
    /// Its version before; none where it was not installed.
    pub old: Option<PatchVersion>,
    /// Its version after; none where it was removed.
    pub new: Option<PatchVersion>,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its number.
    pub transaction: i64,
    /// What it changed.
    pub changes: Vec<ComponentChange>,
    /// What a person should know.
    pub notices: Vec<Notice>,
    /// How many paths were created, replaced, removed or changed.
    pub paths: usize,
    /// What older transactions kept for rollbacks and was dropped after it; none where that could
    /// not be done, which is tried again after the next.
    pub freed: Option<Freed>,
}

impl Prepared<'_> {
    /// The transaction's number.
    pub fn transaction(&self) -> i64 {
        self.transaction
    }

    /// What will change, component by component.
    pub fn changes(&self) -> Vec<ComponentChange> {
        self.components.iter().map(Component::change).collect()
    }

    /// Every step that will be done, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a person should know before.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Removes what was staged and forgets the transaction.
    pub fn discard(self) -> Result<(), PrepareError> {
        // those that were written down: the last of them may not have been made in full
        let areas = crate::journal::areas(self.connection(), self.transaction)?;
        crate::stage::clean(self.root, self.transaction, &areas, Backups::NotMade)?;
        crate::journal::discard(self.connection(), self.transaction)?;
        Ok(())
    }

    fn connection(&self) -> &rusqlite::Connection {
        self.database.connection()
    }

    fn now(&self) -> u64 {
        (self.context.clock)()
    }
}

impl Component {
    fn change(&self) -> ComponentChange {
        let version = |installed: &Option<Installed>| {
            installed.as_ref().map(|installed| installed.version.clone())
        };
        ComponentChange {
            name: self.name.clone(),
            old: version(&self.was),
            new: version(&self.becomes),
        }
    }
}

/// Reads a component as it is now.
fn installed_component(
    database: &Database,
    name: &PatchName,
    action: Action,
) -> Result<Component, DatabaseError> {
    let connection = database.connection();
    Ok(Component {
        name: name.clone(),
        action,
        was: database.find_installed(name)?,
        becomes: None,
        links: Vec::new(),
        old_files: database.installed_files(name)?,
        new_files: Vec::new(),
        old_hooks: crate::db::installed::hooks(connection, name)?,
        new_hooks: Vec::new(),
        lets_go: false,
    })
}

#[cfg(test)]
mod tests;
