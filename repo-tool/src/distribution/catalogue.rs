//! What the collection's log says, entry by entry (SPEC §4, §4.1).

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::{
    AuthorityReference, CollectionEntry, EntryError, PatchEntry, PatchIdentity, Revoke,
};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::text::Line;
use countersign_store::Sink;

use super::DistributionError;
use crate::patch_selector::PatchSelector;
use crate::publish::read_entries;

/// Most patches that a message about a name names.
const MAX_SIMILAR: usize = 5;

/// The patches of the collection's log.
#[derive(Debug, Default)]
pub struct Catalogue {
    patches: BTreeMap<u64, Patch>,
    identities: BTreeSet<PatchIdentity>,
    archives: BTreeSet<Hash32>,
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
pub(super) enum Meaning {
    Patch,
    Revoke(Revoke),
    Authority(AuthorityReference),
    Nothing,
}

impl Catalogue {
    /// Reads the first `size` entries of the log below `sink`.
    pub(super) fn read(sink: &dyn Sink, size: u64) -> Result<Self, DistributionError> {
        let mut catalogue = Self::default();
        read_entries(sink, Log::Collection, size, |index, bytes| {
            catalogue.add(index, bytes);
        })?;
        Ok(catalogue)
    }

    /// Adds the next entry.
    pub(super) fn add(&mut self, index: u64, bytes: &[u8]) -> Meaning {
        match self.understand(index, bytes) {
            Ok(meaning) => meaning,
            Err(why) => {
                self.passed_over.push(PassedOver { index, why });
                Meaning::Nothing
            }
        }
    }

    /// All patches, in the log's order.
    pub fn patches(&self) -> impl DoubleEndedIterator<Item = &Patch> {
        self.patches.values()
    }

    /// The patch at a leaf index.
    pub fn patch(&self, index: u64) -> Option<&Patch> {
        self.patches.get(&index)
    }

    /// Entries that mean nothing.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The patches that a person means; an error if there are none.
    pub fn select(&self, selector: &PatchSelector) -> Result<Vec<&Patch>, DistributionError> {
        let is_meant = |patch: &&Patch| {
            let PatchEntry { name, version, platform, base, .. } = &patch.entry;
            (name, version) == (&selector.name, &selector.version)
                && selector.admits(platform, base.as_ref())
        };
        let found: Vec<_> = self.patches().filter(is_meant).collect();
        if found.is_empty() {
            let (selector, similar) = (Box::new(selector.clone()), self.similar(selector));
            return Err(DistributionError::NotHeld { selector, similar });
        }
        Ok(found)
    }

    /// Patches of the same version or else component, the newest first.
    fn similar(&self, selector: &PatchSelector) -> Vec<String> {
        let of_name = || self.patches().rev().filter(|patch| patch.entry.name == selector.name);
        let same: Vec<_> = of_name()
            .filter(|patch| patch.entry.version == selector.version)
            .map(|patch| patch.entry.identity().to_string())
            .take(MAX_SIMILAR)
            .collect();
        if !same.is_empty() {
            return same;
        }
        let mut versions: Vec<String> = Vec::new();
        for patch in of_name() {
            let text = format!("{}@{}", patch.entry.name, patch.entry.version);
            if !versions.contains(&text) {
                versions.push(text);
            }
        }
        versions.truncate(MAX_SIMILAR);
        versions
    }

    fn understand(&mut self, index: u64, bytes: &[u8]) -> Result<Meaning, Meaningless> {
        match CollectionEntry::parse(bytes)? {
            CollectionEntry::Patch(entry) => {
                let identity = entry.identity();
                if self.identities.contains(&identity) {
                    return Err(Meaningless::Identity(identity));
                }
                if !self.archives.insert(entry.archive.sha256) {
                    return Err(Meaningless::Archive(entry.archive.sha256));
                }
                self.identities.insert(identity);
                self.patches.insert(index, Patch { index, entry: *entry, revoked: None });
                Ok(Meaning::Patch)
            }
            CollectionEntry::Revoke(revoke) => {
                let no_patch = Meaningless::NoPatch(revoke.patch);
                let patch = self.patches.get_mut(&revoke.patch).ok_or(no_patch)?;
                patch.revoked.get_or_insert_with(|| revoke.reason.clone());
                Ok(Meaning::Revoke(revoke))
            }
            CollectionEntry::Authority(reference) => Ok(Meaning::Authority(reference)),
        }
    }
}
