//! Goes back to what was after an earlier transaction. A rollback is a transaction like any other:
//! it can fail whole, be recovered, and be rolled back.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;

use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;

use super::goal::{Backup, Expected, Goal, Goals, Source, Want, add_parents, removal};
use super::{
    Component, ComponentChange, Context, Link, PrepareError, Prepared, installed_component,
};
use crate::db::change::{new_paths, old_files, old_hooks, whole_changes};
use crate::db::history::Notice;
use crate::db::installed::{Installed, InstalledFile, at_resolved, is_created_directory};
use crate::db::signers::Signers;
use crate::db::{Database, DatabaseError};
use crate::hooks::Action;
use crate::journal::{self, Operation, Step};
use crate::object::{self, Identity, Kind};
use crate::root::{DirPath, Root};
use crate::stage::{self, StageError};
use crate::verify;

/// Deepest directory in a backup: as deep as paths can be.
const MAX_DEPTH: usize = 2048;

/// The transactions that a rollback undoes, the newest first.
fn to_undo(database: &Database, to: Option<i64>) -> Result<(i64, Vec<i64>), PrepareError> {
    let done = journal::finished(database.connection())?;
    let to = match to {
        Some(to) => to,
        None => done.get(1).map_or(0, |(before, _)| *before),
    };
    if to != 0 && !done.iter().any(|(id, _)| *id == to) {
        return Err(PrepareError::NoSuchTransaction(to));
    }
    let undone: Vec<(i64, bool)> = done.into_iter().take_while(|(id, _)| *id > to).collect();
    if undone.is_empty() {
        return Err(PrepareError::Empty);
    }
    if let Some((dropped, _)) = undone.iter().find(|(_, kept)| !kept) {
        return Err(PrepareError::BackupsDropped(*dropped));
    }
    Ok((to, undone.into_iter().map(|(id, _)| id).collect()))
}

/// What a rollback would change: back to after transaction `to` (0: before the first), or to before
/// the last one.
pub fn rollback_changes(
    database: &Database,
    to: Option<i64>,
) -> Result<Vec<ComponentChange>, PrepareError> {
    let (_, undone) = to_undo(database, to)?;
    let components = components(database, &undone, 0)?;
    Ok(components.iter().map(Component::change).collect())
}

/// Stages and checks a rollback: back to after transaction `to` (0: before the first), or to before
/// the last one.
pub fn prepare_rollback<'a>(
    database: &'a mut Database,
    root: &'a Root,
    to: Option<i64>,
    context: Context<'a>,
) -> Result<Prepared<'a>, PrepareError> {
    let (to, undone) = to_undo(database, to)?;
    Prepared::build(database, root, context, Action::Rollback, Some(to), |prepared| {
        let mut components = components(prepared.database, &undone, prepared.transaction)?;
        let goals = goals(prepared.database, prepared.root, &undone, &components)?;
        for component in &mut components {
            component.be_quiet(&goals);
            if component.lets_go {
                prepared.notices.push(Notice::LetGo { name: component.name.to_string() });
            }
        }
        Ok((components, goals))
    })
}

/// The components as they are and as they were.
fn components(
    database: &Database,
    undone: &[i64],
    transaction: i64,
) -> Result<Vec<Component>, PrepareError> {
    let connection = database.connection();
    let mut components: BTreeMap<PatchName, Component> = BTreeMap::new();
    for id in undone {
        let record = database.transaction(*id)?;
        let adopted = record.is_some_and(|record| record.action == Action::Adopt);
        for change in whole_changes(connection, *id)? {
            let name = change.name;
            if !components.contains_key(&name) {
                let mut component = installed_component(database, &name, Action::Rollback)?;
                component.new_files.clone_from(&component.old_files);
                components.insert(name.clone(), component);
            }
            let component = components.get_mut(&name).expect("it was just put there");
            component.let_go(adopted.then_some(change.becomes).flatten());
            component.becomes = change.was;
            component.new_hooks = old_hooks(connection, *id, &name)?;
            let gone = new_paths(connection, *id, &name)?;
            component.new_files.retain(|file| !gone.contains(&file.entry.path));
            component.new_files.extend(old_files(connection, *id, &name)?);
        }
    }
    let mut components: Vec<Component> = components.into_values().collect();
    for component in &mut components {
        component.new_files.sort_by(|left, right| left.entry.path.cmp(&right.entry.path));
        let old = component.was.as_ref().map(|was| was.version.clone());
        component.lets_go &= component.becomes.is_none();
        if let Some(becomes) = &mut component.becomes {
            becomes.transaction = if transaction == 0 { becomes.transaction } else { transaction };
            component.links.push(Link {
                old,
                version: becomes.version.clone(),
                archive: becomes.archive,
                hooks: component.new_hooks.clone(),
                signers: Signers::default(),
            });
        }
    }
    // what was and will be the same is no change
    components.retain(|component| component.was.is_some() || component.becomes.is_some());
    Ok(components)
}

impl Component {
    /// What was adopted stays when the adoption is undone. Hooks are run only if later versions are
    /// undone with it: those of the one that stays.
    fn let_go(&mut self, adopted: Option<Installed>) {
        self.links.clear();
        self.lets_go = adopted.is_some();
        let installed = self
            .was
            .as_ref()
            .filter(|was| adopted.as_ref().is_some_and(|adopted| adopted.version != was.version));
        if let (Some(was), Some(adopted)) = (installed, adopted) {
            self.links.push(Link {
                old: Some(was.version.clone()),
                version: adopted.version,
                archive: adopted.archive,
                hooks: self.new_hooks.clone(),
                signers: Signers::default(),
            });
        }
    }

    /// Runs no hook where an adoption that was undone is done again: no file is touched by that.
    fn be_quiet(&mut self, goals: &Goals) {
        let is_touched =
            self.new_files.iter().any(|file| goals.by_path.contains_key(&file.resolved));
        if self.was.is_none() && !is_touched && !self.new_files.is_empty() {
            self.links.iter_mut().for_each(|link| link.hooks.clear());
        }
    }
}

/// What a path was before the transactions that are undone.
enum Before {
    Absent,
    Object(Identity, Option<Backup>),
}

/// What the undone transactions did to the machine, folded: the earliest one's word on each path
/// stands for what was, the latest one's for what is.
#[derive(Default)]
struct Folded {
    before: BTreeMap<RelPath, Before>,
    after: HashMap<RelPath, Option<Identity>>,
}

fn goals(
    database: &Database,
    root: &Root,
    undone: &[i64],
    components: &[Component],
) -> Result<Goals, PrepareError> {
    let _reading = database.read()?;
    let mut folded = Folded::default();
    for id in undone {
        let journal = journal::read(database.connection(), *id)?;
        for step in journal.steps.iter().rev() {
            folded.undo(root, *id, &journal.areas, step)?;
        }
    }
    let config: HashMap<&RelPath, bool> = components
        .iter()
        .flat_map(|component| component.old_files.iter().chain(&component.new_files))
        .map(|file| (&file.resolved, verify::is_config(&file.entry.kind)))
        .collect();
    let name_of = names(components);
    let fallback = components.first().map(|component| &component.name);
    let mut goals = Goals::default();
    let Folded { before, after } = folded;
    for (path, before) in before {
        let Some(name) = name_of.get(&path).copied().or(fallback) else { continue };
        let was = after.get(&path).cloned().flatten().map(Expected::Identity);
        let mut goal = Goal {
            config: config.get(&path).copied().unwrap_or_default(),
            ..removal(name, &path, was.clone())
        };
        match before {
            Before::Absent if was.as_ref().is_some_and(|was| was.kind() == Kind::Directory) => {
                goal.was = None;
                goal.disposable = is_disposable(database, components, &path)?;
            }
            Before::Absent => {}
            Before::Object(identity, backup) => {
                let source = backup.map_or(Source::Make, Source::Backup);
                goal.want = Some(Want { expected: Expected::Identity(identity), source });
            }
        }
        goals.put(goal);
    }
    add_parents(root, &mut goals, |path| {
        after.get(path).cloned().flatten().map(Expected::Identity)
    })?;
    Ok(goals)
}

fn names(components: &[Component]) -> HashMap<RelPath, &PatchName> {
    let files = |component: &Component| -> Vec<RelPath> {
        let both = component.old_files.iter().chain(&component.new_files);
        both.map(|file: &InstalledFile| file.resolved.clone()).collect()
    };
    components
        .iter()
        .flat_map(|component| files(component).into_iter().map(|path| (path, &component.name)))
        .collect()
}

/// A directory goes if a transaction made it and no component outside the plan declares it.
fn is_disposable(
    database: &Database,
    components: &[Component],
    path: &RelPath,
) -> Result<bool, DatabaseError> {
    let connection = database.connection();
    let ours = |name: &PatchName| components.iter().any(|component| component.name == *name);
    Ok(is_created_directory(connection, path)?
        && at_resolved(connection, path)?.iter().all(|(name, _)| ours(name)))
}

impl Folded {
    fn undo(
        &mut self,
        root: &Root,
        transaction: i64,
        areas: &[DirPath],
        step: &Step,
    ) -> Result<(), PrepareError> {
        let path = &step.path;
        if !self.after.contains_key(path) {
            self.after.insert(path.clone(), step.new.clone());
        }
        let backup = Backup {
            transaction,
            at: areas.get(step.area).cloned().unwrap_or_default(),
            slot: step.slot,
            below: None,
        };
        let before = match &step.old {
            None => Before::Absent,
            Some(old @ Identity::File { .. }) => Before::Object(old.clone(), Some(backup.clone())),
            Some(old) => Before::Object(old.clone(), None),
        };
        let swapped = step.operation == Operation::Exchange
            && step.old.as_ref().is_some_and(Identity::is_directory);
        self.before.insert(path.clone(), before);
        if swapped {
            self.undo_below(root, path, &backup)?;
        }
        Ok(())
    }

    /// What was in a directory that was swapped for a file lies in its backup.
    fn undo_below(
        &mut self,
        root: &Root,
        path: &RelPath,
        backup: &Backup,
    ) -> Result<(), PrepareError> {
        let slot = format!(
            "{}/backup/{}/{}",
            stage::area_path(&backup.at),
            backup.transaction,
            backup.slot
        );
        let damaged = || PrepareError::BackupDamaged {
            path: path.to_string(),
            transaction: backup.transaction,
            problem: "not readable",
        };
        let mut ahead: Vec<(String, usize)> = vec![(String::new(), 0)];
        while let Some((below, depth)) = ahead.pop() {
            let at: RelPath = format!("{slot}{below}").parse().map_err(|_| damaged())?;
            let open = root.open_directory(&at.into())?;
            for name in object::names(open.as_fd()).map_err(|_| damaged())? {
                let name = name.to_str().map_err(|_| damaged())?;
                let failed = |source| StageError::Object { path: path.to_string(), source };
                let found = object::identify(open.as_fd(), name).map_err(failed)?;
                let found = found.ok_or_else(damaged)?;
                let below = format!("{below}/{name}");
                let original: RelPath = format!("{path}{below}").parse().map_err(|_| damaged())?;
                let inner: RelPath = below[1..].parse().map_err(|_| damaged())?;
                let before = match &found {
                    Identity::File { .. } => {
                        let backup = Backup { below: Some(inner), ..backup.clone() };
                        Before::Object(found.clone(), Some(backup))
                    }
                    _ => Before::Object(found.clone(), None),
                };
                self.after.entry(original.clone()).or_insert(None);
                self.before.insert(original, before);
                if found.is_directory() && depth < MAX_DEPTH {
                    ahead.push((below, depth + 1));
                }
            }
        }
        Ok(())
    }
}
