//! Configuration files: what an administrator changed stays, and what was laid beside it goes when
//! it has served.

use std::collections::BTreeMap;

use countersign_format::manifest::FileKind;
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;

use super::PrepareError;
use super::decide::{Decision, Facts, decide};
use super::facts::{Decided, Decisions, Looker, Seen, look_at, refusal};
use super::goal::{Expected, Goal, removal};
use super::refusal::Refusal;
use super::unpack::Unpacked;
use crate::db::history::Notice;
use crate::db::installed::at_resolved;
use crate::db::{Database, DatabaseError};
use crate::object::{Identity, Kind};
use crate::root::{Root, RootError};
use crate::verify::is_config;

/// The ending of a shipped configuration file that is laid beside one with local changes.
pub const NEW_CONFIG: &str = ".patchctl-new";

/// What becomes of a `config` file that has local changes when another version of it is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfigPolicy {
    /// It stays as it is, and the shipped one is laid beside it under its name and
    /// [`NEW_CONFIG`].
    #[default]
    Keep,
    /// The shipped one takes its place, and the local one is kept aside.
    New,
}

/// A configuration file of a plan beside which an earlier transaction laid a newer one.
#[derive(Debug)]
pub(super) struct Beside {
    name: PatchName,
    config: RelPath,
    at: RelPath,
    /// What the plan's components ship before and after.
    old: Option<FileKind>,
    new: Option<FileKind>,
}

fn beside(config: &RelPath) -> Result<RelPath, RootError> {
    let path = format!("{config}{NEW_CONFIG}");
    path.parse().map_err(|source| RootError::Path { path: config.to_string(), source })
}

/// The configuration files of a plan that have something beside them which is nobody's payload.
pub(super) fn find_beside(
    database: &Database,
    root: &Root,
    plan: &[Unpacked],
) -> Result<Vec<Beside>, PrepareError> {
    type Sides<'p> = (&'p PatchName, Option<&'p FileKind>, Option<&'p FileKind>);
    let mut configs: BTreeMap<&RelPath, Sides<'_>> = BTreeMap::new();
    for component in plan.iter().map(|unpacked| &unpacked.component) {
        for file in component.old_files.iter().filter(|file| is_config(&file.entry.kind)) {
            let sides = configs.entry(&file.resolved).or_insert((&component.name, None, None));
            sides.1 = Some(&file.entry.kind);
        }
        for file in component.new_files.iter().filter(|file| is_config(&file.entry.kind)) {
            let sides = configs.entry(&file.resolved).or_insert((&component.name, None, None));
            sides.2 = Some(&file.entry.kind);
        }
    }
    let mut found = Vec::new();
    for (config, (name, old, new)) in configs {
        // a path that is too long to have anything beside it has nothing beside it
        let Ok(at) = beside(config) else { continue };
        if root.look(&at)?.is_none_or(|found| found.kind != Kind::File)
            || is_payload(database, plan, &at)?
        {
            continue;
        }
        let (name, config) = (name.clone(), config.clone());
        found.push(Beside { name, config, at, old: old.cloned(), new: new.cloned() });
    }
    Ok(found)
}

fn is_payload(
    database: &Database,
    plan: &[Unpacked],
    path: &RelPath,
) -> Result<bool, DatabaseError> {
    let is_new = |unpacked: &Unpacked| {
        unpacked.component.new_files.iter().any(|file| file.resolved == *path)
    };
    Ok(plan.iter().any(is_new) || !at_resolved(database.connection(), path)?.is_empty())
}

impl Looker<'_> {
    /// Lays the shipped file beside the changed one.
    pub(super) fn keep_config(
        &self,
        goal: Goal,
        found: Option<&Identity>,
        decisions: &mut Decisions,
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), PrepareError> {
        let beside = beside(&goal.path)?;
        let (path, shipped) = (goal.path.to_string(), beside.to_string());
        decisions.notices.push(match found {
            Some(_) => Notice::ConfigKept { path, shipped },
            None => Notice::ConfigDeleted { path, shipped },
        });
        let seen = look_at(self.root, &beside)?;
        // what an earlier version laid there is no local change
        let goal = Goal { path: beside, config: false, same_shipped: false, ..goal };
        let facts = Facts {
            want: Some(Kind::File),
            found: seen.found.as_ref().map(Identity::kind),
            as_wanted: self.is_as_wanted(&goal, seen.found.as_ref()),
            changed: self.is_changed(&goal, seen.found.as_ref()),
            ..Facts::default()
        };
        match decide(&facts) {
            Decision::Leave => {}
            Decision::Refuse(obstacle) => refusals.push(refusal(&goal, &facts, obstacle, None)),
            decision => {
                let Seen { found, stamp, .. } = seen;
                let (goal, aside) = (Box::new(goal), facts.changed);
                decisions.decided.push(Decided { goal, decision, found, stamp, aside });
            }
        }
        Ok(())
    }

    /// Takes away what was laid beside configuration files that will be as shipped, or will be
    /// gone, unless somebody has worked in it.
    pub(super) fn take_away_beside(
        &self,
        all: Vec<Beside>,
        decisions: &mut Decisions,
    ) -> Result<(), PrepareError> {
        for Beside { name, config, at, old, new } in all {
            if decisions.decided.iter().any(|decided| decided.goal.path == at) {
                continue;
            }
            let Seen { found, stamp, .. } = look_at(self.root, &at)?;
            let is_it = |kind: &&FileKind| {
                let expected = Expected::Entry((*kind).clone());
                found.as_ref().is_some_and(|found| expected.matches(found, self.ownership))
            };
            let Some(was) = old.iter().chain(&new).find(is_it) else { continue };
            let is_placed = decisions.decided.iter().any(|decided| decided.goal.path == config);
            let is_settled = match &new {
                None => true,
                Some(_) if is_placed => true,
                Some(new) => {
                    let there = look_at(self.root, &config)?.found;
                    let expected = Expected::Entry(new.clone());
                    there.is_some_and(|there| expected.matches(&there, self.ownership))
                }
            };
            if is_settled {
                let goal = removal(&name, &at, Some(Expected::Entry(was.clone())));
                let (goal, decision) = (Box::new(goal), Decision::Remove);
                decisions.decided.push(Decided { goal, decision, found, stamp, aside: false });
            }
        }
        Ok(())
    }
}
