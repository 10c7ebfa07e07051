//! What the held index offers this machine, and why what it does not offer is not offered.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, PatchVersion, Platform};
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;

use crate::config::SourceConfig;
use crate::db::glimpse::Glimpse;
use crate::db::index::IndexedPatch;
use crate::db::{Database, DatabaseError, parse};
use crate::gate::Approach;
pub use crate::gate::{Answer, Gate, GateState};
use crate::standing::Standings;
use crate::trust::{Heads, Trust, TrustError};

/// This machine, as rollouts and platforms see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// 32 lowercase hex digits.
    pub id: String,
    /// What it runs.
    pub platform: Platform,
}

/// All sources of a machine with what is known of them.
#[derive(Debug)]
pub struct Catalogue {
    machine: Machine,
    sources: Vec<KnownSource>,
}

/// One source with what is trusted and held of it.
#[derive(Debug)]
pub struct KnownSource {
    /// Its settings.
    pub config: SourceConfig,
    /// The chain of authority notes.
    pub trust: Trust,
    /// Both heads.
    pub heads: Heads,
    /// The clock with this source's floor.
    pub clock: Clock,
    standings: Standings,
    /// Leaf index of the patch, reason; ascending.
    revoked: Vec<(u64, String)>,
}

/// A patch as this machine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which of the catalogue's sources has it.
    pub source: usize,
    /// The patch.
    pub patch: IndexedPatch,
    /// Whether it may be installed here and now.
    pub gate: Gate,
}

/// A patch as lists and searches show it.
#[derive(Debug)]
pub struct Seen<'s> {
    /// Which of the catalogue's sources has it.
    pub source: usize,
    /// Leaf index of its entry.
    pub leaf: u64,
    /// What its entry says.
    pub glimpse: &'s Glimpse<'s>,
    /// Whether it may be installed here and now.
    pub is_open: bool,
}

impl Catalogue {
    /// Loads what is known of all configured sources, with the time `local` on the clock.
    pub fn load(
        database: &Database,
        configs: &[SourceConfig],
        platform: Platform,
        local: Timestamp,
    ) -> Result<Self, TrustError> {
        let (catalogue, unreadable) = Self::load_readable(database, configs, platform, local)?;
        match unreadable.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(catalogue),
        }
    }

    /// As [`Self::load`], without the sources whose stored trust cannot be loaded; those come with
    /// the reason. For what only shows: a plan is never made from a part of what is configured.
    pub fn load_readable(
        database: &Database,
        configs: &[SourceConfig],
        platform: Platform,
        local: Timestamp,
    ) -> Result<(Self, Vec<(SourceConfig, TrustError)>), DatabaseError> {
        let machine = Machine { id: database.machine_id()?.unwrap_or_default(), platform };
        let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
        for config in configs {
            match KnownSource::load(database, config, local) {
                Ok(source) => sources.push(source),
                Err(error) => unreadable.push((config.clone(), error)),
            }
        }
        Ok((Self { machine, sources }, unreadable))
    }

    /// This machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The sources, by name.
    pub fn sources(&self) -> &[KnownSource] {
        &self.sources
    }

    /// Every patch of every source.
    pub fn offers(&self, database: &Database) -> Result<Vec<Offer>, DatabaseError> {
        self.collect(|source| database.patches(source.trust.id()))
    }

    /// Every patch of this name.
    pub fn offers_named(
        &self,
        database: &Database,
        name: &PatchName,
    ) -> Result<Vec<Offer>, DatabaseError> {
        self.collect(|source| database.patches_named(source.trust.id(), name))
    }

    /// Hands out every patch of every source.
    pub fn each_glimpse(
        &self,
        database: &Database,
        mut take: impl FnMut(&Seen<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut viewer = Viewer::new(self);
        self.readable().try_for_each(|(source, known)| {
            database.each_glimpse(known.trust.id(), |leaf, glimpse| {
                take(&viewer.see(source, leaf, glimpse)?)
            })
        })
    }

    /// Hands out every patch of these names.
    pub fn each_glimpse_named(
        &self,
        database: &Database,
        names: &BTreeSet<PatchName>,
        mut take: impl FnMut(&Seen<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut viewer = Viewer::new(self);
        self.readable().try_for_each(|(source, known)| {
            database.each_glimpse_named(
                known.trust.id(),
                names,
                |_| false,
                |leaf, glimpse| take(&viewer.see(source, leaf, glimpse)?),
            )
        })
    }

    /// Hands out every patch of the names of which any source has a patch with this text in its name,
    /// its summary or its advisories, in no order; capitals and small letters are the same. Returns
    /// the names.
    pub fn each_glimpse_with(
        &self,
        database: &Database,
        text: &str,
        mut take: impl FnMut(&Seen<'_>) -> Result<(), DatabaseError>,
    ) -> Result<BTreeSet<PatchName>, DatabaseError> {
        let mut viewer = Viewer::new(self);
        let (mut names, mut known_leaves) = (BTreeSet::new(), vec![Vec::new(); self.sources.len()]);
        for (source, known) in self.readable() {
            database.each_glimpse_with(known.trust.id(), text, |leaf, glimpse| {
                names.insert(parse("patch_lines.lines", &glimpse.name)?);
                known_leaves[source].push(leaf);
                take(&viewer.see(source, leaf, glimpse)?)
            })?;
        }
        // and their patches that do not have it
        for (source, known) in self.readable() {
            let is_known = |leaf| known_leaves[source].binary_search(&leaf).is_ok();
            database.each_glimpse_named(known.trust.id(), &names, is_known, |leaf, glimpse| {
                take(&viewer.see(source, leaf, glimpse)?)
            })?;
        }
        Ok(names)
    }

    /// The sources of which the held log is the one that the authority lists now.
    fn readable(&self) -> impl Iterator<Item = (usize, &KnownSource)> {
        self.sources.iter().enumerate().filter(|(_, known)| !known.heads.collection.is_left)
    }

    /// The patches with this archive, at most one a source.
    pub fn offers_of_archive(
        &self,
        database: &Database,
        archive: &Hash32,
    ) -> Result<Vec<Offer>, DatabaseError> {
        let find = |source: &KnownSource| database.patch_of_archive(source.trust.id(), archive);
        self.collect(|source| Ok(find(source)?.into_iter().collect()))
    }

    /// Leaves those of the strongest source that has any of these patches, and of its equals. Which
    /// source a name comes from is for people to say, not for whoever publishes it again.
    pub fn retain_strongest(&self, offers: &mut Vec<Offer>) {
        let strongest = offers.iter().map(|offer| self.priority(offer)).min();
        offers.retain(|offer| Some(self.priority(offer)) == strongest);
    }

    /// The priority of the source that has a patch.
    pub fn priority(&self, offer: &Offer) -> u16 {
        self.sources[offer.source].config.priority
    }

    fn collect(
        &self,
        find: impl Fn(&KnownSource) -> Result<Vec<IndexedPatch>, DatabaseError>,
    ) -> Result<Vec<Offer>, DatabaseError> {
        let mut offers = Vec::new();
        for (source, known) in self.readable() {
            let offer = |patch: IndexedPatch| {
                let gate = known.approach_of(&patch, &self.machine).first_obstacle();
                Offer { source, patch, gate }
            };
            offers.extend(find(known)?.into_iter().map(offer));
        }
        Ok(offers)
    }

    /// All gates of an offer, in order; its [`Offer::gate`] is the first of them that stops it.
    pub fn gates<'a>(&'a self, offer: &'a Offer) -> Vec<GateState<'a>> {
        self.sources[offer.source].gates(&offer.patch, &self.machine)
    }

    /// Whether an entry that is not in the held log is for machines like this one.
    pub fn fits(&self, entry: &PatchEntry) -> bool {
        entry.platform.fits(&self.machine.platform)
    }
}

/// Says of one patch after the other whether it may be installed here and now.
struct Viewer<'c> {
    catalogue: &'c Catalogue,
    /// There are few platforms, and each is read once.
    platforms: BTreeMap<String, Platform>,
}

impl<'c> Viewer<'c> {
    fn new(catalogue: &'c Catalogue) -> Self {
        Self { catalogue, platforms: BTreeMap::new() }
    }

    fn see<'s>(
        &mut self,
        source: usize,
        leaf: u64,
        glimpse: &'s Glimpse<'s>,
    ) -> Result<Seen<'s>, DatabaseError> {
        let Catalogue { machine, sources } = self.catalogue;
        if !self.platforms.contains_key(&*glimpse.platform) {
            let platform = parse("patch_lines.lines", &glimpse.platform)?;
            self.platforms.insert(glimpse.platform.to_string(), platform);
        }
        let platform = &self.platforms[&*glimpse.platform];
        let unknown = Hash32([0; 32]);
        let approach = sources[source].approach(leaf, &unknown, platform, machine);
        let is_open = approach.is_open(|| glimpse.archive())?;
        Ok(Seen { source, leaf, glimpse, is_open })
    }
}

impl KnownSource {
    fn load(
        database: &Database,
        config: &SourceConfig,
        local: Timestamp,
    ) -> Result<Self, TrustError> {
        let trust = Trust::load(database, config)?;
        let heads = Heads::load(database, &trust)?;
        let clock = trust.clock(&heads, local)?;
        let decisions =
            if heads.distribution.is_left { Vec::new() } else { database.decisions(trust.id())? };
        let origin = &trust.authority().collection.origin;
        let standings = Standings::new(decisions, origin, heads.collection.size(), &config.ring);
        let revoked = database.revocations(trust.id())?;
        Ok(Self { config: config.clone(), trust, heads, clock, standings, revoked })
    }

    /// The leaf index of the entry that first released a patch.
    pub fn first_release(&self, patch: u64) -> Option<u64> {
        self.standings.first_release(patch)
    }

    /// All gates that a patch of this source must pass on `machine`, in order.
    pub fn gates<'a>(
        &'a self,
        patch: &'a IndexedPatch,
        machine: &'a Machine,
    ) -> Vec<GateState<'a>> {
        self.approach_of(patch, machine).gates()
    }

    /// Why the collection revoked a patch, if it did.
    pub fn revoked(&self, patch: u64) -> Option<&str> {
        let at = self.revoked.binary_search_by_key(&patch, |(patch, _)| *patch).ok()?;
        Some(&self.revoked[at].1)
    }

    fn approach_of<'a>(&'a self, patch: &'a IndexedPatch, machine: &'a Machine) -> Approach<'a> {
        let IndexedPatch { leaf, entry, .. } = patch;
        self.approach(*leaf, &entry.archive.sha256, &entry.platform, machine)
    }

    fn approach<'a>(
        &'a self,
        leaf: u64,
        archive: &'a Hash32,
        platform: &'a Platform,
        machine: &'a Machine,
    ) -> Approach<'a> {
        Approach {
            leaf,
            archive,
            platform,
            machine: &machine.platform,
            machine_id: &machine.id,
            ring: &self.config.ring,
            revoked: self.revoked(leaf),
            standing: self.standings.of(leaf),
            now: self.clock.now(),
        }
    }
}

impl Offer {
    /// What the log says of the patch.
    pub fn entry(&self) -> &PatchEntry {
        &self.patch.entry
    }

    /// The version that it leads to.
    pub fn version(&self) -> &PatchVersion {
        &self.patch.entry.version
    }

    /// Whether it may be installed here and now.
    pub fn is_open(&self) -> bool {
        self.gate == Gate::Open
    }
}
