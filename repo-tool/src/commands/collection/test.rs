//! `patchrepo collection test`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use countersign_format::hash::Hash32;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, parse_duration};
use serde::Serialize;

use crate::collection::{Collection, Outcome, TestLimits, TestRecord};
use crate::commands::narrow::NarrowArgs;
use crate::commands::{lock, now};
use crate::patch_selector::PatchSelector;

/// How many of the last lines of a failed test are shown.
const LINES_SHOWN: usize = 20;

/// Which patch is tested, and how.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A patch that was taken in
    #[arg(value_name = "NAME@VERSION")]
    patch: PatchSelector,
    #[command(flatten)]
    narrow: NarrowArgs,
    /// How long the command may run
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = parse_duration)]
    timeout: Duration,
    /// The command, run in the directory of the unpacked patch
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<String>,
}

#[derive(Serialize)]
struct Tested {
    /// SHA-256 of the document that is kept.
    evidence: Hash32,
    #[serde(flatten)]
    record: TestRecord,
}

impl Report for Tested {
    fn print(&self, output: &Output) {
        output.print_field("evidence", format!("sha256:{}", self.evidence));
        if self.record.outcome == Outcome::Passed {
            output.note("The test passed. Next: patchrepo collection publish.");
        }
    }
}

/// Runs the command and keeps what came of it.
pub fn run(arguments: &TestArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let draft = collection.select_draft(&arguments.narrow.narrow(&arguments.patch))?;
    let limits = TestLimits { time: arguments.timeout, ..TestLimits::default() };
    let began = now()?;
    let clock = || now().unwrap_or(began).max(began);
    let run =
        collection.test(&draft, &arguments.command, limits, &clock as &dyn Fn() -> Timestamp)?;
    let lock = lock(collection.directory(), output)?;
    let evidence = collection.keep_test(&draft, &run)?;
    drop(lock);
    let outcome = run.record.outcome;
    if outcome != Outcome::Passed {
        let printed = String::from_utf8_lossy(&run.output);
        let lines: Vec<&str> = printed.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            output.note(line);
        }
    }
    let why = match (outcome, run.record.exit, run.record.signal) {
        (Outcome::TooSlow, ..) => "the test ran for too long".to_owned(),
        (Outcome::TooMuchOutput, ..) => "the test printed too much".to_owned(),
        (_, Some(code), _) => format!("the test failed: exit {code}"),
        (_, _, signal) => format!("the test was killed by signal {}", signal.unwrap_or_default()),
    };
    output.report(&Tested { evidence, record: run.record });
    if outcome == Outcome::Passed {
        return Ok(ExitStatus::Done);
    }
    Err(Failure::new(ExitStatus::Failed, why)
        .hint("what it printed is in evidence/; the patch is not published before a test passes"))
}
