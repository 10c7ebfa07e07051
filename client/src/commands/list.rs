//! `patchctl list`.

use std::collections::BTreeMap;

use clap::Args;
use countersign_format::entry::Severity;
use countersign_format::name::{PatchName, PatchVersion, Platform};
use countersign_format::text::AdvisoryId;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table};
use patchctl::catalogue::{Catalogue, Offer};
use patchctl::db::Database;
use patchctl::resolve::Filter;
use serde::Serialize;
use std::collections::BTreeSet;

use super::attention::{FreshnessReport, Freshnesses};
use super::filter::{FilterArgs, severity_word};
use super::or_nothing;
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

/// One name.
#[derive(Serialize)]
pub struct ListLine {
    name: String,
    installed: Option<String>,
    available: Option<String>,
    severity: &'static str,
    advisories: Vec<String>,
    summary: String,
}

#[derive(Serialize)]
struct ListReport {
    freshness: Vec<FreshnessReport>,
    patches: Vec<ListLine>,
}

impl Report for ListReport {
    fn print(&self, output: &Output) {
        print_lines(output, &self.patches);
    }
}

/// Prints names as a table.
pub fn print_lines(output: &Output, lines: &[ListLine]) {
    let mut table = Table::new(["NAME", "INSTALLED", "AVAILABLE", "SEVERITY", "SUMMARY"]);
    for line in lines {
        table.row([
            &line.name,
            &or_nothing(line.installed.as_ref()),
            &or_nothing(line.available.as_ref()),
            line.severity,
            &line.summary,
        ]);
    }
    output.print_table(&table);
}

/// What is known of one name: what is installed, and the newest that is offered.
#[derive(Default)]
pub struct Known {
    installed: Option<PatchVersion>,
    newest: Option<Offer>,
    severity: Severity,
    advisories: BTreeSet<AdvisoryId>,
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
    let mut known = known(&database, catalogue.as_ref(), arguments.platform.as_ref())?;
    match &catalogue {
        _ if arguments.installed => known.retain(|_, known| known.installed.is_some()),
        _ if arguments.available => known.retain(|_, known| known.installed.is_none()),
        Some(catalogue) if arguments.upgradable => {
            let plan = waiting(&database, catalogue).or_explain()?;
            known.retain(|name, known| {
                let step = plan.steps.iter().find(|step| step.name == *name);
                if let Some(step) = step {
                    (known.severity, known.advisories) = (step.severity, step.advisories.clone());
                }
                step.is_some()
            });
        }
        _ => {}
    }
    let patches = lines(known, &filter);
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

/// Everything that is installed or offered, by name, or only what is for one platform.
pub fn known(
    database: &Database,
    catalogue: Option<&Catalogue>,
    platform: Option<&Platform>,
) -> Result<BTreeMap<PatchName, Known>, Failure> {
    let mut known: BTreeMap<PatchName, Known> = BTreeMap::new();
    let is_meant = |found: &Platform| platform.is_none_or(|platform| platform == found);
    for installed in database.installed().or_explain()? {
        if is_meant(&installed.platform) {
            known.entry(installed.name).or_default().installed = Some(installed.version);
        }
    }
    let offers = catalogue.map(|catalogue| catalogue.offers(database)).transpose();
    for offer in offers.or_explain()?.into_iter().flatten() {
        if !is_meant(&offer.entry().platform) {
            continue;
        }
        let is_installed = |known: &Known| known.installed.as_ref() == Some(offer.version());
        if !offer.is_open() && !known.get(&offer.entry().name).is_some_and(is_installed) {
            continue;
        }
        let known = known.entry(offer.entry().name.clone()).or_default();
        if known.newest.as_ref().is_none_or(|newest| newest.version() < offer.version()) {
            known.severity = offer.entry().severity;
            known.advisories = offer.entry().advisories.iter().cloned().collect();
            known.newest = Some(offer);
        }
    }
    Ok(known)
}

/// The names as lines, as far as the filter wants them.
pub fn lines(known: BTreeMap<PatchName, Known>, filter: &Filter) -> Vec<ListLine> {
    known
        .into_iter()
        .filter(|(_, known)| filter.wants(known.severity, &known.advisories))
        .map(|(name, known)| ListLine {
            name: name.to_string(),
            installed: known.installed.map(|version| version.to_string()),
            available: known
                .newest
                .as_ref()
                .filter(|offer| offer.is_open())
                .map(|offer| offer.version().to_string()),
            severity: severity_word(known.severity),
            advisories: known.advisories.iter().map(ToString::to_string).collect(),
            summary: known
                .newest
                .map(|offer| offer.entry().summary.to_string())
                .unwrap_or_default(),
        })
        .collect()
}
