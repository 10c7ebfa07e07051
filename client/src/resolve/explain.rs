//! Why a candidate cannot be, found without the solver wherever two names suffice to say it.

use countersign_format::name::{PatchName, PatchVersion, Requirement};

use super::reason::{Excluded, MAX_NAMED, Reason};
use super::solve::Demands;
use super::universe::{CandidateAt, NameAt, Universe};

/// How many requirements deep a reason is looked for.
const MAX_DEPTH: usize = 16;

/// Looks for reasons under the demands that were in force.
pub(super) struct Explainer<'u> {
    pub(super) universe: &'u Universe,
    pub(super) demands: &'u Demands,
}

impl Explainer<'_> {
    /// Why nothing of a name, or not this version of it, is a candidate.
    pub(super) fn nothing(&self, at: NameAt, version: Option<&PatchVersion>) -> Reason {
        let name = &self.universe.names[at];
        let is_meant =
            |excluded: &&Excluded| version.is_none_or(|version| excluded.version == *version);
        let excluded = name.excluded.iter().filter(is_meant).take(MAX_NAMED).cloned().collect();
        Reason::Nothing { name: name.component.name.clone(), excluded }
    }

    /// Why a candidate that the solver refused cannot be.
    pub(super) fn refusal(&self, candidate: CandidateAt) -> Reason {
        self.obstacle(candidate, &mut Vec::new()).unwrap_or_else(|| self.together(candidate))
    }

    /// The first obstacle that can be told as a chain from one name to the next.
    fn obstacle(&self, at: CandidateAt, seen: &mut Vec<CandidateAt>) -> Option<Reason> {
        if seen.contains(&at) || seen.len() >= MAX_DEPTH {
            return None;
        }
        seen.push(at);
        let reason = self.missing(at).or_else(|| self.clash(at)).or_else(|| self.deeper(at, seen));
        seen.pop();
        reason
    }

    /// A requirement for which there is no candidate at all.
    fn missing(&self, at: CandidateAt) -> Option<Reason> {
        let requires = &self.universe.candidates[at].requires;
        let (name, requirement) =
            requires.iter().find(|(name, requirement)| self.fits(*name, requirement).is_empty())?;
        Some(self.needs(*name, requirement, None))
    }

    /// Something that has to be there and in none of its versions goes with this.
    fn clash(&self, at: CandidateAt) -> Option<Reason> {
        let universe = self.universe;
        let candidate = &universe.candidates[at];
        let is_clash = |other: &NameAt| {
            let allowed = &self.demands.allowed[*other];
            self.demands.must[*other]
                && *other != candidate.name
                && !allowed.iter().any(|other| universe.go_together(at, *other))
        };
        let other = (0..universe.names.len()).find(is_clash)?;
        // of the other's versions the one that it has, else the one that it would have
        let allowed = &self.demands.allowed[other];
        let is_installed = |at: &&CandidateAt| universe.candidates[**at].is_installed;
        let stays = allowed.iter().find(is_installed).or(allowed.first())?;
        let stays = &universe.candidates[*stays];
        let name = universe.names[other].component.name.clone();
        let version = stays.version.clone();
        let asks = |asked: &[(NameAt, Requirement)], matches: bool| {
            let is_asked = |(name, requirement): &&(NameAt, Requirement)| {
                *name == candidate.name && requirement.matches(&candidate.version) == matches
            };
            asked.iter().find(is_asked).map(|(_, requirement)| requirement.clone())
        };
        let own = &universe.names[candidate.name].component;
        if let Some(requirement) = asks(&stays.requires, false) {
            let (needs, requirement) = (own.name.clone(), requirement.to_string());
            return Some(Reason::Breaks { name, version, needs, requirement });
        }
        let needs = candidate
            .requires
            .iter()
            .find(|(name, requirement)| *name == other && !requirement.matches(&stays.version));
        match needs {
            Some((name, requirement)) => Some(self.needs(*name, requirement, None)),
            None => Some(Reason::Conflicts { name, version }),
        }
    }

    /// A requirement whose every candidate has an obstacle of its own.
    fn deeper(&self, at: CandidateAt, seen: &mut Vec<CandidateAt>) -> Option<Reason> {
        for (name, requirement) in &self.universe.candidates[at].requires {
            let mut first = None;
            let is_hopeless = self.fits(*name, requirement).into_iter().all(|fit| {
                let why = self.obstacle(fit, seen);
                let is_hopeless = why.is_some();
                if let (Some(why), None) = (why, &first) {
                    first = Some((self.universe.candidates[fit].version.clone(), Box::new(why)));
                }
                is_hopeless
            });
            if is_hopeless {
                return Some(self.needs(*name, requirement, first));
            }
        }
        None
    }

    /// The names that together leave no room, found by leaving out one demand after another.
    fn together(&self, candidate: CandidateAt) -> Reason {
        let universe = self.universe;
        let name = universe.candidates[candidate].name;
        let mut demands = self.demands.with(name, vec![candidate]);
        let mut involved: Vec<PatchName> = Vec::new();
        for other in (0..universe.names.len()).filter(|other| *other != name) {
            if !demands.must[other] {
                continue;
            }
            demands.must[other] = false;
            if demands.meet(universe).is_some() {
                demands.must[other] = true;
                involved.push(universe.names[other].component.name.clone());
            }
        }
        involved.sort();
        Reason::Together(involved)
    }

    /// The allowed candidates that meet a requirement, the preferred one first.
    fn fits(&self, name: NameAt, requirement: &Requirement) -> Vec<CandidateAt> {
        let fits = |at: &&CandidateAt| requirement.matches(&self.universe.candidates[**at].version);
        self.demands.allowed[name].iter().filter(fits).copied().collect()
    }

    fn needs(
        &self,
        at: NameAt,
        requirement: &Requirement,
        because: Option<(PatchVersion, Box<Reason>)>,
    ) -> Reason {
        let name = &self.universe.names[at];
        let settled = match self.demands.allowed[at].as_slice() {
            [only] if self.demands.must[at] => Some(&self.universe.candidates[*only].version),
            _ => None,
        };
        let there = settled.or(name.component.version());
        let would_do = |excluded: &&Excluded| requirement.matches(&excluded.version);
        Reason::Needs {
            name: name.component.name.clone(),
            requirement: requirement.to_string(),
            found: there.filter(|version| !requirement.matches(version)).cloned(),
            excluded: name.excluded.iter().filter(would_do).take(MAX_NAMED).cloned().collect(),
            because,
        }
    }
}
