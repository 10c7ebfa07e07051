//! What the collection's log says, entry by entry (SPEC §4, §4.1).

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::{
    AuthorityReference, CollectionEntry, EntryError, PatchEntry, PatchIdentity, Revoke,
};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::text::Line;
use countersign_store::Sink;

use crate::index::Known;
use crate::publish::{PublishError, read_entries};

/// The patches of the collection's log, or of its newest part.
#[derive(Default)]
pub struct Catalogue<'k> {
    /// What is known of the entries before.
    below: Option<&'k Known<'k>>,
    patches: BTreeMap<u64, Patch>,
    identities: BTreeSet<PatchIdentity>,
    archives: BTreeSet<Hash32>,
    /// Patches that are revoked, and the entries that do so first.
    revocations: Vec<(u64, u64)>,
    passed_over: Vec<PassedOver>,
}

/// A patch of the collection's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Leaf index of its entry.
    pub index: u64,
    /// Its entry.
    pub entry: PatchEntry,
    /// Why it was revoked, if it was.
    pub revoked: Option<Line>,
    /// Leaf index of the entry that revokes it.
    pub revoked_by: Option<u64>,
}

/// An entry that means nothing to readers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassedOver {
    /// Its leaf index.
    pub index: u64,
    /// Why.
    pub why: Meaningless,
}

/// Why an entry means nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Meaningless {
    /// It cannot be understood.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It repeats an earlier patch.
    #[error("repeats {0}")]
    Identity(PatchIdentity),
    /// It repeats an earlier patch's archive.
    #[error("repeats the archive {0}")]
    Archive(Hash32),
    /// It revokes what is no patch before it.
    #[error("revokes entry {0}, which is no patch before it")]
    NoPatch(u64),
}

/// What an entry means.
pub(crate) enum Meaning {
    Patch,
    Revoke { patch: Box<Patch>, reason: Line },
    Authority(AuthorityReference),
    Nothing,
}

impl<'k> Catalogue<'k> {
    /// Reads the first `size` entries of the log below `sink`.
    pub(crate) fn read(sink: &dyn Sink, size: u64) -> Result<Self, PublishError> {
        let mut catalogue = Self::default();
        let mut refused = None;
        read_entries(sink, Log::Collection, size, |index, bytes| {
            refused = refused.take().or(catalogue.add(index, bytes).err());
        })?;
        refused.map_or(Ok(catalogue), Err)
    }

    /// Nothing yet, above what is known.
    pub(crate) fn above(known: &'k Known<'k>) -> Self {
        Self { below: Some(known), ..Self::default() }
    }

    /// Adds the next entry.
    pub(crate) fn add(&mut self, index: u64, bytes: &[u8]) -> Result<Meaning, PublishError> {
        let why = match CollectionEntry::parse(bytes) {
            Ok(CollectionEntry::Patch(entry)) => match self.repeats(&entry)? {
                None => {
                    self.identities.insert(entry.identity());
                    self.archives.insert(entry.archive.sha256);
                    let patch = Patch { index, entry: *entry, revoked: None, revoked_by: None };
                    self.patches.insert(index, patch);
                    return Ok(Meaning::Patch);
                }
                Some(why) => why,
            },
            Ok(CollectionEntry::Revoke(revoke)) => match self.revoke(index, &revoke)? {
                Some(patch) => {
                    let (patch, reason) = (Box::new(patch), revoke.reason);
                    return Ok(Meaning::Revoke { patch, reason });
                }
                None => Meaningless::NoPatch(revoke.patch),
            },
            Ok(CollectionEntry::Authority(reference)) => return Ok(Meaning::Authority(reference)),
            Err(error) => error.into(),
        };
        self.passed_over.push(PassedOver { index, why });
        Ok(Meaning::Nothing)
    }

    /// All patches, in the log's order.
    pub fn patches(&self) -> impl DoubleEndedIterator<Item = &Patch> {
        self.patches.values()
    }

    /// The patch at a leaf index.
    pub fn patch(&self, index: u64) -> Option<&Patch> {
        self.patches.get(&index)
    }

    /// Patches that are revoked, and the entries that do so first.
    pub(crate) fn revocations(&self) -> impl Iterator<Item = (u64, u64)> {
        self.revocations.iter().copied()
    }

    /// Entries that mean nothing.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// What of an earlier patch this one repeats.
    fn repeats(&self, entry: &PatchEntry) -> Result<Option<Meaningless>, PublishError> {
        let (identity, archive) = (entry.identity(), entry.archive.sha256);
        let known = |known: &Known<'_>| Ok::<_, PublishError>(known.identity(&identity)?.is_some());
        if self.identities.contains(&identity) || self.below.map_or(Ok(false), known)? {
            return Ok(Some(Meaningless::Identity(identity)));
        }
        let known = |known: &Known<'_>| Ok::<_, PublishError>(known.archive(&archive)?.is_some());
        let is_known = self.archives.contains(&archive) || self.below.map_or(Ok(false), known)?;
        Ok(is_known.then_some(Meaningless::Archive(archive)))
    }

    /// The patch before the entry `index` that it revokes, if it is one.
    fn revoke(&mut self, index: u64, revoke: &Revoke) -> Result<Option<Patch>, PublishError> {
        let Some(patch) = self.patches.get_mut(&revoke.patch) else {
            let Some(known) = self.below else { return Ok(None) };
            let Some(mut patch) = known.patch(revoke.patch)? else { return Ok(None) };
            if patch.revoked.is_none() {
                self.revocations.push((patch.index, index));
                patch.revoked = Some(revoke.reason.clone());
                patch.revoked_by = Some(index);
            }
            return Ok(Some(patch));
        };
        if patch.revoked.is_none() {
            self.revocations.push((patch.index, index));
            patch.revoked = Some(revoke.reason.clone());
            patch.revoked_by = Some(index);
        }
        Ok(Some(patch.clone()))
    }
}

impl std::fmt::Debug for Catalogue<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Catalogue")
            .field("patches", &self.patches.len())
            .field("passed_over", &self.passed_over)
            .finish_non_exhaustive()
    }
}
