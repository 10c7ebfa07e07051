//! Why nothing was copied.

use std::io;
use std::path::{Path, PathBuf};

use countersign_format::archive::ArchiveError;
use countersign_format::hash::Hash32;
use countersign_format::layout::{Log, RepoPath};
use countersign_format::policy::PolicyError;
use countersign_store::authority::AuthorityError;
use countersign_store::follow::FollowError;
use countersign_store::mirrors::AllFailed;
use countersign_store::{Failover, GetError, WriteError};
use countersign_terminal::{ExitStatus, Failure};

use crate::commands::trust::{authority_failure, exit_of, exit_of_get};
use crate::publish::PublishError;

/// Why a repository was not copied. The copy serves what it served before.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A file of the source could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A file of the copy could not be written or read.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A directory of the copy could not be used.
    #[error("cannot {doing} {path}")]
    Local {
        /// What was tried.
        doing: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The chain of authority notes could not be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file's signatures do not suffice, or are too old.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A log could not be followed to its head.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// What the copy holds is not what its own checkpoint says.
    #[error("the copy in {root} is damaged")]
    Held {
        /// The copy's directory.
        root: PathBuf,
        /// What is wrong.
        source: PublishError,
    },
    /// The index of what the copy holds could not be used. It is made anew by the next run.
    #[error("cannot use the index of the copy in {root}")]
    Index {
        /// The copy's directory.
        root: PathBuf,
        /// Why.
        source: PublishError,
    },
    /// The chain at the source does not lead through the note that is trusted.
    #[error("{source_name}: authority/{version} is not the note that --authority names")]
    OtherAnchor {
        /// The source's name.
        source_name: String,
        /// The version of the note that is trusted.
        version: u64,
    },
    /// The authority lists no such distribution.
    #[error("the authority's version {version} lists no distribution{}",
        .name.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    Distribution {
        /// The newest version.
        version: u64,
        /// The name that was asked for; none where there are several to choose from.
        name: Option<String>,
    },
    /// A file that the source must have is not there.
    #[error("{source_name} has no {path}")]
    Missing {
        /// The source's name.
        source_name: String,
        /// The file.
        path: RepoPath,
    },
    /// The source's head is smaller than what the copy holds.
    #[error("{source_name}: the {log} log has {found} entries, the copy has {held} already")]
    Older {
        /// The source's name.
        source_name: String,
        /// The log.
        log: Log,
        /// Entries that are held.
        held: u64,
        /// Entries of the source's head.
        found: u64,
    },
    /// Two signed statements about one log contradict each other.
    #[error(transparent)]
    Fork(Box<Fork>),
    /// An archive is not what its log entry announces.
    #[error("layer 2 (archive): {path} is refused")]
    Archive {
        /// The archive.
        path: RepoPath,
        /// What is wrong.
        source: ArchiveError,
    },
}

/// Two signed statements about one log that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_name}: the {log} log was forked: at {size} entries its root is {found}, {other} \
         says {named}"
)]
pub struct Fork {
    /// The source's name.
    pub source_name: String,
    /// The log.
    pub log: Log,
    /// The size at which two roots are signed.
    pub size: u64,
    /// The root at the source.
    pub found: Hash32,
    /// The other root.
    pub named: Hash32,
    /// Who says the other root: the copy, or a decision.
    pub other: String,
}

impl ReplicaError {
    /// What could not be done with a path of this machine.
    pub(crate) fn local<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Local { doing, path: path.to_owned(), source }
    }

    /// Whether it says that two signed statements contradict each other.
    pub fn is_fork(&self) -> bool {
        matches!(self, Self::Fork(_))
    }

    /// Whether packs may be why: see [`FollowError::may_be_packs`].
    pub fn may_be_packs(&self) -> bool {
        matches!(self, Self::Follow(error) if error.may_be_packs())
    }

    fn exit(&self) -> ExitStatus {
        match self {
            Self::Get(error) | Self::Follow(FollowError::Get(error)) => exit_of_get(error),
            Self::Policy(error) => exit_of(error),
            Self::Older { .. } | Self::Fork(_) => ExitStatus::RollbackOrFork,
            Self::Follow(FollowError::Smaller { .. } | FollowError::Root { .. }) => {
                ExitStatus::RollbackOrFork
            }
            Self::OtherAnchor { .. } | Self::Archive { .. } => ExitStatus::Signature,
            Self::Distribution { .. } => ExitStatus::Usage,
            Self::Missing { .. } | Self::Follow(FollowError::Missing { .. }) => {
                ExitStatus::Unreachable
            }
            Self::Write(_)
            | Self::Local { .. }
            | Self::Authority(_)
            | Self::Follow(_)
            | Self::Held { .. }
            | Self::Index { .. } => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Older { .. } => Some("the server is behind: wait, or use another one"),
            Self::Fork(_) | Self::Follow(FollowError::Root { .. }) => Some(
                "tell the repository's operators: either the server alters files, or a key signed \
                 two histories",
            ),
            Self::Held { .. } => {
                Some("see what is wrong with: patchrepo verify; or copy into an empty directory")
            }
            Self::Index { .. } => Some("run it again: the index is made anew"),
            Self::Distribution { name: None, .. } => Some("choose one with --distribution NAME"),
            _ => None,
        }
    }
}

impl Failover for ReplicaError {
    fn is_worth_another_server(&self) -> bool {
        match self {
            Self::Get(error) | Self::Follow(FollowError::Get(error)) => {
                error.is_worth_another_server()
            }
            Self::Authority(error) => error.is_worth_another_server(),
            // the fault is here, or in what was asked for
            Self::Write(_)
            | Self::Local { .. }
            | Self::Held { .. }
            | Self::Index { .. }
            | Self::Distribution { .. } => false,
            Self::Policy(_)
            | Self::Follow(_)
            | Self::OtherAnchor { .. }
            | Self::Missing { .. }
            | Self::Older { .. }
            | Self::Fork(_)
            | Self::Archive { .. } => true,
        }
    }
}

/// No source served. The exit status is the gravest that one of them earned: a fork or a bad
/// signature says more than a server that is away.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NoSource(#[from] pub AllFailed<ReplicaError>);

impl From<NoSource> for Failure {
    fn from(NoSource(failed): NoSource) -> Self {
        let gravity = |error: &ReplicaError| match error.exit() {
            ExitStatus::RollbackOrFork => 3,
            ExitStatus::Signature => 2,
            ExitStatus::Unreachable => 0,
            _ => 1,
        };
        if failed.failures.len() < 2 {
            return failed.into_last().map_or_else(
                || Self::new(ExitStatus::Unreachable, "no server to ask"),
                Into::into,
            );
        }
        let gravest =
            failed.failures.iter().map(|(_, error)| error).max_by_key(|error| gravity(error));
        let (exit, hint) =
            gravest.map_or((ExitStatus::Unreachable, None), |error| (error.exit(), error.hint()));
        Self::new(exit, NoSource(failed)).maybe_hint(hint)
    }
}

impl From<ReplicaError> for Failure {
    fn from(error: ReplicaError) -> Self {
        if let ReplicaError::Authority(error) = error {
            return authority_failure(error);
        }
        let (exit, hint) = (error.exit(), error.hint());
        Self::new(exit, error).maybe_hint(hint)
    }
}
