//! What needs a person's attention whatever was asked: how fresh the index is, what is held, held
//! back, revoked or withdrawn.

use std::time::Duration;

use countersign_terminal::{Failure, Output, Tone, duration};
use patchctl::catalogue::Catalogue;
use patchctl::concern::{TakenBack, concerns};
use patchctl::config::SourceConfig;
use patchctl::db::Database;
use patchctl::db::hold::Hold;
use patchctl::freshness::Freshness;
use patchctl::trust::TrustError;
use serde::Serialize;

use super::overview::{SkippedReport, print_skipped};
use crate::explain::{Explain as _, OrExplain as _, one_line};
use crate::session::Session;

/// How fresh what is known of a source is.
#[derive(Serialize)]
pub struct FreshnessReport {
    source: String,
    state: &'static str,
    /// When it stops being fresh.
    until: Option<String>,
    /// Since when it is not.
    since: Option<String>,
    log: Option<&'static str>,
    age: Option<u64>,
    limit: Option<u64>,
    problem: Option<String>,
}

/// How fresh every source is, and what becomes of the command where one is not.
#[derive(Default)]
pub struct Freshnesses {
    /// By source.
    pub reports: Vec<FreshnessReport>,
    /// The gravest of what is wrong.
    pub failure: Option<Failure>,
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct OfSource {
    text: String,
    #[source]
    refusal: TrustError,
}

/// What needs attention.
#[derive(Serialize)]
pub struct Attention {
    holds: Vec<HoldReport>,
    held_back: Vec<HeldBackReport>,
    revoked: Vec<ConcernReport>,
    withdrawn: Vec<ConcernReport>,
}

#[derive(Serialize)]
struct HoldReport {
    #[serde(flatten)]
    hold: Hold,
    ended: bool,
}

#[derive(Serialize)]
struct HeldBackReport {
    name: String,
    version: String,
    transaction: i64,
}

#[derive(Serialize)]
struct ConcernReport {
    name: String,
    version: String,
    reason: String,
}

impl FreshnessReport {
    fn new(source: &str, freshness: &Freshness) -> Self {
        let (until, log, age, limit) = match freshness {
            Freshness::Fresh { until } => (Some(until.to_string()), None, None, None),
            Freshness::Stale { log, age, limit, .. } => {
                (None, Some(log.as_str()), Some(*age), Some(*limit))
            }
            _ => (None, None, None, None),
        };
        Self {
            source: source.to_owned(),
            state: freshness.word(),
            until,
            since: freshness.since().map(|since| since.to_string()),
            log,
            age,
            limit,
            problem: freshness.refusal().map(|refusal| one_line(refusal)),
        }
    }

    /// How much it stands out.
    pub fn tone(&self) -> Tone {
        if self.state == "fresh" { Tone::Good } else { Tone::Bad }
    }

    /// Whether it is as new as it must be.
    pub fn is_fresh(&self) -> bool {
        self.state == "fresh"
    }

    /// Warns if it is not, where the command's answer does not depend on it.
    pub fn warn(&self, output: &Output) {
        if !self.is_fresh() {
            output.warning(format!("source {}: {self}", self.source));
        }
    }

    /// Why it is not, in the policy's words.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

impl std::fmt::Display for FreshnessReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let span = |seconds| duration(Duration::from_secs(seconds));
        match (self.state, &self.until, &self.since, self.age, self.limit) {
            ("fresh", Some(until), ..) => write!(formatter, "fresh until {until}"),
            (_, _, Some(since), Some(age), Some(limit)) => write!(
                formatter,
                "stale since {since}: the {} log's head is {} old, the limit is {}",
                self.log.unwrap_or_default(),
                span(age),
                span(limit)
            ),
            ("never-updated", ..) => formatter.write_str("never updated"),
            ("authority-expired", _, Some(since), ..) => {
                write!(formatter, "the authority's note expired on {since}")
            }
            ("clock-wrong", ..) => formatter
                .write_str("this machine's clock is behind the time at which the index was signed"),
            _ => write!(formatter, "refused: {}", self.problem.as_deref().unwrap_or_default()),
        }
    }
}

impl Freshnesses {
    /// Judges every source.
    pub fn judge(session: &Session<'_>, catalogue: &Catalogue) -> Self {
        let mut all = Self::default();
        for source in catalogue.sources() {
            let freshness = Freshness::judge(&source.trust, &source.heads, session.now);
            let report = FreshnessReport::new(source.config.name.as_str(), &freshness);
            if let Some(refusal) = freshness.into_refusal() {
                all.weigh(format!("source {}: {report}", report.source), refusal);
            }
            all.reports.push(report);
        }
        all
    }

    /// Takes in a source of which nothing that is stored can be believed.
    pub fn add_unreadable(&mut self, source: &SourceConfig, refusal: TrustError) {
        let text = format!("source {}: what is stored of it cannot be used", source.name);
        self.weigh(text, refusal);
    }

    /// Keeps the graver failure.
    fn weigh(&mut self, text: String, refusal: TrustError) {
        let exit = refusal.exit();
        if self.failure.as_ref().is_none_or(|is| is.exit().and(exit) != is.exit()) {
            let hint = refusal.hint();
            self.failure = Some(Failure::new(exit, OfSource { text, refusal }).maybe_hint(hint));
        }
    }
}

impl Attention {
    /// What needs attention now.
    pub fn gather(
        session: &Session<'_>,
        database: &Database,
        catalogue: &Catalogue,
    ) -> Result<Self, Failure> {
        let report = |hold: Hold| HoldReport { ended: !hold.counts(session.now), hold };
        let held_back = database.held_back_by().or_explain()?.into_iter();
        let concerns = concerns(database, catalogue).or_explain()?;
        let by = |by: TakenBack| {
            let those = concerns.iter().filter(move |concern| concern.by == by);
            let report = |concern: &patchctl::concern::Concern| ConcernReport {
                name: concern.name.to_string(),
                version: concern.version.to_string(),
                reason: concern.reason.clone(),
            };
            those.map(report).collect()
        };
        Ok(Self {
            holds: database.holds().or_explain()?.into_iter().map(report).collect(),
            held_back: held_back
                .map(|held| HeldBackReport {
                    name: held.name.to_string(),
                    version: held.version.to_string(),
                    transaction: held.transaction,
                })
                .collect(),
            revoked: by(TakenBack::Collection),
            withdrawn: by(TakenBack::Distribution),
        })
    }

    /// Whether a patch is installed that its collection revoked.
    pub fn has_revoked(&self) -> bool {
        !self.revoked.is_empty()
    }

    /// Prints what is installed and was revoked or withdrawn.
    pub fn print_taken_back(&self, output: &Output) {
        for ConcernReport { name, version, reason } in &self.revoked {
            let text = format!("{name} {version} is installed and was revoked: {reason}");
            output.print_toned_field("revoked", Tone::Bad, text);
        }
        for ConcernReport { name, version, reason } in &self.withdrawn {
            let text = format!("{name} {version} is installed and was withdrawn: {reason}");
            output.print_toned_field("withdrawn", Tone::Attention, text);
        }
    }

    /// Prints it, the gravest first, behind what is skipped.
    pub fn print(&self, skipped: &[SkippedReport], output: &Output) {
        print_skipped(output, skipped);
        self.print_taken_back(output);
        for report in &self.holds {
            output.print_toned_field("held", Tone::Attention, report.text());
        }
        let is_said = |held: &&HeldBackReport| {
            skipped.iter().any(|skipped| skipped.is_about(&held.name, &held.version))
        };
        let unsaid = self.held_back.iter().filter(|held| !is_said(held));
        for HeldBackReport { name, version, transaction } in unsaid {
            let text =
                format!("{name} {version}, undone by rollback {transaction}, until a newer one");
            output.print_toned_field("held back", Tone::Attention, text);
        }
    }
}

impl HoldReport {
    fn text(&self) -> String {
        let Hold { name, version, until, reason, .. } = &self.hold;
        let mut text = match version {
            Some(version) => format!("{name}, not beyond {version}"),
            None => format!("{name}, as it is"),
        };
        match until {
            Some(until) if self.ended => text = format!("{text}; ended on {until}"),
            Some(until) => text = format!("{text}, until {until}"),
            None => text.push_str(", without an end"),
        }
        match reason {
            Some(reason) => format!("{text}: {reason}"),
            None => text,
        }
    }
}
