//! Why nothing was cosigned.

use std::path::PathBuf;

use countersign_format::key::KeyName;
use countersign_format::signature::SignError;
use countersign_format::time::Timestamp;
use countersign_store::follow::FollowError;
use countersign_store::{Failover, GetError, WriteError};
use countersign_terminal::{ExitStatus, Failure};

use super::look::Found;
use crate::key_store::SigningKeyError;
use crate::publish::PublishError;
use crate::replica::ReplicaError;
use crate::role_dir::RoleDirError;

/// Why a witness did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Its files.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// Its key.
    #[error(transparent)]
    SigningKey(Box<SigningKeyError>),
    /// Its record of what was cosigned.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The repository.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Two statements contradict each other.
    #[error("nothing is cosigned: a log was forked")]
    Fork {
        /// Which, and how.
        source: Box<ReplicaError>,
        /// Where both statements are kept.
        evidence: PathBuf,
    },
    /// A head that is signed, whose entries, as the server gives them, do not lead to its root.
    #[error("nothing is cosigned: {} is not what its entries there lead to", .found.describe())]
    Unproven {
        /// The head.
        found: Box<Found>,
        /// What the entries lead to.
        source: Box<FollowError>,
        /// Where the head is kept.
        kept: PathBuf,
    },
    /// The record of what was cosigned is older than a signature of this witness's own.
    #[error(
        "nothing is cosigned: this witness's own signature of {time} stands on the head of \
         {signed} entries of {origin}, its record ends at {recorded} entries on {since}"
    )]
    Behind {
        /// The log's name.
        origin: KeyName,
        /// Entries of the head that it signed.
        signed: u64,
        /// When it signed it.
        time: Timestamp,
        /// Entries of the newest head that it has a record of.
        recorded: u64,
        /// When it signed that.
        since: Timestamp,
    },
    /// The log there is none that the authority lists.
    #[error(
        "{source_name}: distribution/checkpoint is of {origin}, which the authority does not list"
    )]
    OtherOrigin {
        /// The source's name.
        source_name: String,
        /// The log's name.
        origin: String,
    },
    /// There is no source.
    #[error("no repository to witness")]
    NoSource,
}

impl Failover for WitnessError {
    fn is_worth_another_server(&self) -> bool {
        match self {
            Self::Replica(error) => error.is_worth_another_server() && !error.is_fork(),
            Self::Unproven { .. } => true,
            _ => false,
        }
    }
}

impl From<SigningKeyError> for WitnessError {
    fn from(error: SigningKeyError) -> Self {
        Self::SigningKey(Box::new(error))
    }
}

impl From<GetError> for WitnessError {
    fn from(error: GetError) -> Self {
        Self::Replica(error.into())
    }
}

impl From<WriteError> for WitnessError {
    fn from(error: WriteError) -> Self {
        Self::Replica(error.into())
    }
}

impl From<WitnessError> for Failure {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::RoleDir(error) => error.into(),
            WitnessError::SigningKey(error) => (*error).into(),
            WitnessError::Publish(error) => error.into(),
            WitnessError::Replica(error) => error.into(),
            WitnessError::Fork { ref evidence, .. } => {
                let hint = format!(
                    "both statements are kept in {}: tell the repository's operators and its other \
                     witnesses",
                    evidence.display()
                );
                Self::new(ExitStatus::RollbackOrFork, error).hint(hint)
            }
            WitnessError::Unproven { ref kept, .. } => {
                let hint = format!(
                    "proven is that the head was signed; not that a key signed two histories, since \
                     a server that alters entries looks the same: name other places of this \
                     repository, and the head that is kept in {} will be compared",
                    kept.display()
                );
                Self::new(ExitStatus::RollbackOrFork, error).hint(hint)
            }
            error @ WitnessError::Behind { .. } => {
                Self::new(ExitStatus::RollbackOrFork, error).hint(
                    "the record was restored from a backup, or the key is in use elsewhere: begin \
                     anew with another key; or, knowing that the published heads are the newest that \
                     this key ever signed, go on with --adopt-public-heads",
                )
            }
            error @ WitnessError::OtherOrigin { .. } => Self::new(ExitStatus::Signature, error),
            error => Self::new(ExitStatus::Failed, error),
        }
    }
}
