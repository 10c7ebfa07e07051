//! Who is to sign what, and what others have signed of it.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::CollectionEntry;
use countersign_format::layout::Log;
use countersign_format::note::SignatureLine;
use countersign_format::policy::Role;
use countersign_format::time::Timestamp;

use super::{Pending, Session, parse};
use crate::collection::CollectionError;
use crate::key_store::SigningKey;
use crate::publish::Publisher;
use crate::round::{Gathered, Item, Kind, Round};

impl Session<'_> {
    /// What is to be signed: of a publication that is pending, or the published head anew.
    pub(in crate::collection) fn round(
        &self,
        publisher: &Publisher<'_>,
    ) -> Result<Round, CollectionError> {
        let mut items = Vec::new();
        let next = publisher.next_head();
        let pending = publisher.pending().filter(|_| next.is_some());
        if let Some(batch) = pending {
            for Pending { index, bytes, entry } in parse(batch)? {
                if let CollectionEntry::Patch(_) = entry {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    items.push(Item::patch(text, index));
                }
            }
        }
        let head = next.unwrap_or_else(|| publisher.head().clone());
        items.push(Item::head(&head, true));
        let (begun, keys) = (pending.map(|batch| batch.time), self.note().collection.clone());
        // readers of this repository are distributions, which ask witnesses themselves
        let quorums = Vec::new();
        Ok(Round { role: Role::Collection, log: Log::Collection, keys, begun, items, quorums })
    }

    /// Signs patches with the keys at hand, and refuses to go on before others have done theirs.
    pub(super) fn gather(
        &self,
        publisher: &Publisher<'_>,
        now: Timestamp,
    ) -> Result<Gathered<'_>, CollectionError> {
        let mut round = self.round(publisher)?;
        if self.signs_alone() {
            // patches are signed when they are published
            round.items.retain(|item| item.kind == Kind::Head);
        }
        let mut gathered = self.gathered(publisher, &round)?;
        gathered.sign(&round, &self.signers)?;
        let own: Vec<_> = self.signers.iter().map(SigningKey::vkey).collect();
        round.check(&gathered, &own, now)?;
        Ok(gathered)
    }

    /// Whether the keys at hand suffice.
    pub(super) fn signs_alone(&self) -> bool {
        self.signers.len() >= self.note().collection.threshold as usize
    }

    /// What was gathered, along with what stands on the published head.
    pub(in crate::collection) fn gathered(
        &self,
        publisher: &Publisher<'_>,
        round: &Round,
    ) -> Result<Gathered<'_>, CollectionError> {
        let mut gathered = Gathered::load(&self.collection.directory, Log::Collection)?;
        if let Some(note) = publisher.published_note()? {
            round.items.iter().for_each(|item| gathered.add_published(item, &note));
        }
        Ok(gathered)
    }

    /// What others than the keys at hand signed of a head.
    pub(super) fn others(&self, gathered: &Gathered<'_>, head: &Checkpoint) -> Vec<SignatureLine> {
        gathered.others(&Item::head(head, true), &self.signers, &self.note().collection)
    }
}
