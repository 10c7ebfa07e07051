//! `patchctl search TEXT`.

use std::collections::BTreeSet;

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::catalogue::Offer;
use serde::Serialize;

use super::attention::{FreshnessReport, Freshnesses};
use super::list::{ListLine, known, lines, print_lines};
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
struct SearchReport {
    freshness: Vec<FreshnessReport>,
    patches: Vec<ListLine>,
}

impl Report for SearchReport {
    fn print(&self, output: &Output) {
        print_lines(output, &self.patches);
    }
}

/// Searches.
pub fn run(session: &Session<'_>, arguments: &SearchArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let text = arguments.text.to_lowercase();
    let offers = catalogue.offers(&database).or_explain()?;
    let names: BTreeSet<&PatchName> =
        offers.iter().filter(|offer| has(offer, &text)).map(|offer| &offer.entry().name).collect();
    let mut known = known(&database, Some(&catalogue), None)?;
    known.retain(|name, _| names.contains(name));
    let patches = lines(known, &patchctl::resolve::Filter::default());
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

fn has(offer: &Offer, text: &str) -> bool {
    let entry = offer.entry();
    let contains = |field: &str| field.to_lowercase().contains(text);
    contains(entry.name.as_str())
        || contains(entry.summary.as_str())
        || entry.advisories.iter().any(|advisory| contains(advisory.as_str()))
}
