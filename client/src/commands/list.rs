//! `patchctl list`.

use clap::Args;
use countersign_format::name::Platform;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::catalogue::Catalogue;
use patchctl::db::Database;

use super::attention::Freshnesses;
use super::filter::FilterArgs;
use super::listing::{ListReport, Listing, Names};
use super::overview::waiting;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// List what is installed and what is offered
///
/// --upgradable with an index older than it may be is exit 11.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl list\n  \
    patchctl list --upgradable --security\n  \
    patchctl list --available --platform linux-x86_64\n  \
    patchctl list --installed --json")]
pub struct ListArgs {
    /// Only what is installed
    #[arg(long, group = "which")]
    installed: bool,
    /// Only what is offered and not installed in any version
    #[arg(long, group = "which")]
    available: bool,
    /// Only what has something newer that fits
    #[arg(long, group = "which")]
    upgradable: bool,
    /// Only patches for this platform, of those that fit this machine
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Lists.
pub fn run(session: &Session<'_>, arguments: &ListArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let filter = arguments.filter.filter();
    let catalogue = match session.catalogue(&database) {
        // what is installed is there whatever can be said of sources
        Err(_) if arguments.installed && filter.is_everything() => None,
        catalogue => Some(catalogue?),
    };
    let Freshnesses { reports, failure } = match &catalogue {
        Some(catalogue) => Freshnesses::judge(session, catalogue),
        None => Freshnesses::default(),
    };
    let mut patches = wanted(&database, catalogue.as_ref(), arguments)?;
    patches.retain_wanted(&filter)?;
    let report = ListReport { freshness: reports, patches };
    session.output.report(&report);
    match failure {
        Some(failure) if arguments.upgradable => Err(failure),
        // what is installed is known without an index
        Some(_) if !arguments.installed => {
            report.freshness.iter().for_each(|report| report.warn(session.output));
            Ok(ExitStatus::Done)
        }
        _ => Ok(ExitStatus::Done),
    }
}

/// What the list is about. The whole index is looked at only where all of it is.
fn wanted(
    database: &Database,
    catalogue: Option<&Catalogue>,
    arguments: &ListArgs,
) -> Result<Listing, Failure> {
    let platform = arguments.platform.as_ref();
    match catalogue {
        _ if arguments.installed => {
            let installed = database.installed().or_explain()?.into_iter();
            let names = installed.map(|installed| installed.name).collect();
            let names = Names::These(&names);
            let mut listing = Listing::load(database, catalogue, platform, names)?;
            listing.retain_installed();
            Ok(listing)
        }
        Some(catalogue) if arguments.upgradable => {
            let plan = waiting(database, catalogue).or_explain()?;
            let names = plan.steps.iter().map(|step| step.name.clone()).collect();
            let names = Names::These(&names);
            let mut listing = Listing::load(database, Some(catalogue), platform, names)?;
            listing.take_steps(&plan.steps)?;
            Ok(listing)
        }
        _ => {
            let mut listing = Listing::load(database, catalogue, platform, Names::All)?;
            if arguments.available {
                listing.retain_not_installed();
            }
            Ok(listing)
        }
    }
}
