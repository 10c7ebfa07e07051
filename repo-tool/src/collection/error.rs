//! Why a collection did not do what it was asked to.

use std::io;
use std::path::{Path, PathBuf};

use countersign_format::archive::{self, ArchiveError};
use countersign_format::entry::{EntryError, PatchIdentity};
use countersign_format::hash::Hash32;
use countersign_format::layout::RepoPath;
use countersign_format::manifest::{BasesError, ManifestError};
use countersign_format::policy::PolicyError;
use countersign_format::relpath::RelPath;
use countersign_format::signature::SignError;
use countersign_format::tree::TreeError;
use countersign_store::WriteError;
use countersign_terminal::{ExitStatus, Failure};

use crate::known_authority::KnownAuthorityError;
use crate::patch_selector::PatchSelector;
use crate::publish::PublishError;
use crate::role_dir::RoleDirError;
use crate::round::RoundError;
use crate::server::ServerError;
use crate::tree_scan::ScanError;
use crate::watch::OtherHead;

/// Why a collection did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// Signatures that others are to give.
    #[error(transparent)]
    Round(Box<RoundError>),
    /// The collection's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// The collection's key.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] KnownAuthorityError),
    /// The log.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The public directory.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The tree.
    #[error(transparent)]
    Scan(#[from] ScanError),
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
    /// A file of the collection's own is not what this program writes.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// The list of the patches that wait is not what this program writes.
    #[error("{0}, which lists the patches that wait, is damaged")]
    DraftsDamaged(PathBuf),
    /// The files make no manifest.
    #[error("the files make no patch")]
    Manifest(#[from] ManifestError),
    /// The incremental patch does not go on from the tree that it is made against.
    #[error("the patch does not go on from what it is made against")]
    Tree(#[from] TreeError),
    /// An archive has changes to files that are not those of the tree it goes on from.
    #[error(transparent)]
    Bases(#[from] BasesError),
    /// The archive could not be written.
    #[error("cannot pack {path}")]
    Pack {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: archive::WriteError,
    },
    /// The archive is refused.
    #[error("{path} is no archive that a client accepts")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: Box<ArchiveError>,
    },
    /// The log entry would be too long.
    #[error("the patch's log entry is refused")]
    Entry(#[from] EntryError),
    /// The patch note could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Something that every patch has was not said.
    #[error("the patch's {0} was not given")]
    NotSaid(&'static str),
    /// An incremental patch needs the tree before it.
    #[error("a patch with a base, or one that removes files, needs the tree before it")]
    BaseWithoutAgainst,
    /// A path that is to go away was not there before.
    #[error("{0:?} is to be removed, but is not in the tree before the patch")]
    RemoveNotThere(RelPath),
    /// There is nothing in the tree, or nothing that changed.
    #[error("{0} has nothing that is new or changed")]
    NothingToPack(PathBuf),
    /// What is said of an archive is not what it says of itself.
    #[error("the archive's {field} is {found}, not {said}")]
    Disagrees {
        /// The member.
        field: &'static str,
        /// What was said.
        said: String,
        /// What the archive has.
        found: String,
    },
    /// Another patch of that identity is published.
    #[error("{identity} is published already, as entry {index}")]
    Published {
        /// The identity.
        identity: PatchIdentity,
        /// Leaf index of its entry.
        index: u64,
    },
    /// The same archive is published.
    #[error("the same archive is published already, as {0}")]
    ArchivePublished(RepoPath),
    /// A patch of that identity was taken in already.
    #[error("{0} was taken in already")]
    Incoming(PatchIdentity),
    /// A patch is to be kept in a new log of whose signatures none counts.
    #[error("entry {index}, {identity}, cannot be kept: no key that counts there signed it")]
    KeptUnsigned {
        /// Leaf index of its entry.
        index: u64,
        /// The patch.
        identity: Box<PatchIdentity>,
        /// What is wrong with its note.
        source: Box<PolicyError>,
    },
    /// Two patches to one version lead to different trees.
    #[error("the patch leads to the tree {made}, another one to the same version to {other}")]
    OtherTree {
        /// This patch's tree.
        made: Hash32,
        /// The other's.
        other: Hash32,
    },
    /// No patch that a person means is here.
    #[error("no patch {0} was taken in or published")]
    NotThere(PatchSelector),
    /// No patch that a person means was taken in.
    #[error("no patch {0} waits to be published")]
    NotIncoming(PatchSelector),
    /// No patch that a person means is published.
    #[error("no patch {0} is published")]
    NotPublished(PatchSelector),
    /// There is no full patch to go on from.
    #[error("there is no full patch {0}, published or taken in")]
    NoFullPatch(PatchSelector),
    /// Several patches are meant where one must be.
    #[error("{0} is more than one patch")]
    Several(PatchSelector),
    /// All patches that a person means are revoked.
    #[error("{0} is revoked already")]
    Revoked(PatchSelector),
    /// The patch was published or given up while it was tested.
    #[error("{0} was published or given up in the meantime")]
    Gone(PatchIdentity),
    /// The last test failed.
    #[error("the last test of {0} failed")]
    TestFailed(PatchIdentity),
    /// The command of a test could not be run.
    #[error("cannot run {command}")]
    Command {
        /// The command's first word.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// Others serve a newer or another head of this log than the one that is held here.
    #[error(transparent)]
    OtherHead(#[from] OtherHead),
}

impl CollectionError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn archive(path: &Path) -> impl FnOnce(ArchiveError) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Archive { path, source: Box::new(source) }
    }

    fn exit(&self) -> ExitStatus {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            Self::NotSaid(_) | Self::BaseWithoutAgainst | Self::Several(_) => ExitStatus::Usage,
            Self::NotThere(_)
            | Self::NotIncoming(_)
            | Self::NotPublished(_)
            | Self::NoFullPatch(_) => ExitStatus::NotFound,
            Self::OtherHead(_) => ExitStatus::RollbackOrFork,
            Self::KeptUnsigned { .. } => ExitStatus::Signature,
            _ => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotSaid("base") => {
                Some("say with --base which installed versions the incremental patch is for")
            }
            Self::NotSaid(_) => Some("give it as a flag or in patch.toml (--spec)"),
            Self::BaseWithoutAgainst | Self::NoFullPatch(_) => Some(
                "give the tree before the patch with --against DIR, or NAME@VERSION of a full patch",
            ),
            Self::Published { .. } => {
                Some("a published patch never changes: give it a new version")
            }
            Self::Incoming(_) => {
                Some("publish it, or give it up: patchrepo collection discard DIR NAME@VERSION")
            }
            Self::OtherTree { .. } => Some(
                "a full patch and every chain of incremental ones must end at the same files, \
                 modes and owners",
            ),
            Self::DraftsDamaged(_) => Some(
                "bring it back from a backup; without one, move the archives beside it elsewhere, remove \
                 it, and add them again",
            ),
            Self::NotIncoming(_) => Some("patchrepo collection list DIR shows what there is"),
            Self::NotPublished(_) | Self::NotThere(_) => {
                Some("patchrepo collection list DIR --published shows what there is")
            }
            Self::Several(_) => Some("narrow it down with --platform or --base"),
            Self::TestFailed(_) => Some("mend the patch and test it again, or give it up: discard"),
            Self::OtherHead(_) => Some(OtherHead::HINT),
            Self::KeptUnsigned { .. } => Some(
                "keep what is below it; what is yours behind it is added and published anew, after a \
                 look at it",
            ),
            _ => None,
        }
    }
}

impl From<RoundError> for CollectionError {
    fn from(error: RoundError) -> Self {
        Self::Round(Box::new(error))
    }
}

impl From<CollectionError> for Failure {
    fn from(error: CollectionError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        match error {
            CollectionError::RoleDir(error) => error.into(),
            CollectionError::Round(error) => (*error).into(),
            CollectionError::Server(error) => error.into(),
            CollectionError::Authority(error) => error.into(),
            CollectionError::Publish(error) => error.into(),
            CollectionError::Scan(error) => error.into(),
            error => Self::new(exit, error).maybe_hint(hint),
        }
    }
}
