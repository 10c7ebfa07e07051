//! Which patches the distribution released: what its log said as it is held, found by an index, and
//! what is new of it. The work grows with what is new.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{
    CollectionEntry, DistributionEntry, IndexRange, PatchEntry, TreeHead,
};
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::text::RingName;

use crate::index::DecisionIndex;
use crate::publish::{EntryReader, PublishError};
use crate::replica::{Replica, Wanted};

/// The trees that decisions name: of each size the roots.
pub(super) type Named = BTreeMap<u64, BTreeSet<Hash32>>;

/// The decisions on the patches of one collection's log.
pub(super) struct Released {
    index: DecisionIndex,
    /// The distribution's log as it is held.
    held: EntryReader,
    rings: Vec<RingName>,
    /// What new decisions release, of whatever tree.
    new: Vec<IndexRange>,
    named: Named,
    /// The patches that were looked up last, and the entry that first released them.
    around: (IndexRange, Option<u64>),
    /// Why a new entry could not be taken.
    refused: Option<PublishError>,
}

impl Released {
    /// What the distribution's log says of the log called `origin`, as far as `replica` holds it.
    pub(super) fn held(
        replica: &mut Replica,
        origin: &KeyName,
        size: u64,
    ) -> Result<Self, PublishError> {
        let folder = replica.index_folder().to_owned();
        let files = replica.writer().reader();
        let index = DecisionIndex::open(&folder, &files, origin)?;
        index.begin()?;
        Ok(Self {
            index,
            held: EntryReader::new(files, Log::Distribution, size),
            rings: Vec::new(),
            new: Vec::new(),
            named: Named::new(),
            around: (IndexRange { start: 0, end: 0 }, None),
            refused: None,
        })
    }

    /// Takes a new entry. One that cannot be understood says nothing to anybody.
    pub(super) fn take(&mut self, index: u64, bytes: &[u8]) {
        let Ok(entry) = DistributionEntry::parse(bytes) else { return };
        if let Some((of, patches)) = about(&entry, self.index.origin()) {
            self.named.entry(of.size).or_default().insert(of.root);
            if let DistributionEntry::Release(_) = entry {
                self.new.extend(patches);
            }
        }
        let taken = self.index.take(index, &entry);
        self.refused = self.refused.take().or(taken.err());
    }

    /// Goes on once all new entries are taken.
    pub(super) fn finish(mut self) -> Result<Self, PublishError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        self.rings = self.index.rings()?;
        Ok(self)
    }

    /// Lets all patches count as newly released that ever were.
    pub(super) fn all_anew(&mut self, size: u64) {
        self.new.push(IndexRange { start: 0, end: size });
    }

    /// Patches below `size` that new decisions release, each once, in their order.
    pub(super) fn new_below(&self, size: u64) -> Vec<IndexRange> {
        let mut ranges: Vec<_> = self.new.clone();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<IndexRange> = Vec::new();
        for range in ranges.into_iter().filter(|range| range.start < size) {
            let end = range.end.min(size);
            match joined.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(end),
                None => joined.push(IndexRange { start: range.start, end }),
            }
        }
        joined
    }

    /// The trees that new decisions name, and those of `size` entries and more that old ones do.
    pub(super) fn named(&self, size: u64) -> Result<Named, PublishError> {
        let mut named = self.named.clone();
        for (size, root) in self.index.named_from(size)? {
            named.entry(size).or_default().insert(root);
        }
        Ok(named)
    }

    /// The patch that an entry of the collection's log is, if it was ever released.
    pub(super) fn wanted(
        &mut self,
        index: u64,
        bytes: &[u8],
    ) -> Result<Option<Wanted>, PublishError> {
        let Some(released) = self.first_release(index)? else { return Ok(None) };
        let Ok(CollectionEntry::Patch(entry)) = CollectionEntry::parse(bytes) else {
            return Ok(None);
        };
        let entry: PatchEntry = *entry;
        let is_required = self.is_standing(index)?;
        Ok(Some(Wanted { index, bytes: bytes.to_vec(), entry, released, is_required }))
    }

    /// Keeps what is new in the index, now that `head` is held.
    pub(super) fn keep(self, head: &Checkpoint) -> Result<(), PublishError> {
        self.index.keep(head)
    }

    /// The entry that first released a patch.
    fn first_release(&mut self, patch: u64) -> Result<Option<u64>, PublishError> {
        if !self.around.0.indexes().contains(&patch) {
            let around = self.index.first_release(patch)?;
            if let (_, Some(entry)) = around {
                self.confirm(patch, entry)?;
            }
            self.around = around;
        }
        Ok(self.around.1)
    }

    /// Checks that a held entry is what the index says of it: signatures are judged by its place.
    fn confirm(&mut self, patch: u64, entry: u64) -> Result<(), PublishError> {
        if entry >= self.held.size() {
            // taken by this run
            return Ok(());
        }
        let said = DistributionEntry::parse(&self.held.read(entry)?).ok();
        let is_release = |said: &DistributionEntry| {
            matches!(said, DistributionEntry::Release(_))
                && about(said, self.index.origin()).is_some_and(|(_, ranges)| {
                    ranges.iter().any(|range| range.indexes().contains(&patch))
                })
        };
        if said.as_ref().is_some_and(is_release) { Ok(()) } else { Err(DecisionIndex::wrong()) }
    }

    /// Whether a patch is released to any ring now.
    fn is_standing(&self, patch: u64) -> Result<bool, PublishError> {
        for ring in &self.rings {
            if self.index.standing(patch, ring)?.is_some_and(|said| said.is_release) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The tree and the patches that an entry decides about, where that is the log called `origin`.
fn about<'e>(
    entry: &'e DistributionEntry,
    origin: &KeyName,
) -> Option<(&'e TreeHead, &'e [IndexRange])> {
    let (of, patches) = match entry {
        DistributionEntry::Release(it) => (&it.of, &it.patches),
        DistributionEntry::Withdraw(it) => (&it.of, &it.patches),
        DistributionEntry::Authority(_) => return None,
    };
    (of.origin == *origin).then_some((of, patches.as_slice()))
}
