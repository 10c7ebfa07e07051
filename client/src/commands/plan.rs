//! `patchctl plan`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::plan::{PlanOptions, Planner};

use super::NameAndVersion;
use super::change::{DryRun, document, show_plan};
use super::filter::SelectionArgs;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Show what would be done, and keep it to be done later exactly so
///
/// Changes nothing and needs no privilege beyond reading the state. `patchctl install --plan FILE`
/// carries out exactly what the file says, or refuses and lists all that has changed since. Without
/// anything named it plans an upgrade.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl plan\n  \
    patchctl plan upgrade --security -o tonight.plan\n  \
    patchctl plan install acme-agent@2.1.0 -o tonight.plan\n  \
    patchctl install --plan tonight.plan")]
pub struct PlanArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Keep the plan in this file
    #[arg(short, long, global = true, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on although the index is older than it may be
    #[arg(long, global = true)]
    allow_stale: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Plan to install patches by name
    #[command(after_help = "Examples:\n  patchctl plan install acme-agent -o tonight.plan")]
    Install {
        /// Patches by name
        #[arg(value_name = "NAME[@VERSION]", required = true)]
        what: Vec<NameAndVersion>,
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Plan to install every released patch that fits what is installed
    #[command(after_help = "Examples:\n  patchctl plan upgrade -o tonight.plan")]
    Upgrade {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<PatchName>,
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Plan to remove what patches installed
    #[command(after_help = "Examples:\n  patchctl plan remove acme-agent -o tonight.plan")]
    Remove {
        /// What to remove
        #[arg(value_name = "NAME", required = true)]
        names: Vec<PatchName>,
        /// Remove what needs them, too
        #[arg(long)]
        with_dependents: bool,
    },
}

/// Plans.
pub fn run(session: &Session<'_>, arguments: &PlanArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    session.check_fresh(&catalogue, arguments.allow_stale)?;
    let planner = |options| Planner::new(&database, &catalogue, options).or_explain();
    let plan = match &arguments.what {
        None => planner(PlanOptions::default())?.upgrade(&[]),
        Some(What::Upgrade { names, selection }) => planner(selection.options())?.upgrade(names),
        Some(What::Install { what, selection }) => {
            let wanted: Vec<_> =
                what.iter().map(|wish| (wish.name.clone(), wish.version.clone())).collect();
            planner(selection.options())?.install(&wanted, Vec::new())
        }
        Some(What::Remove { names, with_dependents }) => {
            planner(PlanOptions::default())?.remove(names, *with_dependents)
        }
    };
    let plan = plan.or_explain()?;
    show_plan(session, &plan);
    let document = document(session, &database, &catalogue, &plan)?;
    if let Some(path) = &arguments.output {
        document.write(path).or_explain()?;
        let path = path.display();
        let mut words = vec![format!("patchctl install --plan {path}")];
        let needed = planner(PlanOptions::default())?.words(&plan).or_explain()?;
        words.extend(needed.iter().map(ToString::to_string));
        session.output.note(format!("kept in {path}; do it: {}", words.join(" ")));
    }
    session.output.report(&DryRun(document));
    Ok(if plan.skipped.is_empty() { ExitStatus::Done } else { ExitStatus::PatchesSkipped })
}
