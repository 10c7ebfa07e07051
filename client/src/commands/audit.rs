//! `patchctl audit`.

use clap::Args;
use countersign_format::entry::Severity;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Tone};
use patchctl::advisory::{OpenAdvisory, Remedy, open_advisories};
use serde::Serialize;

use super::attention::{Attention, FreshnessReport, Freshnesses};
use super::count;
use super::filter::{FilterArgs, severity_word};
use super::overview::waiting;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// List the advisories that are open on this machine, the gravest first
///
/// An advisory is open where a newer patch of something installed closes it, whether that patch can
/// be had yet or not. Exit 101 if some are open, 110 if a patch is installed that was revoked, 11 if
/// the index is older than it may be.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl audit\n  \
    patchctl audit --severity high\n  \
    patchctl audit --advisory CVE-2026-0001 --json")]
pub struct AuditArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct AuditReport {
    freshness: Vec<FreshnessReport>,
    open: Vec<AdvisoryReport>,
    #[serde(flatten)]
    attention: Attention,
}

#[derive(Serialize)]
struct AdvisoryReport {
    advisory: String,
    severity: &'static str,
    name: String,
    installed: String,
    closed_by: String,
    now: bool,
    to: Option<String>,
    why_not: Option<String>,
    changes: Option<String>,
    reopened_by: Option<i64>,
    #[serde(skip)]
    tone: Tone,
}

impl From<&OpenAdvisory> for AdvisoryReport {
    fn from(open: &OpenAdvisory) -> Self {
        let (to, why_not, changes) = match &open.remedy {
            Remedy::Now(to) => (Some(to.to_string()), None, None),
            Remedy::Later { why, changes } => {
                (None, Some(why.clone()), changes.map(|changes| changes.to_string()))
            }
        };
        Self {
            advisory: open.advisory.to_string(),
            severity: severity_word(open.severity),
            name: open.name.to_string(),
            installed: open.installed.to_string(),
            closed_by: open.closed_by.to_string(),
            now: to.is_some(),
            to,
            why_not,
            changes,
            reopened_by: open.reopened_by,
            tone: match open.severity {
                Severity::Critical | Severity::High => Tone::Bad,
                Severity::Medium => Tone::Attention,
                Severity::Low | Severity::None => Tone::Plain,
            },
        }
    }
}

impl AdvisoryReport {
    fn text(&self) -> String {
        let Self { name, installed, closed_by, .. } = self;
        let mut text = format!("{name} {installed}, closed by {closed_by}");
        match (&self.to, &self.why_not) {
            (Some(to), _) => text = format!("{text}; can be taken now: {to}"),
            (None, Some(why)) => text = format!("{text}\nnot yet: {why}"),
            (None, None) => {}
        }
        if let Some(changes) = &self.changes {
            text = format!("{text}, until {changes}");
        }
        if let Some(transaction) = self.reopened_by {
            text = format!("{text}\nre-opened by transaction {transaction}");
        }
        text
    }
}

impl Report for AuditReport {
    fn print(&self, output: &Output) {
        for open in &self.open {
            output.print_item(&open.advisory, open.tone, open.severity, open.text());
        }
        self.attention.print_taken_back(output);
        let now = self.open.iter().filter(|open| open.now).count() as u64;
        match self.open.len() as u64 {
            0 => output.note("no advisory is open"),
            open => {
                let open = count(open, "advisory is open", "advisories are open");
                let hint = if now > 0 { ": patchctl upgrade" } else { "" };
                output.note(format!("{open}, {now} can be closed now{hint}"));
            }
        }
    }
}

/// Audits.
pub fn run(session: &Session<'_>, arguments: &AuditArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let Freshnesses { reports, failure } = Freshnesses::judge(session, &catalogue);
    let plan = waiting(&database, &catalogue).or_explain()?;
    let filter = arguments.filter.filter();
    let mut open = open_advisories(&database, &catalogue, &plan).or_explain()?;
    open.retain(|open| filter.wants(open.severity, &[open.advisory.clone()].into()));
    let report = AuditReport {
        freshness: reports,
        open: open.iter().map(AdvisoryReport::from).collect(),
        attention: Attention::gather(session, &database, &catalogue)?,
    };
    session.output.report(&report);
    let status = if open.is_empty() { ExitStatus::Done } else { ExitStatus::AdvisoriesWaiting };
    let has_revoked = report.attention.has_revoked();
    let revoked = if has_revoked { ExitStatus::PatchesSkipped } else { ExitStatus::Done };
    failure.map_or_else(|| Ok(status.and(revoked)), Err)
}
