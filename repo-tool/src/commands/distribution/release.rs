//! `patchrepo distribution release`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use countersign_format::text::{Line, RingName};
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, parse_duration};
use serde::Serialize;

use super::{PatchReport, open_locked, patches};
use crate::commands::narrow::NarrowArgs;
use crate::commands::now;
use crate::distribution::{Action, Decided, Repeated, Selection, Terms};
use crate::patch_selector::PatchSelector;

/// Decide to release patches to a ring of machines
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution release /srv/distribution acme-agent@2.1.1\n  \
    patchrepo distribution release /srv/distribution --all --ring canary\n  \
    patchrepo distribution release /srv/distribution acme-agent@2.1.1 --percent 50 --ramp 24h\n  \
    patchrepo distribution release /srv/distribution acme-agent@2.1.1 --base none\n  \
    patchrepo distribution release /srv/distribution --again\n\n\
    The decision waits until publish signs it. NAME@VERSION means all its patches unless --platform\n\
    or --base says otherwise.")]
pub struct ReleaseArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The patches
    #[arg(
        value_name = "NAME@VERSION",
        required_unless_present_any = ["all", "again"],
        conflicts_with_all = ["all", "again"]
    )]
    patches: Vec<PatchSelector>,
    /// Everything that was never released to the ring or withdrawn from it
    #[arg(long, conflicts_with_all = ["platform", "base"])]
    all: bool,
    /// What stood for the same archives in a log of the collection that was left for a new origin,
    /// withdrawals among it, for every ring
    #[arg(
        long,
        conflicts_with_all = ["all", "ring", "percent", "ramp", "start", "deadline", "platform", "base"]
    )]
    again: bool,
    /// The ring
    #[arg(long, value_name = "RING", default_value = "stable")]
    ring: RingName,
    /// How many of a hundred machines get it in the end
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    percent: u8,
    /// Over which time machines get it one after the other
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ramp: Option<Duration>,
    /// From when on; at once unless given
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// From when on a machine's holds no longer defer it
    #[arg(long, value_name = "TIME")]
    deadline: Option<Timestamp>,
    #[command(flatten)]
    narrow: NarrowArgs,
}

/// What was decided.
#[derive(Serialize)]
pub(super) struct DecidedReport {
    ring: RingName,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Line>,
    /// Those for which the decision is new.
    patches: Vec<PatchReport>,
    /// Those for which it stands already.
    unchanged: Vec<PatchReport>,
    /// Those whose release is taken back before it was published.
    taken_back: Vec<PatchReport>,
    #[serde(skip)]
    verb: &'static str,
}

impl DecidedReport {
    pub(super) fn new(ring: &RingName, action: &Action, decided: &Decided) -> Self {
        let (verb, reason) = match action {
            Action::Release(_) => ("released to", None),
            Action::Withdraw { reason } => ("withdrawn from", Some(reason.clone())),
        };
        Self {
            ring: ring.clone(),
            reason,
            patches: decided.waiting.iter().map(Into::into).collect(),
            unchanged: decided.standing.iter().map(Into::into).collect(),
            taken_back: decided.taken_back.iter().map(Into::into).collect(),
            verb,
        }
    }
}

impl Report for DecidedReport {
    fn print(&self, output: &Output) {
        let mut table = Table::new(["INDEX", "PATCH", "BASE", "SEVERITY", "SUMMARY"]).right(0);
        for patch in &self.patches {
            table.row([
                patch.index.to_string(),
                patch.patch(),
                patch.base(),
                patch.severity.to_string(),
                patch.summary.to_string(),
            ]);
        }
        output.print_table(&table);
        let Self { ring, verb, .. } = self;
        for patch in &self.unchanged {
            output.note(format!("{} ({}) is {verb} {ring} already", patch.patch(), patch.base()));
        }
        for patch in &self.taken_back {
            output.print_line(format!("not to be released: {} ({})", patch.patch(), patch.base()));
        }
        if self.patches.is_empty() {
            output.note("Nothing new to be published.");
        } else {
            let count = patches(self.patches.len());
            output.note(format!("{count} will be {verb} {ring} with the next publish."));
        }
    }
}

/// What is decided again.
#[derive(Serialize)]
struct AgainReport {
    repeated: Vec<AgainLine>,
}

/// One patch and ring.
#[derive(Serialize)]
struct AgainLine {
    ring: RingName,
    /// Why it is withdrawn, if it is.
    reason: Option<Line>,
    patch: PatchReport,
}

impl From<&Repeated> for AgainLine {
    fn from(repeated: &Repeated) -> Self {
        let reason = match &repeated.action {
            Action::Release(_) => None,
            Action::Withdraw { reason } => Some(reason.clone()),
        };
        Self { ring: repeated.ring.clone(), reason, patch: (&repeated.patch).into() }
    }
}

impl Report for AgainReport {
    fn print(&self, output: &Output) {
        let mut table = Table::new(["INDEX", "PATCH", "BASE", "AGAIN"]).right(0);
        for AgainLine { ring, reason, patch } in &self.repeated {
            let verb = if reason.is_some() { "withdrawn from" } else { "released to" };
            let again = format!("{verb} {ring}");
            table.row([patch.index.to_string(), patch.patch(), patch.base(), again]);
        }
        output.print_table(&table);
        output.note(match self.repeated.len() {
            0 => "Nothing is to be decided again.",
            _ => "The next publish says so.",
        });
    }
}

/// Decides and shows what waits.
pub fn run(arguments: &ReleaseArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    if arguments.again {
        let repeated = distribution.decide_again()?;
        output.report(&AgainReport { repeated: repeated.iter().map(Into::into).collect() });
        return Ok(ExitStatus::Done);
    }
    let ramp = arguments.ramp.unwrap_or_default().as_secs();
    let start = match arguments.start {
        // a ramp is measured from a start
        None if ramp > 0 => Some(now()?),
        start => start,
    };
    let (percent, deadline) = (arguments.percent, arguments.deadline);
    let action = Action::Release(Terms { start, ramp, percent, deadline });
    let selection = if arguments.all {
        Selection::New
    } else {
        Selection::Patches(arguments.narrow.narrow_all(&arguments.patches))
    };
    let decided = distribution.decide(&selection, &arguments.ring, &action)?;
    output.report(&DecidedReport::new(&arguments.ring, &action, &decided));
    Ok(ExitStatus::Done)
}
