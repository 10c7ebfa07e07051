//! `patchctl check`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::plan::{PlanOptions, Planner};
use serde::Serialize;

use super::attention::{Attention, FreshnessReport, Freshnesses};
use super::filter::FilterArgs;
use super::overview::{SkippedReport, StepReport, print_steps};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Say whether patches wait, by the exit code: 100 if some do, 101 if they close advisories
///
/// Looks at the held index only. An index older than it may be is exit 11; 110 says that something
/// is skipped or held, or that a patch is installed which was revoked.
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
    freshness: Vec<FreshnessReport>,
    waiting: Vec<StepReport>,
    skipped: Vec<SkippedReport>,
    #[serde(flatten)]
    attention: Attention,
}

impl CheckReport {
    fn status(&self) -> ExitStatus {
        let waiting = match self.waiting.as_slice() {
            [] => ExitStatus::Done,
            steps if steps.iter().any(StepReport::closes_advisories) => {
                ExitStatus::AdvisoriesWaiting
            }
            _ => ExitStatus::PatchesWaiting,
        };
        if self.skipped.is_empty() && !self.attention.has_revoked() {
            waiting
        } else {
            waiting.and(ExitStatus::PatchesSkipped)
        }
    }
}

impl Report for CheckReport {
    fn print(&self, output: &Output) {
        let is_fresh = self.freshness.iter().all(FreshnessReport::is_fresh);
        match (self.status(), is_fresh) {
            (ExitStatus::Done, true) => output.note("nothing waits"),
            (ExitStatus::Done, false) => output.note("nothing waits in the index as it was last"),
            _ => {}
        }
        print_steps(output, &self.waiting);
        self.attention.print(&self.skipped, output);
    }
}

/// Tells what waits.
pub fn run(session: &Session<'_>, arguments: &CheckArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let Freshnesses { reports, failure } = Freshnesses::judge(session, &catalogue);
    let options = PlanOptions { filter: arguments.filter.filter(), ..PlanOptions::default() };
    let planner = Planner::new(&database, &catalogue, options);
    let plan = planner.or_explain()?.upgrade(&[]).or_explain()?;
    let report = CheckReport {
        freshness: reports,
        waiting: plan.steps.iter().map(StepReport::new).collect(),
        skipped: plan.skipped.iter().map(SkippedReport::new).collect(),
        attention: Attention::gather(session, &database, &catalogue)?,
    };
    session.output.report(&report);
    failure.map_or_else(|| Ok(report.status()), Err)
}
