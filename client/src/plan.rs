//! A plan: what is to be installed, as data that can be shown, tested and refused.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::PatchEntry;
use countersign_format::name::{PatchName, PatchVersion};

use crate::catalogue::{Catalogue, Gate, Offer};
use crate::db::installed::Installed;
use crate::db::{Database, DatabaseError};
use crate::select::{
    Choice, Component, Filter, Outcome, Set, SkipReason, Skipped, Step, Wish, contradictions,
};

/// What is to be done, and what is offered and is not to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One step a component, by name.
    pub steps: Vec<Step>,
    /// What is offered and not taken.
    pub skipped: Vec<Skipped>,
}

/// Why what was asked for cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No source has a patch of this name.
    #[error("no source has a patch named {0}")]
    Unknown(PatchName),
    /// There is one, but not for this machine, now.
    #[error("{name} {version} is not offered to this machine: {gate}")]
    NotOffered {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
        /// Why.
        gate: Gate,
    },
    /// No source has this version.
    #[error("no source has {name} {version}")]
    NoSuchVersion {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
    },
    /// It cannot be installed together with what is there.
    #[error("{name} {version} cannot be installed: {why}")]
    Impossible {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
        /// Why.
        why: Box<SkipReason>,
    },
    /// To be upgraded, it must be installed.
    #[error("{0} is not installed")]
    NotInstalled(PatchName),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What plans are made from.
#[derive(Debug)]
pub struct Planner<'a> {
    database: &'a Database,
    catalogue: &'a Catalogue,
    installed: Vec<Installed>,
    held_back: BTreeMap<PatchName, BTreeSet<PatchVersion>>,
    filter: Filter,
    allow_downgrade: bool,
}

impl Plan {
    /// Bytes of all archives.
    pub fn download(&self) -> u64 {
        self.links().map(|link| link.entry().archive.size).sum()
    }

    /// Bytes of all files when they are unpacked.
    pub fn unpacked(&self) -> u64 {
        self.links().map(|link| link.entry().archive.unpacked).sum()
    }

    /// All patches, in the order to apply them.
    pub fn links(&self) -> impl Iterator<Item = &Offer> {
        self.steps.iter().flat_map(|step| &step.links)
    }

    /// Services that must be restarted afterwards.
    pub fn restarts(&self) -> BTreeSet<&str> {
        self.links()
            .flat_map(|link| {
                link.entry().restart.iter().map(countersign_format::text::Line::as_str)
            })
            .collect()
    }

    /// Whether the machine must be restarted afterwards.
    pub fn needs_reboot(&self) -> bool {
        self.links().any(|link| link.entry().reboot)
    }
}

impl<'a> Planner<'a> {
    /// What plans are made from: the index and what is installed.
    pub fn new(
        database: &'a Database,
        catalogue: &'a Catalogue,
        filter: Filter,
        allow_downgrade: bool,
    ) -> Result<Self, DatabaseError> {
        let mut held_back: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (name, version) in database.held_back()? {
            held_back.entry(name).or_default().insert(version);
        }
        let installed = database.installed()?;
        Ok(Self { database, catalogue, installed, held_back, filter, allow_downgrade })
    }

    /// Everything that is installed and has something newer, or only `names` of it.
    pub fn upgrade(&self, names: &[PatchName]) -> Result<Plan, PlanError> {
        let is_installed = |name: &&PatchName| self.version_of(name).is_some();
        if let Some(name) = names.iter().find(|name| !is_installed(name)) {
            return Err(PlanError::NotInstalled(name.clone()));
        }
        let mut plan = Plan::default();
        for installed in &self.installed {
            if !names.is_empty() && !names.contains(&installed.name) {
                continue;
            }
            let choice = self.choose(&installed.name, None, Vec::new())?;
            plan.skipped.extend(choice.skipped);
            if let Outcome::Step(step) = choice.outcome {
                plan.steps.push(*step);
            }
        }
        self.drop_contradictions(&mut plan)?;
        Ok(plan)
    }

    /// These components, each in the named version or in the newest.
    pub fn install(
        &self,
        wanted: &[(PatchName, Option<PatchVersion>)],
        local: Vec<Offer>,
    ) -> Result<Plan, PlanError> {
        let mut plan = Plan::default();
        let mut wishes: BTreeMap<PatchName, Option<PatchVersion>> =
            wanted.iter().cloned().collect();
        let mut files: BTreeMap<PatchName, Vec<Offer>> = BTreeMap::new();
        for offer in local {
            files.entry(offer.entry().name.clone()).or_default().push(offer);
        }
        for (name, offers) in &files {
            let newest = offers.iter().map(Offer::version).max().cloned();
            wishes.insert(name.clone(), newest);
        }
        for (name, version) in wishes {
            let choice =
                self.choose(&name, version.as_ref(), files.remove(&name).unwrap_or_default())?;
            match (choice.outcome, choice.skipped) {
                (Outcome::Step(step), skipped) => {
                    plan.steps.push(*step);
                    plan.skipped.extend(skipped);
                }
                (Outcome::Nothing, None) => {}
                (Outcome::Nothing, Some(Skipped { name, version, why })) => {
                    return Err(PlanError::Impossible { name, version, why: Box::new(why) });
                }
                (Outcome::NotOffered(Some((version, gate))), _) => {
                    return Err(PlanError::NotOffered { name, version, gate });
                }
                (Outcome::NotOffered(None), _) => {
                    return Err(match version {
                        Some(version) if self.is_known(&name)? => {
                            PlanError::NoSuchVersion { name, version }
                        }
                        _ => PlanError::Unknown(name),
                    });
                }
            }
        }
        match self.contradictions(&plan)?.into_iter().next() {
            Some(Skipped { name, version, why }) => {
                Err(PlanError::Impossible { name, version, why: Box::new(why) })
            }
            None => Ok(plan),
        }
    }

    /// What is to be done about one component. With `files`, only by these.
    fn choose(
        &self,
        name: &PatchName,
        version: Option<&PatchVersion>,
        files: Vec<Offer>,
    ) -> Result<Choice, PlanError> {
        let offers = match files.as_slice() {
            [] => self.catalogue.offers_named(self.database, name)?,
            _ => files,
        };
        let component = Component {
            name: name.clone(),
            installed: self.version_of(name).cloned(),
            offers,
            held_back: self.held_back.get(name).cloned().unwrap_or_default(),
        };
        let wish = Wish { version: version.cloned(), allow_downgrade: self.allow_downgrade };
        Ok(component.choose(&wish, &self.filter))
    }

    fn version_of(&self, name: &PatchName) -> Option<&PatchVersion> {
        self.installed.iter().find(|installed| installed.name == *name).map(|is| &is.version)
    }

    fn is_known(&self, name: &PatchName) -> Result<bool, DatabaseError> {
        Ok(!self.catalogue.offers_named(self.database, name)?.is_empty())
    }

    /// Drops steps until what is left goes together.
    fn drop_contradictions(&self, plan: &mut Plan) -> Result<(), DatabaseError> {
        loop {
            let found = self.contradictions(plan)?;
            if found.is_empty() {
                return Ok(());
            }
            plan.steps.retain(|step| found.iter().all(|skipped| skipped.name != step.name));
            plan.skipped.extend(found);
        }
    }

    /// The steps of a plan that do not go together with the rest, and why. What did not go together
    /// before the plan is not the plan's fault.
    fn contradictions(&self, plan: &Plan) -> Result<Vec<Skipped>, DatabaseError> {
        let entries = self.installed_entries()?;
        let step_of = |name: &PatchName| plan.steps.iter().find(|step| step.name == *name);
        let mut set: Set<'_> = Set::new();
        for (installed, entry) in self.installed.iter().zip(&entries) {
            set.insert(&installed.name, (&installed.version, entry.as_ref()));
        }
        let before = contradictions(&set);
        for step in &plan.steps {
            let entry = step.links.last().map(Offer::entry);
            set.insert(&step.name, (&step.to, entry));
        }
        let mut found = Vec::new();
        for (name, why) in contradictions(&set) {
            let culprit = match (step_of(&name), &why) {
                (Some(step), _) => Some((step, why)),
                (None, _) if before.contains(&(name.clone(), why.clone())) => None,
                (
                    None,
                    SkipReason::Requires { name: other, .. }
                    | SkipReason::Conflicts { name: other, .. },
                ) => step_of(other)
                    .map(|step| (step, SkipReason::Breaks { name, why: Box::new(why) })),
                (None, _) => None,
            };
            if let Some((step, why)) = culprit {
                let (name, version) = (step.name.clone(), step.to.clone());
                found.push(Skipped { name, version, why });
            }
        }
        Ok(found)
    }

    /// What the index says of what is installed, where it knows it.
    fn installed_entries(&self) -> Result<Vec<Option<PatchEntry>>, DatabaseError> {
        let find = |installed: &Installed| {
            let offers = self.catalogue.offers_of_archive(self.database, &installed.archive)?;
            Ok(offers.into_iter().next().map(|offer| offer.patch.entry))
        };
        self.installed.iter().map(find).collect()
    }
}
