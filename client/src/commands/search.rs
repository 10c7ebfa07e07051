//! `patchctl search TEXT`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::resolve::Filter;
use serde::Serialize;

use super::attention::{FreshnessReport, Freshnesses};
use super::list::print_lines;
use super::listing::{ListLine, Listing};
use crate::explain::OrExplain as _;
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

#[derive(Serialize)]
struct SearchReport<'l> {
    freshness: Vec<FreshnessReport>,
    patches: Vec<ListLine<'l>>,
}

impl Report for SearchReport<'_> {
    fn print(&self, output: &Output) {
        print_lines(output, &self.patches);
    }
}

/// Searches.
pub fn run(session: &Session<'_>, arguments: &SearchArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let names = catalogue.names_with(&database, &arguments.text).or_explain()?;
    let listing = Listing::load(&database, Some(&catalogue), None, Some(&names))?;
    let patches = listing.lines(&Filter::default())?;
    let freshness = Freshnesses::judge(session, &catalogue).reports;
    for report in &freshness {
        report.warn(session.output);
    }
    if patches.is_empty() {
        let text = format!("no patch has {:?} in its name, summary or advisories", arguments.text);
        return Err(Failure::new(ExitStatus::NotFound, text));
    }
    session.output.report(&SearchReport { freshness, patches });
    Ok(ExitStatus::Done)
}
