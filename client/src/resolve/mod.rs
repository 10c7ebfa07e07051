//! Choosing what to install: wishes, what is installed and what is offered go in; steps, and the
//! reasons for what is not done, come out. Pure: it reads and changes nothing else.
//!
//! [`resolve()`] is the way in. It loads what is reachable ([`Index`], never the whole catalogue),
//! sorts out which versions are candidates (offered, not held, with a path of patches that leads
//! there), asks a solver which of them go together, and takes the cheapest way in bytes to each.

mod choose;
mod component;
mod dependents;
mod detour;
mod explain;
mod order;
mod outcome;
mod reason;
mod solve;
mod universe;
mod ways;

use countersign_format::name::{PatchName, PatchVersion};

use crate::db::DatabaseError;

pub use component::{Component, Filter, Index, Present, Request, Wish};
pub use dependents::{Dependent, dependents};
pub use outcome::{Plan, Removal, Skipped, Step};
pub use reason::{Excluded, Exclusion, MAX_NAMED, Reason};
pub use universe::{MAX_CANDIDATES, MAX_NAMES};

use choose::{Unfulfilled, choose};
use universe::{NameAt, Universe};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No source has a patch of this name.
    #[error("no source has a patch named {0}")]
    Unknown(PatchName),
    /// No source has this version.
    #[error("no source has {name} {version}")]
    NoSuchVersion {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
    },
    /// It cannot be installed.
    #[error(transparent)]
    Impossible(Box<Impossible>),
    /// More than one resolution may look at.
    #[error("more than {limit} {what} would have to be weighed against each other")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What cannot be installed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be installed", named(name, version.as_ref()))]
pub struct Impossible {
    /// The component.
    pub name: PatchName,
    /// The version, if one was named or one was the best.
    pub version: Option<PatchVersion>,
    /// Why.
    pub reason: Reason,
    /// Why, line by line.
    source: Option<Line>,
}

/// One line of a reason, with the next one as its cause.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Line {
    text: String,
    source: Option<Box<Line>>,
}

fn named(name: &PatchName, version: Option<&PatchVersion>) -> String {
    version.map_or_else(|| name.to_string(), |version| format!("{name} {version}"))
}

/// How wishes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All of them are fulfilled, or there is an error.
    Install,
    /// What is installed becomes as new as it can; what cannot be is skipped.
    Upgrade,
}

/// Chooses what to do about a request.
pub fn resolve(index: &impl Index, request: &Request, mode: Mode) -> Result<Plan, ResolveError> {
    let universe = Universe::load(index, request)?;
    let choice = choose(&universe, request.allow_removals, mode == Mode::Install);
    let choice = choice.map_err(|unfulfilled| universe.failure(*unfulfilled))?;
    let mut plan = Plan::default();
    for (at, chosen) in choice.chosen.iter().enumerate() {
        let component = &universe.names[at].component;
        match (&component.installed, chosen) {
            (_, Some(chosen)) if !universe.candidates[*chosen].is_installed => {
                plan.steps.push(universe.step(*chosen));
            }
            (Some(present), None) => {
                let (name, version) = (component.name.clone(), present.version.clone());
                plan.removals.push(Removal { name, version });
            }
            _ => {}
        }
        let refused =
            choice.refused.get(&at).map(|(at, why)| (&universe.candidates[*at].version, why));
        let version = chosen.map(|chosen| &universe.candidates[chosen].version);
        plan.skipped.extend(universe.skipped(at, version, refused, request));
    }
    plan.steps = order::in_order(plan.steps);
    plan.removals.sort_by(|one, other| one.name.cmp(&other.name));
    plan.skipped.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(plan)
}

impl Universe {
    fn step(&self, chosen: usize) -> Step {
        let candidate = &self.candidates[chosen];
        let name = &self.names[candidate.name];
        let component = &name.component;
        let (severity, mut advisories) = component.mends(&candidate.version, &candidate.links);
        if component.version().is_some_and(|from| candidate.version < *from) {
            advisories.clear();
        }
        Step {
            name: component.name.clone(),
            from: component.version().cloned(),
            to: candidate.version.clone(),
            links: candidate.links.iter().map(|at| component.offers[*at].clone()).collect(),
            severity,
            advisories,
            opens: component.opens(&candidate.version),
            is_dependency: name.wish.is_none(),
        }
    }

    /// The newest version of a wish that is offered, newer than what is chosen, and wanted.
    fn skipped(
        &self,
        at: NameAt,
        chosen: Option<&PatchVersion>,
        refused: Option<(&PatchVersion, &Reason)>,
        request: &Request,
    ) -> Option<Skipped> {
        let name = &self.names[at];
        let chosen =
            chosen.filter(|_| name.wish.as_ref().is_some_and(|wish| wish.version.is_none()))?;
        let excluded = name
            .excluded
            .iter()
            .filter(|excluded| !matches!(excluded.why, Exclusion::Gate(_) | Exclusion::Prerelease));
        let excluded =
            excluded.map(|excluded| (&excluded.version, Reason::Excluded(excluded.why.clone())));
        let refused = refused.map(|(version, why)| (version, why.clone()));
        let newer = excluded.chain(refused).filter(|(version, _)| *version > chosen);
        let (version, why) = newer.max_by_key(|(version, _)| *version)?;
        let (severity, advisories) = name.component.mends(version, &[]);
        request.filter.wants(severity, &advisories).then(|| Skipped {
            name: name.component.name.clone(),
            version: version.clone(),
            severity,
            advisories,
            why,
        })
    }

    /// What is said of a wish that cannot be fulfilled.
    fn failure(&self, unfulfilled: Unfulfilled) -> ResolveError {
        let Unfulfilled { name: at, best, reason } = unfulfilled;
        let name = self.names[at].component.name.clone();
        let wished = self.names[at].wish.as_ref().and_then(|wish| wish.version.clone());
        if matches!(&reason, Reason::Nothing { excluded, .. } if excluded.is_empty()) {
            return match wished {
                Some(version) if !self.names[at].component.offers.is_empty() => {
                    ResolveError::NoSuchVersion { name, version }
                }
                _ => ResolveError::Unknown(name),
            };
        }
        let version = best.map(|best| self.candidates[best].version.clone()).or(wished);
        let source = Line::chain(reason.lines(&named(&name, version.as_ref())));
        ResolveError::Impossible(Box::new(Impossible { name, version, reason, source }))
    }
}

impl Line {
    /// The first of these lines, with the others as its causes.
    pub fn chain(lines: Vec<String>) -> Option<Self> {
        let chain = |source: Option<Box<Self>>, text| Some(Box::new(Self { text, source }));
        lines.into_iter().rev().fold(None, chain).map(|line| *line)
    }
}

#[cfg(test)]
mod tests;
