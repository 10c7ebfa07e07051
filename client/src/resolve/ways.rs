//! The cheapest ways in bytes from one version to others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use countersign_format::name::PatchVersion;

use crate::catalogue::Offer;

/// The last patch of the cheapest way to a version, with the version before it.
type LastLink<'c> = (Option<&'c PatchVersion>, usize);

/// The cheapest ways from one version to others.
pub(super) struct Ways<'c> {
    start: Option<&'c PatchVersion>,
    /// Bytes of the archives on the way, and its last patch.
    best: BTreeMap<Option<&'c PatchVersion>, (u64, Option<LastLink<'c>>)>,
}

impl<'c> Ways<'c> {
    /// The cheapest ways that the open ones of `offers` make.
    pub(super) fn new(start: Option<&'c PatchVersion>, offers: &'c [Offer]) -> Self {
        let mut ways = Self { start, best: BTreeMap::from([(start, (0, None))]) };
        let mut queue = BinaryHeap::from([Reverse((0, start))]);
        while let Some(Reverse((bytes, at))) = queue.pop() {
            if ways.best.get(&at).is_some_and(|(best, _)| *best < bytes) {
                continue;
            }
            for (link, offer) in offers.iter().enumerate().filter(|(_, offer)| offer.is_open()) {
                if !leads_on(offer, at, start) {
                    continue;
                }
                let (to, bytes) = (Some(offer.version()), bytes + offer.entry().archive.size);
                if ways.best.get(&to).is_none_or(|(best, _)| bytes < *best) {
                    ways.best.insert(to, (bytes, Some((at, link))));
                    queue.push(Reverse((bytes, to)));
                }
            }
        }
        ways
    }

    pub(super) fn lead_to(&self, version: &PatchVersion) -> bool {
        self.best.contains_key(&Some(version))
    }

    /// The patches on the way to a version, by their places among the offers.
    pub(super) fn to(&self, version: &PatchVersion) -> Vec<usize> {
        let mut links = Vec::new();
        let mut at = Some(version);
        while at != self.start
            && let Some((_, Some((before, link)))) = self.best.get(&at)
        {
            links.push(*link);
            at = *before;
        }
        links.reverse();
        links
    }
}

/// Whether a patch can be applied to version `at`. A full one replaces whatever there is, so it is
/// only ever the first of a chain.
fn leads_on(offer: &Offer, at: Option<&PatchVersion>, start: Option<&PatchVersion>) -> bool {
    match (&offer.entry().base, at) {
        (None, at) => at == start,
        (Some(base), Some(at)) => base.matches(at) && offer.version() > at,
        (Some(_), None) => false,
    }
}
