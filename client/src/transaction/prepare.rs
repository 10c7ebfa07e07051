//! Prepares transactions that install, upgrade and remove.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::name::PatchName;
use countersign_format::tree::Tree;

use super::config::ConfigPolicy;
use super::facts::{Manner, decide_all};
use super::goal::{Goals, install_goals};
use super::recover::tidy;
use super::unpack::{Unpacked, Unpacker};
use super::{Component, Context, PlannedPatch, PrepareError, Prepared, installed_component, place};
use crate::db::Database;
use crate::hooks::{Action, HookEnvironment, HookKind};
use crate::journal::{self, Beginning};
use crate::report::Reporter;
use crate::root::Root;
use crate::stage::{Areas, Ownership};

/// What a plan changes: all of it or nothing.
#[derive(Debug, Default)]
pub struct Change {
    /// What is installed or upgraded, and by which patches. Patches of one name are links of a
    /// chain, in order; names come in the order in which their hooks are to run.
    pub install: Vec<PlannedPatch>,
    /// What is removed, in the order in which hooks are to run: before those of what is installed,
    /// so that what makes place for another is at rest when that one's hooks begin.
    pub remove: Vec<PatchName>,
    /// What becomes of configuration files with local changes.
    pub config: ConfigPolicy,
}

/// Stages and checks a change. A path may pass from a component that is removed, or that drops it,
/// to one that is installed.
pub fn prepare_change<'a>(
    database: &'a mut Database,
    root: &'a Root,
    change: Change,
    context: Context<'a>,
    reporter: &mut dyn Reporter,
) -> Result<Prepared<'a>, PrepareError> {
    let Change { install, remove, config } = change;
    let action = action_of(database, &install, &remove)?;
    Prepared::build(database, root, context, action, None, |prepared| {
        prepared.manner.config = config;
        let mut plan = Vec::with_capacity(remove.len());
        for name in &remove {
            let component = installed_component(prepared.database, name, Action::Remove)?;
            if component.was.is_none() {
                return Err(PrepareError::NotInstalled(name.clone()));
            }
            plan.push(Unpacked { component, tree: Tree::default(), staged: BTreeMap::new() });
        }
        let mut unpacker = Unpacker {
            database: prepared.database,
            root: prepared.root,
            transaction: prepared.transaction,
            areas: &mut prepared.areas,
            ownership: &prepared.ownership,
            wanted: None,
            awaits_owners: false,
            reporter,
        };
        plan.extend(unpacker.unpack(install)?);
        let goals = install_goals(prepared.database, prepared.root, &mut plan)?;
        Ok((plan.into_iter().map(|unpacked| unpacked.component).collect(), goals))
    })
}

/// What a change is called in the history; refuses one that contradicts itself.
fn action_of(
    database: &Database,
    install: &[PlannedPatch],
    remove: &[PatchName],
) -> Result<Action, PrepareError> {
    let mut seen = BTreeSet::new();
    let comes: BTreeSet<&PatchName> = install.iter().map(|patch| &patch.announced.name).collect();
    if let Some(name) = remove.iter().find(|name| !seen.insert(*name) || comes.contains(name)) {
        return Err(PrepareError::Twice(name.clone()));
    }
    if comes.is_empty() {
        return if remove.is_empty() { Err(PrepareError::Empty) } else { Ok(Action::Remove) };
    }
    let is_upgrade = database.installed()?.iter().any(|is| comes.contains(&is.name));
    Ok(if is_upgrade { Action::Upgrade } else { Action::Install })
}

impl<'a> Prepared<'a> {
    /// Opens a transaction, lets `make` say what it is to reach, and stages it. A failure leaves
    /// nothing behind.
    pub(super) fn build(
        database: &'a mut Database,
        root: &'a Root,
        context: Context<'a>,
        action: Action,
        rolled_back_to: Option<i64>,
        make: impl FnOnce(&mut Self) -> Result<(Vec<Component>, Goals), PrepareError>,
    ) -> Result<Self, PrepareError> {
        if let Some(unfinished) = database.unfinished()? {
            return Err(PrepareError::Unfinished(unfinished));
        }
        let ownership = Ownership::of(root)?;
        let beginning = Beginning {
            command: context.command,
            action,
            now: (context.clock)(),
            allow_stale: context.allow_stale,
            rolled_back_to,
        };
        // what cannot be tidied up now stays for the next start
        let tidied = tidy(database, root).unwrap_or_default();
        let transaction = journal::open(database.connection(), &beginning, &tidied)?;
        let mut prepared = Self {
            database,
            root,
            context,
            transaction,
            areas: Areas::new(root, transaction),
            ownership,
            components: Vec::new(),
            steps: Vec::new(),
            stamps: Vec::new(),
            notices: Vec::new(),
            watched: Vec::new(),
            awaited: Vec::new(),
            manner: Manner::default(),
        };
        let filled = prepared.fill(make);
        match filled.and_then(|()| Ok(journal::settle(prepared.connection())?)) {
            Ok(()) => Ok(prepared),
            Err(error) => {
                // the error that counts is the first; what is left is cleaned at the next start
                let _ = prepared.discard();
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<(Vec<Component>, Goals), PrepareError>,
    ) -> Result<(), PrepareError> {
        let (components, goals) = make(self)?;
        self.components = components;
        self.check_hooks()?;
        let decisions = decide_all(self.root, goals, &self.ownership, self.manner)?;
        self.stage(decisions)?;
        self.watched = place::watch(self.root, &self.components, &self.steps)?;
        countersign_store::crash::crash_point("transaction.staged");
        Ok(())
    }

    /// Where hooks cannot run, that is said before anything changes.
    fn check_hooks(&self) -> Result<(), PrepareError> {
        let with_hooks: Vec<&str> = self
            .components
            .iter()
            .filter(|component| component.runs_hooks())
            .map(|component| component.name.as_str())
            .collect();
        if !with_hooks.is_empty() {
            HookEnvironment::new(self.root, &with_hooks)?;
        }
        Ok(())
    }
}

impl Component {
    /// Whether hooks of it run in the transaction.
    pub(super) fn runs_hooks(&self) -> bool {
        let removes = self.becomes.is_none() && !self.lets_go;
        self.links.iter().any(|link| link.hooks.iter().any(|hook| hook.kind != HookKind::PreRemove))
            || (removes && self.old_hooks.iter().any(|hook| hook.kind == HookKind::PreRemove))
    }
}
