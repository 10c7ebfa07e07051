//! What a machine must look like after each step, said as simply as possible: a map of paths to
//! objects and the rules of the documentation. Shares no code with what it judges.

use std::collections::{BTreeMap, BTreeSet};

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Object {
    File { mode: u32, owner: u32, content: String },
    Directory { mode: u32, owner: u32 },
    Link(String),
}

impl Object {
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    pub fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}

pub(super) type Disk = BTreeMap<String, Object>;

/// What a version ships at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shipped {
    pub object: Object,
    pub config: bool,
}

pub(super) type Tree = BTreeMap<String, Shipped>;

/// A component that is put on the machine, by one full patch or a chain of incremental ones.
#[derive(Clone, Debug)]
pub(super) struct Coming {
    pub name: String,
    pub version: String,
    pub tree: Tree,
    /// The files that its patches bring.
    pub brought: BTreeSet<String>,
}

/// A machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub disk: Disk,
    pub installed: BTreeMap<String, (String, Tree)>,
    /// Versions that a rollback undid and that must not come back by themselves.
    pub held_back: BTreeSet<(String, String)>,
    /// Names that somebody holds.
    pub holds: BTreeSet<String>,
    /// Directories that transactions made.
    pub made: BTreeSet<String>,
    /// Every transaction that was done.
    pub past: Vec<Done>,
    /// Who owns what the client writes.
    pub user: u32,
}

/// A transaction that was done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Each path that it changed, before and after.
    changed: BTreeMap<String, (Option<Object>, Option<Object>)>,
    installed_before: BTreeMap<String, (String, Tree)>,
    /// What it kept aside: the path, and what was there, with what was in it.
    pub aside: BTreeMap<String, Disk>,
}

/// What a path is to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Goal {
    pub want: Option<Object>,
    pub was: Option<Object>,
    pub config: bool,
    pub same_shipped: bool,
    pub disposable: bool,
}

/// The plan is refused.
#[derive(Debug)]
pub(super) struct Refused;

fn above(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
}

pub(super) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

impl Model {
    /// The machine after these were installed or upgraded.
    pub fn install(&self, plan: &[Coming]) -> Result<Self, Refused> {
        self.change(plan.iter().map(|coming| (coming.name.clone(), Some(coming))).collect())
    }

    /// The machine after these were removed.
    pub fn remove(&self, names: &[&str]) -> Result<Self, Refused> {
        self.change(names.iter().map(|name| ((*name).to_owned(), None)).collect())
    }

    fn change(&self, plan: BTreeMap<String, Option<&Coming>>) -> Result<Self, Refused> {
        let old: Tree = plan
            .keys()
            .filter_map(|name| self.installed.get(name))
            .flat_map(|(_, tree)| tree.clone())
            .collect();
        let mut goals = BTreeMap::new();
        let mut taken = Tree::new();
        for (name, coming) in &plan {
            let Some(coming) = coming else { continue };
            for (path, shipped) in &coming.tree {
                if let Some(other) = taken.insert(path.clone(), shipped.clone()) {
                    if !(other == *shipped && other.object.is_directory()) {
                        return Err(Refused);
                    }
                    continue;
                }
                self.check_others(path, shipped, &plan)?;
                if shipped.object.is_file() && !coming.brought.contains(path) {
                    continue;
                }
                let was = old.get(path);
                goals.insert(
                    path.clone(),
                    Goal {
                        want: Some(shipped.object.clone()),
                        was: was.map(|was| was.object.clone()),
                        config: shipped.config,
                        same_shipped: was == Some(shipped),
                        disposable: false,
                    },
                );
            }
            debug_assert_eq!(&coming.name, name);
        }
        self.add_removals(&old, &taken, &plan, &mut goals);
        self.add_parents(&mut goals, |path| old.get(path).map(|was| was.object.clone()));
        let (mut next, aside) = self.settle(&goals)?;
        next.tidy_beside(self, &old, &taken);
        next.drop_empty(&goals);
        for (name, coming) in plan {
            match coming {
                Some(coming) => {
                    let is = (coming.version.clone(), coming.tree.clone());
                    next.installed.insert(name.clone(), is);
                    next.release(&name);
                }
                None => drop(next.installed.remove(&name)),
            }
        }
        next.note(self, aside);
        Ok(next)
    }

    /// What is installed is not held back any more.
    fn release(&mut self, name: &str) {
        let Some((now, _)) = self.installed.get(name).cloned() else { return };
        self.held_back.remove(&(name.to_owned(), now));
    }

    /// Files have one owner; directories are shared by those that mean the same.
    fn check_others(
        &self,
        path: &str,
        shipped: &Shipped,
        plan: &BTreeMap<String, Option<&Coming>>,
    ) -> Result<(), Refused> {
        let others = self.installed.iter().filter(|(name, _)| !plan.contains_key(*name));
        for (_, (_, tree)) in others {
            match tree.get(path) {
                Some(theirs) if !(theirs == shipped && shipped.object.is_directory()) => {
                    return Err(Refused);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What nobody ships any more goes, and directories that were made for it, where it leaves them
    /// empty.
    fn add_removals(
        &self,
        old: &Tree,
        taken: &Tree,
        plan: &BTreeMap<String, Option<&Coming>>,
        goals: &mut BTreeMap<String, Goal>,
    ) {
        let needed: BTreeSet<String> = taken.keys().flat_map(|path| above(path)).collect();
        let mut directories = BTreeSet::new();
        for (path, shipped) in old.iter().filter(|(path, _)| !taken.contains_key(*path)) {
            directories.extend(above(path));
            if shipped.object.is_directory() {
                directories.insert(path.clone());
            } else {
                let was = Some(shipped.object.clone());
                goals.insert(path.clone(), Goal { was, ..Goal::default() });
            }
        }
        for path in directories {
            let is_shared = self
                .installed
                .iter()
                .any(|(name, (_, tree))| !plan.contains_key(name) && tree.contains_key(&path));
            if taken.contains_key(&path)
                || goals.contains_key(&path)
                || is_shared
                || !self.made.contains(&path)
            {
                continue;
            }
            if !needed.contains(&path) {
                goals.insert(path, Goal { disposable: true, ..Goal::default() });
            } else if let Some(was) = old.get(&path) {
                let want = Some(Object::Directory { mode: 0o755, owner: self.user });
                let was = Some(was.object.clone());
                goals.insert(path, Goal { want, was, ..Goal::default() });
            }
        }
    }

    /// Directories above what is to be there are made.
    fn add_parents(
        &self,
        goals: &mut BTreeMap<String, Goal>,
        was: impl Fn(&str) -> Option<Object>,
    ) {
        let wanted = goals.iter().filter(|(_, goal)| goal.want.is_some());
        let parents: BTreeSet<String> = wanted.flat_map(|(path, _)| above(path)).collect();
        for path in parents {
            if goals.get(&path).is_some_and(|goal| goal.want.is_some()) {
                continue;
            }
            if self.disk.get(&path).is_some_and(Object::is_directory) {
                goals.remove(&path);
                continue;
            }
            let want = Some(Object::Directory { mode: 0o755, owner: self.user });
            let was = was(&path);
            goals.insert(path, Goal { want, was, ..Goal::default() });
        }
    }

    /// The machine after going back to what was after the first `keep` transactions.
    pub fn roll_back(&self, keep: usize) -> Result<Self, Refused> {
        let undone = &self.past[keep..];
        let installed = undone[0].installed_before.clone();
        let mut before: BTreeMap<String, Option<Object>> = BTreeMap::new();
        let mut after: BTreeMap<String, Option<Object>> = BTreeMap::new();
        for done in undone {
            for (path, (was, is)) in &done.changed {
                before.entry(path.clone()).or_insert_with(|| was.clone());
                after.insert(path.clone(), is.clone());
            }
        }
        let config: BTreeMap<&String, bool> = [&self.installed, &installed]
            .into_iter()
            .flat_map(BTreeMap::values)
            .flat_map(|(_, tree)| tree.iter().map(|(path, shipped)| (path, shipped.config)))
            .collect();
        let mut goals = BTreeMap::new();
        for (path, want) in before {
            let is_directory =
                |object: &Option<Object>| object.as_ref().is_some_and(Object::is_directory);
            let mut goal = Goal { was: after[&path].clone(), ..Goal::default() };
            goal.config = config.get(&path).copied().unwrap_or_default();
            if want.is_none() && is_directory(&goal.was) {
                goal.was = None;
                goal.disposable = self.made.contains(&path);
            }
            goal.want = want;
            goals.insert(path, goal);
        }
        self.add_parents(&mut goals, |path| after.get(path).cloned().flatten());
        let (mut next, aside) = self.settle(&goals)?;
        next.drop_empty(&goals);
        for (name, (version, _)) in &self.installed {
            let now = installed.get(name).map(|(now, _)| now);
            if now.is_none_or(|now| version > now) {
                next.held_back.insert((name.clone(), version.clone()));
            }
        }
        next.installed = installed;
        for name in self.installed.keys().chain(next.installed.clone().keys()) {
            next.release(name);
        }
        next.note(self, aside);
        Ok(next)
    }

    /// Writes down what a transaction did.
    fn note(&mut self, old: &Self, aside: BTreeMap<String, Disk>) {
        let paths: BTreeSet<&String> = old.disk.keys().chain(self.disk.keys()).collect();
        let mut changed = BTreeMap::new();
        for path in paths {
            let (was, is) = (old.disk.get(path).cloned(), self.disk.get(path).cloned());
            if was != is {
                let directory =
                    |object: &Option<Object>| object.as_ref().is_some_and(Object::is_directory);
                match (directory(&was), directory(&is)) {
                    (false, true) => drop(self.made.insert(path.clone())),
                    (true, false) => self.made.retain(|made| made != path && !is_below(made, path)),
                    _ => {}
                }
                changed.insert(path.clone(), (was, is));
            }
        }
        let installed_before = old.installed.clone();
        self.past.push(Done { changed, installed_before, aside });
    }

    /// The installed paths that are not what was shipped.
    pub fn deviating(&self) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for (name, (_, tree)) in &self.installed {
            for (path, shipped) in tree {
                if self.disk.get(path) != Some(&shipped.object) {
                    found.insert((name.clone(), path.clone()));
                }
            }
        }
        found
    }
}
