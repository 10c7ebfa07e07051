//! Why a distribution did not do what it was asked to.

use std::io;
use std::path::{Path, PathBuf};

use countersign_format::archive::ArchiveError;
use countersign_format::entry::{EntryError, PatchIdentity};
use countersign_format::key::KeyName;
use countersign_format::layout::RepoPath;
use countersign_format::policy::{PolicyError, Verdict};
use countersign_format::signature::SignError;
use countersign_format::text::{Line, RingName};
use countersign_store::follow::FollowError;
use countersign_store::{GetError, WriteError};
use countersign_terminal::{ExitStatus, Failure};

use crate::known_authority::KnownAuthorityError;
use crate::patch_selector::PatchSelector;
use crate::publish::PublishError;
use crate::role_dir::RoleDirError;
use crate::round::RoundError;
use crate::server::ServerError;
use crate::watch::OtherHead;

/// Why a distribution did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// Signatures that others are to give.
    #[error(transparent)]
    Round(Box<RoundError>),
    /// The distribution's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// The distribution's key.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] KnownAuthorityError),
    /// The distribution's log, or what is published of the collection's.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The public directory or the private copy.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The collection's log could not be followed.
    #[error("the collection's log is refused")]
    Follow(#[from] FollowError),
    /// A file of the collection could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A signature is missing, wrong or too old.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// An entry of the distribution's own log would not be readable.
    #[error("the log entry is refused")]
    Entry(#[from] EntryError),
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive is not what the collection signed.
    #[error("layer 2 (archive): {identity}, {path}, is not what the collection signed")]
    Archive {
        /// The patch.
        identity: Box<PatchIdentity>,
        /// The archive.
        path: RepoPath,
        /// Why it is refused.
        source: Box<ArchiveError>,
    },
    /// Nothing says where the collection is.
    #[error("{0} does not say where the collection is")]
    NoCollection(PathBuf),
    /// The collection lacks a file that its log promises.
    #[error("{path} is not at {place}")]
    NotThere {
        /// The collection's place.
        place: String,
        /// The file.
        path: RepoPath,
    },
    /// The authority lists no key of this server for any distribution.
    #[error("version {version} of the authority lists no distribution with a key of {name}")]
    NotListed {
        /// This server.
        name: KeyName,
        /// The newest version of the authority.
        version: u64,
    },
    /// The collection has not signed yet as the newest authority note asks.
    #[error("the collection does not satisfy version {version} of the authority yet")]
    Behind {
        /// The newest version.
        version: u64,
        /// The one that clients go by meanwhile.
        shown: u64,
        /// What is missing.
        source: Box<PolicyError>,
    },
    /// The collection's log names an authority note that is not held, or another one.
    #[error("entry {index} of the collection's log names another authority/{version} than is held")]
    OtherAuthority {
        /// Leaf index of the entry.
        index: u64,
        /// The version that it names.
        version: u64,
    },
    /// A file of the distribution's own is not what this program writes.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// Nothing was fetched from the collection yet.
    #[error("nothing was fetched from the collection yet")]
    NothingSynced,
    /// The fetched log is not a continuation of what this server cosigned.
    #[error("the fetched log has another tree at {size} entries than the one cosigned here")]
    OtherTree {
        /// The size that was cosigned.
        size: u64,
    },
    /// Others serve a newer or another head of the distribution's log than is held here.
    #[error(transparent)]
    OtherHead(#[from] OtherHead),
    /// No patch that a person means was fetched.
    #[error("no patch {selector} was fetched from the collection")]
    NotHeld {
        /// What was asked for.
        selector: Box<PatchSelector>,
        /// What is more or less like it.
        similar: Vec<String>,
    },
    /// The collection revoked the patch.
    #[error("{identity} was revoked by the collection: {reason}")]
    Revoked {
        /// The patch.
        identity: Box<PatchIdentity>,
        /// Why.
        reason: Line,
    },
    /// There is no release to be withdrawn.
    #[error("{selector} is not released to ring {ring}")]
    NotReleased {
        /// What was asked for.
        selector: Box<PatchSelector>,
        /// The ring.
        ring: RingName,
    },
}

impl DistributionError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// How a command ends that met it.
    pub fn exit(&self) -> ExitStatus {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            Self::Policy(error) => match error.verdict() {
                Verdict::Expired => ExitStatus::Expired,
                Verdict::Rollback => ExitStatus::RollbackOrFork,
                Verdict::Signature => ExitStatus::Signature,
            },
            Self::Get(error) | Self::Follow(FollowError::Get(error)) if error.is_unreachable() => {
                ExitStatus::Unreachable
            }
            Self::Follow(FollowError::Smaller { .. } | FollowError::Root { .. })
            | Self::OtherTree { .. }
            | Self::OtherHead(_) => ExitStatus::RollbackOrFork,
            Self::Archive { .. } | Self::Behind { .. } => ExitStatus::Signature,
            Self::OtherAuthority { .. } => ExitStatus::Expired,
            Self::NoCollection(_) => ExitStatus::Configuration,
            Self::NotHeld { .. } | Self::NotReleased { .. } => ExitStatus::NotFound,
            _ => ExitStatus::Failed,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCollection(config) => {
                format!("give it with --from URL|DIR, or set `collection` in {}", config.display())
            }
            Self::NotListed { .. } => {
                "take the acceptance to the authority (authority admit, sign, publish)".into()
            }
            Self::NothingSynced => "fetch from the collection first: \
                 patchrepo distribution sync DIR"
                .into(),
            Self::Follow(FollowError::Smaller { .. } | FollowError::Root { .. })
            | Self::OtherTree { .. } => {
                "nothing was taken over; ask the collection's people: its server may have been \
                 restored from a backup, or its key stolen; what was found is kept in evidence/"
                    .into()
            }
            Self::Behind { version, shown, .. } => format!(
                "nothing was taken over, and clients go on by version {shown}; the collection must \
                 sign first with the keys that version {version} lists (patchrepo collection \
                 publish or refresh), then sync and publish here"
            ),
            Self::Policy(_) | Self::Archive { .. } => {
                "nothing was taken over; if the collection's own files are good, somebody between \
                 you alters them"
                    .into()
            }
            Self::OtherAuthority { version, .. } => format!(
                "the authority published version {version}; make sure that `authority` in \
                 config.toml can be reached"
            ),
            Self::NotHeld { similar, .. } if !similar.is_empty() => {
                format!("there is {}", similar.join(", "))
            }
            Self::NotHeld { .. } => "fetch what is new: patchrepo distribution sync DIR; \
                 patchrepo distribution list DIR shows what there is"
                .into(),
            Self::OtherHead(_) => OtherHead::HINT.into(),
            Self::NotReleased { .. } => {
                "patchrepo distribution list DIR shows what is released".into()
            }
            Self::Damaged(_) => {
                "restore it from a backup, or fetch anew: move collection/ away and \
                 run sync"
                    .into()
            }
            _ => return None,
        })
    }
}

impl From<RoundError> for DistributionError {
    fn from(error: RoundError) -> Self {
        Self::Round(Box::new(error))
    }
}

impl From<DistributionError> for Failure {
    fn from(error: DistributionError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        match error {
            DistributionError::RoleDir(error) => error.into(),
            DistributionError::Round(error) => (*error).into(),
            DistributionError::Server(error) => error.into(),
            DistributionError::Authority(error) => error.into(),
            DistributionError::Publish(error) => error.into(),
            error => Self::new(exit, error).maybe_hint(hint),
        }
    }
}
