//! Looks at the machine and decides what to do about each goal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::AsFd;

use countersign_format::relpath::RelPath;

use super::PrepareError;
use super::config::{ConfigPolicy, NEW_CONFIG};
use super::decide::{Decision, Facts, Obstacle, decide};
use super::goal::{Expected, Goal, Goals};
use super::refusal::Refusal;

use crate::db::history::Notice;
use crate::object::{self, Identity, Kind, Stamp};
use crate::parallel;
use crate::root::{DirPath, Parents, Root, RootError, io_error};
use crate::stage::Ownership;

/// Most objects looked through in a directory that is to become a file.
const MAX_LISTED: usize = 1_000_000;

/// A goal and what to do about it.
#[derive(Debug)]
pub(super) struct Decided {
    pub goal: Box<Goal>,
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
    manner: Manner,
) -> Result<Decisions, PrepareError> {
    let Goals { by_path, beside, mut refusals } = goals;
    let going = going(&by_path);
    let mut looker = Looker { root, ownership, manner, going, mounts: HashMap::new() };
    let goals: Vec<_> = by_path.into_values().collect();
    let seen = look_at_all(root, &goals)?;
    let mut decisions = Decisions::default();
    // paths below one that is swapped go with it
    let mut swapped: Vec<RelPath> = Vec::new();
    for (goal, seen) in goals.into_iter().zip(seen) {
        let below_swapped = swapped.iter().any(|above| is_below(&goal.path, above));
        if below_swapped && goal.want.is_none() {
            // directories carry no changes worth keeping, as where they are removed
            let leaf = seen.found.as_ref().filter(|found| !found.is_directory());
            if leaf.is_some() && looker.is_changed(&goal, leaf) {
                mark_aside(&mut decisions.decided, &goal.path);
            }
            continue;
        }
        // a configuration file was laid there just now, where an undone transaction laid another
        if goal.path.as_str().ends_with(NEW_CONFIG)
            && let Some(laid) =
                decisions.decided.iter_mut().find(|decided| decided.goal.path == goal.path)
        {
            laid.aside &= looker.is_changed(&goal, seen.found.as_ref());
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
            Decision::KeepConfig => {
                looker.keep_config(*goal, seen.found.as_ref(), &mut decisions, &mut refusals)?;
            }
            decision => {
                if decision == Decision::Exchange {
                    swapped.push(goal.path.clone());
                }
                let aside = facts.changed && facts.found != Some(Kind::Directory);
                let Seen { found, stamp, .. } = seen;
                decisions.decided.push(Decided { goal, decision, found, stamp, aside });
            }
        }
    }
    looker.take_away_beside(beside, &mut decisions)?;
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
fn going(goals: &BTreeMap<RelPath, Box<Goal>>) -> HashSet<RelPath> {
    goals.values().filter(|goal| goal.want.is_none()).map(|goal| goal.path.clone()).collect()
}

/// What is at a path.
pub(super) struct Seen {
    pub found: Option<Identity>,
    pub stamp: Option<Stamp>,
    mount: Option<u64>,
}

fn look_at_all(root: &Root, goals: &[Box<Goal>]) -> Result<Vec<Seen>, RootError> {
    let begin = || Parents::new(root);
    parallel::map(goals, begin, |parents, goal| look_in(parents, &goal.path)).into_iter().collect()
}

pub(super) fn look_at(root: &Root, path: &RelPath) -> Result<Seen, RootError> {
    look_in(&mut Parents::new(root), path)
}

fn look_in(parents: &mut Parents<'_>, path: &RelPath) -> Result<Seen, RootError> {
    // the stamp is taken before the content is read, so a change in between shows
    let there = parents.look(path)?;
    let found = if there.is_some() { parents.identify(path)? } else { None };
    let (stamp, mount) = (there.map(|there| there.stamp), there.map(|there| there.mount));
    Ok(Seen { found, stamp, mount })
}

/// How a change goes about what is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// What becomes of configuration files with local changes.
    pub config: ConfigPolicy,
    /// What is installed is put right, so that what was shipped counts although it is not new.
    pub mends: bool,
    /// Files and symlinks that are as they are to be are placed again.
    pub rewrites: bool,
}

pub(super) struct Looker<'l> {
    pub(super) root: &'l Root,
    pub(super) ownership: &'l Ownership,
    manner: Manner,
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
            as_wanted: self.is_as_wanted(goal, found) && !(self.manner.rewrites && becomes_leaf),
            changed: self.is_changed(goal, found),
            config: goal.config && self.keeps_config(goal),
            mends: self.manner.mends,
            same_shipped: goal.same_shipped,
            disposable: goal.disposable,
            only_ours: foreign.is_none(),
            mount_point: self.is_mount_point(&goal.path, seen.mount)?,
        };
        Ok((facts, foreign))
    }

    /// A configuration that ships as before is only ever taken anew to put right what is there.
    fn keeps_config(&self, goal: &Goal) -> bool {
        let is_new = !goal.same_shipped || self.manner.mends;
        self.manner.config == ConfigPolicy::Keep || !is_new
    }

    /// Whether what is there is what is to be there.
    pub(super) fn is_as_wanted(&self, goal: &Goal, found: Option<&Identity>) -> bool {
        let want = goal.want.as_ref().zip(found);
        want.is_some_and(|(want, found)| want.expected.matches(found, self.ownership))
    }

    /// Whether what is there is not what was put there.
    pub(super) fn is_changed(&self, goal: &Goal, found: Option<&Identity>) -> bool {
        match (&goal.was, found) {
            (Some(was), Some(found)) => !was.matches(found, self.ownership),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// Whether what is on `mount`, at a path, is on another one than the directory around it.
    fn is_mount_point(&mut self, path: &RelPath, mount: Option<u64>) -> Result<bool, RootError> {
        let Some(there) = mount else { return Ok(false) };
        let parent = DirPath::of(path);
        let mount = if let Some(mount) = self.mounts.get(&parent) {
            *mount
        } else {
            let mount = self.root.mount_of(&parent)?;
            self.mounts.insert(parent, mount);
            mount
        };
        Ok(there != mount)
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
}

pub(super) fn refusal(
    goal: &Goal,
    facts: &Facts,
    obstacle: Obstacle,
    foreign: Option<String>,
) -> Refusal {
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
