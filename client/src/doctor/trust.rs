//! Keys, their expiry, and the clock against which they are judged.

use countersign_format::layout::Log;
use countersign_format::time::Timestamp;

use super::{Finding, Patient, line};
use crate::config::SourceConfig;
use crate::db::Database;
use crate::freshness::{Freshness, HeadAge};
use crate::trust::{Heads, Trust, TrustError};

const DAY: u64 = 86_400;
/// An authority note that expires sooner than this, in seconds, is worth a word.
const SOON: u64 = 30 * DAY;
/// A local clock that is further behind verified times than this, in seconds, is wrong.
const MAX_BEHIND: u64 = 300;

pub(super) fn examine(patient: &Patient<'_>, database: &Database) -> Vec<Finding> {
    let mut findings = Vec::new();
    if patient.sources.is_empty() {
        findings.push(Finding::problem(
            "sources",
            "no source is configured",
            "begin with: patchctl enroll URL --authority FILE|sha256:HEX",
        ));
    }
    for config in patient.sources {
        match source(patient, database, config) {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Finding::problem(
                "keys",
                format!("{}: {}", config.name, line(&error)),
                "restore the state and the settings from a backup, or enrol again",
            )),
        }
    }
    findings
}

fn source(
    patient: &Patient<'_>,
    database: &Database,
    config: &SourceConfig,
) -> Result<Vec<Finding>, TrustError> {
    let trust = Trust::load(database, config)?;
    let heads = Heads::load(database, &trust)?;
    let name = &config.name;
    let clock = trust.clock(&heads, patient.now)?;
    let mut findings = vec![authority(name.as_str(), &trust, clock.now())];
    findings.push(local_clock(name.as_str(), patient.now, clock.floor));
    for log in Log::BOTH {
        let head = match log {
            Log::Collection => &heads.collection,
            Log::Distribution => &heads.distribution,
        };
        let retired = trust.log_role(log)?.keys.iter().filter(|key| key.until.is_some()).count();
        let Some(age) = HeadAge::of(&trust, head) else { continue };
        let past = clock.now().since(age.signed);
        let text = format!(
            "{name}: the {} log was signed {} ago, the limit is {}{}",
            log.as_str(),
            span(past),
            span(age.max_age),
            if retired > 0 {
                format!("; {retired} of its keys are retired")
            } else {
                String::new()
            }
        );
        // the last tenth of what it may be old
        let left = age.max_age.saturating_sub(past);
        findings.push(match left {
            left if left < age.max_age / 10 => {
                Finding::warning("keys", text, "fetch newer signatures: patchctl update")
            }
            _ => Finding::ok("keys", text),
        });
    }
    let freshness = Freshness::judge(&trust, &heads, patient.now);
    findings.push(match freshness.refusal() {
        None => Finding::ok("index", format!("{name}: fresh")),
        Some(refusal) => Finding::problem(
            "index",
            format!("{name}: {}: {}", freshness.word(), line(refusal)),
            "run patchctl update; if it stays, tell the repository's operators",
        ),
    });
    Ok(findings)
}

fn authority(name: &str, trust: &Trust, now: Timestamp) -> Finding {
    let authority = trust.authority();
    let expires = authority.expires;
    let text = |how: &str| {
        format!("{name}: version {} of the authority's note {how} {expires}", authority.version)
    };
    let left = expires.since(now);
    match left {
        0 => Finding::problem(
            "keys",
            text("expired on"),
            "run patchctl update; if it stays, the authority has published no newer one: tell the \
             repository's operators",
        ),
        left if left < SOON => Finding::warning(
            "keys",
            format!("{}, in {}", text("expires on"), span(left)),
            "run patchctl update; if it stays, tell the repository's operators",
        ),
        left => Finding::ok("keys", format!("{}, in {}", text("expires on"), span(left))),
    }
}

fn local_clock(name: &str, local: Timestamp, floor: Timestamp) -> Finding {
    let behind = floor.since(local);
    if behind > MAX_BEHIND {
        return Finding::problem(
            "clock",
            format!("it says {local}; {name} signed at {floor}, {} later", span(behind)),
            "set this machine's clock",
        );
    }
    Finding::ok("clock", format!("it says {local}, which is not before what {name} signed"))
}

/// A span of time in its largest unit.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds if seconds >= 7_200 => format!("{} hours", seconds / 3_600),
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
