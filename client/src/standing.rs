//! Which decision of the distribution stands for each patch (SPEC §4.2).

use std::collections::BTreeMap;

use countersign_format::entry::IndexRange;
use countersign_format::key::KeyName;
use countersign_format::text::RingName;

use crate::db::index::{Decision, IndexedDecision};

/// The decisions of a distribution as they stand for one ring.
///
/// Decisions cover ranges of patches, so what stands is kept as ranges too: one entry that releases
/// a hundred thousand patches costs no more than one that releases one.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    decisions: Vec<IndexedDecision>,
    /// The decision that stands, by position, for the ranges of patches.
    standing: Ranges,
    /// The leaf index of the entry that first released a patch to any ring.
    first: Ranges,
}

/// A decision that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Leaf index of its entry in the distribution's log.
    pub leaf: u64,
    /// What was decided.
    pub decision: &'a Decision,
}

/// A value for each of many ranges that do not overlap, by their starts.
#[derive(Debug, Clone, Default)]
struct Ranges(BTreeMap<u64, (u64, u64)>);

impl Standings {
    /// What stands for `ring`. Only decisions on the log `origin` count, and of those only the ones
    /// that speak of a tree within the held `size`: the others are pending.
    pub fn new(
        decisions: Vec<IndexedDecision>,
        origin: &KeyName,
        size: u64,
        ring: &RingName,
    ) -> Self {
        let counts = |decision: &Decision| {
            let of = decision.of();
            of.origin == *origin && of.size <= size
        };
        let numbered = || (0..).zip(&decisions).filter(|(_, indexed)| counts(&indexed.decision));
        let of_ring = numbered().filter(|(_, indexed)| indexed.decision.ring() == ring);
        let releases =
            numbered().filter(|(_, indexed)| matches!(indexed.decision, Decision::Release(_)));
        let ranges = |indexed: &IndexedDecision| indexed.decision.patches().to_vec();
        // the last one stands, so the last one paints first
        let last_first: Vec<_> = of_ring.map(|(n, indexed)| (n, ranges(indexed))).collect();
        let standing = Ranges::paint(size, last_first.into_iter().rev());
        let first =
            Ranges::paint(size, releases.map(|(_, indexed)| (indexed.leaf, ranges(indexed))));
        Self { decisions, standing, first }
    }

    /// The decision that stands for the patch of this leaf index.
    pub fn of(&self, patch: u64) -> Option<Standing<'_>> {
        let position = usize::try_from(self.standing.get(patch)?).ok()?;
        let IndexedDecision { leaf, decision } = self.decisions.get(position)?;
        Some(Standing { leaf: *leaf, decision })
    }

    /// The leaf index of the entry that first released the patch, to whatever ring.
    pub fn first_release(&self, patch: u64) -> Option<u64> {
        self.first.get(patch)
    }
}

impl Ranges {
    /// Gives each range the value of the first item that covers it, within `0..size`.
    fn paint(size: u64, items: impl Iterator<Item = (u64, Vec<IndexRange>)>) -> Self {
        let mut bare = BTreeMap::from([(0, size)]);
        let mut painted = BTreeMap::new();
        for (value, ranges) in items {
            if bare.is_empty() {
                break;
            }
            for range in ranges {
                while let Some((start, end)) = last_overlap(&bare, range) {
                    bare.remove(&start);
                    if start < range.start {
                        bare.insert(start, range.start);
                    }
                    if range.end < end {
                        bare.insert(range.end, end);
                    }
                    painted.insert(start.max(range.start), (end.min(range.end), value));
                }
            }
        }
        Self(painted)
    }

    fn get(&self, at: u64) -> Option<u64> {
        let (_, (end, value)) = self.0.range(..=at).next_back()?;
        (at < *end).then_some(*value)
    }
}

/// The last of the ranges that overlaps with `range`.
fn last_overlap(ranges: &BTreeMap<u64, u64>, range: IndexRange) -> Option<(u64, u64)> {
    let (start, end) = ranges.range(..range.end).next_back()?;
    (*end > range.start && start < end).then_some((*start, *end))
}

#[cfg(test)]
mod tests {
    use countersign_format::entry::{Release, TreeHead, Withdraw};
    use countersign_format::hash::Hash32;

    use super::*;

    const ORIGIN: &str = "patches.example.org/collection";

    fn head(size: u64) -> TreeHead {
        TreeHead { origin: ORIGIN.parse().expect("a name"), size, root: Hash32([0; 32]) }
    }

    fn ranges(pairs: &[(u64, u64)]) -> Vec<IndexRange> {
        pairs.iter().copied().map(IndexRange::from).collect()
    }

    fn release(leaf: u64, ring: &str, of: u64, pairs: &[(u64, u64)]) -> IndexedDecision {
        let release = Release {
            of: head(of),
            patches: ranges(pairs),
            ring: ring.parse().expect("a ring"),
            start: None,
            ramp: 0,
            percent: 100,
            deadline: None,
        };
        IndexedDecision { leaf, decision: Decision::Release(release) }
    }

    fn withdraw(leaf: u64, pairs: &[(u64, u64)]) -> IndexedDecision {
        let withdraw = Withdraw {
            of: head(10),
            patches: ranges(pairs),
            ring: "stable".parse().expect("a ring"),
            reason: "field reports".parse().expect("a line"),
        };
        IndexedDecision { leaf, decision: Decision::Withdraw(withdraw) }
    }

    fn standings(decisions: Vec<IndexedDecision>, size: u64) -> Standings {
        let ring = "stable".parse().expect("a ring");
        Standings::new(decisions, &ORIGIN.parse().expect("a name"), size, &ring)
    }

    fn shape(standings: &Standings, size: u64) -> String {
        let letter = |patch| match standings.of(patch).map(|standing| standing.decision) {
            None => '-',
            Some(Decision::Release(_)) => 'R',
            Some(Decision::Withdraw(_)) => 'W',
        };
        (0..size).map(letter).collect()
    }

    #[test]
    fn the_last_decision_that_covers_a_patch_stands() {
        let decisions = vec![
            release(3, "stable", 10, &[(0, 4), (6, 9)]),
            withdraw(4, &[(2, 7)]),
            release(7, "stable", 10, &[(5, 6)]),
        ];
        let standings = standings(decisions, 10);
        assert_eq!(shape(&standings, 10), "RRWWWRWRR-");
        let first: Vec<_> = (0..10).map(|patch| standings.first_release(patch)).collect();
        let expected =
            [3, 3, 3, 3, 0, 7, 3, 3, 3, 0].map(|leaf| if leaf == 0 { None } else { Some(leaf) });
        assert_eq!(first, expected);
    }

    #[test]
    fn other_rings_and_other_logs_have_no_effect_and_larger_trees_wait() {
        let mut other = release(1, "stable", 4, &[(0, 4)]);
        let Decision::Release(inner) = &mut other.decision else { unreachable!() };
        inner.of.origin = "elsewhere.example/collection".parse().expect("a name");
        let decisions =
            vec![release(0, "canary", 4, &[(0, 2)]), other, release(2, "stable", 6, &[(0, 6)])];
        let early = standings(decisions.clone(), 5);
        assert_eq!(shape(&early, 6), "------");
        assert_eq!(early.first_release(1), Some(0), "the countersignature dates from the canary");
        assert_eq!(early.first_release(2), None);
        let late = standings(decisions, 6);
        assert_eq!(shape(&late, 7), "RRRRRR-");
        assert_eq!(late.first_release(5), Some(2));
        assert_eq!(shape(&standings(Vec::new(), 0), 1), "-");
    }
}
