//! `patchctl upgrade`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::plan::Planner;

use super::change::carry_out;
use super::filter::ChangeArgs;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Install every released patch that fits what is installed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl upgrade\n  \
    patchctl upgrade acme-agent --yes\n  \
    patchctl upgrade --severity high\n  \
    patchctl upgrade --dry-run")]
pub struct UpgradeArgs {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<PatchName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Upgrades.
pub fn run(session: &Session<'_>, arguments: &UpgradeArgs) -> Result<ExitStatus, Failure> {
    let state = session.open()?;
    let catalogue = session.catalogue(&state.database)?;
    let change = &arguments.change;
    session.check_fresh(&catalogue, change.allow_stale)?;
    let planner = Planner::new(&state.database, &catalogue, change.selection.options());
    let plan = planner.or_explain()?.upgrade(&arguments.names).or_explain()?;
    carry_out(session, state, &catalogue, &plan, Vec::new(), change)
}
