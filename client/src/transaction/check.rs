//! Judges what a transaction has placed, before it is committed.

use std::collections::{HashMap, HashSet};

use countersign_format::relpath::RelPath;

use super::Component;
use super::error::{Failure, chain};
use super::goal::same;
use super::site::Site;
use crate::db::history::Notice;
use crate::db::installed::InstalledFile;
use crate::journal::Step;
use crate::object::{Identity, Kind, Stamp};
use crate::parallel;
use crate::report::Reporter;
use crate::root::Parents;
use crate::stage::Ownership;
use crate::verify::{self, Deviation};

impl Site<'_, '_> {
    /// Everything placed is as it was staged, everything else of the trees is as they say or as it
    /// was before.
    pub(super) fn check_result(
        &mut self,
        skipped: &[usize],
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let mut wrong = self.check_steps(skipped);
        let files: Vec<InstalledFile> =
            self.watched.iter().map(|watched| watched.file.clone()).collect();
        let compared = verify::compare(self.root, &files, self.ownership, reporter);
        let mut parents = Parents::new(self.root);
        for (watched, deviations) in self.watched.iter().zip(compared) {
            let path = watched.file.resolved.to_string();
            let Some(first) = deviations.into_iter().next() else { continue };
            if verify::is_config(&watched.file.entry.kind) {
                continue;
            }
            let now = parents.look(&watched.file.resolved)?.map(|found| found.stamp);
            if now == watched.stamp {
                let difference = format!("{first} ({})", watched.name);
                self.notices.push(Notice::LocalChangeLeft { path, difference });
            } else {
                wrong.push((path, first));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Check(wrong)) }
    }

    fn check_steps(&self, skipped: &[usize]) -> Vec<(String, Deviation)> {
        let runs_hooks = self.components.iter().any(Component::runs_hooks);
        let config: HashSet<&RelPath> = self
            .components
            .iter()
            .flat_map(|component| &component.new_files)
            .filter(|file| verify::is_config(&file.entry.kind))
            .map(|file| &file.resolved)
            .collect();
        // what a later step does to the same path is what counts
        let last: HashMap<&RelPath, usize> =
            self.steps.iter().enumerate().map(|(at, step)| (&step.path, at)).collect();
        let judged: Vec<(&Step, Option<&Stamp>)> = self
            .steps
            .iter()
            .zip(self.stamps)
            .enumerate()
            .filter(|(at, (step, _))| last[&step.path] == *at && !skipped.contains(at))
            .map(|(_, (step, stamps))| (step, stamps.staged.as_ref().filter(|_| !runs_hooks)))
            .collect();
        let (root, ownership) = (self.root, self.ownership);
        let begin = || Parents::new(root);
        let judge = |parents: &mut Parents<'_>, (step, staged): &(&Step, Option<&Stamp>)| {
            if staged.is_some_and(|staged| is_as_staged(parents, ownership, step, staged)) {
                return None;
            }
            let may_differ = config.contains(&step.path);
            let deviation = judge(parents, ownership, step, may_differ)?;
            Some((step.path.to_string(), deviation))
        };
        parallel::map(&judged, begin, judge).into_iter().flatten().collect()
    }
}

/// Whether the very file that was hashed while it was staged is at a step's path, and was not written
/// to since. That is known without another reading where no hook was run: no other program had a part
/// in the transaction.
fn is_as_staged(
    parents: &mut Parents<'_>,
    ownership: &Ownership,
    step: &Step,
    staged: &Stamp,
) -> bool {
    let Some(Identity::File { mode, uid, gid, .. }) = &step.new else { return false };
    let Ok(Some(found)) = parents.look(&step.path) else { return false };
    let is_owner = match ownership {
        Ownership::Named(_) => (*uid, *gid) == (found.uid, found.gid),
        Ownership::AllOf(_) => true,
    };
    is_owner && *mode == found.mode && found.stamp.is_same_content(staged)
}

/// How what is at a step's path differs from what the step put there. A configuration file's
/// content and mode are a hook's to fill in.
fn judge(
    parents: &mut Parents<'_>,
    ownership: &Ownership,
    step: &Step,
    may_differ: bool,
) -> Option<Deviation> {
    match (parents.identify(&step.path), &step.new) {
        (Err(error), _) => Some(Deviation::Unreadable(chain(&error))),
        (Ok(None), None) => None,
        (Ok(Some(found)), None) => Some(Deviation::Unexpected { found: found.kind() }),
        (Ok(None), Some(_)) => Some(Deviation::Missing),
        (Ok(Some(found)), Some(_)) if may_differ && found.kind() == Kind::File => None,
        (Ok(Some(found)), Some(new)) => {
            (!same(new, &found, ownership)).then(|| difference(new, &found))
        }
    }
}

/// How an object differs from the one that was put there.
fn difference(new: &Identity, found: &Identity) -> Deviation {
    match (new, found) {
        (Identity::File { sha256: left, .. }, Identity::File { sha256: right, .. })
            if left != right =>
        {
            Deviation::Content
        }
        (
            Identity::File { mode: expected, .. } | Identity::Directory { mode: expected, .. },
            Identity::File { mode, .. } | Identity::Directory { mode, .. },
        ) if new.kind() == found.kind() && expected != mode => {
            Deviation::Mode { expected: *expected, found: *mode }
        }
        (
            Identity::File { uid, gid, .. } | Identity::Directory { uid, gid, .. },
            Identity::File { uid: user, gid: group, .. }
            | Identity::Directory { uid: user, gid: group, .. },
        ) if new.kind() == found.kind() && (uid, gid) != (user, group) => {
            Deviation::Owner { expected: format!("{uid}:{gid}"), found: (*user, *group) }
        }
        (Identity::Link { target }, Identity::Link { target: found }) => {
            Deviation::Target { expected: target.clone(), found: found.clone() }
        }
        _ if new.kind() == found.kind() => Deviation::Attribute("of the file".into()),
        _ => Deviation::Kind { expected: new.kind(), found: found.kind() },
    }
}
