//! Why nothing was published.

use std::io;
use std::path::PathBuf;

use countersign_format::checkpoint::CheckpointError;
use countersign_format::json::JsonError;
use countersign_format::key::KeyName;
use countersign_format::layout::RepoPath;
use countersign_format::limits::{MAX_ENTRY, MAX_TREE_SIZE};
use countersign_format::note::NoteError;
use countersign_format::policy::PolicyError;
use countersign_format::signature::SignError;
use countersign_format::tile::TileError;
use countersign_format::time::Timestamp;
use countersign_store::WriteError;
use countersign_terminal::{ExitStatus, Failure};

/// Why a log was not published. What readers see is as before, or complete.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The public directory could not be read or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of the role's own state could not be read or written.
    #[error("cannot {action} {path}")]
    State {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the role's own state is not what this program writes.
    #[error("{path} is damaged")]
    StateDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, where it can be said.
        source: Option<JsonError>,
    },
    /// The index of what is in a log could not be made.
    #[error("cannot use the index {path}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The published checkpoint is no note.
    #[error("{path} is no note")]
    Note {
        /// The checkpoint.
        path: RepoPath,
        /// What is wrong.
        source: NoteError,
    },
    /// The published checkpoint's text is no checkpoint.
    #[error("{path} is no checkpoint")]
    Checkpoint {
        /// The checkpoint.
        path: RepoPath,
        /// What is wrong.
        source: CheckpointError,
    },
    /// The published checkpoint carries no good signature of the role's own key.
    #[error("{path} is not signed by this server")]
    Unsigned {
        /// The checkpoint.
        path: RepoPath,
        /// What is wrong with the signature.
        source: Option<Box<PolicyError>>,
    },
    /// The head is of another log than the one that is published here.
    #[error("the newest head is of the log {found}, expected {expected}")]
    Origin {
        /// The log's name as it is configured.
        expected: KeyName,
        /// The name in the head.
        found: KeyName,
    },
    /// Something is published, and no record of it was kept.
    #[error("{path} is published with {size} entries, but {record} is missing")]
    RecordMissing {
        /// The checkpoint.
        path: RepoPath,
        /// Its size.
        size: u64,
        /// The record of what was signed.
        record: PathBuf,
    },
    /// More or something else is published than was ever signed here, by the record.
    #[error("{path} has {public} entries, but by {record} no more than {signed} were ever signed")]
    RecordOlder {
        /// The checkpoint.
        path: RepoPath,
        /// Its size.
        public: u64,
        /// The newest size in the record.
        signed: u64,
        /// The record of what was signed.
        record: PathBuf,
    },
    /// A larger tree was signed than the one that is published.
    #[error("a head with {signed} entries was signed, but {path} has {public}")]
    PublicOlder {
        /// The checkpoint.
        path: RepoPath,
        /// Its size; 0 if there is none.
        public: u64,
        /// The size that was signed.
        signed: u64,
    },
    /// Two trees of one size: the published one, and the one that was signed.
    #[error("{path} has another tree of {size} entries than the one that was signed here")]
    OtherTree {
        /// The checkpoint.
        path: RepoPath,
        /// The size of both.
        size: u64,
    },
    /// Signing this head would fork the log.
    #[error("refusing to sign a head of {next} entries: one of {signed} was signed before")]
    Fork {
        /// Entries of what was to be signed.
        next: u64,
        /// Entries of the newest that was signed.
        signed: u64,
    },
    /// The clock is behind the newest signature's time.
    #[error("the clock says {now}, but the newest signature was made at {newest}")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// The time of the newest signature.
        newest: Timestamp,
    },
    /// The head of what is to be given up was signed, or may have been.
    #[error("the head with {size} entries may be signed already, so that they are part of the log")]
    Signed {
        /// Entries of the log with them.
        size: u64,
    },
    /// A log is to begin anew that goes by the name that it has.
    #[error("the log is called {0} already: nothing is to begin anew")]
    NotLeft(KeyName),
    /// More is to be kept than there is.
    #[error("{keep} entries are to be kept, and the log that was left has {size}")]
    KeepsTooMany {
        /// What was asked for.
        keep: u64,
        /// What there is.
        size: u64,
    },
    /// Nothing is to be kept.
    #[error("a log keeps at least its first entry, which names the authority")]
    KeepsNothing,
    /// A file of the published tree is missing.
    #[error("{0} is missing, without which nothing can be appended")]
    Missing(RepoPath),
    /// A file of the published tree is damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: RepoPath,
        /// What is wrong.
        source: TileError,
    },
    /// The published tiles, or the entries, do not make the signed root.
    #[error("{0} is damaged: it does not lead to the signed root")]
    Root(RepoPath),
    /// An interrupted publication has to be completed first.
    #[error("an interrupted publication of {0} entries is to be completed first")]
    Pending(usize),
    /// The journal of an interrupted publication does not fit to what is published.
    #[error("{path} begins at {base} entries, which is not what is published")]
    JournalElsewhere {
        /// The journal.
        path: PathBuf,
        /// Entries that it goes on from.
        base: u64,
    },
    /// An entry is longer than readers accept.
    #[error("an entry has {0} bytes, the limit is {MAX_ENTRY}")]
    EntryTooLong(usize),
    /// The tree would exceed [`MAX_TREE_SIZE`].
    #[error("the log would have more than {MAX_TREE_SIZE} entries")]
    TooLarge,
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A pack could not be compressed.
    #[error("cannot compress {path}")]
    Compress {
        /// The pack.
        path: RepoPath,
        /// Why.
        source: io::Error,
    },
}

impl PublishError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RecordMissing { record, .. } | Self::RecordOlder { record, .. } => Some(format!(
                "this looks like a restored backup; if public/ is certainly the newest ever \
                 published (compare it with what the distributions or mirrors hold), refresh with \
                 --adopt-public-head; otherwise restore {} from the newest backup",
                record.display()
            )),
            Self::PublicOlder { .. } | Self::OtherTree { .. } => Some(
                "this looks like a restored backup: copy the newest files of the log back from a \
                 distribution or mirror into public/; signing anew would make a fork that every \
                 client refuses"
                    .into(),
            ),
            Self::ClockBehind { .. } => Some(
                "set the clock; if it was the earlier signature whose clock was wrong, refresh \
                 with --clock-was-wrong"
                    .into(),
            ),
            Self::Missing(_) | Self::Damaged { .. } | Self::Root(_) => {
                Some("copy the file back from a distribution or mirror".into())
            }
            Self::JournalElsewhere { path, .. } => Some(format!(
                "this looks like a restored backup: once public/ and state/ are of one day, remove \
                 {}",
                path.display()
            )),
            Self::Origin { .. } => Some(
                "where the authority gave the log a new origin it begins anew: restart --keep N; a \
                 distribution fetches the collection's new log with sync"
                    .into(),
            ),
            Self::NotLeft(_) => Some(
                "the authority gives a log a new origin first: patchrepo authority change DIR \
                 --collection-origin NAME (or --distribution-origin)"
                    .into(),
            ),
            Self::Signed { .. } => Some("complete it: publish".into()),
            Self::Pending(_) => Some("run publish again; it completes what was begun".into()),
            _ => None,
        }
    }

    /// How a command ends that met it.
    pub fn exit(&self) -> ExitStatus {
        match self {
            Self::Write(WriteError::System { source, .. }) | Self::State { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ExitStatus::Privilege
            }
            Self::RecordMissing { .. }
            | Self::RecordOlder { .. }
            | Self::PublicOlder { .. }
            | Self::OtherTree { .. }
            | Self::Fork { .. } => ExitStatus::RollbackOrFork,
            Self::Unsigned { .. } => ExitStatus::Signature,
            _ => ExitStatus::Failed,
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        Self::new(exit, error).maybe_hint(hint)
    }
}
