//! `patchctl hold` and `patchctl unhold`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_format::text::Line;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table};
use patchctl::db::hold::Hold;
use serde::Serialize;

use super::{NameAndVersion, or_nothing};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Keep patches from changing: as they are, or up to a version
///
/// NAME stays as it is, installed or not. NAME@VERSION is a pin: it goes to that version and no
/// further, and not below it. What a hold keeps back is listed wherever it is skipped. Without a
/// name all holds are listed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl hold acme-agent --until 2027-01-31 --reason 'year-end freeze'\n  \
    patchctl hold acme-agent@2.1.0\n  \
    patchctl hold")]
pub struct HoldArgs {
    /// What to keep from changing
    #[arg(value_name = "NAME[@VERSION]")]
    what: Vec<NameAndVersion>,
    /// The hold ends then: a day (its end, UTC) or a time such as 2027-01-31T18:00:00Z
    #[arg(long, value_name = "DATE", value_parser = parse_until, requires = "what")]
    until: Option<Timestamp>,
    /// Why, for whoever reads the status
    #[arg(long, value_name = "TEXT", requires = "what")]
    reason: Option<Line>,
}

/// Let patches change again
///
/// Ends holds and pins. Versions that a rollback undid are offered again, too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl unhold acme-agent")]
pub struct UnholdArgs {
    /// What may change again
    #[arg(value_name = "NAME", required = true)]
    names: Vec<PatchName>,
}

#[derive(Serialize)]
struct HoldsReport {
    holds: Vec<HoldReport>,
}

#[derive(Serialize)]
struct HoldReport {
    #[serde(flatten)]
    hold: Hold,
    ended: bool,
}

impl HoldsReport {
    fn new(holds: Vec<Hold>, now: Timestamp) -> Self {
        let report = |hold: Hold| HoldReport { ended: !hold.counts(now), hold };
        Self { holds: holds.into_iter().map(report).collect() }
    }
}

impl Report for HoldsReport {
    fn print(&self, output: &Output) {
        if self.holds.is_empty() {
            output.note("nothing is held");
        }
        let mut table = Table::new(["NAME", "VERSION", "UNTIL", "SINCE", "REASON"]);
        for HoldReport { hold, ended } in &self.holds {
            let until = hold.until.map(|until| match ended {
                true => format!("{until} (ended)"),
                false => until.to_string(),
            });
            table.row([
                hold.name.as_str(),
                &hold.version.as_ref().map_or("as it is".into(), ToString::to_string),
                &or_nothing(until.as_ref()),
                &hold.since.to_string(),
                &or_nothing(hold.reason.as_ref()),
            ]);
        }
        output.print_table(&table);
    }
}

/// Holds, or lists the holds.
pub fn run(session: &Session<'_>, arguments: &HoldArgs) -> Result<ExitStatus, Failure> {
    if arguments.what.is_empty() {
        let holds = session.open_to_read()?.holds().or_explain()?;
        session.output.report(&HoldsReport::new(holds, session.now));
        return Ok(ExitStatus::Done);
    }
    session.refuse_dry_run("hold")?;
    if arguments.until.is_some_and(|until| until <= session.now) {
        return Err(Failure::usage("--until is in the past").hint("give a date to come"));
    }
    let hold = |what: &NameAndVersion| Hold {
        name: what.name.clone(),
        version: what.version.clone(),
        until: arguments.until,
        reason: arguments.reason.clone(),
        since: session.now,
    };
    let holds: Vec<Hold> = arguments.what.iter().map(hold).collect();
    let mut state = session.open()?;
    for hold in &holds {
        let installed = state.database.find_installed(&hold.name).or_explain()?;
        if let (Some(pin), Some(installed)) = (&hold.version, installed)
            && installed.version > *pin
        {
            let text = format!("{} {} is newer than {pin}", hold.name, installed.version);
            session.output.warning(format!("{text}; it stays as it is"));
        }
    }
    state.database.hold(&holds, session.now).or_explain()?;
    session.output.report(&HoldsReport::new(holds, session.now));
    Ok(ExitStatus::Done)
}

/// Ends holds.
pub fn run_unhold(session: &Session<'_>, arguments: &UnholdArgs) -> Result<ExitStatus, Failure> {
    session.refuse_dry_run("unhold")?;
    let mut state = session.open()?;
    let freed = state.database.unhold(&arguments.names, session.now).or_explain()?;
    for name in &arguments.names {
        let text = if freed.contains(name) { "may change again" } else { "was not held" };
        session.output.note(format!("{name} {text}"));
    }
    let holds = state.database.holds().or_explain()?;
    session.output.report(&Remaining(HoldsReport::new(holds, session.now)));
    Ok(ExitStatus::Done)
}

/// The holds that are left: told in JSON, not asked for in text.
#[derive(Serialize)]
#[serde(transparent)]
struct Remaining(HoldsReport);

impl Report for Remaining {
    fn print(&self, _: &Output) {}
}

/// Reads a time, or a day, of which it is the end.
fn parse_until(text: &str) -> Result<Timestamp, String> {
    let is_day = text.len() == "2027-01-31".len();
    let time = if is_day { format!("{text}T23:59:59Z") } else { text.to_owned() };
    let time: Timestamp = time
        .parse()
        .map_err(|_| "not a day such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z")?;
    Ok(if is_day { time.plus(1) } else { time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        let until = |text| parse_until(text).map(|time| time.to_string());
        assert_eq!(until("2027-01-31").as_deref(), Ok("2027-02-01T00:00:00Z"));
        assert_eq!(until("2027-01-31T18:00:00Z").as_deref(), Ok("2027-01-31T18:00:00Z"));
        for text in ["2027-02-30", "tomorrow", "2027-01-31T18:00:00", ""] {
            assert!(until(text).is_err(), "{text}");
        }
    }
}
