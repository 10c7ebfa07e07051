//! What the distribution's own log says of each patch: the last entry that covers it for a ring
//! stands (SPEC §4.2).

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::{DistributionEntry, IndexRange, TreeHead, Withdraw};
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::text::RingName;
use countersign_store::Sink;

use super::decisions::ranges;
use super::{Action, DistributionError, Terms};
use crate::publish::{read_entries, read_head};

/// What stands for a patch and a ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Leaf index of the entry that stands, in the distribution's log.
    pub entry: u64,
    /// What it says.
    pub action: Action,
}

/// What stands for every patch that was ever decided on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standings(BTreeMap<u64, BTreeMap<RingName, Standing>>);

impl Standings {
    /// Reads the log below the public directory, as far as it speaks of the log `origin`.
    pub(super) fn read(sink: &dyn Sink, origin: &KeyName) -> Result<Self, DistributionError> {
        let mut standings = Self::default();
        let size = read_head(sink, Log::Distribution)?.map_or(0, |head| head.size);
        read_entries(sink, Log::Distribution, size, |index, bytes| {
            standings.add_bytes(index, bytes, origin);
        })?;
        Ok(standings)
    }

    fn of_entries<'e>(entries: impl Iterator<Item = &'e Vec<u8>>, origin: &KeyName) -> Self {
        let mut standings = Self::default();
        for (index, bytes) in (0..).zip(entries) {
            standings.add_bytes(index, bytes, origin);
        }
        standings
    }

    /// What stands for a patch and a ring.
    pub fn of(&self, patch: u64, ring: &RingName) -> Option<&Standing> {
        self.0.get(&patch)?.get(ring)
    }

    /// What stands for a patch, by ring.
    pub fn of_patch(&self, patch: u64) -> impl Iterator<Item = (&RingName, &Standing)> {
        self.0.get(&patch).into_iter().flatten()
    }

    fn add_bytes(&mut self, index: u64, bytes: &[u8], origin: &KeyName) {
        if let Ok(entry) = DistributionEntry::parse(bytes) {
            self.add(index, &entry, origin);
        }
    }

    fn add(&mut self, entry: u64, content: &DistributionEntry, origin: &KeyName) {
        let (of, ranges, ring, action) = match content {
            DistributionEntry::Release(release) => {
                (&release.of, &release.patches, &release.ring, Action::Release(Terms::of(release)))
            }
            DistributionEntry::Withdraw(withdraw) => {
                let action = Action::Withdraw { reason: withdraw.reason.clone() };
                (&withdraw.of, &withdraw.patches, &withdraw.ring, action)
            }
            DistributionEntry::Authority(_) => return,
        };
        let TreeHead { origin: found, .. } = of;
        if found == origin {
            for index in ranges.iter().copied().flat_map(IndexRange::indexes) {
                let standing = Standing { entry, action: action.clone() };
                self.0.entry(index).or_default().insert(ring.clone(), standing);
            }
        }
    }
}

/// What of the entries behind those that are `kept` says that a patch is withdrawn, and still stood in
/// the end: without it the releases that are kept would come to life again.
pub(super) fn withdrawn_since(kept: &[Vec<u8>], left: &[Vec<u8>]) -> Vec<DistributionEntry> {
    let (mut withdrawn, mut known) = (Vec::new(), BTreeMap::new());
    for (index, bytes) in (kept.len() as u64..).zip(left) {
        let Ok(DistributionEntry::Withdraw(withdraw)) = DistributionEntry::parse(bytes) else {
            continue;
        };
        let origin = &withdraw.of.origin;
        let (before, after) = known.entry(origin.clone()).or_insert_with(|| {
            let after = Standings::of_entries(kept.iter().chain(left), origin);
            (Standings::of_entries(kept.iter(), origin), after)
        });
        let is_needed = |patch: &u64| {
            let released = before.of(*patch, &withdraw.ring).map(|standing| &standing.action);
            matches!(released, Some(Action::Release(_)))
                && after.of(*patch, &withdraw.ring).is_some_and(|standing| standing.entry == index)
        };
        let patches = withdraw.patches.iter().copied().flat_map(IndexRange::indexes);
        let patches: BTreeSet<u64> = patches.filter(is_needed).collect();
        if !patches.is_empty() {
            let withdraw = Withdraw { patches: ranges(&patches), ..withdraw };
            withdrawn.push(DistributionEntry::Withdraw(withdraw));
        }
    }
    withdrawn
}
