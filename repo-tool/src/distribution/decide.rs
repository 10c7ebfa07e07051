//! Deciding what is released and withdrawn. A decision waits until it is published.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::text::RingName;
use countersign_store::DirectoryWriter;

use super::{
    Action, Catalogue, Decision, Decisions, Distribution, DistributionError, Held, Patch, Standing,
    Standings,
};
use crate::patch_selector::PatchSelector;
use crate::publish::{left_copies, read_head};

/// Which patches a decision is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// These.
    Patches(Vec<PatchSelector>),
    /// All that nothing was ever decided about for the ring, the revoked ones left out.
    New,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decided {
    /// Patches for which the decision waits now.
    pub waiting: Vec<Patch>,
    /// Patches for which it stands already, so that nothing is to be done.
    pub standing: Vec<Patch>,
    /// Patches whose release waited and does not any more; it was never published.
    pub taken_back: Vec<Patch>,
}

impl Distribution {
    /// The patches that are held.
    pub fn catalogue(&self) -> Result<Catalogue<'static>, DistributionError> {
        let sink = self.copy_sink();
        let head = || read_head(&sink, Log::Collection)?.ok_or(DistributionError::NothingSynced);
        let before = head()?;
        match Catalogue::read(&sink, before.size) {
            Err(error) => match head()? {
                after if after == before => Err(error.into()),
                // a fetch that ended meanwhile removed what it superseded
                after => Ok(Catalogue::read(&sink, after.size)?),
            },
            Ok(read) => Ok(read),
        }
    }

    /// What was published about them.
    pub fn standings(&self) -> Result<Standings, DistributionError> {
        let head = read_head(&self.copy_sink(), Log::Collection)?;
        let head = head.ok_or(DistributionError::NothingSynced)?;
        Standings::read(&self.public_sink(), &head.origin)
    }

    /// Decides to release or to withdraw patches. Revoked ones are never released; what is
    /// withdrawn must have been released or be about to. Whoever decides holds the lock.
    pub fn decide(
        &self,
        selection: &Selection,
        ring: &RingName,
        action: &Action,
    ) -> Result<Decided, DistributionError> {
        let mut held = self.held()?;
        let mut decisions = Decisions::read(&self.directory)?;
        let mut decided = Decided::default();
        for patch in select(&mut held, selection, ring, action, &decisions)? {
            let stands = held.standing(patch.index, ring)?;
            let list = match (action, stands) {
                (_, Some(stands)) if stands.action == *action => &mut decided.standing,
                (Action::Withdraw { .. }, None) => &mut decided.taken_back,
                _ => &mut decided.waiting,
            };
            list.push(patch);
        }
        let indexes = |patches: &[Patch]| -> BTreeSet<u64> {
            patches.iter().map(|patch| patch.index).collect()
        };
        // what was decided in between is not to change what stands
        decisions.forget(ring, &indexes(&decided.standing));
        decisions.forget(ring, &indexes(&decided.taken_back));
        let patches = indexes(&decided.waiting);
        if !patches.is_empty() {
            decisions.add(Decision { ring: ring.clone(), action: action.clone(), patches });
        }
        decisions.write(&self.directory)?;
        Ok(decided)
    }
}

/// A patch for which what stood in a log that was left is decided again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repeated {
    /// The patch, as the log says it now.
    pub patch: Patch,
    /// The ring.
    pub ring: RingName,
    /// What stood, and is to be published again.
    pub action: Action,
}

/// Archives, and what stood for them by ring.
type Stood = BTreeMap<(Hash32, RingName), Standing>;

impl Distribution {
    /// Decides again what stood for the same archives in logs of the collection that were left, where
    /// nothing was decided in the present one. Whoever decides holds the lock.
    pub fn decide_again(&self) -> Result<Vec<Repeated>, DistributionError> {
        let mut held = self.held()?;
        let mut decisions = Decisions::read(&self.directory)?;
        let mut repeated = Vec::new();
        for ((archive, ring), stood) in self.stood()? {
            let Some(patch) = held.of_archive(&archive)? else { continue };
            if patch.revoked.is_some()
                || held.standing(patch.index, &ring)?.is_some()
                || decisions.of(patch.index, &ring).is_some()
            {
                continue;
            }
            let (action, patches) = (stood.action, BTreeSet::from([patch.index]));
            decisions.add(Decision { ring: ring.clone(), action: action.clone(), patches });
            repeated.push(Repeated { patch, ring, action });
        }
        decisions.write(&self.directory)?;
        repeated.sort_by_key(|repeated| repeated.patch.index);
        Ok(repeated)
    }

    /// What stood in the logs that were left, but for what was revoked there; of several the last.
    fn stood(&self) -> Result<Stood, DistributionError> {
        let mut stood = Stood::new();
        for copy in left_copies(&self.directory.state())? {
            let sink = DirectoryWriter::new(&copy);
            let Some(head) = read_head(&sink, Log::Collection)? else { continue };
            let standings = Standings::read(&self.public_sink(), &head.origin)?;
            let catalogue = Catalogue::read(&sink, head.size)?;
            for patch in catalogue.patches().filter(|patch| patch.revoked.is_none()) {
                for (ring, standing) in standings.of_patch(patch.index) {
                    let key = (patch.entry.archive.sha256, ring.clone());
                    let last = stood.entry(key).or_insert_with(|| standing.clone());
                    if last.entry < standing.entry {
                        *last = standing.clone();
                    }
                }
            }
        }
        Ok(stood)
    }
}

/// The patches that are meant, in the log's order.
fn select(
    held: &mut Held,
    selection: &Selection,
    ring: &RingName,
    action: &Action,
    decisions: &Decisions,
) -> Result<Vec<Patch>, DistributionError> {
    let is_release = matches!(action, Action::Release(_));
    let Selection::Patches(selectors) = selection else {
        let mut found = held.undecided(ring)?;
        found.retain(|patch| patch.revoked.is_none() && decisions.of(patch.index, ring).is_none());
        return Ok(found);
    };
    let mut selected = BTreeMap::new();
    for selector in selectors {
        let mut found = held.select(selector)?;
        if is_release {
            if let [Patch { entry, revoked: Some(reason), .. }, ..] = &found[..]
                && found.iter().all(|patch| patch.revoked.is_some())
            {
                let (identity, reason) = (Box::new(entry.identity()), reason.clone());
                return Err(DistributionError::Revoked { identity, reason });
            }
            found.retain(|patch| patch.revoked.is_none());
        } else {
            let mut released = Vec::new();
            for patch in found {
                if held.standing(patch.index, ring)?.is_some()
                    || matches!(decisions.of(patch.index, ring), Some(Action::Release(_)))
                {
                    released.push(patch);
                }
            }
            if released.is_empty() {
                let (selector, ring) = (Box::new(selector.clone()), ring.clone());
                return Err(DistributionError::NotReleased { selector, ring });
            }
            found = released;
        }
        selected.extend(found.into_iter().map(|patch| (patch.index, patch)));
    }
    Ok(selected.into_values().collect())
}
