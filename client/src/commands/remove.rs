//! `patchctl remove`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::root::Root;
use patchctl::transaction::{Change, Prepared, prepare_change};
use serde::Serialize;

use super::change::{ChangeLine, not_confirmed};
use crate::explain::OrExplain as _;
use crate::session::{Session, hold_signals};

/// Remove what patches installed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl remove acme-agent\n  \
    patchctl remove acme-agent libacme --yes")]
pub struct RemoveArgs {
    /// What to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<PatchName>,
}

/// What a removal or a rollback did, or in a dry run would do.
#[derive(Serialize)]
struct DoneReport {
    dry_run: bool,
    transaction: Option<i64>,
    changes: Vec<ChangeLine>,
    notices: Vec<String>,
    paths: u64,
}

impl Report for DoneReport {
    fn print(&self, output: &Output) {
        for notice in &self.notices {
            output.warning(notice);
        }
        if let Some(transaction) = self.transaction {
            output.note(format!("transaction {transaction} is done: {} paths", self.paths));
        }
    }
}

/// Removes.
pub fn run(session: &Session<'_>, arguments: &RemoveArgs) -> Result<ExitStatus, Failure> {
    let mut state = session.open()?;
    let root = Root::open(&session.places.root).or_explain()?;
    let context = session.context(false);
    let change = Change { remove: arguments.names.clone(), ..Change::default() };
    let mut bars = session.bars();
    let prepared = prepare_change(&mut state.database, &root, change, context, &mut bars);
    finish(session, prepared.or_explain()?, "remove these?")
}

/// Shows what is prepared, asks, and does it.
pub fn finish(
    session: &Session<'_>,
    prepared: Prepared<'_>,
    question: &str,
) -> Result<ExitStatus, Failure> {
    let changes: Vec<_> = prepared.changes().iter().map(ChangeLine::new).collect();
    for change in &changes {
        session.output.print_line(change.text());
    }
    let paths = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    if session.arguments.dry_run {
        let notices = prepared.notices().iter().map(ToString::to_string).collect();
        let steps = paths(prepared.steps().len());
        prepared.discard().or_explain()?;
        let report =
            DoneReport { dry_run: true, transaction: None, changes, notices, paths: steps };
        session.output.report(&report);
        return Ok(ExitStatus::Done);
    }
    match session.output.confirm(question, session.arguments.yes) {
        Ok(true) => {}
        refused => {
            prepared.discard().or_explain()?;
            return Err(refused.err().unwrap_or_else(not_confirmed));
        }
    }
    hold_signals();
    let outcome = prepared.apply(&mut session.bars()).or_explain()?;
    session.output.report(&DoneReport {
        dry_run: false,
        transaction: Some(outcome.transaction),
        changes,
        notices: outcome.notices.iter().map(ToString::to_string).collect(),
        paths: paths(outcome.paths),
    });
    Ok(ExitStatus::Done)
}
