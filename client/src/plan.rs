//! Plans for this machine: what the index and the state say of each component, given to
//! [`resolve()`].

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::time::Timestamp;

use crate::catalogue::{Catalogue, Offer};
use crate::config::SourceName;
use crate::consent::Word;
use crate::db::hold::Hold;
use crate::db::installed::Installed;
use crate::db::{Database, DatabaseError};
use crate::resolve::{
    Component, Dependent, Exclusion, Filter, Index, Line, Mode, Present, Removal, Request,
    ResolveError, Wish, dependents, resolve,
};

pub use crate::resolve::Plan;

/// Why what was asked for cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// To be upgraded, it must be installed.
    #[error("{0} is not installed")]
    NotInstalled(PatchName),
    /// No source has this name in the settings.
    #[error("no source is named {0}")]
    NoSource(SourceName),
    /// Installed components need what is to be removed.
    #[error("other installed components need {}", needed(.0))]
    Needed(Vec<Dependent>, #[source] Line),
    /// What is to be removed is held.
    #[error("{} is not removed: {}", .0.name, Exclusion::Held(.0.clone()))]
    Held(Hold),
    /// A plan that was kept does not hold any more.
    #[error("the plan no longer holds; nothing was changed")]
    Changed(#[source] Line),
    /// A plan that was kept does what needs a word that was not said.
    #[error("the plan does what must be asked for here too; nothing was changed")]
    Unsaid(BTreeSet<Word>, #[source] Line),
    /// There is no plan.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Which patches a plan may be made of, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Which versions are wanted.
    pub filter: Filter,
    /// Whether older versions than the installed ones will do.
    pub allow_downgrade: bool,
    /// Whether installed components that were not asked for may go.
    pub allow_removals: bool,
    /// What is asked for comes from these sources only, whatever their priorities; from the
    /// strongest that has it where none is named.
    pub sources: Vec<SourceName>,
    /// What is asked for comes by patches for this platform only.
    pub platform: Option<Platform>,
    /// What is asked for comes by patches with this base only.
    pub base: Option<Requirement>,
}

/// Makes plans from the held index and what is installed.
#[derive(Debug, Clone)]
pub struct Planner<'a> {
    pub(crate) database: &'a Database,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) installed: BTreeMap<PatchName, Installed>,
    pub(crate) held_back: BTreeMap<PatchName, BTreeSet<PatchVersion>>,
    pub(crate) holds: BTreeMap<PatchName, Hold>,
    pub(crate) options: PlanOptions,
}

impl<'a> Planner<'a> {
    /// Reads what is installed and what is held.
    pub fn new(
        database: &'a Database,
        catalogue: &'a Catalogue,
        options: PlanOptions,
    ) -> Result<Self, DatabaseError> {
        let mut held_back: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (name, version) in database.held_back()? {
            held_back.entry(name).or_default().insert(version);
        }
        let now = now(catalogue);
        let counting = database.holds()?.into_iter().filter(|hold| hold.counts(now));
        let installed = database.installed()?.into_iter();
        Ok(Self {
            database,
            catalogue,
            installed: installed.map(|is| (is.name.clone(), is)).collect(),
            held_back,
            holds: counting.map(|hold| (hold.name.clone(), hold)).collect(),
            options,
        })
    }

    /// Everything that is installed and has something newer, or only `names` of it.
    pub fn upgrade(&self, names: &[PatchName]) -> Result<Plan, PlanError> {
        let is_installed = |name: &&PatchName| self.installed.contains_key(*name);
        if let Some(name) = names.iter().find(|name| !is_installed(name)) {
            return Err(PlanError::NotInstalled(name.clone()));
        }
        let is_meant = |name: &&PatchName| names.is_empty() || names.contains(name);
        let wishes = self.installed.keys().filter(is_meant);
        let wishes = wishes.map(|name| (name.clone(), Wish::default())).collect();
        self.plan(wishes, Supply::default(), Mode::Upgrade)
    }

    /// These components, each in the named version or in the newest; those of `local` by these
    /// patches and no others.
    pub fn install(
        &self,
        wanted: &[(PatchName, Option<PatchVersion>)],
        local: Vec<Offer>,
    ) -> Result<Plan, PlanError> {
        let mut wishes: BTreeMap<PatchName, Wish> = wanted
            .iter()
            .map(|(name, version)| (name.clone(), Wish { version: version.clone() }))
            .collect();
        let mut files: BTreeMap<PatchName, Vec<Offer>> = BTreeMap::new();
        for offer in local {
            files.entry(offer.entry().name.clone()).or_default().push(offer);
        }
        for (name, offers) in &files {
            let version = offers.iter().map(Offer::version).max().cloned();
            wishes.insert(name.clone(), Wish { version });
        }
        let supply = Supply { patches: files, is_all: false };
        self.plan(wishes.into_iter().collect(), supply, Mode::Install)
    }

    /// These components go, and with `with_dependents` what needs them.
    pub fn remove(&self, names: &[PatchName], with_dependents: bool) -> Result<Plan, PlanError> {
        let index = Asked { planner: self, supply: Supply::default(), wishes: &[] };
        let dependents = dependents(&index, names)?;
        let lines = dependents.iter().map(ToString::to_string).collect();
        if let (false, Some(line)) = (with_dependents, Line::chain(lines)) {
            return Err(PlanError::Needed(dependents, line));
        }
        let gone = dependents.into_iter().map(|dependent| dependent.name);
        let mut removals = Vec::new();
        for name in names.iter().cloned().chain(gone) {
            let installed = self.installed.get(&name);
            let version = installed.ok_or_else(|| PlanError::NotInstalled(name.clone()))?;
            if let Some(hold) = self.holds.get(&name) {
                return Err(PlanError::Held(hold.clone()));
            }
            let removal = Removal { name, version: version.version.clone() };
            if !removals.contains(&removal) {
                removals.push(removal);
            }
        }
        // what needs others is at rest before they go
        removals.reverse();
        Ok(Plan { removals, ..Plan::default() })
    }

    /// A plan from the supply and the index.
    pub(crate) fn plan(
        &self,
        wishes: Vec<(PatchName, Wish)>,
        supply: Supply,
        mode: Mode,
    ) -> Result<Plan, PlanError> {
        let is_known = |name: &SourceName| {
            self.catalogue.sources().iter().any(|source| source.config.name == *name)
        };
        if let Some(name) = self.options.sources.iter().find(|name| !is_known(name)) {
            return Err(PlanError::NoSource(name.clone()));
        }
        let request = Request {
            wishes,
            filter: self.options.filter.clone(),
            allow_downgrade: self.options.allow_downgrade,
            allow_removals: self.options.allow_removals,
        };
        let index = Asked { planner: self, supply, wishes: &request.wishes };
        Ok(resolve(&index, &request, mode)?)
    }

    /// What the index says of what is installed, where it knows it.
    fn present(&self, name: &PatchName) -> Result<Option<Present>, DatabaseError> {
        let Some(installed) = self.installed.get(name) else { return Ok(None) };
        let offers = self.catalogue.offers_of_archive(self.database, &installed.archive)?;
        let entry = offers.into_iter().next().map(|offer| offer.patch.entry);
        Ok(Some(Present { version: installed.version.clone(), entry }))
    }
}

/// Patches that were brought along: the only ones of their names.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    /// By name.
    pub(crate) patches: BTreeMap<PatchName, Vec<Offer>>,
    /// Whether other names have none at all; else they have those of the index.
    pub(crate) is_all: bool,
}

/// The index as one request sees it.
struct Asked<'p, 'a> {
    planner: &'p Planner<'a>,
    supply: Supply,
    wishes: &'p [(PatchName, Wish)],
}

impl Index for Asked<'_, '_> {
    fn installed(&self) -> Vec<PatchName> {
        self.planner.installed.keys().cloned().collect()
    }

    fn component(&self, name: &PatchName) -> Result<Component, DatabaseError> {
        let Planner { database, catalogue, .. } = self.planner;
        let is_asked_for = self.wishes.iter().any(|(wished, _)| wished == name);
        let mut offers = match self.supply.patches.get(name) {
            Some(offers) => offers.clone(),
            None if self.supply.is_all => Vec::new(),
            None => catalogue.offers_named(database, name)?,
        };
        if is_asked_for {
            offers.retain(|offer| self.is_selected(offer));
        }
        catalogue.retain_strongest(&mut offers);
        Ok(Component {
            name: name.clone(),
            installed: self.planner.present(name)?,
            offers,
            held_back: self.planner.held_back.get(name).cloned().unwrap_or_default(),
            hold: self.planner.holds.get(name).cloned(),
        })
    }
}

impl Asked<'_, '_> {
    /// Whether a patch of what is asked for is among those that were selected.
    fn is_selected(&self, offer: &Offer) -> bool {
        let Planner { catalogue, options, .. } = self.planner;
        let source = &catalogue.sources()[offer.source].config.name;
        let entry = offer.entry();
        (options.sources.is_empty() || options.sources.contains(source))
            && options.platform.as_ref().is_none_or(|platform| entry.platform == *platform)
            && options.base.as_ref().is_none_or(|base| entry.base.as_ref() == Some(base))
    }
}

fn needed(dependents: &[Dependent]) -> String {
    let needed: BTreeSet<&str> = dependents.iter().map(|is| is.needs.as_str()).collect();
    needed.into_iter().collect::<Vec<_>>().join(", ")
}

/// The latest of the sources' clocks: what a local clock that was set back cannot undo.
pub fn now(catalogue: &Catalogue) -> Timestamp {
    let clocks = catalogue.sources().iter().map(|source| source.clock.now());
    clocks.max().unwrap_or(Timestamp::EPOCH)
}
