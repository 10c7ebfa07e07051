//! Layer 1: checkpoints of both logs (SPEC §4).

use crate::authority::{AuthorityNote, DistributionRole, LogRole};
use crate::checkpoint::Checkpoint;
use crate::layout::Log;
use crate::limits::MAX_NOTE;
use crate::note::Note;

use super::{
    Candidate, Clock, Counted, FirstVerified, Form, Freshness, Layer, PolicyError, Refusal,
    Requirement, Role, SignerTimes, Tally, Verified, decide, tally,
};

/// What a checkpoint is judged by.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointContext<'a> {
    /// The file's name, for messages.
    pub file: &'a str,
    /// Which log it must be the head of.
    pub log: Log,
    /// The newest authority note.
    pub authority: &'a AuthorityNote,
    /// The distribution that the reader is enrolled with.
    pub distribution: &'a DistributionRole,
    /// The time.
    pub clock: Clock,
    /// The newest time seen of each signer on this log.
    pub newest: &'a SignerTimes,
}

/// A checkpoint with the signatures that counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The note as it came: evidence, should another contradict it.
    pub note: Note,
    /// The signatures that counted, with their times.
    pub counted: Vec<Counted>,
}

/// Verifies a checkpoint for a client or a mirror: timestamped signatures by a threshold of the
/// log's own keys, on the collection's log by a threshold of the distribution's keys too, and by
/// the witnesses' quorum.
pub fn verify_checkpoint(
    bytes: &[u8],
    context: &CheckpointContext<'_>,
) -> Result<Verified<SignedCheckpoint>, PolicyError> {
    check(bytes, context, &client_requirements(context)).map(Verified)
}

/// Verifies a checkpoint that waits for its witnesses (SPEC §4.6): the servers' signatures that
/// [`verify_checkpoint`] asks for, and no quorum. No reader of the published log may take it.
pub fn verify_waiting_checkpoint(
    bytes: &[u8],
    context: &CheckpointContext<'_>,
) -> Result<FirstVerified<SignedCheckpoint>, PolicyError> {
    let mut requirements = server_requirements(context);
    requirements.push(context.witnessed(0));
    check(bytes, context, &requirements).map(FirstVerified)
}

/// Verifies a checkpoint of the collection's log for a distribution: the collection's signatures
/// only, since the distribution's are what it is about to add.
pub fn verify_first_checkpoint(
    bytes: &[u8],
    context: &CheckpointContext<'_>,
) -> Result<FirstVerified<SignedCheckpoint>, PolicyError> {
    let distribution = Role::Distribution(context.distribution.name.clone());
    check(bytes, context, &own_requirements(context, distribution)).map(FirstVerified)
}

/// Counts, for a person, whose signatures on a checkpoint are enough and whose are not: as
/// [`verify_checkpoint`] counts, or, with `is_first`, as [`verify_first_checkpoint`] does. An error
/// where a line of a known key is wrong. What it says is no ground for trust.
pub fn tally_checkpoint(
    bytes: &[u8],
    context: &CheckpointContext<'_>,
    is_first: bool,
) -> Result<Vec<Tally>, PolicyError> {
    let distribution = Role::Distribution(context.distribution.name.clone());
    let requirements = if is_first {
        own_requirements(context, distribution)
    } else {
        client_requirements(context)
    };
    let count = || tally(&Note::parse(bytes, MAX_NOTE)?, &requirements);
    count().map_err(PolicyError::at(context.file, Layer::Index))
}

/// All that a client asks of a checkpoint.
fn client_requirements<'a>(context: &CheckpointContext<'a>) -> Vec<Requirement<'a>> {
    let mut requirements = server_requirements(context);
    requirements.push(context.witnessed(context.authority.witnesses.quorum));
    requirements
}

/// The signatures of the log's own keys, and on the collection's log those of the distribution's.
fn server_requirements<'a>(context: &CheckpointContext<'a>) -> Vec<Requirement<'a>> {
    let distribution = Role::Distribution(context.distribution.name.clone());
    let mut requirements = own_requirements(context, distribution.clone());
    if context.log == Log::Collection {
        requirements.push(context.cosigned(distribution, &context.distribution.log));
    }
    requirements
}

/// The signatures of the log's own keys: timestamped ones by the threshold, and plain ones, which
/// are there for other readers and must verify where they stand.
fn own_requirements<'a>(
    context: &CheckpointContext<'a>,
    distribution: Role,
) -> Vec<Requirement<'a>> {
    let own = context.authority.log_role(context.log, context.distribution);
    let role = match context.log {
        Log::Collection => Role::Collection,
        Log::Distribution => distribution,
    };
    let plain = Requirement {
        role: role.clone(),
        form: Form::Note,
        threshold: 0,
        candidates: candidates(own),
    };
    vec![plain, context.cosigned(role, own)]
}

fn check(
    bytes: &[u8],
    context: &CheckpointContext<'_>,
    requirements: &[Requirement<'_>],
) -> Result<SignedCheckpoint, PolicyError> {
    let judge = || -> Result<SignedCheckpoint, Refusal> {
        let note = Note::parse(bytes, MAX_NOTE)?;
        let counted = decide(&note, requirements)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let own = context.authority.log_role(context.log, context.distribution);
        if checkpoint.origin != own.origin {
            let found = checkpoint.origin.to_string();
            return Err(Refusal::Origin { expected: own.origin.clone(), found });
        }
        Ok(SignedCheckpoint { checkpoint, note, counted })
    };
    judge().map_err(PolicyError::at(context.file, Layer::Index))
}

impl<'a> CheckpointContext<'a> {
    fn cosigned(&self, role: Role, log: &'a LogRole) -> Requirement<'a> {
        Requirement {
            role,
            form: Form::Cosignature(self.freshness(log.max_age)),
            threshold: log.threshold,
            candidates: candidates(log),
        }
    }

    fn witnessed(&self, quorum: u32) -> Requirement<'a> {
        let own = self.authority.log_role(self.log, self.distribution);
        let witnesses = self.authority.witnesses.keys.iter();
        Requirement {
            role: Role::Witness,
            form: Form::Cosignature(self.freshness(own.max_age)),
            threshold: quorum,
            candidates: witnesses
                .map(|vkey| Candidate { name: &vkey.name, key: &vkey.key, retired: None })
                .collect(),
        }
    }

    fn freshness(&self, max_age: u64) -> Freshness<'a> {
        Freshness { clock: self.clock, max_age, newest: self.newest }
    }
}

/// All keys of a role; a retired one counts for no checkpoint.
fn candidates(role: &LogRole) -> Vec<Candidate<'_>> {
    role.keys
        .iter()
        .map(|key| Candidate { name: &key.id, key: &key.vkey.key, retired: key.until })
        .collect()
}
