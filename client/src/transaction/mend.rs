//! Puts right what is installed, and takes over what is there: transactions that end at the version
//! that a machine has, by its name or in fact.

use std::collections::{BTreeSet, HashMap, HashSet};

use countersign_format::manifest::FileKind;
use countersign_format::relpath::RelPath;

use super::config::ConfigPolicy;
use super::goal::{Goals, install_goals};
use super::unpack::{Unpacked, Unpacker, Wanted};
use super::{Context, PlannedPatch, PrepareError, Prepared};
use crate::db::Database;
use crate::db::history::Notice;
use crate::db::installed::Installed;
use crate::hooks::Action;
use crate::report::Reporter;
use crate::root::Root;
use crate::stage::Ownership;
use crate::verify::{self, Difference};

/// What is put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What differs from its manifest.
    Differing,
    /// Everything: what is as it is to be is placed again.
    All,
}

/// What is to be put right, and how.
#[derive(Debug)]
pub struct Mending {
    /// A full patch of the installed version of each component, in the order in which hooks are to
    /// run.
    pub patches: Vec<PlannedPatch>,
    /// What of them.
    pub scope: Scope,
    /// What becomes of configuration files with local changes. They stay, or what the installed
    /// version shipped takes their place.
    pub config: ConfigPolicy,
}

/// Stages and checks the putting right of installed components. Local changes are kept aside.
/// Components of which nothing differs are left out, unless all is placed again; with none left
/// this is [`PrepareError::Empty`].
pub fn prepare_mend<'a>(
    database: &'a mut Database,
    root: &'a Root,
    mending: Mending,
    context: Context<'a>,
    reporter: &mut dyn Reporter,
) -> Result<Prepared<'a>, PrepareError> {
    let Mending { mut patches, scope, config } = mending;
    let action = match scope {
        Scope::Differing => Action::Repair,
        Scope::All => Action::Reinstall,
    };
    let mut installed = HashMap::new();
    let mut wanted = Wanted::new();
    for patch in &patches {
        let is = must_be_installed(database, patch)?;
        if scope == Scope::Differing {
            let paths = differing(database, root, &is, config, reporter)?;
            wanted.insert(is.name.clone(), paths);
        }
        if installed.insert(is.name.clone(), is).is_some() {
            return Err(PrepareError::Twice(patch.announced.name.clone()));
        }
    }
    patches.retain(|patch| wanted.get(&patch.announced.name).is_none_or(|paths| !paths.is_empty()));
    if patches.is_empty() {
        return Err(PrepareError::Empty);
    }
    let wanted = (scope == Scope::Differing).then_some(wanted);
    Prepared::build(database, root, context, action, None, |prepared| {
        prepared.manner.config = config;
        prepared.manner.mends = true;
        prepared.manner.rewrites = scope == Scope::All;
        let mut plan = read(prepared, patches, wanted.as_ref(), reporter)?;
        for Unpacked { component, .. } in &mut plan {
            component.action = action;
            let (was, becomes) = (&component.was, &component.becomes);
            if was.as_ref().map(|was| was.tree) != becomes.as_ref().map(|becomes| becomes.tree) {
                return Err(PrepareError::OtherTree(component.name.clone()));
            }
        }
        let goals = install_goals(prepared.database, prepared.root, &mut plan)?;
        Ok((plan.into_iter().map(|unpacked| unpacked.component).collect(), goals))
    })
}

/// Stages and checks the taking over of components that are there and were not installed by this
/// program. Files are compared with the manifests and are not touched, and no hook is run.
/// Configuration files may differ.
pub fn prepare_adopt<'a>(
    database: &'a mut Database,
    root: &'a Root,
    patches: Vec<PlannedPatch>,
    context: Context<'a>,
    reporter: &mut dyn Reporter,
) -> Result<Prepared<'a>, PrepareError> {
    if patches.is_empty() {
        return Err(PrepareError::Empty);
    }
    let mut seen = BTreeSet::new();
    for patch in &patches {
        must_be_full(patch)?;
        let name = &patch.announced.name;
        if let Some(is) = database.find_installed(name)? {
            return Err(PrepareError::IsInstalled { name: is.name, version: is.version });
        }
        if !seen.insert(name.clone()) {
            return Err(PrepareError::Twice(name.clone()));
        }
    }
    Prepared::build(database, root, context, Action::Adopt, None, |prepared| {
        let mut plan = read(prepared, patches, Some(&Wanted::new()), reporter)?;
        // what there is to say against it is the same; what there is to do is not done
        let Goals { refusals, .. } = install_goals(prepared.database, prepared.root, &mut plan)?;
        if !refusals.is_empty() {
            return Err(PrepareError::Refused(refusals));
        }
        let mut components = Vec::with_capacity(plan.len());
        let mut differences = Vec::new();
        for Unpacked { mut component, .. } in plan {
            component.action = Action::Adopt;
            for link in &mut component.links {
                link.hooks.clear();
            }
            let files = &component.new_files;
            let compared = verify::compare(prepared.root, files, &prepared.ownership, reporter);
            for (file, deviations) in files.iter().zip(compared) {
                differences.extend(deviations.into_iter().map(|deviation| Difference {
                    name: component.name.clone(),
                    path: file.entry.path.clone(),
                    deviation,
                    config: verify::is_config(&file.entry.kind),
                }));
            }
            components.push(component);
        }
        if differences.iter().any(|difference| !difference.config) {
            return Err(PrepareError::Differs(differences));
        }
        prepared.notices.extend(differences.into_iter().map(|difference| {
            let (path, name) = (difference.path.to_string(), difference.name);
            Notice::LocalChangeLeft {
                path,
                difference: format!("{} ({name})", difference.deviation),
            }
        }));
        Ok((components, Goals::default()))
    })
}

fn read(
    prepared: &mut Prepared<'_>,
    patches: Vec<PlannedPatch>,
    wanted: Option<&Wanted>,
    reporter: &mut dyn Reporter,
) -> Result<Vec<Unpacked>, PrepareError> {
    let mut unpacker = Unpacker {
        database: prepared.database,
        root: prepared.root,
        transaction: prepared.transaction,
        areas: &mut prepared.areas,
        ownership: &prepared.ownership,
        wanted,
        awaits_owners: false,
        reporter,
    };
    unpacker.unpack(patches)
}

fn must_be_full(patch: &PlannedPatch) -> Result<(), PrepareError> {
    let announced = &patch.announced;
    if announced.base.is_some() {
        let (name, version) = (announced.name.clone(), announced.version.clone());
        return Err(PrepareError::NotFull { name, version });
    }
    Ok(())
}

fn must_be_installed(database: &Database, patch: &PlannedPatch) -> Result<Installed, PrepareError> {
    must_be_full(patch)?;
    let announced = &patch.announced;
    let is = database.find_installed(&announced.name)?;
    let is = is.ok_or_else(|| PrepareError::NotInstalled(announced.name.clone()))?;
    if is.version != announced.version {
        let (name, version) = (announced.name.clone(), announced.version.clone());
        return Err(PrepareError::OtherVersion { name, version, installed: is.version });
    }
    Ok(is)
}

/// The paths of a component that are to be put right.
fn differing(
    database: &Database,
    root: &Root,
    is: &Installed,
    config: ConfigPolicy,
    reporter: &mut dyn Reporter,
) -> Result<HashSet<RelPath>, PrepareError> {
    let files = database.installed_files(&is.name)?;
    let ownership = Ownership::of(root)?;
    let compared = verify::compare(root, &files, &ownership, reporter);
    let is_ours = |kind: &FileKind| config == ConfigPolicy::New || !verify::is_config(kind);
    Ok(files
        .into_iter()
        .zip(compared)
        .filter(|(file, deviations)| !deviations.is_empty() && is_ours(&file.entry.kind))
        .map(|(file, _)| file.entry.path)
        .collect())
}
