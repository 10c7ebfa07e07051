//! Ends what was interrupted: the next command finds exactly the old or exactly the new state.

use super::backup::remove_dropped;
use super::error::{RecoverError, UndoError};
use super::hook_runner::{HookRunner, recovery_calls};
use super::undo::{note_kept, undo_steps};
use super::{ComponentChange, Context};
use crate::db::Database;
use crate::db::change::whole_changes;
use crate::db::history::Notice;
use crate::db::installed;
use crate::journal;
use crate::report::Reporter;
use crate::root::Root;
use crate::stage::{self, Areas, Backups};

/// An interrupted transaction that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its number.
    pub transaction: i64,
    /// The command that it came from.
    pub command: String,
    /// What it was about to change, and did not.
    pub changes: Vec<ComponentChange>,
    /// What a person should know.
    pub notices: Vec<Notice>,
}

/// Ends every interrupted transaction: without a commit its steps are undone and the old versions'
/// `post-install` is run; with one only its staging is removed. Does nothing where nothing was
/// interrupted, and can itself be interrupted. Comes before everything else that changes a machine.
pub fn recover(
    database: &mut Database,
    root: &Root,
    context: Context<'_>,
    reporter: &mut dyn Reporter,
) -> Result<Vec<Recovered>, RecoverError> {
    for transaction in journal::uncleaned(database.connection(), "staging")? {
        clean(database, root, transaction, Backups::NotMade)?;
        journal::discard(database.connection(), transaction)?;
    }
    let mut recovered = Vec::new();
    while let Some(transaction) = database.unfinished()? {
        let done = undo(database, root, transaction, context, reporter)
            .map_err(Box::new)
            .map_err(|source| RecoverError::Undo { transaction, source })?;
        recovered.push(done);
    }
    tidy(database, root)?;
    for transaction in journal::uncleaned(database.connection(), "undone")? {
        clean(database, root, transaction, Backups::Go)?;
        journal::cleaned(database.connection(), transaction)?;
    }
    Ok(recovered)
}

/// Removes what finished transactions left in working areas besides their backups. Returns those of
/// which that is still to be written down: the next transaction does it along with its own beginning,
/// since a commit costs more than to look once more.
pub(super) fn tidy(database: &Database, root: &Root) -> Result<Vec<i64>, RecoverError> {
    let mut tidied = Vec::new();
    for transaction in journal::uncleaned(database.connection(), "done")? {
        clean(database, root, transaction, Backups::Stay)?;
        if journal::is_kept(database.connection(), transaction)? {
            tidied.push(transaction);
        } else {
            remove_dropped(database, root, transaction)?;
            journal::cleaned(database.connection(), transaction)?;
        }
    }
    Ok(tidied)
}

fn clean(
    database: &Database,
    root: &Root,
    transaction: i64,
    backups: Backups,
) -> Result<(), RecoverError> {
    let areas = journal::areas(database.connection(), transaction)?;
    stage::clean(root, transaction, &areas, backups)
        .map_err(|source| RecoverError::Clean { transaction, source })
}

fn undo(
    database: &Database,
    root: &Root,
    transaction: i64,
    context: Context<'_>,
    reporter: &mut dyn Reporter,
) -> Result<Recovered, UndoError> {
    let journal = journal::read(database.connection(), transaction)?;
    let mut areas = Areas::open(root, transaction, &journal.areas)?;
    let mut notices = undo_steps(root, &areas, &journal.steps, reporter)?;
    areas.iter().try_for_each(stage::Area::flush)?;
    let changes = whole_changes(database.connection(), transaction)?;
    let mut hooks = Vec::new();
    for change in &changes {
        hooks.push(installed::hooks(database.connection(), &change.name)?);
    }
    let calls: Vec<_> = changes
        .iter()
        .zip(&hooks)
        .filter_map(|(change, hooks)| {
            let back = change.was.as_ref()?.version.clone();
            let failed = change.becomes.as_ref().map(|becomes| becomes.version.clone());
            recovery_calls(&change.name, hooks, failed, back)
        })
        .collect();
    let mut runner =
        HookRunner { database, root, areas: &mut areas, transaction, context, reporter };
    // the files are back; a hook that cannot even be started does not change that
    let of_hooks = runner.run_recovery(&calls).unwrap_or_default();
    note_kept(database, transaction, &notices)?;
    notices.extend(of_hooks);
    let now = (context.clock)();
    journal::undone(database.connection(), transaction, now, "interrupted")?;
    let record = database.transaction(transaction)?;
    Ok(Recovered {
        transaction,
        command: record.map(|record| record.command).unwrap_or_default(),
        changes: changes
            .into_iter()
            .map(|change| ComponentChange {
                name: change.name,
                old: change.was.map(|was| was.version),
                new: change.becomes.map(|becomes| becomes.version),
            })
            .collect(),
        notices,
    })
}
