//! Brings the patches of a plan and applies them, by another way where one of them does not fit.

use std::collections::BTreeMap;

use countersign_format::hash::Hash32;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, bytes};
use patchctl::catalogue::{Catalogue, Offer};
use patchctl::download::{Obtained, missing};
use patchctl::local::LocalPatch;
use patchctl::plan::Plan;
use patchctl::root::Root;
use patchctl::space;
use patchctl::state::State;
use patchctl::transaction::{Change, Outcome, PlannedPatch, PrepareError, prepare_change};

use crate::commands::fetch::fetch;
use crate::commands::filter::ChangeArgs;
use crate::explain::OrExplain as _;
use crate::session::{Session, hold_signals};

/// Patches that are here: verified notes and their archives.
pub(super) struct Here(BTreeMap<(usize, Hash32), Obtained>);

impl Here {
    pub(super) fn new(local: Vec<LocalPatch>) -> Self {
        Self(local.into_iter().map(|patch| (Self::key(&patch.offer), patch.obtained)).collect())
    }

    /// Nobody keeps a source from naming the archive of another one.
    fn key(offer: &Offer) -> (usize, Hash32) {
        (offer.source, offer.entry().archive.sha256)
    }

    /// Brings every patch of the plan here and verifies its note.
    pub(super) fn bring(
        &mut self,
        session: &Session<'_>,
        state: &State,
        catalogue: &Catalogue,
        plan: &Plan,
    ) -> Result<(), Failure> {
        let is_wanted = |link: &&Offer| !self.0.contains_key(&Self::key(link));
        let wanted: Vec<&Offer> = plan.links().filter(is_wanted).collect();
        if !wanted.is_empty() {
            let obtained = fetch(session, &state.database, catalogue, &wanted)?;
            self.0.extend(wanted.iter().map(|offer| Self::key(offer)).zip(obtained));
        }
        Ok(())
    }

    /// The patches of the plan, in the order to apply them.
    fn planned(&self, plan: &Plan) -> Result<Vec<PlannedPatch>, Failure> {
        let planned = |link: &Offer| {
            let Obtained { note, archive } =
                self.0.get(&Self::key(link)).expect("every link is from a file or was fetched");
            let archive = archive.try_clone().or_fail(ExitStatus::Failed)?;
            Ok(PlannedPatch::new(note, archive))
        };
        plan.links().map(planned).collect()
    }
}

/// Installs a plan. Where a patch has changes to files that are not here as they were, another way to
/// the same version is taken, if there is one: mostly the full patch.
pub(super) fn apply_plan(
    session: &Session<'_>,
    state: &mut State,
    catalogue: &Catalogue,
    plan: &Plan,
    mut here: Here,
    arguments: &ChangeArgs,
) -> Result<(Plan, Outcome), Failure> {
    let mut plan = plan.clone();
    let mut unfit = Vec::new();
    loop {
        let change = Change {
            install: here.planned(&plan)?,
            remove: plan.removals.iter().map(|removal| removal.name.clone()).collect(),
            config: arguments.config_files.policy(&session.arguments),
        };
        let misfit = match apply(session, state, change, arguments.allow_stale)? {
            Ok(outcome) => return Ok((plan, outcome)),
            Err(misfit) => misfit,
        };
        let PrepareError::Delta { name, archive, source, .. } = &misfit else {
            return Err(misfit).or_explain();
        };
        unfit.push(*archive);
        let other = other_way(state, catalogue, &plan, name, (&unfit, arguments))?;
        let Some(other) = other else { return Err(misfit).or_explain() };
        session.output.warning(format!("{misfit}: {source}; another way is taken"));
        plan = other;
        let links: Vec<&Offer> = plan.links().collect();
        let fetched = missing(&session.places.cache, &links);
        session.output.note(format!("{} more to fetch", bytes(fetched)));
        space::require(&session.places, &links, true).or_explain()?;
        here.bring(session, state, catalogue, &plan)?;
    }
}

/// The plan with another way for one component that leads to the same version.
fn other_way(
    state: &State,
    catalogue: &Catalogue,
    plan: &Plan,
    name: &PatchName,
    (unfit, arguments): (&[Hash32], &ChangeArgs),
) -> Result<Option<Plan>, Failure> {
    let mut plan = plan.clone();
    let step = plan.steps.iter_mut().find(|step| step.name == *name);
    let Some(step) = step.filter(|_| !arguments.is_exact) else { return Ok(None) };
    let mut offers = catalogue.offers_named(&state.database, name).or_explain()?;
    // what was planned with counts here too
    offers.retain(|offer| {
        step.links.iter().any(|link| link.source == offer.source)
            && arguments.selection.patch.wants(offer.entry())
    });
    let Some(other) = step.without(unfit, &offers) else { return Ok(None) };
    *step = other;
    Ok(Some(plan))
}

/// Prepares a change and applies it; a patch that does not fit what is here is no failure yet.
fn apply(
    session: &Session<'_>,
    state: &mut State,
    change: Change,
    allow_stale: bool,
) -> Result<Result<Outcome, PrepareError>, Failure> {
    let root = Root::open(&session.places.root).or_explain()?;
    let mut bars = session.bars();
    let context = session.context(allow_stale);
    let prepared = match prepare_change(&mut state.database, &root, change, context, &mut bars) {
        Err(error @ PrepareError::Delta { .. }) => return Ok(Err(error)),
        prepared => prepared.or_explain()?,
    };
    hold_signals(session.output);
    prepared.apply(&mut bars).or_explain().map(Ok)
}
