//! Why nothing was cosigned.

use std::path::PathBuf;

use countersign_format::signature::SignError;
use countersign_store::{GetError, WriteError};
use countersign_terminal::{ExitStatus, Failure};

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
            error @ WitnessError::OtherOrigin { .. } => Self::new(ExitStatus::Signature, error),
            error => Self::new(ExitStatus::Failed, error),
        }
    }
}
