//! Signing both heads anew, where nothing is published.

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::time::Timestamp;
use countersign_store::{Sink as _, durable};

use super::Session;
use crate::distribution::DistributionError;
use crate::distribution::collection_head::HeldHead;
use crate::publish::{
    Assurances, PublishError, Publisher, SignedHead, drop_candidate, is_old, refresh_copy,
};
use crate::round::Gathered;

/// What a refresh came to, besides the new timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refreshed {
    /// When the heads were signed.
    pub time: Timestamp,
    /// Packs that were missing and were made.
    pub packs: usize,
    /// Superseded files that were removed.
    pub removed: usize,
}

impl Session<'_> {
    /// Whether there is anything for [`Self::refresh`] to do at `now`: more of the collection's log
    /// than is published, a head as old as [`is_old`] says, or lines of witnesses as old as that
    /// where newer ones are at hand, or none that count. No key is needed.
    pub fn is_due(
        &self,
        now: Timestamp,
        older_than: Option<u64>,
    ) -> Result<bool, DistributionError> {
        self.check_authority()?;
        let mut writer = self.distribution.public_sink();
        let publisher = self.open(&mut writer)?;
        let max_age = self.role()?.log.max_age;
        let own = publisher.pending().is_some()
            || self.known.is_waiting()
            || is_old(publisher.signed(), now, max_age, older_than);
        let held = self.held_head()?;
        let cosigned = HeldHead::cosigned(self.distribution)?;
        let is_behind =
            cosigned.as_ref().map(SignedHead::checkpoint).as_ref() != Some(&held.checkpoint);
        let signed = cosigned.map(|head| head.time);
        if own || is_behind || is_old(signed, now, max_age, older_than) {
            return Ok(true);
        }
        self.are_witnesses_due(&publisher, &held, older_than)
    }

    pub(super) fn are_witnesses_due(
        &self,
        publisher: &Publisher<'_>,
        held: &HeldHead,
        older_than: Option<u64>,
    ) -> Result<bool, DistributionError> {
        let round = self.round(publisher, held)?;
        let gathered = self.gathered(publisher, held, &round)?;
        let served = self.published_heads(publisher)?;
        Ok(round.quorums.iter().filter(|quorum| quorum.is_asked_for()).any(|quorum| {
            let now = quorum.time(&quorum.lines_on(&served), self.now);
            let then = quorum.time(&gathered.witnesses(quorum), self.now);
            now.is_none() || (then > now && is_old(now, self.now, quorum.max_age(), older_than))
        }))
    }

    /// Both heads that readers see, as far as there are any.
    pub(super) fn published_heads(
        &self,
        publisher: &Publisher<'_>,
    ) -> Result<Vec<Note>, DistributionError> {
        let cosigned = layout::checkpoint(Log::Collection);
        let cosigned = self.distribution.public_sink().read(&cosigned, MAX_NOTE as u64)?;
        let cosigned = cosigned.and_then(|bytes| Note::parse(&bytes, MAX_NOTE).ok());
        Ok(publisher.published_note()?.into_iter().chain(cosigned).collect())
    }

    /// Signs both heads anew, the collection's as it was fetched last; makes missing packs and
    /// tidies up.
    pub fn refresh(&mut self, assurances: Assurances) -> Result<Refreshed, DistributionError> {
        let head = self.held_head()?;
        self.leave_collection()?;
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        if let Some(batch) = publisher.pending() {
            return Err(PublishError::Pending(batch.entries.len()).into());
        }
        let unwatched = self.watch(publisher.head())?;
        let collection = self.heads_anew(&mut publisher, &head, assurances)?;
        let own = publisher.refresh(collection, &self.signers(), self.now, assurances)?;
        drop_candidate(publisher.sink(), Log::Collection)?;
        Gathered::clear(&self.distribution.directory)?;
        let state = self.distribution.directory.state();
        let size = head.checkpoint.size;
        let place = (state.as_path(), self.now);
        let (packs, removed) = refresh_copy(publisher.sink(), Log::Collection, size, place)?;
        for folder in [self.distribution.directory.public(), self.distribution.copy()] {
            durable::clean_temporaries(&folder)
                .map_err(DistributionError::io("remove temporaries below", &folder))?;
        }
        self.unwatched = unwatched;
        Ok(Refreshed { time: own.time, packs: own.packs + packs, removed: own.removed + removed })
    }

    /// Gathers what others signed of both heads, which are signed anew, stages the collection's and
    /// returns what is to be written before the distribution's own.
    pub(super) fn heads_anew(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        assurances: Assurances,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, DistributionError> {
        let gathered = self.gather(publisher, head)?;
        self.await_witnesses(publisher, head, &gathered, assurances)?;
        let collection = self.stage_collection(head, &gathered, publisher.sink(), assurances)?;
        publisher.with_others(self.others(&gathered, publisher.head(), true)?, self.now);
        Ok(collection)
    }
}
