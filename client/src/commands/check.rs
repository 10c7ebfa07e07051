//! `patchctl check`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::plan::Planner;
use serde::Serialize;

use super::filter::FilterArgs;
use super::overview::{SkippedReport, StepReport, print_skipped, print_steps};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Say whether patches wait, by the exit code: 100 if some do, 101 if they close advisories
///
/// Looks at the held index only. An index older than it may be is exit 11.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl check\n  \
    patchctl check --security --quiet; echo $?")]
pub struct CheckArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct CheckReport {
    waiting: Vec<StepReport>,
    skipped: Vec<SkippedReport>,
}

impl Report for CheckReport {
    fn print(&self, output: &Output) {
        if self.waiting.is_empty() && self.skipped.is_empty() {
            output.note("nothing waits");
        }
        print_steps(output, &self.waiting);
        print_skipped(output, &self.skipped);
    }
}

/// Tells what waits.
pub fn run(session: &Session<'_>, arguments: &CheckArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    session.check_fresh(&catalogue, false)?;
    let planner = Planner::new(&database, &catalogue, arguments.filter.filter(), false);
    let plan = planner.or_explain()?.upgrade(&[]).or_explain()?;
    session.output.report(&CheckReport {
        waiting: plan.steps.iter().map(StepReport::new).collect(),
        skipped: plan.skipped.iter().map(SkippedReport::new).collect(),
    });
    let closes_advisories = plan.steps.iter().any(|step| !step.advisories.is_empty());
    let waiting = match plan.steps.as_slice() {
        [] => ExitStatus::Done,
        _ if closes_advisories => ExitStatus::AdvisoriesWaiting,
        _ => ExitStatus::PatchesWaiting,
    };
    let skipped =
        if plan.skipped.is_empty() { ExitStatus::Done } else { ExitStatus::PatchesSkipped };
    Ok(waiting.and(skipped))
}
