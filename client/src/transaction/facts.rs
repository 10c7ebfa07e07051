//! Looks at the machine and decides what to do about each goal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::AsFd;

use countersign_format::relpath::RelPath;

use super::PrepareError;
use super::decide::{Decision, Facts, Obstacle, decide};
use super::error::Refusal;
use super::goal::{Expected, Goal, Goals};
use super::prepare::ConfigPolicy;
use crate::db::history::Notice;
use crate::object::{self, Identity, Kind, Stamp};
use crate::parallel;
use crate::root::{DirPath, Root, RootError, io_error};
use crate::stage::Ownership;

/// The ending of a shipped configuration file that is laid beside a changed one.
pub const NEW_CONFIG: &str = ".patchctl-new";

/// Most objects looked through in a directory that is to become a file.
const MAX_LISTED: usize = 1_000_000;

/// A goal and what to do about it.
#[derive(Debug)]
pub(super) struct Decided {
    pub goal: Goal,
    pub decision: Decision,
    pub found: Option<Identity>,
    /// What tells whether somebody changes it before it is backed up.
    pub stamp: Option<Stamp>,
    /// Whether what is there carries local changes.
    pub aside: bool,
}

/// What was decided about a whole plan.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    pub decided: Vec<Decided>,
    pub notices: Vec<Notice>,
}

/// Decides about every goal; refuses the plan where something stands in the way.
pub(super) fn decide_all(
    root: &Root,
    goals: Goals,
    ownership: &Ownership,
    config: ConfigPolicy,
) -> Result<Decisions, PrepareError> {
    let Goals { by_path, mut refusals } = goals;
    let going = going(&by_path);
    let mut looker = Looker { root, ownership, config, going, mounts: HashMap::new() };
    let goals: Vec<Goal> = by_path.into_values().collect();
    let seen = look_at_all(root, &goals)?;
    let mut decisions = Decisions::default();
    // paths below one that is swapped go with it
    let mut swapped: Vec<RelPath> = Vec::new();
    for (goal, seen) in goals.into_iter().zip(seen) {
        let below_swapped = swapped.iter().any(|above| is_below(&goal.path, above));
        if below_swapped && goal.want.is_none() {
            let changed = looker.is_changed(&goal, seen.found.as_ref());
            if changed && seen.found.is_some() {
                mark_aside(&mut decisions.decided, &goal.path);
            }
            continue;
        }
        let (facts, foreign) = looker.facts(&goal, &seen)?;
        match decide(&facts) {
            Decision::Refuse(obstacle) => refusals.push(refusal(&goal, &facts, obstacle, foreign)),
            Decision::Leave => {}
            Decision::Stay => decisions.notices.push(Notice::NotRemoved {
                path: goal.path.to_string(),
                found: facts.found.map_or("absent".into(), |kind| format!("a {kind}")),
            }),
            Decision::KeepConfig => looker.keep_config(goal, &mut decisions, &mut refusals)?,
            decision => {
                if decision == Decision::Exchange {
                    swapped.push(goal.path.clone());
                }
                let aside = facts.changed && facts.found != Some(Kind::Directory);
                let Seen { found, stamp } = seen;
                decisions.decided.push(Decided { goal, decision, found, stamp, aside });
            }
        }
    }
    if refusals.is_empty() { Ok(decisions) } else { Err(PrepareError::Refused(refusals)) }
}

fn is_below(path: &RelPath, above: &RelPath) -> bool {
    path.as_str().strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

fn mark_aside(decided: &mut [Decided], path: &RelPath) {
    for decided in decided {
        decided.aside |= is_below(path, &decided.goal.path);
    }
}

/// The paths that go away with the plan.
fn going(goals: &BTreeMap<RelPath, Goal>) -> HashSet<RelPath> {
    goals.values().filter(|goal| goal.want.is_none()).map(|goal| goal.path.clone()).collect()
}

struct Seen {
    found: Option<Identity>,
    stamp: Option<Stamp>,
}

fn look_at_all(root: &Root, goals: &[Goal]) -> Result<Vec<Seen>, RootError> {
    parallel::map(goals, |goal| look_at(root, &goal.path)).into_iter().collect()
}

fn look_at(root: &Root, path: &RelPath) -> Result<Seen, RootError> {
    // the stamp is taken before the content is read, so a change in between shows
    let stamp = root.look(path)?.map(|found| found.stamp);
    let found = if stamp.is_some() { root.identify(path)? } else { None };
    Ok(Seen { found, stamp })
}

struct Looker<'l> {
    root: &'l Root,
    ownership: &'l Ownership,
    config: ConfigPolicy,
    going: HashSet<RelPath>,
    mounts: HashMap<DirPath, u64>,
}

impl Looker<'_> {
    /// The facts of one goal; with the first foreign thing in a directory that is to be a file.
    fn facts(&mut self, goal: &Goal, seen: &Seen) -> Result<(Facts, Option<String>), PrepareError> {
        let found = seen.found.as_ref();
        let want = goal.want.as_ref().map(|want| &want.expected);
        let is_directory = found.is_some_and(Identity::is_directory);
        let becomes_leaf = want.is_some_and(|want| want.kind() != Kind::Directory);
        let foreign =
            if is_directory && becomes_leaf { self.first_foreign(&goal.path)? } else { None };
        let facts = Facts {
            want: want.map(Expected::kind),
            found: found.map(Identity::kind),
            was: goal.was.as_ref().map(Expected::kind),
            as_wanted: want
                .zip(found)
                .is_some_and(|(want, found)| want.matches(found, self.ownership)),
            changed: self.is_changed(goal, found),
            config: goal.config && self.config == ConfigPolicy::Keep,
            same_shipped: goal.same_shipped,
            disposable: goal.disposable,
            only_ours: foreign.is_none(),
            mount_point: found.is_some() && self.is_mount_point(&goal.path)?,
        };
        Ok((facts, foreign))
    }

    /// Whether what is there is not what was put there.
    fn is_changed(&self, goal: &Goal, found: Option<&Identity>) -> bool {
        match (&goal.was, found) {
            (Some(was), Some(found)) => !was.matches(found, self.ownership),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    fn is_mount_point(&mut self, path: &RelPath) -> Result<bool, RootError> {
        let parent = DirPath::of(path);
        let mount = if let Some(mount) = self.mounts.get(&parent) {
            *mount
        } else {
            let mount = self.root.mount_of(&parent)?;
            self.mounts.insert(parent, mount);
            mount
        };
        Ok(self.root.look(path)?.is_some_and(|found| found.mount != mount))
    }

    /// Something below a directory that does not go with the plan.
    fn first_foreign(&self, directory: &RelPath) -> Result<Option<String>, RootError> {
        let mut ahead = vec![directory.clone()];
        let mut listed = 0;
        while let Some(at) = ahead.pop() {
            let open = self.root.open_directory(&DirPath::from(at.clone()))?;
            let names = object::names(open.as_fd())
                .map_err(|source| io_error("list", at.as_str(), source))?;
            for name in names {
                listed += 1;
                let below = format!("{at}/{}", name.to_string_lossy());
                let Ok(path) = below.parse::<RelPath>() else { return Ok(Some(below)) };
                let found = object::look(open.as_fd(), &*name)
                    .map_err(|source| io_error("look at", &below, source))?;
                let is_directory = found.is_some_and(|found| found.kind == Kind::Directory);
                if !self.going.contains(&path) || listed > MAX_LISTED {
                    return Ok(Some(below));
                }
                if is_directory {
                    ahead.push(path);
                }
            }
        }
        Ok(None)
    }

    /// Lays the shipped file beside the changed one.
    fn keep_config(
        &self,
        goal: Goal,
        decisions: &mut Decisions,
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), PrepareError> {
        let beside = format!("{}{NEW_CONFIG}", goal.path);
        let beside: RelPath = beside
            .parse()
            .map_err(|source| RootError::Path { path: goal.path.to_string(), source })?;
        decisions
            .notices
            .push(Notice::ConfigKept { path: goal.path.to_string(), shipped: beside.to_string() });
        let Seen { found, stamp } = look_at(self.root, &beside)?;
        let goal = Goal { path: beside, was: None, config: false, same_shipped: false, ..goal };
        let facts = Facts {
            want: Some(Kind::File),
            found: found.as_ref().map(Identity::kind),
            as_wanted: goal
                .want
                .as_ref()
                .zip(found.as_ref())
                .is_some_and(|(want, found)| want.expected.matches(found, self.ownership)),
            changed: found.is_some(),
            ..Facts::default()
        };
        match decide(&facts) {
            Decision::Leave => {}
            Decision::Refuse(obstacle) => refusals.push(refusal(&goal, &facts, obstacle, None)),
            decision => {
                let aside = facts.changed;
                decisions.decided.push(Decided { goal, decision, found, stamp, aside });
            }
        }
        Ok(())
    }
}

fn refusal(goal: &Goal, facts: &Facts, obstacle: Obstacle, foreign: Option<String>) -> Refusal {
    let (path, name) = (goal.path.to_string(), goal.name.clone());
    let wanted = facts.want.unwrap_or(Kind::File);
    match obstacle {
        Obstacle::MountPoint => Refusal::MountPoint { path },
        Obstacle::NotEmpty => {
            let foreign = foreign.unwrap_or_else(|| path.clone());
            Refusal::NotEmpty { path, wanted, foreign }
        }
        Obstacle::Special | Obstacle::NotDirectory => {
            Refusal::InTheWay { path, name, found: facts.found.unwrap_or(Kind::Other), wanted }
        }
    }
}
