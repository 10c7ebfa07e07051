//! Why a transaction was not begun, was put back, or could not be put back.

use std::io;

use countersign_format::archive::ArchiveError;
use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::tree::TreeError;

use super::delta::BaseError;
use super::refusal::Refusal;
use crate::db::DatabaseError;
use crate::hooks::{HookEnvironmentError, HookRun};
use crate::owner::OwnerError;
use crate::root::RootError;
use crate::stage::StageError;
use crate::verify::{Deviation, Difference};

/// Why a transaction was not begun. Nothing outside the working areas was touched.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// An earlier transaction was interrupted and must be recovered first.
    #[error("transaction {0} is unfinished and must be recovered first")]
    Unfinished(i64),
    /// There is nothing to do.
    #[error("nothing to do")]
    Empty,
    /// A component that is to be removed is not installed.
    #[error("{0} is not installed")]
    NotInstalled(PatchName),
    /// A component is to be changed in two ways at once.
    #[error("{0} is to be removed, and to be removed or installed as well")]
    Twice(PatchName),
    /// A component that is to be taken over is installed.
    #[error("{name} {version} is installed already")]
    IsInstalled {
        /// The component.
        name: PatchName,
        /// Its version.
        version: PatchVersion,
    },
    /// What is there is not what is to be taken over.
    #[error("{}", differing(.0))]
    Differs(Vec<Difference>),
    /// A patch does not bring all files of its version.
    #[error("the patch of {name} {version} is incremental: it does not bring every file")]
    NotFull {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
    },
    /// A component cannot be put right by a patch of another version.
    #[error("{name} is {installed}, not {version}")]
    OtherVersion {
        /// The component.
        name: PatchName,
        /// The patch's version.
        version: PatchVersion,
        /// The installed one.
        installed: PatchVersion,
    },
    /// A patch of the installed version brings other files, as for another platform.
    #[error("the patch of {0} brings other files than those that are installed")]
    OtherTree(PatchName),
    /// An incremental patch does not fit what comes before it.
    #[error("{name} {version} is a patch for {base}, but {}", before(found.as_ref()))]
    Base {
        /// The patch's name.
        name: PatchName,
        /// The patch's version.
        version: PatchVersion,
        /// What it needs.
        base: String,
        /// What is installed, or comes before it in the chain.
        found: Option<PatchVersion>,
    },
    /// An incremental patch has changes to files that are not here as they were then. Another way to
    /// its version may lead there all the same.
    #[error("{name} {version} brings changes to files that are not as it expects them")]
    Delta {
        /// The patch's name.
        name: PatchName,
        /// The patch's version.
        version: PatchVersion,
        /// Its archive.
        archive: Hash32,
        /// What is not there.
        source: Box<BaseError>,
    },
    /// An archive is not what its log entry announces.
    #[error("archive of {name} {version} is refused")]
    Archive {
        /// The patch's name.
        name: PatchName,
        /// The patch's version.
        version: PatchVersion,
        /// Why.
        source: Box<ArchiveError>,
    },
    /// A patch does not lead to the tree it names.
    #[error("{name} {version} does not make the tree it promises")]
    Tree {
        /// The patch's name.
        name: PatchName,
        /// The patch's version.
        version: PatchVersion,
        /// Why.
        source: Box<TreeError>,
    },
    /// A file system is too small.
    #[error("file system of /{at}: {needed} {unit} are needed, {available} are free")]
    Space {
        /// The root of the mount, relative to the install root.
        at: String,
        /// `bytes` or `files`.
        unit: &'static str,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// An owner is not there, and no hook runs that could create it.
    #[error(transparent)]
    Owner(#[from] Box<NoOwner>),
    /// Paths stand in the way.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// Hooks cannot be run under this root.
    #[error(transparent)]
    Hooks(#[from] HookEnvironmentError),
    /// There is no transaction to go back to.
    #[error("there is no finished transaction {0} to go back to")]
    NoSuchTransaction(i64),
    /// What is needed to go back was dropped.
    #[error("the backups of transaction {0} were dropped")]
    BackupsDropped(i64),
    /// A backup is not what was backed up.
    #[error("the backup of /{path} of transaction {transaction} is {problem}")]
    BackupDamaged {
        /// The path that it is a backup of.
        path: String,
        /// The transaction that made it.
        transaction: i64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A hook of an archive cannot be staged.
    #[error("cannot read hook {hook} of {name}")]
    HookContent {
        /// The patch's name.
        name: PatchName,
        /// The hook.
        hook: String,
        /// Why.
        source: io::Error,
    },
    /// The archive file cannot be read.
    #[error("cannot read the archive of {name}")]
    File {
        /// The patch's name.
        name: PatchName,
        /// Why.
        source: io::Error,
    },
    /// Staging.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn before(found: Option<&PatchVersion>) -> String {
    found.map_or("it is not installed".into(), |found| format!("{found} is there"))
}

fn differing(found: &[Difference]) -> String {
    let relevant = found.iter().filter(|difference| !difference.config);
    let list = relevant.map(|Difference { path, deviation, .. }| format!("/{path}: {deviation}"));
    let list: Vec<String> = list.collect();
    format!("what is there is not what the manifest says: {}", shorten(list))
}

/// The first of a list, and how many more there are.
fn shorten(mut list: Vec<String>) -> String {
    const SHOWN: usize = 10;
    if list.len() > SHOWN {
        let more = list.len() - SHOWN;
        list.truncate(SHOWN);
        list.push(format!("and {more} more"));
    }
    list.join("; ")
}

fn list(refusals: &[Refusal]) -> String {
    shorten(refusals.iter().map(ToString::to_string).collect())
}

/// An owner of a file has no number under the install root.
#[derive(Debug, thiserror::Error)]
#[error("/{path} of {name} is to belong to {owner}")]
pub struct NoOwner {
    /// The component that brings the file.
    pub name: PatchName,
    /// The file, relative to the root.
    pub path: String,
    /// `user:group`.
    pub owner: String,
    /// Which of the two is not there.
    pub source: OwnerError,
}

/// What went wrong while a transaction was carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A hook or a health check did not end well.
    #[error("{} of {} failed: {}", .0.call.kind, .0.call.name, .0.outcome)]
    Hook(Box<HookRun>),
    /// A step failed.
    #[error("cannot {what} /{path}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Where, relative to the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An owner is not there after every `pre-install` has run.
    #[error(transparent)]
    Owner(#[from] Box<NoOwner>),
    /// Something changed a path after it was looked at.
    #[error("/{0} was changed by somebody else in the middle of the transaction")]
    Interference(String),
    /// What was installed is not what was promised.
    #[error("{}", differences(.0))]
    Check(Vec<(String, Deviation)>),
    /// A working area.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn differences(found: &[(String, Deviation)]) -> String {
    let list = found.iter().map(|(path, what)| format!("/{path}: {what}")).collect();
    format!("what was installed is not the patch's tree: {}", shorten(list))
}

/// How a transaction ended that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It was not begun; nothing was touched.
    #[error("the transaction could not be begun")]
    NotBegun(#[source] Box<DatabaseError>),
    /// A hook or health check failed; everything was put back.
    #[error("transaction {transaction} was rolled back")]
    Hook {
        /// The transaction.
        transaction: i64,
        /// The hook.
        #[source]
        failure: Box<Failure>,
    },
    /// Something else failed; everything was put back.
    #[error("transaction {transaction} was rolled back")]
    RolledBack {
        /// The transaction.
        transaction: i64,
        /// What failed.
        #[source]
        failure: Box<Failure>,
    },
    /// Something failed, and putting everything back failed too. The machine is between old and
    /// new; recovery at the next start tries again.
    #[error("transaction {transaction} failed ({}) and could not be undone", chain(&**failure))]
    UndoFailed {
        /// The transaction.
        transaction: i64,
        /// What failed first.
        failure: Box<Failure>,
        /// What failed then.
        #[source]
        undo: Box<UndoError>,
    },
}

/// Why a transaction could not be put back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// A step cannot be undone.
    #[error("cannot put back /{path}")]
    Step {
        /// The path, relative to the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Neither the old object nor its backup is there.
    #[error("/{0} is gone, and so is its backup")]
    Lost(String),
    /// A working area.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an interrupted transaction could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Transaction `transaction` was interrupted and cannot be put back.
    #[error("transaction {transaction} was interrupted and cannot be undone")]
    Undo {
        /// The transaction.
        transaction: i64,
        /// Why.
        source: Box<UndoError>,
    },
    /// What it left cannot be cleaned up.
    #[error("cannot clean up after transaction {transaction}")]
    Clean {
        /// The transaction.
        transaction: i64,
        /// Why.
        source: StageError,
    },
    /// Hooks cannot be run under this root.
    #[error(transparent)]
    Hooks(#[from] HookEnvironmentError),
    /// The backups of a transaction that is not finished were to be dropped.
    #[error("transaction {0} is not a finished one")]
    NotFinished(i64),
    /// The root cannot be used.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // a transparent error repeats its source's words
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
