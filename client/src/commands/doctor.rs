//! `patchctl doctor`.

use clap::Args;
use countersign_store::Source;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Tone};
use patchctl::db::{Database, DatabaseError};
use patchctl::doctor::{Answered, Finding, Level, Patient, examine, reach};
use patchctl::state::{StateError, must_be_there};
use serde::Serialize;

use super::count;
use crate::explain::OrExplain as _;
use crate::session::{Session, block_on};

/// Look for whatever keeps this machine from being patched, and say what to do about it
///
/// Looks at the clock, disks, permissions, keys and their expiry, servers, the state database,
/// unfinished transactions and what waits for a person. Exit 1 if there is a problem. Changes
/// nothing; --offline leaves the servers out.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl doctor\n  patchctl doctor --offline --json")]
pub struct DoctorArgs {}

#[derive(Serialize)]
struct DoctorReport {
    problems: u64,
    warnings: u64,
    findings: Vec<FindingReport>,
}

#[derive(Serialize)]
struct FindingReport {
    check: &'static str,
    level: &'static str,
    found: String,
    advice: Option<String>,
}

impl From<Finding> for FindingReport {
    fn from(finding: Finding) -> Self {
        let Finding { check, level, found, advice } = finding;
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        Self { check, level, found, advice }
    }
}

impl FindingReport {
    fn print(&self, output: &Output) {
        let tone = match self.level {
            "ok" => Tone::Good,
            "warning" => Tone::Attention,
            _ => Tone::Bad,
        };
        let text = match &self.advice {
            Some(advice) => format!("{}\n→ {advice}", self.found),
            None => self.found.clone(),
        };
        output.print_item(self.check, tone, self.level, text);
    }
}

impl Report for DoctorReport {
    fn print(&self, output: &Output) {
        self.findings.iter().for_each(|finding| finding.print(output));
        let problems = count(self.problems, "problem", "problems");
        output.note(format!("{problems}, {}", count(self.warnings, "warning", "warnings")));
    }
}

/// Examines.
pub fn run(session: &Session<'_>, _: &DoctorArgs) -> Result<ExitStatus, Failure> {
    let database = match must_be_there(&session.places) {
        Ok(()) => Database::open_read_only(&session.places.database()),
        Err(StateError::Database(error)) => Err(error),
        Err(error) => return Err(error).or_explain(),
    };
    let patient = Patient { places: &session.places, sources: &session.sources, now: session.now };
    let mut findings = examine(&patient, database.as_ref());
    if !session.arguments.offline {
        for server in servers(session, database.as_ref()) {
            let answered: Answered = block_on(reach(&server));
            findings.extend(answered.findings(session.now));
        }
    }
    let number = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (problems, warnings) = (number(Level::Problem), number(Level::Warning));
    session.output.report(&DoctorReport {
        problems,
        warnings,
        findings: findings.into_iter().map(FindingReport::from).collect(),
    });
    Ok(if problems > 0 { ExitStatus::Failed } else { ExitStatus::Done })
}

/// All servers of all sources; of a source about which nothing is known, the one in its settings.
fn servers(session: &Session<'_>, database: Result<&Database, &DatabaseError>) -> Vec<Source> {
    let of = |config| {
        let locations = database.ok().and_then(|database| session.locations(database, config).ok());
        let open = |location| session.server(config, &location);
        match locations {
            Some(locations) => locations.into_iter().map(open).collect(),
            None => vec![open(config.url.clone())],
        }
    };
    session.sources.iter().flat_map(of).collect()
}
