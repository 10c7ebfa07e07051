//! Who is to sign what, and what others have signed of it.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::SignatureLine;
use countersign_format::policy::{Role, verify_patch};
use countersign_store::Sink as _;

use super::{Session, parse, release_of};
use crate::distribution::DistributionError;
use crate::distribution::collection_head::HeldHead;
use crate::key_store::SigningKey;
use crate::publish::{Assurances, Publisher};
use crate::round::{Gathered, Item, Quorum, Round};

impl Session<'_> {
    /// Whether the keys at hand suffice, and no witness is waited for.
    pub(super) fn signs_alone(&self) -> Result<bool, DistributionError> {
        let threshold = self.role()?.log.threshold as usize;
        Ok(self.signers.len() >= threshold && self.note().witnesses.quorum == 0)
    }

    /// What is to be signed: of a publication that is pending, and both heads.
    pub(in crate::distribution) fn round(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
    ) -> Result<Round, DistributionError> {
        self.round_with(publisher, head, true)
    }

    /// As [`Self::round`]; without the patches where nobody is waited for, since they are signed
    /// when they are published.
    pub(super) fn round_with(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
        patches: bool,
    ) -> Result<Round, DistributionError> {
        let mut items = Vec::new();
        let next = publisher.next_head();
        let pending = publisher.pending().filter(|_| next.is_some());
        if let Some(batch) = pending.filter(|_| patches) {
            for (entry, content) in parse(batch)? {
                if let Some(release) = release_of(&content, head) {
                    for patch in release.patches.iter().flat_map(|range| range.indexes()) {
                        items.extend(self.to_countersign(head, patch, entry)?);
                    }
                }
            }
        }
        let own = next.unwrap_or_else(|| publisher.head().clone());
        items.push(Item::head(&head.checkpoint, false));
        items.push(Item::head(&own, true));
        let (role, note) = (self.role()?, self.note());
        let quorums = vec![
            Quorum::new(&head.checkpoint, false, &note.witnesses, &note.collection),
            Quorum::new(&own, true, &note.witnesses, &role.log),
        ];
        Ok(Round {
            role: Role::Distribution(role.name.clone()),
            log: Log::Distribution,
            keys: role.log.clone(),
            begun: pending.map(|batch| batch.time),
            items,
            quorums,
        })
    }

    /// What is to be countersigned of a patch; nothing if its published note is good.
    pub(super) fn to_countersign(
        &self,
        head: &HeldHead,
        index: u64,
        released: u64,
    ) -> Result<Option<Item>, DistributionError> {
        let verified = self.first_signed(head, index)?;
        let path = layout::patch_note(&verified.entry.archive.sha256);
        let text = verified.note.text();
        let context = self.context(path.as_str(), text.as_bytes(), index);
        let present = self.distribution.public_sink().read(&path, MAX_NOTE as u64)?;
        let role = self.role()?;
        if present.is_some_and(|note| verify_patch(&note, &context, role, released).is_ok()) {
            return Ok(None);
        }
        let first = self.first_lines(&verified.note);
        Ok(Some(Item::countersignature(text.to_owned(), index, &first)))
    }

    /// Signs patches with the keys at hand, and refuses to go on before others have done theirs.
    pub(super) fn gather(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
    ) -> Result<Gathered<'_>, DistributionError> {
        let round = self.round_with(publisher, head, !self.signs_alone()?)?;
        let mut gathered = self.gathered(publisher, head, &round)?;
        gathered.sign(&round, &self.signers)?;
        let own: Vec<_> = self.signers.iter().map(SigningKey::vkey).collect();
        round.check(&gathered, &own, self.now)?;
        Ok(gathered)
    }

    /// What was gathered, along with what stands on the published heads.
    pub(in crate::distribution) fn gathered(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
        round: &Round,
    ) -> Result<Gathered<'_>, DistributionError> {
        let mut gathered = Gathered::load(&self.distribution.directory, Log::Distribution)?;
        for note in self.published_heads(publisher)? {
            round.items.iter().for_each(|item| gathered.add_published(item, &note));
        }
        gathered.add_cosigned(&round.quorums, &head.fetched, self.now);
        Ok(gathered)
    }

    /// What others than the keys at hand signed of a head.
    pub(super) fn others(
        &self,
        gathered: &Gathered<'_>,
        head: &Checkpoint,
        own: bool,
    ) -> Result<Vec<SignatureLine>, DistributionError> {
        let role = &self.role()?.log;
        let mut lines = gathered.others(&Item::head(head, own), &self.signers, role);
        let log = if own { role } else { &self.note().collection };
        let quorum = Quorum::new(head, own, &self.note().witnesses, log);
        lines.extend(gathered.cosigned(&quorum, self.now));
        Ok(lines)
    }

    /// Goes on once a quorum of witnesses has cosigned both heads. Until then the heads are put
    /// where witnesses read them, and readers see what they saw before.
    pub(super) fn await_witnesses(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        gathered: &Gathered<'_>,
        assurances: Assurances,
    ) -> Result<(), DistributionError> {
        let round = self.round_with(publisher, head, false)?;
        let Err(waiting) = round.check_witnesses(gathered, self.now) else { return Ok(()) };
        let signing = (self.signers(), self.others(gathered, &head.checkpoint, false)?);
        let when = (self.now, assurances);
        // witnesses judge the candidates by it
        publisher.sink().put_heads(&self.known.waiting(&self.distribution.directory)?)?;
        head.put_candidate(self.distribution, publisher.sink(), &signing, when)?;
        let own = publisher.next_head().unwrap_or_else(|| publisher.head().clone());
        publisher.with_others(self.others(gathered, &own, true)?, self.now);
        publisher.put_candidate(&self.signers(), self.now, assurances)?;
        Err(waiting.into())
    }
}
