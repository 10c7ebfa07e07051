//! `patchctl update`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes};
use patchctl::clock;
use patchctl::config::{SourceConfig, SourceName};
use patchctl::db::Database;
use patchctl::update::{Updated, Updater};
use serde::Serialize;

use super::count;
use super::overview::waiting;
use crate::explain::{OrExplain as _, one_line};
use crate::session::{Session, block_on, no_sources};

/// Fetch and verify what is new; installs nothing
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl update\n  \
    patchctl update --json\n\n\
    `update` only fetches the index. What it offers is installed by `patchctl upgrade`.")]
pub struct UpdateArgs {}

/// What an update of one source brought.
#[derive(Serialize)]
pub struct SourceReport {
    name: String,
    server: String,
    authority_version: u64,
    authority_versions_new: u64,
    authority_versions_passed_over: Vec<PassedOver>,
    collection_size: u64,
    collection_new: u64,
    distribution_size: u64,
    distribution_new: u64,
    entries_passed_over: u64,
    directory_problem: Option<String>,
    servers_failed: Vec<FailedServer>,
    requests: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct PassedOver {
    version: u64,
    why: String,
}

#[derive(Serialize)]
struct FailedServer {
    server: String,
    why: String,
}

#[derive(Serialize)]
struct UpdateReport {
    sources: Vec<SourceReport>,
    skipped: Vec<SkippedSource>,
    waiting: u64,
}

#[derive(Serialize)]
struct SkippedSource {
    name: String,
    why: String,
}

impl SourceReport {
    /// What is said of an update.
    pub fn new(name: &SourceName, updated: &Updated) -> Self {
        let passed_over = updated.passed_over.iter();
        let failed = updated.failed.iter();
        Self {
            name: name.to_string(),
            server: updated.server.clone(),
            authority_version: updated.authority.1,
            authority_versions_new: updated.authority.1 - updated.authority.0,
            authority_versions_passed_over: passed_over
                .map(|passed| PassedOver { version: passed.version, why: one_line(&passed.why) })
                .collect(),
            collection_size: updated.collection.1,
            collection_new: updated.collection.1 - updated.collection.0,
            distribution_size: updated.distribution.1,
            distribution_new: updated.distribution.1 - updated.distribution.0,
            entries_passed_over: updated.oddities,
            directory_problem: updated.directory.clone(),
            servers_failed: failed
                .map(|failed| FailedServer {
                    server: failed.source.clone(),
                    why: failed.why.clone(),
                })
                .collect(),
            requests: updated.statistics.requests,
            bytes: updated.statistics.total(),
        }
    }

    /// Prints what a person wants to know of it.
    pub fn print(&self, output: &Output) {
        let Self { name, server, collection_size, distribution_size, .. } = self;
        for failed in &self.servers_failed {
            output.warning(format!("{}: {}", failed.server, failed.why));
        }
        for passed in &self.authority_versions_passed_over {
            let PassedOver { version, why } = passed;
            output.warning(format!("{name}: authority/{version} is passed over: {why}"));
        }
        if let Some(problem) = &self.directory_problem {
            output.warning(format!("{name}: the directory is not followed: {problem}"));
        }
        if self.entries_passed_over > 0 {
            let entries = count(self.entries_passed_over, "new entry", "new entries");
            output.warning(format!("{name}: {entries} passed over: patchctl status -v"));
        }
        let news = match (self.collection_new, self.distribution_new) {
            (0, 0) => "nothing new".to_owned(),
            (patches, decisions) => {
                format!("{patches} new in the collection's log, {decisions} in the distribution's")
            }
        };
        output.print_line(format!("{name}: {news}"));
        if self.authority_versions_new > 0 {
            output.print_line(format!("{name}: authority version {}", self.authority_version));
        }
        output.detail(format!(
            "{name}: {server} has {collection_size} and {distribution_size} entries; \
             {} requests, {}",
            self.requests,
            bytes(self.bytes)
        ));
    }
}

impl Report for UpdateReport {
    fn print(&self, output: &Output) {
        for source in &self.sources {
            source.print(output);
        }
        output.print_line(match self.waiting {
            0 => "nothing waits".to_owned(),
            1 => "1 waits: patchctl upgrade".to_owned(),
            count => format!("{count} wait: patchctl upgrade"),
        });
    }
}

/// Updates every source.
pub fn run(session: &Session<'_>, _: &UpdateArgs) -> Result<ExitStatus, Failure> {
    session.refuse_dry_run("update")?;
    if session.sources.is_empty() {
        return Err(no_sources(&session.places));
    }
    if session.arguments.offline {
        return Err(Failure::usage("update needs the network, which --offline forbids"));
    }
    let mut state = session.open()?;
    let (mut sources, mut failures) = (Vec::new(), Vec::new());
    for config in &session.sources {
        match update_one(session, &mut state.database, config) {
            Ok(updated) => sources.push(SourceReport::new(&config.name, &updated)),
            Err(failure) => failures.push((config.name.to_string(), failure)),
        }
    }
    let status = gravest(session, &sources, &mut failures)?;
    let catalogue = session.catalogue(&state.database)?;
    let waiting = waiting(&state.database, &catalogue).or_explain()?.steps.len() as u64;
    let skipped = failures
        .iter()
        .map(|(name, failure)| SkippedSource {
            name: name.clone(),
            why: failure.error().to_string(),
        })
        .collect();
    session.output.report(&UpdateReport { sources, skipped, waiting });
    Ok(status)
}

fn update_one(
    session: &Session<'_>,
    database: &mut Database,
    config: &SourceConfig,
) -> Result<Updated, Failure> {
    let mirrors = session.mirrors(database, config)?;
    // whoever waited for the state's lock must not take newer signatures for ones of the future
    let updater = Updater { database, places: &session.places, config, now: clock::now() };
    block_on(updater.run(&mirrors, &mut session.bars())).or_explain()
}

/// A source that cannot be reached is skipped while others can; everything else is a failure.
fn gravest(
    session: &Session<'_>,
    sources: &[SourceReport],
    failures: &mut Vec<(String, Failure)>,
) -> Result<ExitStatus, Failure> {
    let all = failures.iter().map(|(_, failure)| failure.exit()).reduce(ExitStatus::and);
    let Some(all) = all else { return Ok(ExitStatus::Done) };
    let is_skip = all == ExitStatus::Unreachable && !sources.is_empty();
    let at = failures.iter().position(|(_, failure)| failure.exit() == all && !is_skip);
    let gravest = at.map(|at| failures.remove(at).1);
    for (name, failure) in failures.iter() {
        let causes = failure.causes().join(": ");
        session.output.warning(format!("source {name} is skipped: {}: {causes}", failure.error()));
    }
    match gravest {
        Some(failure) => Err(failure),
        None => Ok(ExitStatus::SourceSkipped),
    }
}
