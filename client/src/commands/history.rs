//! `patchctl history`.

use std::collections::BTreeSet;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, time};
use patchctl::db::Database;
use patchctl::db::history::{TransactionRecord, TransactionState};
use patchctl::db::signers::Signers;
use serde::Serialize;

use super::NOTHING;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// List transactions, the newest first, or show one
///
/// BACK says whether `rollback --to` can go back to what was after a transaction.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl history\n  patchctl history 12")]
pub struct HistoryArgs {
    /// Which
    transaction: Option<i64>,
}

#[derive(Serialize)]
struct HistoryReport {
    transactions: Vec<TransactionReport>,
}

#[derive(Serialize)]
struct TransactionReport {
    transaction: i64,
    command: String,
    action: &'static str,
    state: &'static str,
    started: String,
    finished: Option<String>,
    rolled_back_to: Option<i64>,
    can_be_undone: bool,
    can_go_back: bool,
    allow_stale: bool,
    error: Option<String>,
    changes: Vec<ChangeReport>,
}

#[derive(Serialize)]
struct ChangeReport {
    name: String,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Serialize)]
struct DetailReport {
    #[serde(flatten)]
    transaction: TransactionReport,
    signed: Vec<SignedReport>,
    hooks: Vec<HookReport>,
    notices: Vec<String>,
}

/// Whose signatures counted for a patch that the transaction brought.
#[derive(Serialize)]
struct SignedReport {
    name: String,
    version: String,
    collection_keys: BTreeSet<String>,
    distribution_keys: BTreeSet<String>,
}

#[derive(Serialize)]
struct HookReport {
    name: String,
    hook: String,
    action: String,
    outcome: String,
    output: String,
    output_truncated: bool,
}

impl TransactionReport {
    fn new(record: &TransactionRecord) -> Self {
        let moment = |seconds: u64| time(i64::try_from(seconds).unwrap_or(i64::MAX));
        Self {
            transaction: record.id,
            command: record.command.clone(),
            action: record.action.as_str(),
            state: record.state.as_str(),
            started: moment(record.started),
            finished: record.finished.map(moment),
            rolled_back_to: record.rolled_back_to,
            can_be_undone: record.kept,
            can_go_back: record.can_go_back,
            allow_stale: record.allow_stale,
            error: record.error.clone(),
            changes: record
                .changes
                .iter()
                .map(|change| ChangeReport {
                    name: change.name.to_string(),
                    from: change.old.as_ref().map(ToString::to_string),
                    to: change.new.as_ref().map(ToString::to_string),
                })
                .collect(),
        }
    }

    fn changes_text(&self) -> String {
        let text = |change: &ChangeReport| match (&change.from, &change.to) {
            (None, Some(to)) => format!("+{} {to}", change.name),
            (Some(from), None) => format!("-{} {from}", change.name),
            (Some(from), Some(to)) if from == to => format!("{} {to}", change.name),
            (Some(from), Some(to)) => format!("{} {from} → {to}", change.name),
            (None, None) => change.name.clone(),
        };
        self.changes.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

impl Report for HistoryReport {
    fn print(&self, output: &Output) {
        let mut table =
            Table::new(["ID", "STARTED", "ACTION", "STATE", "BACK", "CHANGES"]).right(0);
        for line in &self.transactions {
            let id = line.transaction.to_string();
            let back = if line.can_go_back { "yes" } else { NOTHING };
            let changes = line.changes_text();
            table.row([&id, &line.started, line.action, line.state, back, &changes]);
        }
        output.print_table(&table);
    }
}

impl Report for DetailReport {
    fn print(&self, output: &Output) {
        let it = &self.transaction;
        output.print_field("transaction", it.transaction);
        output.print_field("command", &it.command);
        output.print_field("action", it.action);
        output.print_field("state", it.state);
        output.print_field("started", &it.started);
        if let Some(finished) = &it.finished {
            output.print_field("finished", finished);
        }
        if let Some(to) = it.rolled_back_to {
            output.print_field("back to", to);
        }
        if it.allow_stale {
            output.print_field("stale index", "allowed");
        }
        if it.can_go_back {
            let command = format!("patchctl rollback --to {}", it.transaction);
            output.print_field("go back", command);
        }
        if !it.can_be_undone && it.state == TransactionState::Done.as_str() {
            output.print_field("undo", "not any more: its backups were dropped");
        }
        output.print_field("changes", it.changes_text());
        for SignedReport { name, version, collection_keys, distribution_keys } in &self.signed {
            let keys: Vec<&str> =
                collection_keys.iter().chain(distribution_keys).map(String::as_str).collect();
            output.print_field("signed", format!("{name} {version} by {}", keys.join(", ")));
        }
        match it.error.as_deref() {
            Some("interrupted") => output.print_field(
                "recovered",
                "it was interrupted; the next command put everything back as it was before",
            ),
            Some(error) => output.print_field("error", error),
            None => {}
        }
        for hook in &self.hooks {
            let HookReport { name, hook, action, outcome, .. } = hook;
            output.print_field("hook", format!("{hook} of {name} ({action}): {outcome}"));
        }
        for hook in self.hooks.iter().filter(|hook| !hook.output.is_empty()) {
            output.print_heading(format!("output of {} of {}", hook.hook, hook.name));
            output.print_line(hook.output.trim_end());
            if hook.output_truncated {
                output.print_line("(there was more)");
            }
        }
        for notice in &self.notices {
            output.print_field("notice", notice);
        }
    }
}

/// Whose signatures counted for the patches of a transaction, as far as that was written down.
fn signed(database: &Database, transaction: i64) -> Result<Vec<SignedReport>, Failure> {
    let mut signed = Vec::new();
    for link in database.links(transaction).or_explain()? {
        let Signers { collection, distribution } = database.signers(&link.archive).or_explain()?;
        if !collection.is_empty() {
            signed.push(SignedReport {
                name: link.name.to_string(),
                version: link.version.to_string(),
                collection_keys: collection,
                distribution_keys: distribution,
            });
        }
    }
    Ok(signed)
}

/// Lists, or shows one.
pub fn run(session: &Session<'_>, arguments: &HistoryArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let Some(id) = arguments.transaction else {
        let history = database.history().or_explain()?;
        let transactions = history.iter().map(TransactionReport::new).collect();
        session.output.report(&HistoryReport { transactions });
        return Ok(ExitStatus::Done);
    };
    let record = database.transaction(id).or_explain()?.ok_or_else(|| {
        Failure::new(ExitStatus::NotFound, format!("there is no transaction {id}"))
            .hint("see which there are: patchctl history")
    })?;
    let hooks = database.hook_runs(id).or_explain()?;
    let notices = database.notices(id).or_explain()?;
    session.output.report(&DetailReport {
        signed: signed(&database, id)?,
        transaction: TransactionReport::new(&record),
        hooks: hooks
            .iter()
            .map(|run| HookReport {
                name: run.name.to_string(),
                hook: run.hook.clone(),
                action: run.action.clone(),
                outcome: run.outcome.clone(),
                output: String::from_utf8_lossy(&run.output).into_owned(),
                output_truncated: run.truncated,
            })
            .collect(),
        notices: notices.iter().map(ToString::to_string).collect(),
    });
    Ok(ExitStatus::Done)
}
