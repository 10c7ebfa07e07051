//! What can go wrong while signatures are gathered, and what a person can do about it.

use countersign_format::hash::Hash32;
use countersign_format::json::JsonError;
use countersign_format::key::{KeyId, KeyName};
use countersign_format::layout::Log;
use countersign_format::merkle::MerkleError;
use countersign_format::policy::PolicyError;
use countersign_format::signature::SignError;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure};

use super::Standing;
use crate::publish::PublishError;
use crate::role_dir::RoleDirError;

/// Why a round of signatures does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The role's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// The log, or the record of what was signed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A signature is wrong or does not count.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Others signed the head of a round that is to be given up.
    #[error("others signed the {0} of this round already, so it cannot be given up")]
    HeadSigned(String),
    /// Keys are still to sign; nothing was published.
    #[error("signatures of the {role} are missing, nothing was published")]
    Waiting {
        /// Whose signatures, in words.
        role: String,
        /// Whose, as commands have it.
        log: Log,
        /// Who has signed what.
        standings: Vec<Standing>,
        /// What is missing first.
        source: Box<PolicyError>,
    },
    /// Witnesses are still to cosign; readers see what they saw before.
    #[error("witnesses are missing, so readers see what they saw before")]
    Unwitnessed {
        /// Who has cosigned what.
        standings: Vec<Standing>,
        /// What is missing first.
        source: Box<PolicyError>,
    },
    /// A line is of a head that is neither published nor about to be.
    #[error("the head of {origin} with {size} entries is not one that waits here")]
    OtherHead {
        /// The log.
        origin: KeyName,
        /// Entries of the head.
        size: u64,
    },
    /// The file is malformed.
    #[error("{what} is malformed")]
    Json {
        /// Which file.
        what: &'static str,
        /// What is wrong.
        source: JsonError,
    },
    /// It asks for more than [`super::MAX_ITEMS`] signatures.
    #[error("signing request asks for more than {} signatures", super::MAX_ITEMS)]
    TooMany,
    /// The signatures are of another role's keys.
    #[error("these are signatures for a {found}, and this is a {expected}")]
    OtherRole {
        /// Whose they are.
        found: Log,
        /// Whose are asked for.
        expected: Log,
    },
    /// A signature under something that is not asked for.
    #[error("signature {place} is of {of}, which this round does not ask for")]
    NotAsked {
        /// Which one, from 0 on.
        place: usize,
        /// What it says it is of.
        of: Hash32,
    },
    /// A line that is no signature line.
    #[error("line of signature {0} is no signature line")]
    Line(usize),
    /// A line by a key that the authority does not list as in use.
    #[error("key {name} with ID {id} is not listed as in use for this kind of signature")]
    NotListed {
        /// The key's name.
        name: KeyName,
        /// Its ID.
        id: KeyId,
    },
    /// A timestamp from before the round began.
    #[error("{name} signed at {time}, before this round began at {begun}")]
    Early {
        /// The key's name.
        name: KeyName,
        /// When it signed.
        time: Timestamp,
        /// When the round began.
        begun: Timestamp,
    },
    /// Nothing waits for signatures of others.
    #[error("nothing waits for signatures of others")]
    NothingMissing,
    /// The key at hand is none that may sign.
    #[error("the key is none of those that may sign here: {0}")]
    NotMine(String),
    /// What is asked for is not what such a role signs.
    #[error("item {place} is not what a {role} signs")]
    OtherKind {
        /// Which one, from 0 on.
        place: usize,
        /// Whose signatures are asked for.
        role: Log,
    },
    /// Two heads of one log in one file.
    #[error("the request asks for two heads of {0}")]
    TwoHeads(KeyName),
    /// The entries in the request are not what the head adds.
    #[error("the request does not show what the head of {0} adds to its log")]
    NotShown(KeyName),
    /// A countersignature says that the first signatures were verified.
    #[error("countersignatures are given only on first signatures that were verified")]
    NoAuthority,
    /// Where a patch stands in the collection's log must be proven.
    #[error("the request has no head of the collection's log")]
    NoCollection,
    /// The patch is not where the request says, or that is not proven.
    #[error("the request does not prove at which entry of the collection's log {patch} is")]
    NoPlace {
        /// The patch, in words.
        patch: String,
        /// What is wrong with the proof.
        source: Option<MerkleError>,
    },
    /// This key signed the head of a tree that the proof does not begin with.
    #[error(
        "this key signed the head of {origin} with {signed} entries last, the request proves growth from {since} on"
    )]
    OtherSince {
        /// The log.
        origin: KeyName,
        /// Entries of the head that was signed last.
        signed: u64,
        /// Entries of the tree that the proof begins with.
        since: u64,
    },
    /// The log was rewritten.
    #[error(
        "the new head of {origin} does not extend the one of {signed} entries that this key signed"
    )]
    Fork {
        /// The log.
        origin: KeyName,
        /// Entries of the head that was signed last.
        signed: u64,
        /// What is wrong with the proof.
        source: Option<MerkleError>,
    },
}

impl RoundError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Waiting { log, standings, .. } => {
                let missing = standings.iter().find(|standing| !standing.is_met());
                let names = missing.map(|standing| {
                    standing.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                });
                format!(
                    "not signed by {}. Next: patchrepo {log} export DIR -o FILE, the holders sign \
                     (patchrepo sign), patchrepo {log} import, and the same command again",
                    names.unwrap_or_default()
                )
            }
            Self::HeadSigned(_) => {
                "complete it (publish), then revoke or withdraw what is not wanted".into()
            }
            Self::Unwitnessed { standings, .. } => {
                let missing = standings.iter().find(|standing| !standing.is_met());
                let names = missing.map(|standing| {
                    standing.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                });
                format!(
                    "not cosigned by {}. Next: each witness runs patchrepo witness run, then \
                     patchrepo distribution import DIR LINES, and the same command again",
                    names.unwrap_or_default()
                )
            }
            Self::OtherHead { .. } => {
                "the lines are of another repository, or came too late: run the witness again"
                    .into()
            }
            Self::NotAsked { .. } | Self::Early { .. } => {
                "the file belongs to another round, or was changed: export again".into()
            }
            Self::NoAuthority => {
                "give --authority FILE: the newest authority note, from a source of your own".into()
            }
            Self::OtherSince { signed, .. } => {
                format!("let the server export again with --since {signed}")
            }
            Self::NoCollection => {
                "let the server export again, with this version of the program".into()
            }
            Self::Fork { .. } | Self::TwoHeads(_) | Self::NotShown(_) | Self::NoPlace { .. } => {
                "sign nothing, and keep the file: no honest server makes it, or its log was forked"
                    .into()
            }
            _ => return None,
        })
    }
}

impl From<RoundError> for Failure {
    fn from(error: RoundError) -> Self {
        let hint = error.hint();
        let exit = match error {
            RoundError::RoleDir(error) => return error.into(),
            RoundError::Publish(error) => return error.into(),
            RoundError::Policy(_) | RoundError::Waiting { .. } | RoundError::Unwitnessed { .. } => {
                ExitStatus::Signature
            }
            RoundError::Fork { .. }
            | RoundError::TwoHeads(_)
            | RoundError::NotShown(_)
            | RoundError::NoPlace { .. }
            | RoundError::HeadSigned(_) => ExitStatus::RollbackOrFork,
            _ => ExitStatus::Failed,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}
