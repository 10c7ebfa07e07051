//! `patchctl search TEXT`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure};

use super::attention::Freshnesses;
use super::listing::{ListReport, Listing, Names};
use crate::session::Session;

/// Look for patches by name, summary or advisory
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl search agent\n  \
    patchctl search CVE-2026-0001")]
pub struct SearchArgs {
    /// What to look for; upper and lower case are the same
    #[arg(value_name = "TEXT")]
    text: String,
}

/// Searches.
pub fn run(session: &Session<'_>, arguments: &SearchArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let names = Names::With(&arguments.text);
    let patches = Listing::load(&database, Some(&catalogue), None, names)?;
    let freshness = Freshnesses::judge(session, &catalogue).reports;
    for report in &freshness {
        report.warn(session.output);
    }
    if patches.is_empty() {
        let text = format!("no patch has {:?} in its name, summary or advisories", arguments.text);
        return Err(Failure::new(ExitStatus::NotFound, text));
    }
    session.output.report(&ListReport { freshness, patches });
    Ok(ExitStatus::Done)
}
