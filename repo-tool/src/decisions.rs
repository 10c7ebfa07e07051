//! What a distribution's log comes to: which patches were ever released, and which are now
//! (SPEC §4.2).

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::{DistributionEntry, IndexRange, TreeHead};
use countersign_format::key::KeyName;
use countersign_format::text::RingName;

/// The decisions on the patches of one collection's log.
#[derive(Debug)]
pub(crate) struct Decisions {
    origin: KeyName,
    size: u64,
    first: BTreeMap<u64, u64>,
    standing: BTreeMap<RingName, BTreeSet<u64>>,
    heads: Vec<(u64, TreeHead)>,
}

impl Decisions {
    /// No decision yet on the log called `origin`, which has `size` entries: decisions on what is
    /// beyond wait.
    pub(crate) fn new(origin: &KeyName, size: u64) -> Self {
        Self {
            origin: origin.clone(),
            size,
            first: BTreeMap::new(),
            standing: BTreeMap::new(),
            heads: Vec::new(),
        }
    }

    /// Takes the entry `index` of the distribution's log.
    pub(crate) fn take(&mut self, index: u64, entry: &DistributionEntry) {
        match entry {
            DistributionEntry::Release(release) => {
                for patch in self.covered(index, &release.of, &release.patches) {
                    self.first.entry(patch).or_insert(index);
                    self.standing.entry(release.ring.clone()).or_default().insert(patch);
                }
            }
            DistributionEntry::Withdraw(withdraw) => {
                for patch in self.covered(index, &withdraw.of, &withdraw.patches) {
                    if let Some(ring) = self.standing.get_mut(&withdraw.ring) {
                        ring.remove(&patch);
                    }
                }
            }
            DistributionEntry::Authority(_) => {}
        }
    }

    /// The log that decisions are about.
    pub(crate) fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// The index of the entry that first released a patch.
    pub(crate) fn first_release(&self, patch: u64) -> Option<u64> {
        self.first.get(&patch).copied()
    }

    /// Every patch that was ever released, with the index of the entry that first did.
    pub(crate) fn released(&self) -> impl Iterator<Item = (u64, u64)> {
        self.first.iter().map(|(patch, entry)| (*patch, *entry))
    }

    /// Whether a patch is released to any ring now.
    pub(crate) fn is_standing(&self, patch: u64) -> bool {
        self.standing.values().any(|ring| ring.contains(&patch))
    }

    /// The tree that each decision speaks of, of whatever log, with the index of its entry.
    pub(crate) fn heads(&self) -> &[(u64, TreeHead)] {
        &self.heads
    }

    /// The patches that a decision covers and that are there. None for one on another log.
    fn covered(&mut self, index: u64, of: &TreeHead, ranges: &[IndexRange]) -> Vec<u64> {
        self.heads.push((index, of.clone()));
        if of.origin != self.origin {
            return Vec::new();
        }
        let size = self.size;
        ranges.iter().flat_map(|range| range.start.min(size)..range.end.min(size)).collect()
    }
}

#[cfg(test)]
mod tests {
    use countersign_fixtures::RepositoryBuilder;

    use super::*;

    #[test]
    fn the_first_release_is_kept_and_the_last_decision_stands() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(4);
        repository.release(&[0, 2]);
        repository.withdraw(&[2], "field reports");
        repository.release(&[0, 1]);
        repository.release_with(&[3], |release| {
            release.of.origin = "elsewhere.example.org/collection".parse().expect("a name");
        });
        let mut decisions = Decisions::new(&repository.authority.collection.origin, 4);
        for (index, entry) in (0..).zip(repository.distribution.entries()) {
            decisions.take(index, &DistributionEntry::parse(entry).expect("an entry"));
        }
        assert_eq!(decisions.released().collect::<Vec<_>>(), [(0, 0), (1, 2), (2, 0)]);
        assert!(decisions.is_standing(0) && decisions.is_standing(1));
        assert!(!decisions.is_standing(2) && !decisions.is_standing(3));
        assert_eq!(decisions.heads().len(), 4);
    }

    #[test]
    fn what_is_beyond_the_log_waits() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(4);
        repository.release(&[1, 3]);
        let mut decisions = Decisions::new(&repository.authority.collection.origin, 2);
        let entry = DistributionEntry::parse(&repository.distribution.entries()[0]);
        decisions.take(0, &entry.expect("an entry"));
        assert_eq!(decisions.released().collect::<Vec<_>>(), [(1, 0)]);
    }
}
