//! What each path is to be after a transaction that installs and removes.

use std::collections::{BTreeMap, HashMap, HashSet};

use countersign_format::manifest::{FileEntry, FileKind, Mode, Owner};
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;

use super::config::{Beside, find_beside};
use super::refusal::Refusal;
use super::reserved::{is_reserved, state_directory};
use super::unpack::{StagedFile, Unpacked};
use super::{PrepareError, place};
use crate::db::Database;
use crate::db::installed::{InstalledFile, at_resolved, is_anything_below, is_created_directory};
use crate::object::{Identity, Kind};
use crate::root::{DirPath, Root};
use crate::stage::Ownership;
use crate::verify;

/// Mode of directories that lie above declared paths and are declared by nobody.
const IMPLIED_MODE: u32 = 0o755;

/// What one resolved path is to be.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// The resolved path.
    pub path: RelPath,
    /// The component that wants it so.
    pub name: PatchName,
    /// What is to be there; none for nothing.
    pub want: Option<Want>,
    /// What the plan's components put there before.
    pub was: Option<Expected>,
    /// A directory that a transaction made and that nobody else declares.
    pub disposable: bool,
    /// An administrator is expected to change it.
    pub config: bool,
    /// The new version ships the same content as the old one.
    pub same_shipped: bool,
}

/// An object that is to be.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub expected: Expected,
    pub source: Source,
}

/// What an object must be to be the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// What a manifest says.
    Entry(FileKind),
    /// What was once found.
    Identity(Identity),
}

/// Where an object comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Directories and symlinks are made from what is said of them.
    Make,
    /// Unpacked into staging.
    Staged(StagedFile),
    /// A backup of an earlier transaction.
    Backup(Backup),
}

/// A file in the backups of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub transaction: i64,
    /// The root of the mount that its area is on.
    pub at: DirPath,
    pub slot: u64,
    /// Where in the slot, if the slot holds a directory.
    pub below: Option<RelPath>,
}

impl Expected {
    /// The kind of object.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Entry(kind) => verify::expected_kind(kind),
            Self::Identity(identity) => identity.kind(),
        }
    }

    /// Whether `found` is it. Owners do not count where they cannot be set.
    pub fn matches(&self, found: &Identity, ownership: &Ownership) -> bool {
        match self {
            Self::Entry(kind) => verify::fits(kind, found, ownership),
            Self::Identity(identity) => same(identity, found, ownership),
        }
    }
}

/// Whether two identities are one. Owners do not count where they cannot be set.
pub(super) fn same(left: &Identity, right: &Identity, ownership: &Ownership) -> bool {
    match ownership {
        Ownership::Named(_) => left == right,
        Ownership::AllOf(_) => left.clone().owned_by(0, 0) == right.clone().owned_by(0, 0),
    }
}

/// The goals of a plan, by resolved path.
#[derive(Debug, Default)]
pub(super) struct Goals {
    /// Boxed: there may be many, they are large, and they go through several hands.
    pub by_path: BTreeMap<RelPath, Box<Goal>>,
    /// Configuration files with something beside them.
    pub beside: Vec<Beside>,
    pub refusals: Vec<Refusal>,
}

impl Goals {
    /// Adds a goal, in the place of one for the same path.
    pub fn put(&mut self, goal: Goal) {
        self.by_path.insert(goal.path.clone(), Box::new(goal));
    }
}

/// Makes the goals of a plan, and fills in where its components' new files lead.
pub(super) fn install_goals(
    database: &Database,
    root: &Root,
    plan: &mut [Unpacked],
) -> Result<Goals, PrepareError> {
    let _reading = database.read()?;
    let old = old_objects(plan);
    let kinds = old.iter().map(|(path, was)| (path.clone(), verify::expected_kind(was))).collect();
    let trees: Vec<_> = plan.iter().map(|unpacked| &unpacked.tree).collect();
    let placed = place::resolve_trees(root, &trees, &kinds)?;
    for (unpacked, files) in plan.iter_mut().zip(placed) {
        unpacked.component.new_files = files;
    }
    let plan = &*plan;
    let mut builder = Builder {
        database,
        names: plan.iter().map(|unpacked| unpacked.component.name.clone()).collect(),
        old,
        goals: Goals::default(),
        taken: HashMap::new(),
        owned: None,
        state: state_directory(database, root),
    };
    for unpacked in plan {
        for file in &unpacked.component.new_files {
            builder.add_new(
                &unpacked.component.name,
                file,
                unpacked.staged.get(&file.entry.path),
            )?;
        }
    }
    for unpacked in plan {
        builder.add_removals(&unpacked.component.name, &unpacked.component.old_files)?;
    }
    let Builder { old, mut goals, .. } = builder;
    let was = |path: &RelPath| old.get(path).cloned().map(Expected::Entry);
    add_parents(root, &mut goals, was)?;
    goals.beside = find_beside(database, root, plan)?;
    Ok(goals)
}

fn old_objects(plan: &[Unpacked]) -> HashMap<RelPath, FileKind> {
    plan.iter()
        .flat_map(|unpacked| &unpacked.component.old_files)
        .map(|file| (file.resolved.clone(), file.entry.kind.clone()))
        .collect()
}

struct Builder<'b> {
    database: &'b Database,
    names: HashSet<PatchName>,
    old: HashMap<RelPath, FileKind>,
    goals: Goals,
    /// Who of the plan has a path afterwards.
    taken: HashMap<&'b RelPath, (&'b PatchName, &'b FileKind)>,
    /// The directory that was last asked about, and whether anything installed lies below it.
    owned: Option<(DirPath, bool)>,
    /// Where this program keeps its own, if that is beneath the root.
    state: Option<RelPath>,
}

impl<'b> Builder<'b> {
    fn add_new(
        &mut self,
        name: &'b PatchName,
        file: &'b InstalledFile,
        staged: Option<&StagedFile>,
    ) -> Result<(), PrepareError> {
        let InstalledFile { entry, resolved } = file;
        if is_reserved(resolved, self.state.as_ref()) {
            let (path, name) = (resolved.to_string(), name.clone());
            self.goals.refusals.push(Refusal::Reserved { path, name });
            return Ok(());
        }
        if let Some((first, kind)) = self.taken.get(resolved) {
            // directories are shared
            if !(entry.is_directory() && **kind == entry.kind) {
                self.goals.refusals.push(Refusal::Twice {
                    path: resolved.to_string(),
                    first: (*first).clone(),
                    second: name.clone(),
                });
            }
            return Ok(());
        }
        self.taken.insert(resolved, (name, &entry.kind));
        self.check_owners(name, entry, resolved)?;
        let source = match (&entry.kind, staged) {
            (FileKind::File(_), Some(staged)) => Source::Staged(staged.clone()),
            // an incremental patch does not bring what it does not change
            (FileKind::File(_), None) => return Ok(()),
            (FileKind::Directory { .. } | FileKind::Link { .. }, _) => Source::Make,
        };
        let was = self.old.get(resolved);
        self.goals.put(Goal {
            path: resolved.clone(),
            name: name.clone(),
            config: verify::is_config(&entry.kind),
            same_shipped: was == Some(&entry.kind),
            was: was.cloned().map(Expected::Entry),
            want: Some(Want { expected: Expected::Entry(entry.kind.clone()), source }),
            disposable: false,
        });
        Ok(())
    }

    /// Refuses what an installed component outside the plan has.
    fn check_owners(
        &mut self,
        name: &PatchName,
        entry: &FileEntry,
        resolved: &RelPath,
    ) -> Result<(), PrepareError> {
        if !self.is_owned_around(resolved)? {
            return Ok(());
        }
        for (owner, theirs) in at_resolved(self.database.connection(), resolved)? {
            if self.names.contains(&owner) {
                continue;
            }
            let path = resolved.to_string();
            if !(entry.is_directory() && theirs.is_directory()) {
                let name = name.clone();
                self.goals.refusals.push(Refusal::Owned { path, name, owner });
            } else if entry.kind != theirs.kind {
                let (name, other) = (name.clone(), owner);
                self.goals.refusals.push(Refusal::DirectoryDiffers { path, name, other });
            }
        }
        Ok(())
    }

    /// Whether anything installed lies in the directory of a path, or below it: most new files come
    /// into directories that hold nothing, and one look does for all of them.
    fn is_owned_around(&mut self, path: &RelPath) -> Result<bool, PrepareError> {
        if let Some((_, is_owned)) = self.owned.as_ref().filter(|(last, _)| last.holds(path)) {
            return Ok(*is_owned);
        }
        let directory = DirPath::of(path);
        let is_owned = is_anything_below(self.database.connection(), &directory)?;
        self.owned = Some((directory, is_owned));
        Ok(is_owned)
    }

    fn add_removals(
        &mut self,
        name: &PatchName,
        old_files: &[InstalledFile],
    ) -> Result<(), PrepareError> {
        let mut directories: HashSet<RelPath> = HashSet::new();
        for file in old_files {
            if self.taken.contains_key(&file.resolved) {
                continue;
            }
            directories.extend(file.resolved.ancestors());
            if file.entry.is_directory() {
                directories.insert(file.resolved.clone());
                continue;
            }
            let was = Some(Expected::Entry(file.entry.kind.clone()));
            self.goals.put(removal(name, &file.resolved, was));
        }
        if directories.is_empty() {
            return Ok(());
        }
        let taken = self.taken.keys();
        let needed: HashSet<RelPath> = taken.flat_map(|path| path.ancestors()).collect();
        for path in directories {
            if self.taken.contains_key(&path) || self.goals.by_path.contains_key(&path) {
                continue;
            }
            let was = self.old.get(&path).cloned().map(Expected::Entry);
            let is_needed = needed.contains(&path);
            // one that was never declared is as it is to be
            if is_needed && was.is_none() || !self.is_disposable(&path)? {
                continue;
            }
            let goal = if is_needed {
                Goal { want: Some(implied_directory()), ..removal(name, &path, was) }
            } else {
                Goal { disposable: true, ..removal(name, &path, None) }
            };
            self.goals.put(goal);
        }
        Ok(())
    }

    fn is_disposable(&self, path: &RelPath) -> Result<bool, PrepareError> {
        let connection = self.database.connection();
        if !is_created_directory(connection, path)? {
            return Ok(false);
        }
        let declared = at_resolved(connection, path)?;
        Ok(declared.iter().all(|(owner, _)| self.names.contains(owner)))
    }
}

/// The goal that nothing is at a path.
pub(super) fn removal(name: &PatchName, path: &RelPath, was: Option<Expected>) -> Goal {
    Goal {
        path: path.clone(),
        name: name.clone(),
        want: None,
        was,
        disposable: false,
        config: false,
        same_shipped: false,
    }
}

/// A directory that nobody declares.
fn implied_directory() -> Want {
    let mode = Mode::from_bits(IMPLIED_MODE).expect("nine bits");
    let kind = FileKind::Directory { mode, owner: Owner::ROOT };
    Want { expected: Expected::Entry(kind), source: Source::Make }
}

/// Adds the directories above wanted paths that are not there.
pub(super) fn add_parents(
    root: &Root,
    goals: &mut Goals,
    was: impl Fn(&RelPath) -> Option<Expected>,
) -> Result<(), PrepareError> {
    let mut implied: BTreeMap<RelPath, PatchName> = BTreeMap::new();
    let mut last: Option<DirPath> = None;
    for goal in goals.by_path.values().filter(|goal| goal.want.is_some()) {
        if last.as_ref().is_some_and(|last| last.holds(&goal.path)) {
            continue;
        }
        last = Some(DirPath::of(&goal.path));
        for above in goal.path.ancestors() {
            implied.entry(above).or_insert_with(|| goal.name.clone());
        }
    }
    for (path, name) in implied {
        if goals.by_path.get(&path).is_some_and(|goal| goal.want.is_some()) {
            continue;
        }
        if root.look(&path)?.is_some_and(|found| found.kind == Kind::Directory) {
            // needed after all
            goals.by_path.remove(&path);
            continue;
        }
        let want = Some(implied_directory());
        let goal = Goal { want, ..removal(&name, &path, was(&path)) };
        goals.put(goal);
    }
    Ok(())
}
