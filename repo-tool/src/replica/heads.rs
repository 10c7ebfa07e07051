//! Heads: the one that the copy holds, and the one that the source has.

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::empty_root;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    CheckpointContext, Clock, SignedCheckpoint, SignerTimes, verify_checkpoint,
    verify_first_checkpoint,
};
use countersign_format::signature::cosignature_message;
use countersign_format::time::Timestamp;
use countersign_store::{Get, Got, Sink as _, Validator, WriteError};

use super::{Fork, Replica, ReplicaError};

/// Which signatures a copy asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signatures {
    /// The collection's: for a distribution, which is about to add its own.
    First,
    /// Both: for a mirror, as for a client.
    Both,
}

/// The head that a copy serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldHead {
    /// The checkpoint as it came.
    pub bytes: Vec<u8>,
    /// What its text says.
    pub checkpoint: Checkpoint,
    note: Note,
}

/// A head of the source that may replace the one that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The log.
    pub log: Log,
    /// The checkpoint as it came.
    pub bytes: Vec<u8>,
    /// What its text says, and the signatures that counted.
    pub signed: SignedCheckpoint,
    /// The head that is held; that of the empty log before the first.
    pub held: Checkpoint,
    /// Whether it is the held one, signatures and all.
    pub is_held: bool,
    /// What the source gave along with it, to ask later whether it changed.
    validator: Option<Validator>,
}

impl Replica {
    /// The head that the copy serves; none before the first.
    pub fn held_head(&self, log: Log) -> Result<Option<HeldHead>, WriteError> {
        let bytes = self.writer.read(&layout::checkpoint(log), MAX_NOTE as u64)?;
        Ok(bytes.and_then(|bytes| {
            let note = Note::parse(&bytes, MAX_NOTE).ok()?;
            let checkpoint = Checkpoint::parse(note.text()).ok()?;
            Some(HeldHead { bytes, checkpoint, note })
        }))
    }

    /// Fetches a log's head and checks that it may replace the held one: signed as `signatures`
    /// asks, within its age, of no earlier time and no smaller than the held one, and the same
    /// where it is of the same size. A held log of another origin is dropped.
    pub async fn fetch_head(
        &mut self,
        log: Log,
        authority: &AuthorityNote,
        distribution: &DistributionRole,
        signatures: Signatures,
        clock: Clock,
    ) -> Result<Head, ReplicaError> {
        let role = authority.log_role(log, distribution);
        let mut held = self.held_head(log)?;
        if held.as_ref().is_some_and(|held| held.checkpoint.origin != role.origin) {
            self.drop_log(log)?;
            held = None;
        }
        let path = layout::checkpoint(log);
        let (bytes, validator) = self.get_head(log, held.as_ref()).await?;
        let is_held = held.as_ref().is_some_and(|held| held.bytes == bytes);
        // no signature of the held one is older than itself
        let before = held.as_ref().filter(|_| !is_held);
        let newest = before.map(|held| newest_times(&held.note, authority, distribution));
        let file = format!("{}{path}", base(self.source.name()));
        let context = CheckpointContext {
            file: &file,
            log,
            authority,
            distribution,
            clock,
            newest: &newest.unwrap_or_default(),
        };
        let signed = match signatures {
            Signatures::First => {
                SignedCheckpoint::clone(&*verify_first_checkpoint(&bytes, &context)?)
            }
            Signatures::Both => SignedCheckpoint::clone(&*verify_checkpoint(&bytes, &context)?),
        };
        let held_bytes = held.as_ref().map(|held| held.bytes.clone()).unwrap_or_default();
        let held = held.map_or_else(|| empty(&role.origin), |held| held.checkpoint);
        let forward = self.check_forward(log, &held, &signed.checkpoint);
        if let Err(ReplicaError::Fork(fork)) = &forward {
            self.keep_contradiction(log, fork.size, &held_bytes, &bytes)?;
        }
        forward?;
        Ok(Head { log, bytes, signed, held, is_held, validator })
    }

    /// The source's head, and what it gave along with it. Where it says that this did not change, it
    /// is the held one.
    async fn get_head(
        &self,
        log: Log,
        held: Option<&HeldHead>,
    ) -> Result<(Vec<u8>, Option<Validator>), ReplicaError> {
        let (path, source_name) = (layout::checkpoint(log), self.source.name());
        let known = held.and_then(|held| self.state.validator(source_name, log, &held.bytes));
        let request = Get::up_to(MAX_NOTE as u64).unless(known.clone());
        match (self.source.get(&path, &request).await?, held) {
            (Got::Whole { bytes, validator }, _) => Ok((bytes, validator)),
            (Got::NotModified, Some(held)) if known.is_some() => Ok((held.bytes.clone(), known)),
            _ => Err(ReplicaError::Missing { source_name: source_name.to_owned(), path }),
        }
    }

    /// Makes all that is staged visible and durable, then the heads, one after the other.
    pub fn put_heads(&mut self, heads: &[&Head]) -> Result<(), WriteError> {
        let new = heads.iter().filter(|head| !head.is_held);
        let new: Vec<_> =
            new.map(|head| (layout::checkpoint(head.log), head.bytes.clone())).collect();
        self.writer.put_heads(&new)
    }

    /// Remembers what the source gave along with heads, which are held now.
    pub fn remember(&mut self, heads: &[&Head]) {
        let known: Vec<_> = heads
            .iter()
            .filter_map(|head| Some((head.log, head.bytes.as_slice(), head.validator.as_ref()?)))
            .collect();
        self.state.remember(self.source.name(), &known);
    }

    /// Keeps two heads of one log that cannot both be true.
    pub(crate) fn keep_contradiction(
        &self,
        log: Log,
        size: u64,
        held: &[u8],
        found: &[u8],
    ) -> Result<(), ReplicaError> {
        let name = |which: &str| format!("{log}-{size}-{which}");
        self.keep_evidence(&[(name("held"), held), (name("found"), found)])
    }

    /// Checks that a head is no smaller than the held one, and the same where it is of its size.
    pub(crate) fn check_forward(
        &self,
        log: Log,
        held: &Checkpoint,
        found: &Checkpoint,
    ) -> Result<(), ReplicaError> {
        let source_name = self.source.name().to_owned();
        if found.size < held.size {
            let (held, found) = (held.size, found.size);
            return Err(ReplicaError::Older { source_name, log, held, found });
        }
        if found.size == held.size && found.root != held.root {
            let (size, named, found) = (held.size, held.root, found.root);
            let other = format!("what is held in {}", self.root.display());
            let fork = Fork { source_name, log, size, found, named, other };
            return Err(ReplicaError::Fork(Box::new(fork)));
        }
        Ok(())
    }
}

/// The head of a log without entries.
pub(super) fn empty(origin: &KeyName) -> Checkpoint {
    Checkpoint { origin: origin.clone(), size: 0, root: empty_root() }
}

fn base(source: &str) -> String {
    let slash = if source.ends_with('/') { "" } else { "/" };
    format!("{source}{slash}")
}

/// The times of the signatures on the copy's own checkpoint, which no later head may go behind.
/// They were judged when the checkpoint came; here they only have to be real.
pub(crate) fn newest_times(
    note: &Note,
    authority: &AuthorityNote,
    distribution: &DistributionRole,
) -> SignerTimes {
    let servers = authority.collection.keys.iter().chain(&distribution.log.keys);
    let keys = servers.map(|key| &key.vkey).chain(&authority.witnesses.keys);
    let mut times = SignerTimes::new();
    for key in keys {
        for line in note.signatures() {
            if let Some(time) = time_of(note.text(), line, key) {
                // whoever mixes lines of one signer must not hide the newest of its times
                let newest = times.entry(key.key.clone()).or_insert(time);
                *newest = time.max(*newest);
            }
        }
    }
    times
}

/// When a key made a line on a note's text; none if the line is not a timestamped one of that key.
pub(crate) fn time_of(text: &str, line: &SignatureLine, key: &Vkey) -> Option<Timestamp> {
    let is_theirs = line.name == key.name && line.id == key.id(SignatureType::Cosignature);
    let (time, signature) = line.body.split_first_chunk::<8>().filter(|_| is_theirs)?;
    let time = u64::from_be_bytes(*time);
    let message = cosignature_message(text, time);
    let is_real = key.key.verifies(message.as_bytes(), signature.try_into().ok()?);
    Timestamp::from_seconds(time).ok().filter(|_| is_real)
}
