//! What several commands tell of patches and plans.

use countersign_terminal::{Output, Table, Tone, bytes};
use patchctl::catalogue::Catalogue;
use patchctl::db::Database;
use patchctl::plan::{Plan, PlanError, PlanOptions, Planner};
use patchctl::resolve::{Removal, Skipped, Step};
use serde::Serialize;

use super::filter::severity_word;
use super::or_nothing;

/// A component's way to another version.
#[derive(Serialize)]
pub struct StepReport {
    name: String,
    from: Option<String>,
    to: String,
    severity: &'static str,
    advisories: Vec<String>,
    /// The advisories that it opens again.
    opens: Vec<String>,
    summary: String,
    patches: Vec<LinkReport>,
    download: u64,
    unpacked: u64,
    restart: Vec<String>,
    reboot: bool,
    /// It was not asked for: something else needs it.
    dependency: bool,
}

/// A component that goes.
#[derive(Serialize)]
pub struct RemovalReport {
    name: String,
    version: String,
}

/// One patch on the way.
#[derive(Serialize)]
pub struct LinkReport {
    version: String,
    base: Option<String>,
    archive: String,
    size: u64,
}

/// Something that is offered and not taken.
#[derive(Serialize)]
pub struct SkippedReport {
    name: String,
    version: String,
    severity: &'static str,
    advisories: Vec<String>,
    why: String,
}

/// What is installed and has something newer that can be installed now.
pub fn waiting(database: &Database, catalogue: &Catalogue) -> Result<Plan, PlanError> {
    Planner::new(database, catalogue, PlanOptions::default())?.upgrade(&[])
}

impl StepReport {
    /// Whether it closes advisories.
    pub fn closes_advisories(&self) -> bool {
        !self.advisories.is_empty()
    }

    /// What is said of a step.
    pub fn new(step: &Step) -> Self {
        let links = step.links.iter();
        let last = step.links.last().map(patchctl::catalogue::Offer::entry);
        Self {
            name: step.name.to_string(),
            from: step.from.as_ref().map(ToString::to_string),
            to: step.to.to_string(),
            severity: severity_word(step.severity),
            advisories: step.advisories.iter().map(ToString::to_string).collect(),
            opens: step.opens.iter().map(ToString::to_string).collect(),
            dependency: step.is_dependency,
            summary: last.map(|entry| entry.summary.to_string()).unwrap_or_default(),
            download: links.clone().map(|link| link.entry().archive.size).sum(),
            unpacked: links.clone().map(|link| link.entry().archive.unpacked).sum(),
            restart: links
                .clone()
                .flat_map(|link| link.entry().restart.iter().map(ToString::to_string))
                .collect(),
            reboot: links.clone().any(|link| link.entry().reboot),
            patches: links
                .map(|link| LinkReport {
                    version: link.version().to_string(),
                    base: link.entry().base.as_ref().map(ToString::to_string),
                    archive: link.entry().archive.sha256.to_string(),
                    size: link.entry().archive.size,
                })
                .collect(),
        }
    }
}

impl RemovalReport {
    /// What is said of a component that goes.
    pub fn new(removal: &Removal) -> Self {
        Self { name: removal.name.to_string(), version: removal.version.to_string() }
    }
}

impl SkippedReport {
    /// Whether it is about this version.
    pub fn is_about(&self, name: &str, version: &str) -> bool {
        self.name == name && self.version == version
    }

    /// It in words.
    pub fn text(&self) -> String {
        let Self { name, version, advisories, why, .. } = self;
        match advisories.as_slice() {
            [] => format!("{name} {version}: {why}"),
            open => format!("{name} {version}: {why}; leaves open {}", open.join(", ")),
        }
    }

    /// What is said of something that is skipped.
    pub fn new(skipped: &Skipped) -> Self {
        Self {
            name: skipped.name.to_string(),
            version: skipped.version.to_string(),
            severity: severity_word(skipped.severity),
            advisories: skipped.advisories.iter().map(ToString::to_string).collect(),
            why: skipped.why.to_string(),
        }
    }
}

/// Prints steps as a table, with the advisories that they close below it.
pub fn print_steps(output: &Output, steps: &[StepReport]) {
    let mut table = Table::new(["NAME", "FROM", "TO", "SEVERITY", "SIZE", "SUMMARY"]).right(4);
    for step in steps {
        table.row([
            &step.name,
            &or_nothing(step.from.as_ref()),
            &step.to,
            step.severity,
            &bytes(step.download),
            &step.summary,
        ]);
    }
    output.print_table(&table);
    for step in steps.iter().filter(|step| !step.advisories.is_empty()) {
        output.print_line(format!("{} closes {}", step.name, step.advisories.join(", ")));
    }
    for step in steps.iter().filter(|step| !step.opens.is_empty()) {
        output.print_line(format!("{} opens {} again", step.name, step.opens.join(", ")));
    }
}

/// Says which steps were not asked for, and what goes.
pub fn print_side_effects(output: &Output, steps: &[StepReport], removals: &[RemovalReport]) {
    let needed = steps.iter().filter(|step| step.dependency).map(|step| step.name.as_str());
    let needed: Vec<&str> = needed.collect();
    if !needed.is_empty() {
        output.print_line(format!("needed by what was asked for: {}", needed.join(", ")));
    }
    for RemovalReport { name, version } in removals {
        output.print_line(format!("{name} {version} will be removed"));
    }
}

/// Says what is offered and not taken.
pub fn print_skipped(output: &Output, skipped: &[SkippedReport]) {
    for skipped in skipped {
        output.print_toned_field("skipped", Tone::Attention, skipped.text());
    }
}
