//! What a person decided and is not published yet: `state/decisions`.
//!
//! For each patch and ring at most one decision waits, the last; patches with equal decisions stand
//! together, so that one decision becomes one entry of the log however many patches it covers.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use countersign_format::entry::{DistributionEntry, IndexRange, Release, TreeHead, Withdraw};
use countersign_format::json;
use countersign_format::text::{Line, RingName};
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::durable::{Access, Temporary};
use serde::{Deserialize, Serialize};

use super::DistributionError;
use crate::role_dir::RoleDir;

const FILE: &str = "state/decisions";
const TYPE: &str = "decisions/v1";
/// Largest of these files: every second patch of a million.
const MAX_FILE: usize = 16 * 1024 * 1024;
/// Most ranges of one entry, so that it stays within the bound on entries whatever the numbers: a
/// range has at most 35 bytes.
const MAX_RANGES: usize = 800;

/// To whom patches are released, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// From when; none is at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Seconds over which machines take part one after the other.
    #[serde(default)]
    pub ramp: u64,
    /// How many of a hundred machines take part in the end.
    pub percent: u8,
    /// When holds of clients no longer defer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// What is decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// To release.
    Release(Terms),
    /// To withdraw.
    Withdraw {
        /// Why, for people.
        reason: Line,
    },
}

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Decision {
    /// The ring.
    pub ring: RingName,
    /// What is decided.
    pub action: Action,
    /// For which patches, by leaf index.
    pub patches: BTreeSet<u64>,
}

/// A decision as it is kept: one of `release` and `withdraw` is there.
#[derive(Serialize, Deserialize)]
struct Stored {
    ring: RingName,
    patches: Vec<IndexRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Terms>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdraw: Option<Line>,
}

/// The decisions that wait.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Decisions {
    decisions: Vec<Decision>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { start: None, ramp: 0, percent: 100, deadline: None }
    }
}

impl Decisions {
    /// Reads what waits.
    pub fn read(directory: &RoleDir) -> Result<Self, DistributionError> {
        let Some(bytes) = directory.read(Path::new(FILE), MAX_FILE)? else {
            return Ok(Self::default());
        };
        json::parse(&bytes, TYPE)
            .map_err(|_| DistributionError::Damaged(directory.path().join(FILE)))
    }

    /// Keeps what waits, durably.
    pub(super) fn write(&self, directory: &RoleDir) -> Result<(), DistributionError> {
        Ok(directory.write(Path::new(FILE), &self.to_bytes(), Access::Private)?)
    }

    fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(TYPE, self)
    }

    /// The decisions, in the order in which they were made.
    pub fn all(&self) -> &[Decision] {
        &self.decisions
    }

    /// The patches that are to be released.
    pub(super) fn released(&self) -> BTreeSet<u64> {
        let is_release = |decision: &&Decision| matches!(decision.action, Action::Release(_));
        self.decisions.iter().filter(is_release).flat_map(|it| it.patches.clone()).collect()
    }

    /// What waits for a patch and a ring.
    pub fn of(&self, patch: u64, ring: &RingName) -> Option<&Action> {
        let is_it =
            |decision: &&Decision| decision.ring == *ring && decision.patches.contains(&patch);
        self.decisions.iter().find(is_it).map(|decision| &decision.action)
    }

    /// Adds a decision, which takes the place of earlier ones for the same patches and ring.
    pub(super) fn add(&mut self, decision: Decision) {
        self.forget(&decision.ring, &decision.patches);
        let is_equal =
            |other: &&mut Decision| other.ring == decision.ring && other.action == decision.action;
        match self.decisions.iter_mut().find(is_equal) {
            Some(other) => other.patches.extend(decision.patches),
            None => self.decisions.push(decision),
        }
    }

    /// Drops whatever waits for these patches and this ring.
    pub(super) fn forget(&mut self, ring: &RingName, patches: &BTreeSet<u64>) {
        self.retain(|decision, patch| decision.ring != *ring || !patches.contains(&patch));
    }

    /// Drops what the entries of a publication say, durably with the next files that `sink` shows; a
    /// decision that was made since stays.
    pub(super) fn put_published(
        directory: &RoleDir,
        entries: &[DistributionEntry],
        sink: &mut dyn Sink,
    ) -> Result<(), DistributionError> {
        let before = Self::read(directory)?;
        let mut after = before.clone();
        after.drop_published(entries);
        if after == before {
            return Ok(());
        }
        let path = directory.path().join(FILE);
        let write = |file: &mut File| file.write_all(&after.to_bytes());
        let file = Temporary::create(directory.path(), FILE.as_ref(), Access::Private, write)
            .map_err(DistributionError::io("write", &path))?;
        Ok(sink.put_along(file)?)
    }

    fn drop_published(&mut self, entries: &[DistributionEntry]) {
        for published in entries.iter().filter_map(Decision::of_entry) {
            self.retain(|decision, patch| {
                (&decision.ring, &decision.action) != (&published.ring, &published.action)
                    || !published.patches.contains(&patch)
            });
        }
    }

    /// Drops the releases that wait for patches that were revoked.
    pub(super) fn drop_revoked(
        directory: &RoleDir,
        revoked: &BTreeSet<u64>,
    ) -> Result<(), DistributionError> {
        if revoked.is_empty() {
            return Ok(());
        }
        let before = Self::read(directory)?;
        let mut after = before.clone();
        after.retain(|decision, patch| {
            !matches!(decision.action, Action::Release(_)) || !revoked.contains(&patch)
        });
        if after == before { Ok(()) } else { after.write(directory) }
    }

    /// The log entries that say all this of the tree `of`.
    pub(super) fn entries(&self, of: &TreeHead) -> Vec<DistributionEntry> {
        self.decisions.iter().flat_map(|decision| decision.entries(of)).collect()
    }

    fn retain(&mut self, keep: impl Fn(&Decision, u64) -> bool) {
        for decision in &mut self.decisions {
            let mut patches = std::mem::take(&mut decision.patches);
            patches.retain(|patch| keep(decision, *patch));
            decision.patches = patches;
        }
        self.decisions.retain(|decision| !decision.patches.is_empty());
    }
}

impl Decision {
    /// What an entry decides; `None` for one that decides nothing.
    fn of_entry(entry: &DistributionEntry) -> Option<Self> {
        let (ring, action, ranges) = match entry {
            DistributionEntry::Release(release) => {
                let action = Action::Release(Terms::of(release));
                (&release.ring, action, &release.patches)
            }
            DistributionEntry::Withdraw(withdraw) => {
                let action = Action::Withdraw { reason: withdraw.reason.clone() };
                (&withdraw.ring, action, &withdraw.patches)
            }
            DistributionEntry::Authority(_) => return None,
        };
        let patches = ranges.iter().flat_map(|range| range.indexes()).collect();
        Some(Self { ring: ring.clone(), action, patches })
    }

    fn entries(&self, of: &TreeHead) -> Vec<DistributionEntry> {
        let entry = |patches: &[IndexRange]| {
            let (of, patches, ring) = (of.clone(), patches.to_vec(), self.ring.clone());
            match &self.action {
                Action::Release(Terms { start, ramp, percent, deadline }) => {
                    let (start, ramp, percent, deadline) = (*start, *ramp, *percent, *deadline);
                    let release = Release { of, patches, ring, start, ramp, percent, deadline };
                    DistributionEntry::Release(release)
                }
                Action::Withdraw { reason } => {
                    let reason = reason.clone();
                    DistributionEntry::Withdraw(Withdraw { of, patches, ring, reason })
                }
            }
        };
        ranges(&self.patches).chunks(MAX_RANGES).map(entry).collect()
    }
}

impl From<Decision> for Stored {
    fn from(Decision { ring, action, patches }: Decision) -> Self {
        let (release, withdraw) = match action {
            Action::Release(terms) => (Some(terms), None),
            Action::Withdraw { reason } => (None, Some(reason)),
        };
        Self { ring, patches: ranges(&patches), release, withdraw }
    }
}

impl TryFrom<Stored> for Decision {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let action = match (stored.release, stored.withdraw) {
            (Some(terms), None) => Action::Release(terms),
            (None, Some(reason)) => Action::Withdraw { reason },
            _ => return Err("a decision neither releases nor withdraws, or does both"),
        };
        let patches = stored.patches.into_iter().flat_map(IndexRange::indexes).collect();
        Ok(Self { ring: stored.ring, action, patches })
    }
}

impl Terms {
    /// The terms of a release.
    pub fn of(release: &Release) -> Self {
        let Release { start, ramp, percent, deadline, .. } = *release;
        Self { start, ramp, percent, deadline }
    }
}

/// Indexes as ranges, ascending and apart.
pub(super) fn ranges(indexes: &BTreeSet<u64>) -> Vec<IndexRange> {
    let mut ranges: Vec<IndexRange> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some(last) if last.end == *index => last.end += 1,
            _ => ranges.push(IndexRange { start: *index, end: index + 1 }),
        }
    }
    ranges
}
