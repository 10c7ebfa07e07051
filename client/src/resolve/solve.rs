//! Whether demands can be met at all: the one question that is put to the solver.
//!
//! `resolvo` answers it completely (conflict-driven clause learning). What is preferred among
//! several answers is decided above it, by asking again: the outcome then depends on the question
//! alone and not on the order in which a solver happens to look at things.

use std::collections::HashMap;
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, SolvableId, Solver,
    SolverCache, StringId, VersionSetId, VersionSetUnionId,
};

use super::universe::{CandidateAt, NameAt, Universe};

/// What each name may be.
#[derive(Debug, Clone)]
pub(super) struct Demands {
    /// The candidates that are allowed, the preferred one first.
    pub(super) allowed: Vec<Vec<CandidateAt>>,
    /// Whether one of them has to be.
    pub(super) must: Vec<bool>,
}

/// What each name is; nothing where it is not there.
pub(super) type Chosen = Vec<Option<CandidateAt>>;

impl Demands {
    /// Every candidate of every name is allowed, and what is installed has to stay.
    pub(super) fn of(universe: &Universe) -> Self {
        let is_installed = |name: &super::universe::Name| name.component.installed.is_some();
        Self {
            allowed: universe.names.iter().map(|name| name.candidates.clone()).collect(),
            must: universe.names.iter().map(is_installed).collect(),
        }
    }

    /// These demands with one more: that a name is there as one of `allowed`.
    pub(super) fn with(&self, name: NameAt, allowed: Vec<CandidateAt>) -> Self {
        let mut demands = self.clone();
        demands.allowed[name] = allowed;
        demands.must[name] = true;
        demands
    }

    /// A choice that meets the demands and all requirements, if there is one.
    pub(super) fn meet(&self, universe: &Universe) -> Option<Chosen> {
        let provider = Provider::new(universe, self);
        let must = (0..universe.names.len()).filter(|name| self.must[*name]);
        let requirements = must.map(|name| raw_set(name).into()).collect();
        let mut solver = Solver::new(provider);
        let solution = solver.solve(Problem::new().requirements(requirements)).ok()?;
        let mut chosen = vec![None; universe.names.len()];
        for candidate in solution {
            let at = candidate.into_raw() as usize;
            chosen[universe.candidates[at].name] = Some(at);
        }
        Some(chosen)
    }
}

/// The universe and the demands in the solver's words. The first sets are "any of this name".
struct Provider<'u> {
    universe: &'u Universe,
    demands: &'u Demands,
    sets: Vec<Set>,
    dependencies: Vec<KnownDependencies>,
}

/// Some candidates of one name.
struct Set {
    name: NameAt,
    /// All of the name's where there are none here.
    members: Option<Vec<CandidateAt>>,
}

impl<'u> Provider<'u> {
    fn new(universe: &'u Universe, demands: &'u Demands) -> Self {
        let any = (0..universe.names.len()).map(|name| Set { name, members: None });
        let mut provider =
            Self { universe, demands, sets: any.collect(), dependencies: Vec::new() };
        let mut known = HashMap::new();
        for candidate in &universe.candidates {
            let mut asked = KnownDependencies::default();
            for (name, requirement) in &candidate.requires {
                let key = (*name, requirement.as_str(), true);
                let set = *known.entry(key).or_insert_with(|| {
                    provider.add_set(*name, |version| requirement.matches(version))
                });
                asked.requirements.push(set.into());
            }
            for (name, refused) in &candidate.conflicts {
                let key = (*name, refused.as_str(), false);
                let set = *known.entry(key).or_insert_with(|| {
                    provider.add_set(*name, |version| !refused.matches(version))
                });
                asked.constrains.push(set);
            }
            provider.dependencies.push(asked);
        }
        provider
    }

    fn add_set(
        &mut self,
        name: NameAt,
        is_member: impl Fn(&countersign_format::name::PatchVersion) -> bool,
    ) -> VersionSetId {
        let universe = self.universe;
        let mut members: Vec<CandidateAt> = universe.names[name].candidates.clone();
        members.retain(|at| is_member(&universe.candidates[*at].version));
        members.sort_unstable();
        self.sets.push(Set { name, members: Some(members) });
        raw_set(self.sets.len() - 1)
    }
}

fn raw(at: usize) -> u32 {
    u32::try_from(at).expect("bounded by MAX_NAMES and MAX_CANDIDATES")
}

fn raw_set(at: usize) -> VersionSetId {
    VersionSetId(raw(at))
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        let candidate = &self.universe.candidates[solvable.into_raw() as usize];
        format!("{} {}", self.universe.names[candidate.name].component.name, candidate.version)
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        &self.universe.names[name.into_raw() as usize].component.name
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        set.0
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        // no reasons are given to the solver: ours are told another way
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        NameId::from_raw(raw(self.sets[set.0 as usize].name))
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(raw(self.universe.candidates[solvable.into_raw() as usize].name))
    }

    fn version_sets_in_union(&self, _: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        // no requirement is about several names
        std::iter::empty()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no requirement has a condition")
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let members = self.sets[set.0 as usize].members.as_ref();
        let is_member = |candidate: &&SolvableId| {
            let at = candidate.into_raw() as usize;
            members.is_none_or(|members| members.binary_search(&at).is_ok())
        };
        candidates.iter().filter(|candidate| is_member(candidate) != inverse).copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let allowed = &self.demands.allowed[name.into_raw() as usize];
        Some(Candidates {
            candidates: allowed.iter().map(|at| SolvableId::from_raw(raw(*at))).collect(),
            hint_dependencies_available: HintDependenciesAvailable::All,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        // candidates of a name are numbered in the order of preference
        solvables.sort_unstable();
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        Dependencies::Known(self.dependencies[solvable.into_raw() as usize].clone())
    }
}
