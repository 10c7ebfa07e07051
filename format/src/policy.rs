//! Whether signatures suffice (SPEC §3.1, §3.2, §4, §5.2, §6).
//!
//! One function, `decide`, counts signatures in the whole project; everything else here says what
//! to count for one kind of file. What it accepts comes out as [`Verified`], which nothing else can
//! make: code that installs takes `Verified<PatchNote>` and nothing less. A server that countersigns
//! works with [`FirstVerified`], which no client accepts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Deref;

use crate::key::{KeyId, KeyName, PublicKey, SignatureType};
use crate::limits::MAX_CLOCK_AHEAD;
use crate::note::{Note, SignatureLine};
use crate::signature::{cosignature_message, countersignature_message};
use crate::time::Timestamp;

mod archive;
mod authority;
mod error;
mod gathering;
mod index;
mod single;

pub use archive::{PatchContext, PatchNote, collection_lines, verify_first_patch, verify_patch};
pub use authority::{Chain, ChainError};
pub use error::{
    Layer, PolicyError, Refusal, Role, Shortfall, Uncounted, UncountedReason, Verdict,
};
pub use gathering::{Gathering, verify_brought, verify_gathered};
pub use index::{
    CheckpointContext, SignedCheckpoint, tally_checkpoint, verify_checkpoint,
    verify_first_checkpoint, verify_waiting_checkpoint,
};
pub use single::{check_unexpired, newest_signing, verify_directory, verify_own_signature};

/// Something whose signatures suffice. Only this module makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T>(T);

/// Something that the collection signed and the distribution, or the witnesses, have not yet. Enough
/// to look at and to add a signature, never enough for a client. Only this module makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstVerified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for FirstVerified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The local clock, and the newest moment that verified signatures prove to have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// What the machine's clock says.
    pub local: Timestamp,
    /// The smaller of the newest verified times of the collection and of the distribution.
    pub floor: Timestamp,
}

impl Clock {
    /// A clock without a floor.
    pub fn local(local: Timestamp) -> Self {
        Self { local, floor: Timestamp::EPOCH }
    }

    /// The later of both: what ages and expiries are measured against, so that a clock set back
    /// brings nothing old to life.
    pub fn now(self) -> Timestamp {
        self.local.max(self.floor)
    }
}

/// The newest time seen of each signer on one log.
pub type SignerTimes = BTreeMap<PublicKey, Timestamp>;

/// One signature that counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The role that it counted for.
    pub role: Role,
    /// The kind of line.
    pub form: SignatureType,
    /// The key's name.
    pub name: KeyName,
    /// The key.
    pub key: PublicKey,
    /// When it was made, for timestamped cosignatures.
    pub time: Option<Timestamp>,
}

/// How many different keys of a role count on a file, and how many must.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The role.
    pub role: Role,
    /// How many must count.
    pub needed: u32,
    /// How many do.
    pub found: u32,
}

/// A key that may sign, and whether its signature counts.
struct Candidate<'a> {
    name: &'a KeyName,
    key: &'a PublicKey,
    /// The index from which on its signatures do not count, where that is why they don't here.
    retired: Option<u64>,
}

/// What a signature line must be to count.
enum Form<'a> {
    Note,
    Cosignature(Freshness<'a>),
    /// Over these first signatures.
    Countersignature(Vec<&'a SignatureLine>),
}

/// When a timestamped cosignature counts.
#[derive(Clone, Copy)]
struct Freshness<'a> {
    clock: Clock,
    max_age: u64,
    newest: &'a SignerTimes,
}

/// So many different keys out of these, in this form.
struct Requirement<'a> {
    role: Role,
    form: Form<'a>,
    /// Zero: lines need not be there, but must verify where they are.
    threshold: u32,
    candidates: Vec<Candidate<'a>>,
}

/// Decides whether the signatures on `note` suffice: every line of a key that `requirements` know
/// verifies, and each requirement is met by as many different public keys as its threshold says.
/// Lines of other keys are passed over. Returns what counted.
fn decide(note: &Note, requirements: &[Requirement<'_>]) -> Result<Vec<Counted>, Refusal> {
    let mut counted: Vec<Counted> = Vec::new();
    let mut shortfalls = Vec::new();
    for requirement in requirements {
        let mut keys = BTreeMap::new();
        let mut uncounted = Vec::new();
        for line in note.signatures() {
            let Some((candidate, time)) = requirement.verify(note.text(), line)? else { continue };
            if let Some(reason) = requirement.reason_not_to_count(candidate, time) {
                uncounted.push(Uncounted { name: line.name.clone(), id: line.id, reason });
                continue;
            }
            let line = requirement.counted(candidate, time);
            match keys.entry(candidate.key) {
                Entry::Vacant(key) => {
                    key.insert(counted.len());
                    counted.push(line);
                }
                // whoever mixes lines of one signer must not hide the newest of its times
                Entry::Occupied(key) => {
                    let first = &mut counted[*key.get()];
                    first.time = first.time.max(line.time);
                }
            }
        }
        if keys.len() < requirement.threshold as usize {
            shortfalls.push(Shortfall {
                role: requirement.role.clone(),
                form: requirement.form.kind(),
                needed: requirement.threshold,
                found: u32::try_from(keys.len()).expect("at most MAX_SIGNATURE_LINES"),
                unsigned: requirement.unsigned(&keys, &uncounted),
                uncounted,
            });
        }
    }
    if shortfalls.is_empty() { Ok(counted) } else { Err(Refusal::TooFew(shortfalls)) }
}

/// For each requirement that asks for a signature, what [`decide`] makes of it by itself.
fn tally(note: &Note, requirements: &[Requirement<'_>]) -> Result<Vec<Tally>, Refusal> {
    let asks = |requirement: &&Requirement<'_>| requirement.threshold > 0;
    let count = |requirement: &Requirement<'_>| {
        let found = match decide(note, std::slice::from_ref(requirement)) {
            Ok(counted) => u32::try_from(counted.len()).expect("at most MAX_SIGNATURE_LINES"),
            Err(Refusal::TooFew(shortfalls)) => shortfalls.iter().map(|short| short.found).sum(),
            Err(refusal) => return Err(refusal),
        };
        Ok(Tally { role: requirement.role.clone(), needed: requirement.threshold, found })
    };
    requirements.iter().filter(asks).map(count).collect()
}

impl<'a> Requirement<'a> {
    /// The candidate that made `line`, and the line's time. None for a line of another key or kind;
    /// an error for one that claims a candidate's name and ID and does not verify.
    ///
    /// The key ID only finds candidates. Should two share one, the line belongs to the one under
    /// whose key it verifies.
    fn verify(
        &self,
        text: &str,
        line: &SignatureLine,
    ) -> Result<Option<(&Candidate<'a>, Option<u64>)>, Refusal> {
        let mut claimed = false;
        for candidate in &self.candidates {
            if !self.claims(candidate, &line.name, line.id) {
                continue;
            }
            claimed = true;
            if let Some((message, signature, time)) = self.form.message(text, line)
                && candidate.key.verifies(message.as_bytes(), signature)
            {
                return Ok(Some((candidate, time)));
            }
        }
        if !claimed {
            return Ok(None);
        }
        Err(Refusal::BadSignature {
            role: self.role.clone(),
            form: self.form.kind(),
            name: line.name.clone(),
            id: line.id,
        })
    }

    /// The keys in use that have no line, each with its ID for this kind of line.
    fn unsigned(
        &self,
        counted: &BTreeMap<&PublicKey, usize>,
        uncounted: &[Uncounted],
    ) -> Vec<(KeyName, KeyId)> {
        let has_line = |candidate: &&Candidate<'_>| {
            let is_theirs = |line: &Uncounted| self.claims(candidate, &line.name, line.id);
            counted.contains_key(candidate.key) || uncounted.iter().any(is_theirs)
        };
        let active = self.candidates.iter().filter(|candidate| candidate.retired.is_none());
        let id = |key: &Candidate<'_>| self.form.kind().key_id(key.name, key.key);
        active.filter(|key| !has_line(key)).map(|key| (key.name.clone(), id(key))).collect()
    }

    fn claims(&self, candidate: &Candidate<'_>, name: &KeyName, id: KeyId) -> bool {
        candidate.name == name && self.form.kind().key_id(candidate.name, candidate.key) == id
    }

    fn reason_not_to_count(
        &self,
        candidate: &Candidate<'_>,
        time: Option<u64>,
    ) -> Option<UncountedReason> {
        if let Some(until) = candidate.retired {
            return Some(UncountedReason::Retired { until });
        }
        match (&self.form, time) {
            (Form::Cosignature(freshness), Some(time)) => freshness.refuses(candidate.key, time),
            _ => None,
        }
    }

    fn counted(&self, candidate: &Candidate<'_>, time: Option<u64>) -> Counted {
        Counted {
            role: self.role.clone(),
            form: self.form.kind(),
            name: candidate.name.clone(),
            key: candidate.key.clone(),
            time: time.and_then(|seconds| Timestamp::from_seconds(seconds).ok()),
        }
    }
}

impl Form<'_> {
    fn kind(&self) -> SignatureType {
        match self {
            Self::Note => SignatureType::Note,
            Self::Cosignature(_) => SignatureType::Cosignature,
            Self::Countersignature(_) => SignatureType::Countersignature,
        }
    }

    /// What `line` signs if it is of this form, its signature, and its time.
    fn message<'l>(
        &self,
        text: &str,
        line: &'l SignatureLine,
    ) -> Option<(String, &'l [u8; 64], Option<u64>)> {
        match self {
            Self::Note => Some((text.to_owned(), line.body.as_slice().try_into().ok()?, None)),
            Self::Cosignature(_) => {
                let (time, signature) = line.body.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                i64::try_from(time).ok()?;
                Some((cosignature_message(text, time), signature.try_into().ok()?, Some(time)))
            }
            Self::Countersignature(first) => {
                let message = countersignature_message(text, first.iter().copied());
                Some((message, line.body.as_slice().try_into().ok()?, None))
            }
        }
    }
}

impl Freshness<'_> {
    fn refuses(&self, key: &PublicKey, time: u64) -> Option<UncountedReason> {
        let latest = self.clock.local.seconds().saturating_add(MAX_CLOCK_AHEAD);
        if time > latest {
            let seconds = time - self.clock.local.seconds();
            return Some(UncountedReason::Ahead { seconds, local: self.clock.local });
        }
        let age = self.clock.now().seconds().saturating_sub(time);
        if age > self.max_age {
            return Some(UncountedReason::TooOld { age, max_age: self.max_age });
        }
        let newest = self.newest.get(key).filter(|newest| time < newest.seconds())?;
        Some(UncountedReason::Behind { seconds: newest.seconds() - time, newest: *newest })
    }
}

#[cfg(test)]
mod tests;
