//! The best of all choices that go together.
//!
//! "Best" is settled one name after another: first what was asked for, the gravest first, each as
//! new as it can be; then what is installed, changed as little as can be; then what these need, as
//! new as can be. Nothing else is installed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::explain::Explainer;
use super::reason::Reason;
use super::solve::{Chosen, Demands};
use super::universe::{CandidateAt, NameAt, Universe};

/// A choice, and what was wished for and could not be.
pub(super) struct Choice {
    pub(super) chosen: Chosen,
    /// By name: the best candidate that was refused, and why.
    pub(super) refused: BTreeMap<NameAt, (CandidateAt, Reason)>,
}

/// A wish that cannot be fulfilled.
pub(super) struct Unfulfilled {
    pub(super) name: NameAt,
    /// The best candidate for it, if there is one.
    pub(super) best: Option<CandidateAt>,
    pub(super) reason: Reason,
}

/// Chooses. Wishes are demands if `is_demand`; else what cannot be is left as it is.
pub(super) fn choose(
    universe: &Universe,
    allow_removals: bool,
    is_demand: bool,
) -> Result<Choice, Box<Unfulfilled>> {
    let mut chooser = Chooser::new(universe, allow_removals);
    let wished = chooser.wished();
    if is_demand {
        for name in &wished {
            chooser.demand(*name)?;
        }
    }
    for name in &wished {
        chooser.settle(*name);
    }
    let others = universe.names.iter().enumerate().filter(|(_, name)| name.wish.is_none());
    let mut installed: Vec<NameAt> =
        others.filter(|(_, name)| name.component.installed.is_some()).map(|(at, _)| at).collect();
    installed.sort_by_key(|at| &universe.names[*at].component.name);
    for name in &installed {
        chooser.settle(*name);
    }
    Ok(chooser.finish(wished.into_iter().chain(installed)))
}

struct Chooser<'u> {
    universe: &'u Universe,
    demands: Demands,
    /// Meets the demands.
    chosen: Chosen,
    refused: BTreeMap<NameAt, (CandidateAt, Reason)>,
}

impl<'u> Chooser<'u> {
    /// Begins with things as they are, which demand nothing that is not so.
    fn new(universe: &'u Universe, allow_removals: bool) -> Self {
        let mut demands = Demands::of(universe);
        if allow_removals {
            for (must, name) in demands.must.iter_mut().zip(&universe.names) {
                let stays = name.wish.is_some() || name.component.hold.is_some();
                *must = *must && stays;
            }
        }
        let is_installed = |at: &CandidateAt| universe.candidates[*at].is_installed;
        let chosen =
            universe.names.iter().map(|name| name.candidates.iter().copied().find(is_installed));
        Self { universe, demands, chosen: chosen.collect(), refused: BTreeMap::new() }
    }

    /// The names that are wished for: the gravest first, ties by name.
    fn wished(&self) -> Vec<NameAt> {
        let names = self.universe.names.iter().enumerate();
        let mut wished: Vec<NameAt> =
            names.filter(|(_, name)| name.wish.is_some()).map(|(at, _)| at).collect();
        wished.sort_by_cached_key(|at| {
            let component = &self.universe.names[*at].component;
            let best = self.universe.names[*at].candidates.first();
            let severity = best.map(|best| {
                let best = &self.universe.candidates[*best];
                component.mends(&best.version, &best.links).0
            });
            (Reverse(severity), component.name.clone())
        });
        wished
    }

    /// Demands that a wish is fulfilled, by whichever of its candidates.
    fn demand(&mut self, at: NameAt) -> Result<(), Box<Unfulfilled>> {
        let name = &self.universe.names[at];
        let version = name.wish.as_ref().and_then(|wish| wish.version.as_ref());
        let meant: Vec<CandidateAt> = match version {
            Some(version) => self.universe.find(at, version).into_iter().collect(),
            None => name.candidates.clone(),
        };
        let explainer = Explainer { universe: self.universe, demands: &self.demands };
        let Some(best) = meant.first().copied() else {
            let reason = explainer.nothing(at, version);
            return Err(Box::new(Unfulfilled { name: at, best: None, reason }));
        };
        let attempt = self.demands.with(at, meant);
        let Some(chosen) = self.meet(&attempt) else {
            let reason = explainer.refusal(best);
            return Err(Box::new(Unfulfilled { name: at, best: Some(best), reason }));
        };
        (self.demands, self.chosen) = (attempt, chosen);
        Ok(())
    }

    /// Settles a name on the best candidate that goes with all that is settled. One that may go and
    /// cannot stay goes.
    fn settle(&mut self, at: NameAt) {
        for candidate in self.demands.allowed[at].clone() {
            let attempt = self.demands.with(at, vec![candidate]);
            if let Some(chosen) = self.meet(&attempt) {
                (self.demands, self.chosen) = (attempt, chosen);
                return;
            }
            if !self.refused.contains_key(&at) {
                let explainer = Explainer { universe: self.universe, demands: &self.demands };
                self.refused.insert(at, (candidate, explainer.refusal(candidate)));
            }
        }
        self.demands.allowed[at].clear();
    }

    /// Asks the solver, unless what is chosen meets the demands already.
    fn meet(&self, demands: &Demands) -> Option<Chosen> {
        let is_met = |at: NameAt| match self.chosen[at] {
            Some(candidate) => demands.allowed[at].contains(&candidate),
            None => !demands.must[at],
        };
        if (0..self.chosen.len()).all(is_met) {
            return Some(self.chosen.clone());
        }
        demands.meet(self.universe)
    }

    /// Settles what the settled names need, and leaves out all that nothing needs.
    fn finish(mut self, settled: impl Iterator<Item = NameAt>) -> Choice {
        let mut queue: VecDeque<NameAt> = settled.collect();
        let mut is_settled = vec![false; self.universe.names.len()];
        for at in &queue {
            is_settled[*at] = true;
        }
        while let Some(at) = queue.pop_front() {
            let Some(candidate) = self.chosen[at] else { continue };
            let universe = self.universe;
            for (needed, _) in &universe.candidates[candidate].requires {
                if !is_settled[*needed] {
                    is_settled[*needed] = true;
                    self.settle(*needed);
                    queue.push_back(*needed);
                }
            }
        }
        for (chosen, is_settled) in self.chosen.iter_mut().zip(is_settled) {
            chosen.take_if(|_| !is_settled);
        }
        Choice { chosen: self.chosen, refused: self.refused }
    }
}
