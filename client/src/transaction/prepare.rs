//! Prepares transactions that install, upgrade and remove.

use countersign_format::name::PatchName;
use countersign_format::tree::Tree;

use super::facts::decide_all;
use super::goal::{Goals, install_goals};
use super::unpack::{Unpacked, Unpacker};
use super::{Component, Context, PlannedPatch, PrepareError, Prepared, installed_component, place};
use crate::db::Database;
use crate::hooks::{Action, HookEnvironment, HookKind};
use crate::journal::{self, Beginning};
use crate::object::Stamp;
use crate::report::Reporter;
use crate::root::Root;
use crate::stage::{Areas, Ownership};

/// Stages and checks patches. Patches of one name are links of a chain, in order; names come in the
/// order in which their hooks are to run.
pub fn prepare_install<'a>(
    database: &'a mut Database,
    root: &'a Root,
    patches: Vec<PlannedPatch>,
    context: Context<'a>,
    reporter: &mut dyn Reporter,
) -> Result<Prepared<'a>, PrepareError> {
    if patches.is_empty() {
        return Err(PrepareError::Empty);
    }
    let installed = database.installed()?;
    let is_upgrade =
        patches.iter().any(|patch| installed.iter().any(|is| is.name == patch.announced.name));
    let action = if is_upgrade { Action::Upgrade } else { Action::Install };
    Prepared::build(database, root, context, action, None, |prepared| {
        let mut unpacker = Unpacker {
            database: prepared.database,
            root: prepared.root,
            transaction: prepared.transaction,
            areas: &mut prepared.areas,
            ownership: &prepared.ownership,
            reporter,
        };
        let mut plan = unpacker.unpack(patches)?;
        let goals = install_goals(prepared.database, prepared.root, &mut plan)?;
        Ok((plan.into_iter().map(|unpacked| unpacked.component).collect(), goals))
    })
}

/// Checks the removal of components.
pub fn prepare_remove<'a>(
    database: &'a mut Database,
    root: &'a Root,
    names: &[PatchName],
    context: Context<'a>,
) -> Result<Prepared<'a>, PrepareError> {
    if names.is_empty() {
        return Err(PrepareError::Empty);
    }
    Prepared::build(database, root, context, Action::Remove, None, |prepared| {
        let mut plan = Vec::new();
        for name in names {
            let component = installed_component(prepared.database, name, Action::Remove)?;
            if component.was.is_none() {
                return Err(PrepareError::NotInstalled(name.clone()));
            }
            let staged = std::collections::BTreeMap::new();
            plan.push(Unpacked { component, tree: Tree::default(), staged });
        }
        let goals = install_goals(prepared.database, prepared.root, &mut plan)?;
        Ok((plan.into_iter().map(|unpacked| unpacked.component).collect(), goals))
    })
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
        let transaction = journal::open(database.connection(), &beginning)?;
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
        };
        match prepared.fill(make) {
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
        let decisions = decide_all(self.root, goals, &self.ownership)?;
        let stamps: Vec<Option<Stamp>> = self.stage(decisions)?;
        self.stamps = stamps;
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
    fn runs_hooks(&self) -> bool {
        let removes = self.becomes.is_none();
        self.links.iter().any(|link| link.hooks.iter().any(|hook| hook.kind != HookKind::PreRemove))
            || (removes && self.old_hooks.iter().any(|hook| hook.kind == HookKind::PreRemove))
    }
}
