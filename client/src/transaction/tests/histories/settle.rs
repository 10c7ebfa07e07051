//! How the model reaches what is wanted, path by path.

use std::collections::BTreeMap;

use super::model::{Disk, Goal, Model, Object, Refused, Tree, is_below};

/// The ending of a configuration file that is laid beside one that somebody changed.
const BESIDE: &str = ".patchctl-new";

impl Model {
    /// Reaches the goals, or refuses all of them; with what was kept aside.
    pub fn settle(
        &self,
        goals: &BTreeMap<String, Goal>,
    ) -> Result<(Self, BTreeMap<String, Disk>), Refused> {
        let mut next = self.clone();
        let mut aside = BTreeMap::new();
        for (path, goal) in goals {
            // what lies beside a changed configuration file now is what was just laid there
            let config = path.strip_suffix(BESIDE).and_then(|config| goals.get(config));
            if config
                .is_some_and(|goal| self.stays_changed(&path[..path.len() - BESIDE.len()], goal))
            {
                continue;
            }
            if self.stays_changed(path, goal) {
                if !goal.same_shipped {
                    next.lay_beside(path, goal, goals, &mut aside)?;
                }
                continue;
            }
            next.settle_one(path, goal, goals, &mut aside)?;
        }
        Ok((next, aside))
    }

    /// Whether somebody changed or deleted a configuration file, and means it.
    fn stays_changed(&self, path: &str, goal: &Goal) -> bool {
        let is_file = |object: &Option<Object>| object.as_ref().is_some_and(Object::is_file);
        let found = self.disk.get(path).cloned();
        let is_local = match &found {
            None => is_file(&goal.was),
            Some(found) => found.is_file() && goal.was.as_ref() != Some(found),
        };
        goal.config && is_file(&goal.want) && found != goal.want && is_local
    }

    fn settle_one(
        &mut self,
        path: &str,
        goal: &Goal,
        goals: &BTreeMap<String, Goal>,
        aside: &mut BTreeMap<String, Disk>,
    ) -> Result<(), Refused> {
        let is_directory = |object: &Object| object.is_directory();
        let was_leaf = goal.was.as_ref().is_some_and(|was| !was.is_directory());
        // what is below a directory that became a file went with it
        let Some(found) = self.disk.get(path).cloned() else {
            self.disk.extend(goal.want.clone().map(|want| (path.to_owned(), want)));
            return Ok(());
        };
        let mut keep = Disk::new();
        match &goal.want {
            None if was_leaf && !found.is_directory() => drop(self.disk.remove(path)),
            None => return Ok(()),
            Some(want) if *want == found => return Ok(()),
            Some(want) if is_directory(want) && !is_directory(&found) && !was_leaf => {
                return Err(Refused);
            }
            Some(want) if is_directory(want) || !is_directory(&found) => {
                self.disk.insert(path.to_owned(), want.clone());
            }
            Some(want) => {
                keep = self.empty(path, goals)?;
                self.disk.insert(path.to_owned(), want.clone());
            }
        }
        let is_changed = !found.is_directory() && goal.was.as_ref() != Some(&found);
        if is_changed || !keep.is_empty() {
            keep.insert(String::new(), found);
            aside.insert(path.to_owned(), keep);
        }
        Ok(())
    }

    /// Takes everything out of a directory that becomes a file, if it all goes; returns it if
    /// somebody changed any of it.
    fn empty(&mut self, path: &str, goals: &BTreeMap<String, Goal>) -> Result<Disk, Refused> {
        let inner: Vec<String> =
            self.disk.keys().filter(|inner| is_below(inner, path)).cloned().collect();
        let mut whole = Disk::new();
        let mut has_changes = false;
        for inner in inner {
            let goal = goals.get(&inner).filter(|goal| goal.want.is_none()).ok_or(Refused)?;
            let object = self.disk.remove(&inner).expect("it was just found");
            has_changes |= !object.is_directory() && goal.was.as_ref() != Some(&object);
            whole.insert(inner[path.len()..].to_owned(), object);
        }
        Ok(if has_changes { whole } else { Disk::new() })
    }

    /// Lays a configuration file that is wanted beside the one that somebody changed. What another
    /// version laid there is no local change.
    fn lay_beside(
        &mut self,
        path: &str,
        goal: &Goal,
        goals: &BTreeMap<String, Goal>,
        aside: &mut BTreeMap<String, Disk>,
    ) -> Result<(), Refused> {
        let at = format!("{path}{BESIDE}");
        let found = self.disk.get(&at).cloned();
        if found.as_ref().is_some_and(Object::is_directory) {
            return Err(Refused);
        }
        let laid_before = goals.get(&at).and_then(|goal| goal.was.clone());
        if found.is_some() && ![&goal.want, &goal.was, &laid_before].contains(&&found) {
            aside.insert(
                at.clone(),
                found.map(|found| (String::new(), found)).into_iter().collect(),
            );
        }
        self.disk.insert(at, goal.want.clone().expect("it is wanted"));
        Ok(())
    }

    /// What was laid beside configuration files goes once they are as shipped, or are shipped no
    /// more, unless somebody worked in it.
    pub fn tidy_beside(&mut self, before: &Self, old: &Tree, new: &Tree) {
        let config = |tree: &Tree, path: &String| {
            tree.get(path).filter(|shipped| shipped.config).map(|shipped| shipped.object.clone())
        };
        for path in old.keys().chain(new.keys()) {
            let (was, is) = (config(old, path), config(new, path));
            let at = format!("{path}{BESIDE}");
            let Some(there) = self.disk.get(&at).cloned() else { continue };
            if self.disk.get(&at) != before.disk.get(&at) || ![&was, &is].contains(&&Some(there)) {
                continue;
            }
            let now = self.disk.get(path);
            if is.is_none() || now != before.disk.get(path) || now == is.as_ref() {
                self.disk.remove(&at);
            }
        }
    }

    pub fn drop_empty(&mut self, goals: &BTreeMap<String, Goal>) {
        for (path, _) in goals.iter().rev().filter(|(_, goal)| goal.disposable) {
            let is_empty = !self.disk.keys().any(|inner| is_below(inner, path));
            if is_empty && self.disk.get(path).is_some_and(Object::is_directory) {
                self.disk.remove(path);
            }
        }
    }
}
