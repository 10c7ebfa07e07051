//! The patches that there are in the histories: few paths, and every way in which one of them can
//! become another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::super::kit::Patch;
use super::model::{Coming, Object, Shipped, Tree};
use crate::transaction::PlannedPatch;

/// What happens to patches of these names, in versions counted from 0.
pub(super) const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
pub(super) const VERSIONS: usize = 4;

/// Paths at which somebody works by hand: shipped ones, and some that are nobody's or not yet.
pub(super) const PATHS: [&str; 30] = [
    "etc/alpha.conf",
    "etc/alpha.conf.patchctl-new",
    "etc/alpha.d",
    "etc/alpha.d/extra",
    "etc/beta.conf",
    "opt/alpha/bin/agent",
    "opt/alpha/share/data",
    "opt/alpha/share/mine",
    "opt/alpha/flips",
    "opt/alpha/flips/inner",
    "opt/alpha/flips/sub/deep",
    "opt/alpha/flips/mine",
    "opt/alpha/current",
    "opt/alpha/current/agent",
    "opt/alpha/current/mine",
    "opt/alpha/deep/er/file",
    "opt/alpha/deep/er/mine",
    "opt/alpha/var",
    "opt/alpha/var/log",
    "opt/alpha/comes",
    "opt/alpha/goes",
    "opt/shared/alpha",
    "opt/shared/beta",
    "opt/shared/mine",
    "opt/moved",
    "opt/beta/program",
    "opt/beta/mine",
    "opt/gamma/program",
    "opt/gamma/data",
    "srv/mine",
];

pub(super) fn number(version: usize) -> String {
    format!("1.{version}.0")
}

/// The tree of a version, with files owned by `user`.
pub(super) fn tree(name: &str, version: usize, user: u32) -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, object, config| {
        tree.insert(path.to_owned(), Shipped { object, config });
    };
    let file = |mode, content: &str| Object::File { mode, owner: user, content: content.into() };
    let directory = |mode| Object::Directory { mode, owner: user };
    let link = |target: &str| Object::Link(target.into());
    let nth = |what: &str| format!("{what} {version}");
    match name {
        "alpha" => {
            put("opt/alpha/bin/agent", file(0o755, &nth("agent")), false);
            put("opt/alpha/share/data", file(0o644, "the same in all"), false);
            let setting = ["one", "two", "two", "four"][version];
            put("etc/alpha.conf", file(0o640, setting), true);
            match version {
                0 => put("opt/alpha/flips", file(0o644, "a file"), false),
                1 => {
                    put("opt/alpha/flips/inner", file(0o644, "inner"), false);
                    put("opt/alpha/flips/sub/deep", file(0o644, "deep"), true);
                }
                2 => put("opt/alpha/flips", file(0o644, "a file again"), false),
                _ => put("opt/alpha/flips", link("bin"), false),
            }
            match version {
                0 => put("opt/alpha/current", link("bin"), false),
                1 => {
                    put("opt/alpha/current", directory(0o755), false);
                    put("opt/alpha/current/agent", file(0o755, "another agent"), false);
                }
                2 => put("opt/alpha/current", link("share"), false),
                _ => put("opt/alpha/current", file(0o644, "a file"), false),
            }
            if version != 2 {
                let mode = if version == 1 { 0o700 } else { 0o750 };
                put("opt/alpha/var", directory(mode), false);
            }
            match version {
                0 => put("etc/alpha.d/extra", file(0o644, "extra"), true),
                1 => put("etc/alpha.d/extra", file(0o644, "extra"), false),
                _ => {}
            }
            if version.is_multiple_of(2) {
                put("opt/alpha/deep/er/file", file(0o644, &nth("deep")), false);
            }
            if version < 2 {
                put("opt/alpha/goes", file(0o600, "goes"), false);
                put("opt/moved", file(0o644, "of alpha"), false);
            } else {
                put("opt/alpha/comes", file(0o4755, &nth("comes")), false);
            }
            if version > 0 {
                put("opt/shared/alpha", file(0o644, &nth("shared")), false);
            }
        }
        "beta" => {
            put("opt/beta/program", file(0o755, &nth("program")), false);
            put("opt/shared", directory(0o755), false);
            put("opt/shared/beta", file(0o644, "beta"), false);
            put("etc/beta.conf", file(0o640, &nth("setting =")), true);
            if version > 1 {
                put("opt/moved", file(0o644, "of beta"), false);
            }
        }
        _ => {
            put("opt/gamma/program", file(0o755, &nth("program")), false);
            if version.is_multiple_of(2) {
                put("opt/gamma/data", file(0o644, &nth("data")), false);
            }
        }
    }
    tree
}

/// How a version is reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Way {
    pub name: &'static str,
    /// The version that its first patch is for; none for a full one.
    pub from: Option<usize>,
    /// Each version on the way.
    pub to: Vec<usize>,
    /// A hook of the last patch that fails.
    pub failing: Option<&'static str>,
}

impl Way {
    /// What the model is told of it.
    pub fn coming(&self, user: u32) -> Coming {
        let last = *self.to.last().expect("a way leads somewhere");
        let mut brought = BTreeSet::new();
        let mut at = self.from.map(|from| tree(self.name, from, user)).unwrap_or_default();
        for version in &self.to {
            let next = tree(self.name, *version, user);
            let changed = next.iter().filter(|(path, shipped)| at.get(*path) != Some(shipped));
            brought.extend(changed.map(|(path, _)| path.clone()));
            at = next;
        }
        Coming { name: self.name.into(), version: number(last), tree: at, brought }
    }

    /// Its patches.
    pub fn patches(&self) -> Vec<PlannedPatch> {
        let mut from = self.from;
        let mut patches = Vec::new();
        for (at, version) in self.to.iter().enumerate() {
            let failing = self.failing.filter(|_| at + 1 == self.to.len());
            patches.push(built((self.name, from, *version, failing)));
            from = Some(*version);
        }
        patches
    }
}

type Key = (&'static str, Option<usize>, usize, Option<&'static str>);

/// A copy of an archive that is made once.
fn built(key: Key) -> PlannedPatch {
    static BUILT: OnceLock<Mutex<BTreeMap<Key, PlannedPatch>>> = OnceLock::new();
    let mut built =
        BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    super::super::kit::duplicate(built.entry(key).or_insert_with(|| build(key)))
}

fn build((name, from, version, failing): Key) -> PlannedPatch {
    let patch = |version| {
        let mut patch = Patch::new(name, &number(version));
        for (path, shipped) in tree(name, version, 0) {
            patch = match shipped.object {
                Object::File { mode, content, .. } => {
                    patch.entry(&path, &content, mode, shipped.config)
                }
                Object::Directory { mode, .. } => patch.directory(&path, mode),
                Object::Link(target) => patch.link(&path, &target),
            };
        }
        patch
    };
    let mut next = patch(version);
    if let Some(hook) = failing {
        next = next.hook(hook, "exit 1");
    }
    match from {
        Some(from) => next.since(&patch(from)),
        None => next.full(),
    }
}
