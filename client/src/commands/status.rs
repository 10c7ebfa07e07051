//! `patchctl status`.

use std::time::Duration;

use clap::Args;
use countersign_format::key::PublicKey;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, duration};
use patchctl::catalogue::{Catalogue, Gate, KnownSource};
use patchctl::db::Database;
use patchctl::restart::pending;
use patchctl::trust::Head;
use serde::Serialize;

use super::count;
use super::overview::waiting;
use crate::explain::{OrExplain as _, one_line};
use crate::session::Session;

/// How many entries that were passed over are shown.
const SHOWN: u32 = 20;

/// Show sources, how fresh the index is, and what needs attention
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl status\n  patchctl status --json")]
pub struct StatusArgs {}

#[derive(Serialize)]
struct StatusReport {
    sources: Vec<SourceStatus>,
    installed: u64,
    waiting: u64,
    skipped: u64,
    revoked: Vec<Concern>,
    withdrawn: Vec<Concern>,
    held_back: Vec<Held>,
    restart: Vec<String>,
    reboot: bool,
    unfinished_transaction: Option<i64>,
    evidence: Vec<String>,
}

#[derive(Serialize)]
struct SourceStatus {
    name: String,
    url: String,
    distribution: String,
    ring: String,
    authority: String,
    authority_version: u64,
    authority_expires: String,
    fresh: bool,
    problem: Option<String>,
    updated: Option<String>,
    collection: LogStatus,
    distribution_log: LogStatus,
    entries_passed_over: u64,
    passed_over: Vec<PassedOver>,
}

#[derive(Serialize)]
struct LogStatus {
    origin: String,
    size: u64,
    signed: Option<String>,
    age: Option<u64>,
    max_age: u64,
}

#[derive(Serialize)]
struct PassedOver {
    log: &'static str,
    index: u64,
    why: String,
}

#[derive(Serialize)]
struct Concern {
    name: String,
    version: String,
    reason: String,
}

#[derive(Serialize)]
struct Held {
    name: String,
    version: String,
}

impl LogStatus {
    fn new(source: &KnownSource, head: &Head, now: Timestamp) -> Result<Self, Failure> {
        let role = source.trust.log_role(head.log).or_explain()?;
        let is_own = |key: &PublicKey| {
            role.keys.iter().any(|listed| listed.until.is_none() && listed.vkey.key == *key)
        };
        let times = head.newest.iter().filter(|(key, _)| is_own(key)).map(|(_, time)| *time);
        let signed = times.max();
        Ok(Self {
            origin: role.origin.to_string(),
            size: head.size(),
            signed: signed.map(|time| time.to_string()),
            age: signed.map(|time| now.since(time)),
            max_age: role.max_age,
        })
    }

    fn text(&self) -> String {
        let span = |seconds| duration(Duration::from_secs(seconds));
        match self.age {
            Some(age) => format!(
                "{}, signed {} ago, good for {}",
                count(self.size, "entry", "entries"),
                span(age),
                span(self.max_age)
            ),
            None => "never updated".to_owned(),
        }
    }
}

impl SourceStatus {
    fn new(database: &Database, source: &KnownSource, local: Timestamp) -> Result<Self, Failure> {
        let trust = &source.trust;
        let authority = trust.authority();
        let problem = trust.check_fresh(&source.heads, local).err();
        let (oddities, count) = database.oddities(trust.id(), SHOWN).or_explain()?;
        let now = source.clock.now();
        Ok(Self {
            name: source.config.name.to_string(),
            url: source.config.url.to_string(),
            distribution: source.config.distribution.to_string(),
            ring: source.config.ring.to_string(),
            authority: authority.name.to_string(),
            authority_version: authority.version,
            authority_expires: authority.expires.to_string(),
            fresh: problem.is_none(),
            problem: problem.map(|error| one_line(&error)),
            updated: trust.record().updated.map(|time| time.to_string()),
            collection: LogStatus::new(source, &source.heads.collection, now)?,
            distribution_log: LogStatus::new(source, &source.heads.distribution, now)?,
            entries_passed_over: count,
            passed_over: oddities
                .into_iter()
                .map(|oddity| PassedOver {
                    log: oddity.log.as_str(),
                    index: oddity.leaf,
                    why: oddity.reason,
                })
                .collect(),
        })
    }

    fn print(&self, output: &Output) {
        output.print_heading(&self.name);
        output.print_field("url", &self.url);
        output.print_field("distribution", format!("{}, ring {}", self.distribution, self.ring));
        output.print_field(
            "authority",
            format!(
                "{}, version {}, expires {}",
                self.authority, self.authority_version, self.authority_expires
            ),
        );
        let never = "never".to_owned();
        output.print_field("updated", self.updated.as_ref().unwrap_or(&never));
        output.print_field("collection", self.collection.text());
        output.print_field("distribution", self.distribution_log.text());
        output.print_field("fresh", self.problem.as_deref().unwrap_or("yes"));
        if self.entries_passed_over > 0 {
            let entries = count(self.entries_passed_over, "entry", "entries");
            output.print_field("passed over", entries);
        }
        for PassedOver { log, index, why } in &self.passed_over {
            output.detail(format!("{log} {index}: {why}"));
        }
        output.print_line("");
    }
}

impl Report for StatusReport {
    fn print(&self, output: &Output) {
        for source in &self.sources {
            source.print(output);
        }
        output.print_field("installed", self.installed);
        output.print_field("waiting", self.waiting);
        if self.skipped > 0 {
            output.print_field("skipped", format!("{}; see patchctl check", self.skipped));
        }
        for Concern { name, version, reason } in &self.revoked {
            output.print_field("revoked", format!("{name} {version} is installed: {reason}"));
        }
        for Concern { name, version, reason } in &self.withdrawn {
            output.print_field("withdrawn", format!("{name} {version} is installed: {reason}"));
        }
        for Held { name, version } in &self.held_back {
            output.print_field("held back", format!("{name} {version}, since it was rolled back"));
        }
        if !self.restart.is_empty() {
            output.print_field("restart", self.restart.join(", "));
        }
        if self.reboot {
            output.print_field("restart", "the machine");
        }
        if let Some(transaction) = self.unfinished_transaction {
            output.print_field("unfinished", format!("transaction {transaction}"));
        }
        for case in &self.evidence {
            output.print_field("evidence", case);
        }
    }
}

/// Shows.
pub fn run(session: &Session<'_>, _: &StatusArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let source = |known| SourceStatus::new(&database, known, session.now);
    let plan = waiting(&database, &catalogue).or_explain()?;
    let installed = database.installed().or_explain()?;
    let (revoked, withdrawn) = concerns(&database, &catalogue)?;
    let restarts = pending(&database, &catalogue, &session.places.root).or_explain()?;
    session.output.report(&StatusReport {
        sources: catalogue.sources().iter().map(source).collect::<Result<_, _>>()?,
        installed: installed.len() as u64,
        waiting: plan.steps.len() as u64,
        skipped: plan.skipped.len() as u64,
        revoked,
        withdrawn,
        held_back: database
            .held_back()
            .or_explain()?
            .into_iter()
            .map(|(name, version)| Held { name: name.to_string(), version: version.to_string() })
            .collect(),
        restart: restarts.services.into_iter().collect(),
        reboot: restarts.machine,
        unfinished_transaction: database.unfinished().or_explain()?,
        evidence: evidence(session),
    });
    Ok(ExitStatus::Done)
}

/// What is installed although it was revoked or withdrawn since.
fn concerns(
    database: &Database,
    catalogue: &Catalogue,
) -> Result<(Vec<Concern>, Vec<Concern>), Failure> {
    let (mut revoked, mut withdrawn) = (Vec::new(), Vec::new());
    for installed in database.installed().or_explain()? {
        for offer in catalogue.offers_of_archive(database, &installed.archive).or_explain()? {
            let concern = |reason: &str| Concern {
                name: installed.name.to_string(),
                version: installed.version.to_string(),
                reason: reason.to_owned(),
            };
            match &offer.gate {
                Gate::Revoked(reason) => revoked.push(concern(reason)),
                Gate::Withdrawn(reason) => withdrawn.push(concern(reason)),
                _ => {}
            }
        }
    }
    Ok((revoked, withdrawn))
}

/// Cases of statements that contradict each other.
fn evidence(session: &Session<'_>) -> Vec<String> {
    let entries = std::fs::read_dir(session.places.evidence()).into_iter().flatten().flatten();
    let mut cases: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
    cases.sort();
    cases
}
