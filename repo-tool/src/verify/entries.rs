//! What the entries of both logs say, and whether they contradict each other.

use std::collections::HashSet;

use countersign_format::entry::{
    AuthorityReference, CollectionEntry, DistributionEntry, PatchEntry, PatchIdentity,
};
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log};
use countersign_format::tile::tile_width;
use serde::Serialize;

use super::finding::{FindingKind, Findings, describe};
use super::jobs::PatchJob;
use super::tree::root_at;
use super::{Check, chain};
use crate::decisions::Decisions;
use crate::tree::{Tree, WIDTH};

/// How many malformed entries are named one by one.
const MAX_NAMED: usize = 20;

/// Entries of a log, by kind.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EntryCounts {
    /// Patches that were collected.
    pub patches: u64,
    /// Patches that were revoked.
    pub revocations: u64,
    /// Releases.
    pub releases: u64,
    /// Withdrawals.
    pub withdrawals: u64,
    /// Authority notes that were learned of.
    pub authorities: u64,
    /// Entries that readers pass over: malformed, of an unknown type, or a repetition.
    pub passed_over: u64,
}

/// What both logs have in common.
#[derive(Default)]
struct Common {
    counts: EntryCounts,
    /// Entries that readers pass over, and why.
    passed_over: Vec<(u64, String)>,
    references: Vec<(u64, AuthorityReference)>,
}

impl Common {
    fn pass_over(&mut self, index: u64, why: String) {
        self.counts.passed_over += 1;
        if self.passed_over.len() < MAX_NAMED {
            self.passed_over.push((index, why));
        }
    }

    fn report(&self, log: Log, size: u64, authority: &chain::Authority, findings: &mut Findings) {
        for (index, why) in &self.passed_over {
            let message = format!("readers pass over entry {index}: {why}");
            findings.add(bundle_of(log, *index, size), FindingKind::Remark, message);
        }
        let more = self.counts.passed_over.saturating_sub(self.passed_over.len() as u64);
        if more > 0 {
            let message = format!("readers pass over {more} more entries");
            findings.add(layout::checkpoint(log), FindingKind::Remark, message);
        }
        for (index, reference) in &self.references {
            if !authority.has(reference) {
                let message = format!(
                    "entry {index} names {} with the fingerprint sha256:{}, which is not there; \
                     clients refuse such a log",
                    layout::authority(reference.version),
                    reference.sha256
                );
                findings.add(bundle_of(log, *index, size), FindingKind::Expired, message);
            }
        }
    }
}

/// What the collection's log says.
#[derive(Default)]
pub(super) struct Collected {
    /// Whether all patches are to be there, released or not.
    is_first: bool,
    common: Common,
    identities: HashSet<PatchIdentity>,
    archives: HashSet<Hash32>,
    /// Entries that a release covers and that are no patches.
    released_by_mistake: Vec<u64>,
    patches: Vec<PatchJob>,
}

impl Collected {
    pub(super) fn new(is_first: bool) -> Self {
        Self { is_first, ..Self::default() }
    }

    /// Takes an entry. `released` gives the index of the entry of the distribution's log that
    /// first released a patch; none for a patch whose files need not be there.
    pub(super) fn take(
        &mut self,
        index: u64,
        bytes: &[u8],
        released: impl FnOnce(u64) -> Option<u64>,
    ) {
        let released = if self.is_first { Some(0) } else { released(index) };
        match CollectionEntry::parse(bytes) {
            Ok(CollectionEntry::Patch(patch)) => {
                return self.take_patch(index, bytes, &patch, released);
            }
            Ok(CollectionEntry::Revoke(_)) => self.common.counts.revocations += 1,
            Ok(CollectionEntry::Authority(reference)) => {
                self.common.counts.authorities += 1;
                self.common.references.push((index, reference));
            }
            Err(error) => self.common.pass_over(index, describe(&error)),
        }
        let is_mistake = released.is_some() && !self.is_first;
        if is_mistake && self.released_by_mistake.len() < MAX_NAMED {
            self.released_by_mistake.push(index);
        }
    }

    fn take_patch(&mut self, index: u64, bytes: &[u8], patch: &PatchEntry, released: Option<u64>) {
        let is_new = self.identities.insert(patch.identity());
        if !self.archives.insert(patch.archive.sha256) || !is_new {
            return self.common.pass_over(index, format!("it repeats {}", patch.identity()));
        }
        self.common.counts.patches += 1;
        if let Some(released) = released {
            let (entry, is_standing) = (bytes.to_vec(), true);
            self.patches.push(PatchJob { index, entry, released, is_standing });
        }
    }

    pub(super) fn report(
        &self,
        authority: &chain::Authority,
        size: u64,
        findings: &mut Findings,
    ) -> EntryCounts {
        self.common.report(Log::Collection, size, authority, findings);
        for index in &self.released_by_mistake {
            let message = format!("entry {index} is released, though it is no patch");
            let file = bundle_of(Log::Collection, *index, size);
            findings.add(file, FindingKind::Remark, message);
        }
        self.common.counts
    }

    /// The patches whose files are to be checked.
    pub(super) fn into_patches(self) -> Vec<PatchJob> {
        self.patches
    }
}

/// What the distribution's log says.
pub(super) struct Decided {
    decisions: Decisions,
    /// Size of the distribution's log.
    size: u64,
    common: Common,
}

impl Decided {
    /// `collected` is the size of the collection's log, `size` that of the distribution's.
    pub(super) fn new(origin: &KeyName, collected: u64, size: u64) -> Self {
        let decisions = Decisions::new(origin, collected);
        Self { decisions, size, common: Common::default() }
    }

    pub(super) fn take(&mut self, index: u64, bytes: &[u8]) {
        let entry = match DistributionEntry::parse(bytes) {
            Ok(entry) => entry,
            Err(error) => return self.common.pass_over(index, describe(&error)),
        };
        self.decisions.take(index, &entry);
        match entry {
            DistributionEntry::Release(_) => self.common.counts.releases += 1,
            DistributionEntry::Withdraw(_) => self.common.counts.withdrawals += 1,
            DistributionEntry::Authority(reference) => {
                self.common.counts.authorities += 1;
                self.common.references.push((index, reference));
            }
        }
    }

    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(super) fn report(
        &self,
        authority: &chain::Authority,
        findings: &mut Findings,
    ) -> EntryCounts {
        self.common.report(Log::Distribution, self.size, authority, findings);
        self.common.counts
    }
}

/// Checks the tree that each decision speaks of.
pub(super) async fn check_tree_heads(check: &mut Check, decided: &Decided, tree: &Tree) {
    let reader = check.reader.clone();
    for (index, of) in decided.decisions.heads() {
        let place = bundle_of(Log::Distribution, *index, decided.size);
        if of.origin != *decided.decisions.origin() {
            let message = format!("entry {index} is about the log {} and has no effect", of.origin);
            check.findings.add(place, FindingKind::Remark, message);
        } else if of.size > tree.size() {
            let message = format!(
                "entry {index} is about {} entries of the collection's log, which has {} as yet",
                of.size,
                tree.size()
            );
            check.findings.add(place, FindingKind::Remark, message);
        } else if let Some(root) = root_at(tree, of.size, &reader).await
            && root != of.root
        {
            let message = format!(
                "entry {index} is about another tree: its root at {} entries is {}, the \
                 collection's is {}",
                of.size,
                of.root.to_base64(),
                root.to_base64()
            );
            check.findings.add(place, FindingKind::Fork, message);
        }
    }
}

/// The bundle that an entry is in, in a log of `size` entries.
fn bundle_of(log: Log, index: u64, size: u64) -> layout::RepoPath {
    layout::bundle(log, index / WIDTH, tile_width(size, 0, index / WIDTH))
}
