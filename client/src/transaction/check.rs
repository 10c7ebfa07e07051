//! Judges what a transaction has placed, before it is committed.

use std::collections::{HashMap, HashSet};

use countersign_format::relpath::RelPath;

use super::Prepared;
use super::error::{Failure, chain};
use super::goal::same;
use crate::db::history::Notice;
use crate::db::installed::InstalledFile;
use crate::journal::Step;
use crate::object::{Identity, Kind};
use crate::parallel;
use crate::report::Reporter;
use crate::root::Root;
use crate::stage::Ownership;
use crate::verify::{self, Deviation};

impl Prepared<'_> {
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
        let compared = verify::compare(self.root, &files, &self.ownership, reporter);
        for (watched, deviations) in self.watched.iter().zip(compared) {
            let path = watched.file.resolved.to_string();
            let Some(first) = deviations.into_iter().next() else { continue };
            if verify::is_config(&watched.file.entry.kind) {
                continue;
            }
            let now = self.root.look(&watched.file.resolved)?.map(|found| found.stamp);
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
        let judged: Vec<&Step> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(at, step)| last[&step.path] == *at && !skipped.contains(at))
            .map(|(_, step)| step)
            .collect();
        let (root, ownership) = (self.root, &self.ownership);
        let judge = |step: &&Step| {
            let may_differ = config.contains(&step.path);
            let deviation = judge(root, ownership, step, may_differ)?;
            Some((step.path.to_string(), deviation))
        };
        parallel::map(&judged, judge).into_iter().flatten().collect()
    }
}

/// How what is at a step's path differs from what the step put there. A configuration file's
/// content and mode are a hook's to fill in.
fn judge(root: &Root, ownership: &Ownership, step: &Step, may_differ: bool) -> Option<Deviation> {
    match (root.identify(&step.path), &step.new) {
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
