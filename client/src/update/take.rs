//! Taking the entries of both logs into the index, one after the other.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{AuthorityReference, CollectionEntry, DistributionEntry};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::merkle::Frontier;

use super::NewHead;
use super::error::AttemptError;
use super::fold::{Fetched, FoldError};
use super::spool::{Spool, SpoolError, Spooled};
use crate::db::DatabaseError;
use crate::db::index::{DecidedHead, Decision, IndexWriter};
use crate::db::patches::PatchWriter;
use crate::db::source::{HeldLog, put_log, put_signer_time};
use crate::trust::{Head, Trust};

/// Why one entry was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("entry {} decides on another tree", .0.leaf)]
    Decided(DecidedHead),
}

/// An entry that names an authority note.
struct Mention {
    leaf: u64,
    reference: AuthorityReference,
}

/// Takes entries into the index.
pub(super) struct Taker<'t> {
    index: &'t IndexWriter<'t>,
    mentions: Vec<Mention>,
    /// Entries that were passed over.
    pub(super) oddities: u64,
    /// The collection's log as far as it is read, for the trees that decisions speak of.
    frontier: Frontier,
    /// Those trees, the largest first, without that of the new head.
    decided: Vec<DecidedHead>,
}

impl<'t> Taker<'t> {
    pub(super) fn new(index: &'t IndexWriter<'t>) -> Self {
        let frontier = Frontier::empty();
        Self { index, mentions: Vec::new(), oddities: 0, frontier, decided: Vec::new() }
    }

    /// Takes the new entries of a log and keeps its head.
    pub(super) fn take(
        &mut self,
        from: &Head,
        new: &NewHead,
        fetched: Fetched,
    ) -> Result<(), FoldError> {
        let log = from.log;
        if from.is_left {
            self.index.drop_log(log)?;
        }
        let Fetched { entries, held } = fetched;
        match log {
            Log::Collection => self.collection(from.size(), held.frontier.size(), entries)?,
            Log::Distribution => {
                let mut leaf = from.size();
                entries.drain(|entry| {
                    leaf += 1;
                    self.distribution_entry(leaf - 1, entry.bytes)
                })?;
            }
        }
        let now_held = HeldLog {
            origin: new.signed.checkpoint.origin.clone(),
            held,
            checkpoint: new.bytes.clone(),
            validator: new.validator.clone(),
        };
        put_log(self.index.transaction, self.index.source, log, &now_held)?;
        for counted in &new.signed.counted {
            if let Some(time) = counted.time {
                let (transaction, source) = (self.index.transaction, self.index.source);
                put_signer_time(transaction, source, log, &counted.key, time)?;
            }
        }
        Ok(())
    }

    fn collection(&mut self, before: u64, size: u64, entries: Spool) -> Result<(), TakeError> {
        let mut patches = PatchWriter::open(self.index, before, size)?;
        let mut leaf = before;
        entries.drain(|Spooled { bytes, leaf: hash, patch }| {
            match patch {
                Some(keys) if patches.put(leaf, keys, bytes)? => {}
                Some(_) => {
                    self.pass_over(Log::Collection, leaf, "repeats an earlier patch", bytes)?;
                }
                None => self.no_patch(leaf, bytes)?,
            }
            leaf += 1;
            self.compare_decided(hash)
        })?;
        Ok(patches.finish(size)?)
    }

    /// Takes an entry of the collection's log that is no well-formed patch.
    fn no_patch(&mut self, leaf: u64, bytes: &[u8]) -> Result<(), TakeError> {
        let reason = match CollectionEntry::parse(bytes) {
            Ok(CollectionEntry::Revoke(revoke)) if revoke.patch < leaf => {
                return Ok(self.index.put_revocation(leaf, &revoke)?);
            }
            Ok(CollectionEntry::Authority(reference)) => {
                self.mentions.push(Mention { leaf, reference });
                return Ok(());
            }
            Ok(CollectionEntry::Revoke(_)) => "revokes what is not there".to_owned(),
            Ok(CollectionEntry::Patch(_)) => unreachable!("it was parsed before"),
            Err(error) => super::error::chain(&error),
        };
        self.pass_over(Log::Collection, leaf, &reason, bytes)
    }

    fn distribution_entry(&mut self, leaf: u64, bytes: &[u8]) -> Result<(), TakeError> {
        let decision = match DistributionEntry::parse(bytes) {
            Ok(DistributionEntry::Release(release)) => Decision::Release(release),
            Ok(DistributionEntry::Withdraw(withdraw)) => Decision::Withdraw(withdraw),
            Ok(DistributionEntry::Authority(reference)) => {
                self.mentions.push(Mention { leaf, reference });
                return Ok(());
            }
            Err(error) => {
                let reason = super::error::chain(&error);
                return self.pass_over(Log::Distribution, leaf, &reason, bytes);
            }
        };
        Ok(self.index.put_decision(leaf, &decision, bytes)?)
    }

    fn pass_over(
        &mut self,
        log: Log,
        leaf: u64,
        reason: &str,
        bytes: &[u8],
    ) -> Result<(), TakeError> {
        self.oddities += 1;
        Ok(self.index.put_oddity(log, leaf, reason, bytes)?)
    }

    /// Compares the trees that decisions speak of from here on, `frontier` being what is held. That
    /// of the new head is compared with what is signed: the entries are known to lead there.
    pub(super) fn watch(
        &mut self,
        frontier: Frontier,
        mut decided: Vec<DecidedHead>,
        head: &Checkpoint,
    ) -> Result<(), FoldError> {
        decided.reverse();
        let rest = decided.partition_point(|decided| decided.size == head.size);
        let last = decided.drain(..rest).rfind(|decided| decided.root != head.root);
        (self.frontier, self.decided) = (frontier, decided);
        self.compare_here()?;
        last.map_or(Ok(()), |decided| Err(FoldError::Decided(decided)))
    }

    fn compare_decided(&mut self, leaf: Hash32) -> Result<(), TakeError> {
        if self.decided.is_empty() {
            return Ok(());
        }
        self.frontier.push(leaf);
        self.compare_here()
    }

    fn compare_here(&mut self) -> Result<(), TakeError> {
        let size = self.frontier.size();
        while let Some(decided) = self.decided.pop_if(|decided| decided.size == size) {
            if decided.root != self.frontier.root() {
                return Err(TakeError::Decided(decided));
            }
        }
        Ok(())
    }

    /// Checks that the authority notes that a log's new entries name are the accepted ones. Those
    /// below the enrolled one, and those that were passed over and superseded, are of the past.
    pub(super) fn check_mentions(&mut self, trust: &Trust, log: Log) -> Result<(), FoldError> {
        let newest = trust.authority().version;
        for Mention { leaf, reference } in self.mentions.drain(..) {
            let version = reference.version;
            match trust.accepted().get(&version) {
                Some(accepted) if *accepted == reference.sha256 => {}
                Some(_) => {
                    return Err(AttemptError::OtherAuthority { log, leaf, version }.into());
                }
                None if version < newest => {}
                None => return Err(AttemptError::AuthorityHidden { log, leaf, version }.into()),
            }
        }
        Ok(())
    }
}
