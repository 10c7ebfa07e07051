//! `patchctl status`.

use std::time::Duration;

use clap::Args;
use countersign_format::time::Timestamp;
use countersign_format::words::to_words;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Tone, duration};
use patchctl::catalogue::KnownSource;
use patchctl::config::SourceConfig;
use patchctl::db::Database;
use patchctl::freshness::HeadAge;
use patchctl::restart::pending;
use patchctl::trust::{Head, TrustError};
use serde::Serialize;

use super::attention::{Attention, FreshnessReport, Freshnesses};
use super::count;
use super::overview::{SkippedReport, waiting};
use crate::explain::{Explain as _, OrExplain as _, one_line};
use crate::session::Session;

/// How many entries that were passed over are shown.
const SHOWN: u32 = 20;

/// Show sources, how fresh the index is, and what needs attention
///
/// Exit 11 if the index is older than it may be: what is shown is then what was known last. A
/// source whose stored state cannot be believed is shown with its problem, and the others as ever;
/// the exit code is that of the gravest.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl status\n  patchctl status --json")]
pub struct StatusArgs {}

#[derive(Serialize)]
struct StatusReport {
    sources: Vec<SourceStatus>,
    unreadable: Vec<UnreadableSource>,
    installed: u64,
    waiting: u64,
    closing_advisories: u64,
    skipped: Vec<SkippedReport>,
    #[serde(flatten)]
    attention: Attention,
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
    /// SHA-256 of the authority note that trust begins with.
    begins_with: String,
    #[serde(skip)]
    words: String,
    fresh: bool,
    problem: Option<String>,
    freshness: FreshnessReport,
    updated: Option<String>,
    directory: Option<DirectoryStatus>,
    collection: LogStatus,
    distribution_log: LogStatus,
    entries_passed_over: u64,
    passed_over: Vec<PassedOver>,
}

/// A source of which nothing that is stored can be believed.
#[derive(Serialize)]
struct UnreadableSource {
    name: String,
    url: String,
    problem: String,
    hint: Option<String>,
}

/// The directory that is held, and the servers in the order in which they are asked.
#[derive(Serialize)]
struct DirectoryStatus {
    version: Option<u64>,
    expires: Option<String>,
    servers: Vec<String>,
    problem: Option<String>,
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

impl DirectoryStatus {
    fn new(
        session: &Session<'_>,
        database: &Database,
        source: &KnownSource,
    ) -> Result<Option<Self>, Failure> {
        let (trust, config) = (&source.trust, &source.config);
        let Some(held) = trust.directory(database, source.clock).or_explain()? else {
            return Ok(None);
        };
        let region = session.config.region.as_ref();
        let locations =
            trust.locations(database, &source.heads, config, region, session.now).or_explain()?;
        let note = held.as_ref().ok();
        Ok(Some(Self {
            version: note.map(|note| note.version),
            expires: note.map(|note| note.expires.to_string()),
            servers: locations.iter().map(ToString::to_string).collect(),
            problem: held.as_ref().err().map(|error| format!("{error}: {}", error.refusal)),
        }))
    }

    fn print(&self, output: &Output) {
        match (&self.version, &self.expires, &self.problem) {
            (Some(version), Some(expires), _) => {
                output.print_field("directory", format!("version {version}, expires {expires}"));
            }
            (_, _, problem) => {
                let problem = problem.as_deref().unwrap_or_default();
                let text = format!("not followed: {problem}");
                output.print_toned_field("directory", Tone::Attention, text);
            }
        }
        output.print_field("asked first", self.servers.first().map_or("", String::as_str));
        for server in self.servers.iter().skip(1) {
            output.detail(format!("then {server}"));
        }
    }
}

impl UnreadableSource {
    fn new(source: &SourceConfig, refusal: &TrustError) -> Self {
        Self {
            name: source.name.to_string(),
            url: source.url.to_string(),
            problem: one_line(refusal),
            hint: refusal.hint(),
        }
    }

    fn print(&self, output: &Output) {
        output.print_heading(&self.name);
        output.print_field("url", &self.url);
        output.print_toned_field("problem", Tone::Bad, &self.problem);
        if let Some(hint) = &self.hint {
            output.print_field("what to do", hint);
        }
        output.print_line("");
    }
}

impl LogStatus {
    fn new(source: &KnownSource, head: &Head, now: Timestamp) -> Result<Self, Failure> {
        let role = source.trust.log_role(head.log).or_explain()?;
        let signed = HeadAge::of(&source.trust, head).map(|age| age.signed);
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
    fn new(
        session: &Session<'_>,
        database: &Database,
        source: &KnownSource,
        freshness: FreshnessReport,
    ) -> Result<Self, Failure> {
        let trust = &source.trust;
        let authority = trust.authority();
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
            begins_with: format!("sha256:{}", source.config.authority),
            words: to_words(&source.config.authority),
            fresh: freshness.is_fresh(),
            problem: freshness.problem().map(str::to_owned),
            freshness,
            updated: trust.record().updated.map(|time| time.to_string()),
            directory: DirectoryStatus::new(session, database, source)?,
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
        output.detail(format!("begins with {}, in words: {}", self.begins_with, self.words));
        let never = "never".to_owned();
        output.print_field("updated", self.updated.as_ref().unwrap_or(&never));
        output.print_toned_field("index", self.freshness.tone(), &self.freshness);
        output.print_field("collection", self.collection.text());
        output.print_field("releases", self.distribution_log.text());
        if let Some(directory) = &self.directory {
            directory.print(output);
        }
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
        for source in &self.unreadable {
            source.print(output);
        }
        output.print_heading("this machine");
        output.print_field("installed", self.installed);
        output.print_toned_field("waiting", self.tone_of_waiting(), self.waiting_text());
        self.attention.print(&self.skipped, output);
        if !self.restart.is_empty() {
            output.print_toned_field("restart", Tone::Attention, self.restart.join(", "));
        }
        if self.reboot {
            output.print_toned_field("restart", Tone::Attention, "the machine");
        }
        if let Some(transaction) = self.unfinished_transaction {
            let text = format!("transaction {transaction}: see patchctl doctor");
            output.print_toned_field("unfinished", Tone::Bad, text);
        }
        for case in &self.evidence {
            output.print_toned_field("evidence", Tone::Bad, case);
        }
    }
}

impl StatusReport {
    fn waiting_text(&self) -> String {
        match (self.waiting, self.closing_advisories) {
            (0, _) => "0".to_owned(),
            (waiting, 0) => format!("{waiting}: patchctl upgrade"),
            (waiting, closing) if waiting == closing => {
                format!("{waiting}, closing advisories: patchctl upgrade")
            }
            (waiting, closing) => {
                format!("{waiting}, {closing} of them closing advisories: patchctl upgrade")
            }
        }
    }

    fn tone_of_waiting(&self) -> Tone {
        match (self.waiting, self.closing_advisories) {
            (0, _) => Tone::Plain,
            (_, 0) => Tone::Attention,
            _ => Tone::Bad,
        }
    }
}

/// Shows.
pub fn run(session: &Session<'_>, _: &StatusArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let (catalogue, refused) = session.readable_catalogue(&database)?;
    let mut freshnesses = Freshnesses::judge(session, &catalogue);
    let unreadable =
        refused.iter().map(|(source, refusal)| UnreadableSource::new(source, refusal)).collect();
    for (source, refusal) in refused {
        freshnesses.add_unreadable(&source, refusal);
    }
    let Freshnesses { reports, failure } = freshnesses;
    let source = |(known, freshness)| SourceStatus::new(session, &database, known, freshness);
    let plan = waiting(&database, &catalogue).or_explain()?;
    let closing = plan.steps.iter().filter(|step| !step.advisories.is_empty());
    let restarts = pending(&database, &catalogue, &session.places.root).or_explain()?;
    session.output.report(&StatusReport {
        sources: catalogue.sources().iter().zip(reports).map(source).collect::<Result<_, _>>()?,
        unreadable,
        installed: database.installed().or_explain()?.len() as u64,
        waiting: plan.steps.len() as u64,
        closing_advisories: closing.count() as u64,
        skipped: plan.skipped.iter().map(SkippedReport::new).collect(),
        attention: Attention::gather(session, &database, &catalogue)?,
        restart: restarts.services.into_iter().collect(),
        reboot: restarts.machine,
        unfinished_transaction: database.unfinished().or_explain()?,
        evidence: evidence(session),
    });
    failure.map_or(Ok(ExitStatus::Done), Err)
}

/// Cases of statements that contradict each other.
fn evidence(session: &Session<'_>) -> Vec<String> {
    let entries = std::fs::read_dir(session.places.evidence()).into_iter().flatten().flatten();
    let mut cases: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
    cases.sort();
    cases
}
