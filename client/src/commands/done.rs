//! What `remove`, `rollback`, `repair` and `adopt` have in common: showing what is prepared, asking,
//! doing it, and saying what was done.

use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::plan_file::PlanDocument;
use patchctl::transaction::Prepared;
use serde::Serialize;

use super::change::{ChangeLine, DryRun, not_confirmed};
use super::count;
use crate::explain::OrExplain as _;
use crate::session::{Session, hold_signals};

/// What was done, or in a dry run would be.
#[derive(Serialize)]
pub struct DoneReport {
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
            let paths = count(self.paths, "path", "paths");
            output.note(format!(
                "transaction {transaction} is done: {paths}; undo: patchctl rollback"
            ));
        }
    }
}

impl DoneReport {
    /// What is said where there is nothing to do.
    pub fn nothing(session: &Session<'_>) -> Self {
        let dry_run = session.arguments.dry_run;
        Self { dry_run, transaction: None, changes: Vec::new(), notices: Vec::new(), paths: 0 }
    }
}

/// Shows what is prepared and leaves it undone; the document is that of the plan.
pub fn show(
    session: &Session<'_>,
    prepared: Prepared<'_>,
    document: PlanDocument,
) -> Result<ExitStatus, Failure> {
    print_changes(session, &prepared);
    for notice in prepared.notices() {
        session.output.warning(notice);
    }
    prepared.discard().or_explain()?;
    session.output.report(&DryRun(document));
    Ok(ExitStatus::Done)
}

/// Shows what is prepared, asks, and does it.
pub fn finish(
    session: &Session<'_>,
    prepared: Prepared<'_>,
    question: &str,
) -> Result<ExitStatus, Failure> {
    print_changes(session, &prepared);
    if session.arguments.dry_run {
        return apply(session, prepared);
    }
    match session.output.confirm(question, session.arguments.yes) {
        Ok(true) => apply(session, prepared),
        refused => {
            prepared.discard().or_explain()?;
            Err(refused.err().unwrap_or_else(not_confirmed))
        }
    }
}

fn print_changes(session: &Session<'_>, prepared: &Prepared<'_>) {
    for change in prepared.changes() {
        let line = match (&change.old, &change.new) {
            (None, Some(new)) if prepared.steps().is_empty() => {
                format!("{} {new} taken over; no file is touched", change.name)
            }
            _ => ChangeLine::new(&change).text(),
        };
        session.output.print_line(line);
    }
}

/// Does what is prepared, unless this is a dry run, and says what was or would be done.
pub fn apply(session: &Session<'_>, prepared: Prepared<'_>) -> Result<ExitStatus, Failure> {
    let changes = prepared.changes().iter().map(ChangeLine::new).collect();
    let paths = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    if session.arguments.dry_run {
        let notices = prepared.notices().iter().map(ToString::to_string).collect();
        let paths = paths(prepared.steps().len());
        prepared.discard().or_explain()?;
        let report = DoneReport { dry_run: true, transaction: None, changes, notices, paths };
        session.output.report(&report);
        return Ok(ExitStatus::Done);
    }
    hold_signals(session.output);
    let outcome = prepared.apply(&mut session.bars()).or_explain()?;
    for dropped in outcome.freed.iter().flat_map(|freed| &freed.transactions) {
        session.output.detail(format!("transaction {dropped} can be rolled back no more"));
    }
    session.output.report(&DoneReport {
        dry_run: false,
        transaction: Some(outcome.transaction),
        changes,
        notices: outcome.notices.iter().map(ToString::to_string).collect(),
        paths: paths(outcome.paths),
    });
    Ok(ExitStatus::Done)
}
