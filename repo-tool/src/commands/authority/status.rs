//! `patchrepo authority status`.

use std::time::Duration;

use clap::Args;
use countersign_format::key::KeyName;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, Tone, duration};
use serde::Serialize;

use super::place::{Known, PlaceArgs};
use crate::commands::now;
use crate::life::{Deadline, KeyLife, keys};

/// Show every key: its role, since when it is listed, when it signed last, when it ends
///
/// What lapses is listed below, the nearest first. When a key signed last is seen on the heads of a
/// repository.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority status /srv/authority --repository https://patches.example.org/\n  \
    patchrepo authority status https://patches.example.org/")]
pub struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Serialize)]
struct Shown {
    authority: KeyName,
    version: u64,
    expires: Timestamp,
    keys: Vec<KeyLife>,
    deadlines: Vec<Deadline>,
    #[serde(skip)]
    now: Timestamp,
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        output.print_field("authority", &self.authority);
        output.print_field("version", self.version);
        let tone = if self.expires <= self.now { Tone::Bad } else { Tone::Plain };
        output.print_toned_field("expires", tone, until(self.expires, self.now));
        output.print_line("");
        let header = ["ROLE", "KEY", "ID", "EPOCH", "SINCE", "LAST USE", "STATE"];
        let mut table = Table::new(header).right(3);
        for key in &self.keys {
            table.row(row(key, self.now));
        }
        output.print_table(&table);
        output.print_heading("What lapses, the nearest first:");
        for deadline in &self.deadlines {
            output.print_line(format!("{}: {}", until(deadline.at, self.now), deadline.what));
        }
    }
}

fn row(key: &KeyLife, now: Timestamp) -> [String; 7] {
    let since = match key.since {
        Some(time) => format!("version {}, {} ago", key.since_version, span(now.since(time))),
        None => format!("version {}", key.since_version),
    };
    let last_use = key.last_use.map(|time| format!("{} ago", span(now.since(time))));
    let state = match (key.dropped, key.retired_from) {
        (true, _) => "no longer listed".to_owned(),
        (false, Some(until)) => format!("retired from entry {until} on"),
        (false, None) => "counts".to_owned(),
    };
    [
        key.role.clone(),
        key.name.to_string(),
        key.id.clone(),
        key.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        since,
        last_use.unwrap_or_else(|| "not seen".to_owned()),
        state,
    ]
}

fn span(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}

/// `in 12 d (2026-12-05T10:00:00Z)`.
pub(super) fn until(at: Timestamp, now: Timestamp) -> String {
    match at.since(now) {
        0 => format!("{} ago ({at})", span(now.since(at))),
        left => format!("in {} ({at})", span(left)),
    }
}

/// Shows.
pub fn run(arguments: &StatusArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let now = now()?;
    let known = arguments.place.read(output)?;
    let newest = known.newest();
    output.report(&Shown {
        authority: newest.name.clone(),
        version: newest.version,
        expires: newest.expires,
        keys: keys(&known.versions, &known.times),
        deadlines: known.deadlines.clone(),
        now,
    });
    let Known { failure, .. } = known;
    failure.map_or(Ok(ExitStatus::Done), Err)
}
