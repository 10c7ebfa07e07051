//! `patchctl remove`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::plan::{PlanOptions, Planner};
use patchctl::root::Root;
use patchctl::transaction::{Change, prepare_change};

use super::change::document;
use super::done::{finish, show};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Remove what patches installed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl remove acme-agent\n  \
    patchctl remove acme-agent libacme --yes\n  \
    patchctl remove libacme --with-dependents")]
pub struct RemoveArgs {
    /// What to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<PatchName>,
    /// Remove what needs them, too
    #[arg(long)]
    with_dependents: bool,
}

/// Removes.
pub fn run(session: &Session<'_>, arguments: &RemoveArgs) -> Result<ExitStatus, Failure> {
    let mut state = session.open()?;
    // what sources say of what is installed; without any there is nothing that needs anything
    let catalogue = session.catalogue_or_none(&state.database)?;
    let planner = Planner::new(&state.database, &catalogue, PlanOptions::default());
    let plan = planner.or_explain()?.remove(&arguments.names, arguments.with_dependents);
    let plan = plan.or_explain()?;
    let document = document(session, &state.database, &catalogue, &plan)?;
    let remove = plan.removals.into_iter().map(|removal| removal.name).collect();
    let root = Root::open(&session.places.root).or_explain()?;
    let context = session.context(false);
    let change = Change { remove, ..Change::default() };
    let mut bars = session.bars();
    let prepared = prepare_change(&mut state.database, &root, change, context, &mut bars);
    let prepared = prepared.or_explain()?;
    if session.arguments.dry_run {
        return show(session, prepared, document);
    }
    finish(session, prepared, "remove these?")
}
