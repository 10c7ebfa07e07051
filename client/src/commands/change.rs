//! What `install` and `upgrade` have in common: showing a plan, asking, fetching, installing.

use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes};
use patchctl::catalogue::{Catalogue, Offer};
use patchctl::db::Database;
use patchctl::download::{forget, missing};
use patchctl::local::LocalPatch;
use patchctl::plan::Plan;
use patchctl::plan_file::PlanDocument;
use patchctl::space;
use patchctl::state::State;
use patchctl::transaction::ComponentChange;
use serde::Serialize;

mod apply;

use apply::{Here, apply_plan};

use super::filter::ChangeArgs;
use super::or_nothing;
use super::overview::{
    RemovalReport, SkippedReport, StepReport, print_side_effects, print_skipped, print_steps,
};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// What was done.
#[derive(Serialize)]
struct ChangeReport {
    downloaded_only: bool,
    transaction: Option<i64>,
    steps: Vec<StepReport>,
    removals: Vec<RemovalReport>,
    skipped: Vec<SkippedReport>,
    changes: Vec<ChangeLine>,
    notices: Vec<String>,
    restart: Vec<String>,
    reboot: bool,
}

/// One component's versions before and after.
#[derive(Serialize)]
pub struct ChangeLine {
    name: String,
    from: Option<String>,
    to: Option<String>,
}

impl ChangeLine {
    /// What is said of a change.
    pub fn new(change: &ComponentChange) -> Self {
        Self {
            name: change.name.to_string(),
            from: change.old.as_ref().map(ToString::to_string),
            to: change.new.as_ref().map(ToString::to_string),
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let Self { name, from, to } = self;
        match (from, to) {
            (None, Some(to)) => format!("{name} {to} installed"),
            (Some(from), None) => format!("{name} {from} removed"),
            (Some(from), Some(to)) if from == to => format!("{name} {to} put right"),
            (from, to) => {
                format!("{name} {} → {}", or_nothing(from.as_ref()), or_nothing(to.as_ref()))
            }
        }
    }
}

impl ChangeReport {
    /// What is said of a plan that nothing was done about yet.
    fn planned(plan: &Plan, downloaded_only: bool) -> Self {
        Self {
            downloaded_only,
            transaction: None,
            steps: plan.steps.iter().map(StepReport::new).collect(),
            removals: plan.removals.iter().map(RemovalReport::new).collect(),
            skipped: plan.skipped.iter().map(SkippedReport::new).collect(),
            changes: Vec::new(),
            notices: Vec::new(),
            restart: plan.restarts().into_iter().map(ToOwned::to_owned).collect(),
            reboot: plan.needs_reboot(),
        }
    }
}

impl Report for ChangeReport {
    fn print(&self, output: &Output) {
        for change in &self.changes {
            output.print_line(change.text());
        }
        for notice in &self.notices {
            output.warning(notice);
        }
        if let Some(transaction) = self.transaction {
            output.note(format!("transaction {transaction} is done; undo: patchctl rollback"));
        }
        if self.transaction.is_some() && !self.restart.is_empty() {
            output.print_line(format!("restart: {}", self.restart.join(", ")));
        }
        if self.transaction.is_some() && self.reboot {
            output.print_line("the machine must restart");
        }
    }
}

/// Shows the plan, asks, fetches, verifies and installs.
pub fn carry_out(
    session: &Session<'_>,
    mut state: State,
    catalogue: &Catalogue,
    plan: &Plan,
    local: Vec<LocalPatch>,
    arguments: &ChangeArgs,
) -> Result<ExitStatus, Failure> {
    let mut report = ChangeReport::planned(plan, arguments.download_only);
    show_plan(session, plan);
    let skipped =
        if plan.skipped.is_empty() { ExitStatus::Done } else { ExitStatus::PatchesSkipped };
    if session.arguments.dry_run {
        session.output.report(&DryRun(document(session, &state.database, catalogue, plan)?));
        return Ok(skipped);
    }
    if plan.is_empty() {
        session.output.report(&report);
        return Ok(skipped);
    }
    let links: Vec<&Offer> = plan.links().collect();
    let cache = &session.places.cache;
    space::require(&session.places, &links, !arguments.download_only).or_explain()?;
    let question = match (arguments.download_only, plan.removals.is_empty()) {
        (true, _) => "fetch these?",
        (false, true) => "install these?",
        (false, false) => "install and remove these?",
    };
    if !session.output.confirm(question, session.arguments.yes)? {
        return Err(not_confirmed());
    }
    let mut here = Here::new(local);
    here.bring(session, &state, catalogue, plan)?;
    if arguments.download_only {
        session
            .output
            .note(format!("fetched and verified into {}", session.places.cache.display()));
        session.output.report(&report);
        return Ok(skipped);
    }
    let (plan, outcome) = apply_plan(session, &mut state, catalogue, plan, here, arguments)?;
    let links: Vec<&Offer> = links.into_iter().chain(plan.links()).collect();
    // what is installed need not lie in the cache too; what cannot be removed only takes space
    if let Err(error) = forget(cache, &links) {
        session.output.warning(format!("cannot clean the cache: {error}"));
    }
    report.transaction = Some(outcome.transaction);
    report.changes = outcome.changes.iter().map(ChangeLine::new).collect();
    report.notices = outcome.notices.iter().map(ToString::to_string).collect();
    session.output.report(&report);
    let restart = if report.reboot { ExitStatus::RestartNeeded } else { ExitStatus::Done };
    Ok(skipped.and(restart))
}

/// A plan that nothing is done about: its table was shown, and the document is the plan itself.
#[derive(Serialize)]
#[serde(transparent)]
pub struct DryRun(pub PlanDocument);

impl Report for DryRun {
    fn print(&self, _: &Output) {}
}

/// A plan as a document.
pub fn document(
    session: &Session<'_>,
    database: &Database,
    catalogue: &Catalogue,
    plan: &Plan,
) -> Result<PlanDocument, Failure> {
    PlanDocument::new(plan, database, catalogue, &session.places.root, session.now).or_explain()
}

/// A person said no.
pub fn not_confirmed() -> Failure {
    Failure::new(ExitStatus::Failed, "not confirmed; nothing was changed")
}

/// Shows a plan as a table, with what is skipped.
pub fn show_plan(session: &Session<'_>, plan: &Plan) {
    let output = session.output;
    let skipped: Vec<SkippedReport> = plan.skipped.iter().map(SkippedReport::new).collect();
    print_skipped(output, &skipped);
    if plan.is_empty() {
        // what was skipped was worth doing: it is never called nothing
        let what = if skipped.is_empty() { "nothing to do" } else { "nothing was changed" };
        output.note(what);
        return;
    }
    let steps: Vec<StepReport> = plan.steps.iter().map(StepReport::new).collect();
    let removals: Vec<RemovalReport> = plan.removals.iter().map(RemovalReport::new).collect();
    print_steps(output, &steps);
    print_side_effects(output, &steps, &removals);
    let links: Vec<&Offer> = plan.links().collect();
    let fetched = missing(&session.places.cache, &links);
    output.print_line(format!("{} to fetch, {} on disk", bytes(fetched), bytes(plan.unpacked())));
    let restarts: Vec<&str> = plan.restarts().into_iter().collect();
    if !restarts.is_empty() {
        output.print_line(format!("will need a restart: {}", restarts.join(", ")));
    }
    if plan.needs_reboot() {
        output.print_line("will need a restart of the machine");
    }
}
