//! `patchrepo authority check`.

use std::time::Duration;

use clap::Args;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Tone, parse_duration};
use serde::Serialize;

use super::place::{Known, PlaceArgs};
use super::status::until;
use crate::commands::now;
use crate::life::Deadline;

/// Say what lapses soon, for a timer: silent and exit 0 where nothing does
///
/// Heads are signed anew by timers all the time, so they count once half of their max_age is over.
/// Exit 105 if something lapses within the span, 11 if something has lapsed, 6 or 10 if a repository
/// cannot be judged.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority check /srv/authority --within 30d\n  \
    patchrepo authority check https://patches.example.org/ --within 1d\n  \
    patchrepo authority check authority.txt --repository https://m1.example.net/ --within 12h")]
pub struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How long from now
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = parse_duration)]
    within: Duration,
}

#[derive(Serialize)]
struct Shown {
    /// What lapses within the span or has lapsed, the nearest first.
    lapsing: Vec<Lapsing>,
    /// What lapses later.
    later: Vec<Deadline>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
struct Lapsing {
    lapsed: bool,
    #[serde(flatten)]
    deadline: Deadline,
}

impl Shown {
    fn new(deadlines: Vec<Deadline>, now: Timestamp, within: Duration) -> Self {
        let is_near = |one: &Deadline| one.is_near(now, within.as_secs());
        let (near, later): (Vec<_>, Vec<_>) = deadlines.into_iter().partition(is_near);
        let lapsing = |deadline: Deadline| Lapsing { lapsed: deadline.at <= now, deadline };
        Self { lapsing: near.into_iter().map(lapsing).collect(), later, now }
    }

    fn exit(&self) -> ExitStatus {
        if self.lapsing.iter().any(|one| one.lapsed) {
            ExitStatus::Expired
        } else if self.lapsing.is_empty() {
            ExitStatus::Done
        } else {
            ExitStatus::LapsesSoon
        }
    }
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        for Lapsing { lapsed, deadline } in &self.lapsing {
            let (label, tone) =
                if *lapsed { ("lapsed", Tone::Bad) } else { ("lapses", Tone::Attention) };
            output.print_toned_field(label, tone, until(deadline.at, self.now));
            output.print_field("what", &deadline.what);
            output.print_field("then", deadline.then);
            output.print_field("do", deadline.remedy);
        }
        for deadline in &self.later {
            output.detail(format!("{}: {}", until(deadline.at, self.now), deadline.what));
        }
    }
}

/// Checks.
pub fn run(arguments: &CheckArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let now = now()?;
    let Known { deadlines, failure, .. } = arguments.place.read(output)?;
    let shown = Shown::new(deadlines, now, arguments.within);
    let exit = shown.exit();
    output.report(&shown);
    match failure {
        Some(failure) if !exit.is_failure() => Err(failure),
        _ => Ok(exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lapses_first_decides() {
        let now = Timestamp::from_seconds(1_000_000).expect("a time");
        let at = |seconds: u64| Deadline {
            at: Timestamp::from_seconds(seconds).expect("a time"),
            what: String::new(),
            then: "",
            remedy: "",
            margin: None,
        };
        let exit = |times: &[u64]| {
            let deadlines = times.iter().map(|time| at(*time)).collect();
            Shown::new(deadlines, now, Duration::from_secs(100)).exit()
        };
        assert_eq!(exit(&[1_000_101]), ExitStatus::Done);
        assert_eq!(exit(&[1_000_100, 2_000_000]), ExitStatus::LapsesSoon);
        assert_eq!(exit(&[1_000_000, 1_000_050]), ExitStatus::Expired);
        assert_eq!(exit(&[]), ExitStatus::Done);
        let head = Deadline { margin: Some(50), ..at(1_000_060) };
        assert!(!head.is_near(now, 100) && head.is_near(now.plus(10), 100));
    }
}
