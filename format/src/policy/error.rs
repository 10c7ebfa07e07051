//! Why signatures do not suffice, in words that name layer, role, key and file.

use std::collections::BTreeSet;
use std::fmt;

use crate::authority::AuthorityError;
use crate::checkpoint::CheckpointError;
use crate::directory::DirectoryError;
use crate::entry::EntryError;
use crate::key::{KeyId, KeyName, SignatureType};
use crate::note::NoteError;
use crate::text::DistributionName;
use crate::time::Timestamp;

use super::ChainError;

/// What a file is part of. A client demands both signatures on the index and on the archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Which keys hold which role.
    Authority,
    /// Layer 1: the logs' checkpoints.
    Index,
    /// Layer 2: patch notes and the archives that they name.
    Archive,
    /// Where servers are.
    Directory,
}

/// Who is to sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// The authority, by the keys of this version of its note.
    Authority {
        /// The version whose keys are asked for.
        version: u64,
    },
    /// The collection: the first signature.
    Collection,
    /// This distribution: the second signature.
    Distribution(DistributionName),
    /// Independent cosigners.
    Witness,
    /// The directory.
    Directory,
    /// A server that shows that it holds the key it asks to be listed.
    Applicant(KeyName),
}

/// A file whose signatures do not suffice, or that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layer}: {file} is refused")]
pub struct PolicyError {
    /// The file, as a repository path or as it was given.
    pub file: String,
    /// What it is part of.
    pub layer: Layer,
    /// Why it is refused.
    #[source]
    pub refusal: Refusal,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a note at all.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The text is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The text is no authority note.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The text is no directory note.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A line of a known key does not verify.
    #[error("the {role}'s {} by key {name} with ID {id} is wrong", form_name(*.form))]
    BadSignature {
        /// Whose line.
        role: Role,
        /// Which kind of line.
        form: SignatureType,
        /// The key's name.
        name: KeyName,
        /// The key's ID for this kind.
        id: KeyId,
    },
    /// A role has not signed often enough.
    #[error("{}", join(.0))]
    TooFew(Vec<Shortfall>),
    /// The checkpoint is of another log.
    #[error("checkpoint is of the log {found}, expected {expected}")]
    Origin {
        /// The log's name by the authority.
        expected: KeyName,
        /// The name in the checkpoint.
        found: String,
    },
    /// The patch note's text is not the entry that the log has.
    #[error("the note's text is not entry {index} of the collection's log")]
    OtherEntry {
        /// Leaf index of the entry.
        index: u64,
    },
    /// The note may not follow the ones before.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The newest note has expired.
    #[error("it expired on {expires}, and it is {now}")]
    Expired {
        /// When.
        expires: Timestamp,
        /// The later of the local clock and the verified floor.
        now: Timestamp,
    },
}

/// Most keys that a message names.
const MAX_NAMED: usize = 5;

/// What a requirement lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// Who should have signed.
    pub role: Role,
    /// In which form.
    pub form: SignatureType,
    /// How many different keys.
    pub needed: u32,
    /// How many counted.
    pub found: u32,
    /// The keys in use that have no line there, each with its ID for this kind of line.
    pub unsigned: Vec<(KeyName, KeyId)>,
    /// Lines that verified and did not count.
    pub uncounted: Vec<Uncounted>,
}

/// A line that verified and did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncounted {
    /// The key's name.
    pub name: KeyName,
    /// The key's ID.
    pub id: KeyId,
    /// Why.
    pub reason: UncountedReason,
}

/// Why a line that verified did not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncountedReason {
    /// The key was retired.
    Retired {
        /// From this index of its log on.
        until: u64,
    },
    /// Older than its role's maximum age.
    TooOld {
        /// Age in seconds.
        age: u64,
        /// The limit in seconds.
        max_age: u64,
    },
    /// Further ahead of the local clock than is tolerated.
    Ahead {
        /// Seconds ahead.
        seconds: u64,
        /// What the local clock says.
        local: Timestamp,
    },
    /// Older than what this signer said before.
    Behind {
        /// Seconds older.
        seconds: u64,
        /// The newest time seen of the signer.
        newest: Timestamp,
    },
}

/// What kind of refusal it is: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Expired, or older than its limit: a freeze.
    Expired,
    /// Older than what was seen before: a rollback.
    Rollback,
    /// A signature is missing or wrong, or the file is not what it must be.
    Signature,
}

impl PolicyError {
    pub(super) fn at(file: &str, layer: Layer) -> impl FnOnce(Refusal) -> Self {
        move |refusal| Self { file: file.to_owned(), layer, refusal }
    }

    /// What kind of refusal it is.
    pub fn verdict(&self) -> Verdict {
        match &self.refusal {
            Refusal::Expired { .. } => Verdict::Expired,
            Refusal::TooFew(shortfalls) => {
                shortfalls.iter().map(Shortfall::verdict).max().unwrap_or(Verdict::Signature)
            }
            _ => Verdict::Signature,
        }
    }
}

impl Shortfall {
    fn verdict(&self) -> Verdict {
        // keys, not lines: two old lines of one key are not what two keys would have to say
        let count = |timely: fn(&UncountedReason) -> bool| {
            let lines = self.uncounted.iter().filter(|line| timely(&line.reason));
            lines.map(|line| (&line.name, line.id)).collect::<BTreeSet<_>>().len()
        };
        let needed = (self.needed - self.found) as usize;
        let old = count(|reason| !matches!(reason, UncountedReason::Retired { .. }));
        let behind = count(|reason| matches!(reason, UncountedReason::Behind { .. }));
        match () {
            () if old < needed => Verdict::Signature,
            () if behind > 0 => Verdict::Rollback,
            () => Verdict::Expired,
        }
    }
}

/// The paper's word for a kind of line.
pub(super) fn form_name(form: SignatureType) -> &'static str {
    match form {
        SignatureType::Note => "signature",
        SignatureType::Cosignature => "timestamped signature",
        SignatureType::Countersignature => "countersignature",
    }
}

fn join(shortfalls: &[Shortfall]) -> String {
    shortfalls.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Shortfall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, form, needed, found, unsigned, uncounted } = self;
        let form = form_name(*form);
        match (needed, found, uncounted.as_slice()) {
            (1, 0, []) => write!(formatter, "the {role}'s {form} is missing"),
            (1, 0, _) => write!(formatter, "the {role}'s {form} does not count"),
            _ => write!(formatter, "{found} of {needed} {form}s of the {role} count"),
        }?;
        let lines = uncounted.iter();
        let mut reasons: Vec<_> =
            lines.map(|line| format!("{} (ID {}) {}", line.name, line.id, line.reason)).collect();
        if !unsigned.is_empty() {
            let name = |(name, id): &(KeyName, KeyId)| format!("{name} (ID {id})");
            let names: Vec<_> = unsigned.iter().take(MAX_NAMED).map(name).collect();
            let more = if unsigned.len() > MAX_NAMED { " or others" } else { "" };
            reasons.push(format!("none is by {}{more}", names.join(" or ")));
        }
        match reasons.as_slice() {
            [] => Ok(()),
            reasons => write!(formatter, ": {}", reasons.join(", ")),
        }
    }
}

impl fmt::Display for UncountedReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retired { until } => write!(formatter, "is retired from index {until} on"),
            Self::TooOld { age, max_age } => {
                write!(formatter, "is {age} s old, the limit is {max_age} s")
            }
            Self::Ahead { seconds, local } => {
                write!(formatter, "is {seconds} s ahead of the local clock, which says {local}")
            }
            Self::Behind { seconds, newest } => {
                write!(formatter, "is {seconds} s older than {newest}, which was seen before")
            }
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Authority => "authority",
            Self::Index => "layer 1 (index)",
            Self::Archive => "layer 2 (archive)",
            Self::Directory => "directory",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority { version } => write!(formatter, "authority of version {version}"),
            Self::Collection => formatter.write_str("collection"),
            Self::Distribution(name) => write!(formatter, "distribution {name}"),
            Self::Witness => formatter.write_str("witnesses"),
            Self::Directory => formatter.write_str("directory"),
            Self::Applicant(name) => write!(formatter, "applicant {name}"),
        }
    }
}
