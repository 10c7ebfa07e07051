//! What is held and what was decided about it, found without reading the logs.

use countersign_format::entry::{DistributionEntry, IndexRange};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::text::RingName;

use super::{Action, Distribution, DistributionError, Patch, Standing, Terms};
use crate::index::{DecisionIndex, PatchIndex, Said};
use crate::patch_selector::PatchSelector;
use crate::publish::{EntryReader, read_head};

/// Most patches that a message about a name names.
const MAX_SIMILAR: usize = 5;

/// The patches that are held, and what was published about them.
#[derive(Debug)]
pub struct Held {
    patches: PatchIndex,
    decided: DecisionIndex,
    /// The distribution's own log.
    decisions: EntryReader,
}

impl Distribution {
    /// What is held; an error if nothing was fetched yet.
    pub fn held(&self) -> Result<Held, DistributionError> {
        let state = self.directory.state();
        let patches = self.patch_index()?;
        let head = patches.head().ok_or(DistributionError::NothingSynced)?;
        let public = self.public_sink();
        let decided = DecisionIndex::open(&state, &public, &head.origin)?;
        let size = read_head(&public, Log::Distribution)?.map_or(0, |head| head.size);
        let decisions = EntryReader::new(public, Log::Distribution, size);
        Ok(Held { patches, decided, decisions })
    }

    pub(super) fn patch_index(&self) -> Result<PatchIndex, DistributionError> {
        Ok(PatchIndex::open(&self.directory.state(), self.copy_sink())?)
    }
}

impl Held {
    /// The patch at a leaf index.
    pub fn patch(&self, index: u64) -> Result<Option<Patch>, DistributionError> {
        Ok(self.patches.patch(index)?)
    }

    /// The patch that has an archive.
    pub fn of_archive(&self, archive: &Hash32) -> Result<Option<Patch>, DistributionError> {
        Ok(self.patches.of_archive(archive)?)
    }

    /// The patches that a person means; an error if there are none.
    pub fn select(&self, selector: &PatchSelector) -> Result<Vec<Patch>, DistributionError> {
        let mut found = self.patches.named(&selector.name, &selector.version)?;
        found.retain(|patch| selector.admits(&patch.entry.platform, patch.entry.base.as_ref()));
        if found.is_empty() {
            let (selector, similar) = (Box::new(selector.clone()), self.similar(selector)?);
            return Err(DistributionError::NotHeld { selector, similar });
        }
        Ok(found)
    }

    /// The patches that nothing was ever published about for a ring.
    pub fn undecided(&self, ring: &RingName) -> Result<Vec<Patch>, DistributionError> {
        let size = self.patches.head().map_or(0, |head| head.size);
        let mut found = Vec::new();
        for range in self.decided.undecided(ring, size)? {
            for index in IndexRange::indexes(range) {
                found.extend(self.patches.patch(index)?);
            }
        }
        Ok(found)
    }

    /// What stands for a patch and a ring.
    pub fn standing(
        &mut self,
        patch: u64,
        ring: &RingName,
    ) -> Result<Option<Standing>, DistributionError> {
        let Some(Said { entry, .. }) = self.decided.standing(patch, ring)? else { return Ok(None) };
        let action = match DistributionEntry::parse(&self.decisions.read(entry)?)? {
            DistributionEntry::Release(release) => Action::Release(Terms::of(&release)),
            DistributionEntry::Withdraw(withdraw) => Action::Withdraw { reason: withdraw.reason },
            DistributionEntry::Authority(_) => return Ok(None),
        };
        Ok(Some(Standing { entry, action }))
    }

    /// What stands for a patch, by ring.
    pub fn standings(
        &mut self,
        patch: u64,
    ) -> Result<Vec<(RingName, Standing)>, DistributionError> {
        let mut standings = Vec::new();
        for ring in self.decided.rings()? {
            standings.extend(self.standing(patch, &ring)?.map(|standing| (ring, standing)));
        }
        Ok(standings)
    }

    /// Patches of the same version or else component, the newest first.
    fn similar(&self, selector: &PatchSelector) -> Result<Vec<String>, DistributionError> {
        let of_name = self.patches.of_name(&selector.name)?;
        let same: Vec<_> = of_name
            .iter()
            .rev()
            .filter(|patch| patch.entry.version == selector.version)
            .map(|patch| patch.entry.identity().to_string())
            .take(MAX_SIMILAR)
            .collect();
        if !same.is_empty() {
            return Ok(same);
        }
        let mut versions: Vec<String> = Vec::new();
        for patch in of_name.iter().rev() {
            let text = format!("{}@{}", patch.entry.name, patch.entry.version);
            if !versions.contains(&text) {
                versions.push(text);
            }
        }
        versions.truncate(MAX_SIMILAR);
        Ok(versions)
    }
}
