//! Why an update was refused.

use std::error::Error;
use std::path::PathBuf;

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_store::authority::{AuthorityError, PassedOver};
use countersign_store::follow::FollowError;
use countersign_store::{AllFailed, Failover, GetError};

use crate::db::DatabaseError;
use crate::trust::TrustError;

use super::spool::SpoolError;

/// Why a source could not be updated. All that was trusted stays as it was, except that verified
/// authority notes are kept.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// What the state holds cannot be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No server served what verifies.
    #[error("{failed}")]
    Servers {
        /// Each server, and why it would not do.
        failed: AllFailed<AttemptError>,
        /// Versions of the authority note that could not be accepted from the last that was asked.
        passed_over: Vec<PassedOver>,
    },
}

/// Why one server would not do.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// A file could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The chain of authority notes could not be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A signature does not suffice, or what the state holds cannot be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A log has no checkpoint.
    #[error("{server} has no {log}/checkpoint")]
    NoCheckpoint {
        /// The server.
        server: String,
        /// The log.
        log: Log,
    },
    /// A head is smaller than the held one: the server is stale.
    #[error("the {log} log has {found} entries here, {held} were seen before: {} fewer", held - found)]
    Smaller {
        /// The log.
        log: Log,
        /// Entries seen before.
        held: u64,
        /// Entries of this head.
        found: u64,
    },
    /// Two statements contradict each other.
    #[error("{fork}; evidence {evidence}")]
    Fork {
        /// Which.
        fork: Fork,
        /// Where they are kept.
        evidence: EvidenceKept,
    },
    /// The entries could not be read or do not fit.
    #[error(transparent)]
    Follow(FollowError),
    /// A log names an authority note that no server showed: its retirements may be hidden.
    #[error(
        "entry {leaf} of the {log} log names version {version} of the authority note, which is not to be had"
    )]
    AuthorityHidden {
        /// The log.
        log: Log,
        /// Leaf index of the entry.
        leaf: u64,
        /// The version.
        version: u64,
    },
    /// A log names an authority note with another hash than the accepted one.
    #[error(
        "entry {leaf} of the {log} log names another version {version} of the authority note than the accepted one"
    )]
    OtherAuthority {
        /// The log.
        log: Log,
        /// Leaf index of the entry.
        leaf: u64,
        /// The version.
        version: u64,
    },
    /// The entries cannot be kept until all have come.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Two statements that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fork {
    /// Two signed heads of one size have different roots.
    #[error(
        "fork: two signed heads of the {log} log with {size} entries have the roots {held} and {found}"
    )]
    SameSize {
        /// The log.
        log: Log,
        /// Entries of both.
        size: u64,
        /// Root of the held one.
        held: Hash32,
        /// Root of the new one.
        found: Hash32,
    },
    /// The entries that were served after the held ones do not lead to the signed root: the log's
    /// history was rewritten, or the server altered entries.
    #[error(
        "fork: the entries of the {log} log after the held {held} do not lead to the signed root of {size}"
    )]
    Entries {
        /// The log.
        log: Log,
        /// Entries that are held.
        held: u64,
        /// Entries of the signed head.
        size: u64,
    },
    /// The distribution decided on another tree than the collection's log is.
    #[error(
        "fork: entry {leaf} of the distribution log speaks of a collection log with another root at {size} entries"
    )]
    Decided {
        /// Leaf index of the decision.
        leaf: u64,
        /// The size it speaks of.
        size: u64,
    },
}

/// Where evidence is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceKept(pub Result<PathBuf, String>);

impl std::fmt::Display for EvidenceKept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(path) => write!(formatter, "is kept in {}", path.display()),
            Err(why) => write!(formatter, "could not be kept: {why}"),
        }
    }
}

impl Failover for AttemptError {
    fn is_worth_another_server(&self) -> bool {
        match self {
            Self::Get(error) => error.is_worth_another_server(),
            Self::Authority(error) => error.is_worth_another_server(),
            Self::Database(_) | Self::Spool(_) | Self::Trust(TrustError::Database(_)) => false,
            _ => true,
        }
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
