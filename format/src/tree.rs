//! The tree that a patch leads to, and the hash of its listing (SPEC §7, `tree`).
//!
//! The listing has one line a path, in byte order of paths:
//!
//! ```text
//! f MODE OWNER SIZE SHA256 PATH          a file
//! x MODE OWNER SIZE SHA256 XATTRS PATH   a file with extended attributes
//! d MODE OWNER PATH                      a declared directory
//! l SHA256-OF-TARGET PATH                a symlink
//! ```
//!
//! XATTRS is [`Xattrs::hash`](crate::manifest::Xattrs::hash). Such a line has a letter of its own:
//! paths may hold spaces, so that one more field under `f` could also be the head of a path.
//! A full patch and every chain of incremental ones to the same version end at the same tree.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::hash::{Hash32, Hasher};
use crate::manifest::{FileEntry, FileKind, Manifest};
use crate::relpath::RelPath;

/// Why a manifest does not apply to a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The manifest is incremental, and there is no tree to apply it to.
    #[error("an incremental patch makes no tree without the one before it")]
    Incremental,
    /// A path that goes away is not there.
    #[error("patch removes {0:?}, which is not in the tree before it")]
    NotThere(RelPath),
    /// A path would lie below one that is no directory.
    #[error("{path:?} would lie below {above:?}, which is no directory")]
    BelowNonDirectory {
        /// The path.
        path: RelPath,
        /// The file or symlink above it.
        above: RelPath,
    },
    /// The tree that was made is not the one that the manifest names.
    #[error("patch makes tree {made}, but its manifest names {named}")]
    Hash {
        /// `tree` of the manifest.
        named: Hash32,
        /// The hash of what was made.
        made: Hash32,
    },
}

/// All that a component is at one version: files, declared directories, symlinks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree(BTreeMap<RelPath, FileKind>);

/// What leads from one tree to another: the lists of an incremental manifest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// What is new or changed, in byte order of paths.
    pub files: Vec<FileEntry>,
    /// What goes away, in byte order of paths.
    pub remove: Vec<RelPath>,
}

impl Tree {
    /// The tree of a full patch, which its manifest was checked to name.
    pub fn of(manifest: &Manifest) -> Result<Self, TreeError> {
        if manifest.base.is_some() {
            return Err(TreeError::Incremental);
        }
        Ok(Self::from_entries(manifest.files.iter().cloned()))
    }

    /// A tree of entries that are known to fit together, such as those of a scanned directory.
    /// Of two entries with one path the later one stands.
    pub fn from_entries(entries: impl IntoIterator<Item = FileEntry>) -> Self {
        Self(entries.into_iter().map(|entry| (entry.path, entry.kind)).collect())
    }

    /// What the tree has at `path`.
    pub fn get(&self, path: &RelPath) -> Option<&FileKind> {
        self.0.get(path)
    }

    /// All entries in byte order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &FileKind)> {
        self.0.iter()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in the tree.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tree after `manifest`, a full patch or an incremental one that was made for this tree.
    /// Checked to be the one that the manifest names.
    pub fn apply(&self, manifest: &Manifest) -> Result<Self, TreeError> {
        if manifest.base.is_none() {
            return Self::of(manifest);
        }
        let mut tree = self.clone();
        for path in &manifest.remove {
            tree.0.remove(path).ok_or_else(|| TreeError::NotThere(path.clone()))?;
        }
        for entry in &manifest.files {
            tree.0.insert(entry.path.clone(), entry.kind.clone());
        }
        tree.check_shape()?;
        let made = tree.hash();
        if made != manifest.tree {
            return Err(TreeError::Hash { named: manifest.tree, made });
        }
        Ok(tree)
    }

    /// SHA-256 of the listing.
    pub fn hash(&self) -> Hash32 {
        let mut listing = Listing::default();
        for (path, kind) in &self.0 {
            listing.add(path, kind);
        }
        listing.0.finish()
    }

    /// What an incremental patch from this tree to `new` has to bring and to remove.
    pub fn difference(&self, new: &Self) -> Difference {
        let changed = |(path, kind): &(&RelPath, &FileKind)| self.0.get(*path) != Some(*kind);
        let entry = |(path, kind): (&RelPath, &FileKind)| FileEntry {
            path: path.clone(),
            kind: kind.clone(),
        };
        Difference {
            files: new.iter().filter(changed).map(entry).collect(),
            remove: self.0.keys().filter(|path| !new.0.contains_key(*path)).cloned().collect(),
        }
    }

    fn check_shape(&self) -> Result<(), TreeError> {
        let is_leaf = |kind: &FileKind| matches!(kind, FileKind::File(_) | FileKind::Link { .. });
        for (above, _) in self.0.iter().filter(|(_, kind)| is_leaf(kind)) {
            let inside = format!("{above}/");
            let from = (Bound::Included(inside.as_str()), Bound::Unbounded);
            if let Some((path, _)) = self.0.range::<str, _>(from).next()
                && path.as_str().starts_with(&inside)
            {
                let (path, above) = (path.clone(), above.clone());
                return Err(TreeError::BelowNonDirectory { path, above });
            }
        }
        Ok(())
    }
}

/// SHA-256 of the listing of `entries`, which are in byte order of paths.
pub fn listing_hash<'a>(entries: impl IntoIterator<Item = &'a FileEntry>) -> Hash32 {
    let mut listing = Listing::default();
    for entry in entries {
        listing.add(&entry.path, &entry.kind);
    }
    listing.0.finish()
}

#[derive(Default)]
struct Listing(Hasher);

impl Listing {
    fn add(&mut self, path: &RelPath, kind: &FileKind) {
        let line = match kind {
            FileKind::File(file) => {
                let (mode, owner, size, sha256) = (file.mode, &file.owner, file.size, file.sha256);
                if file.xattrs.is_empty() {
                    format!("f {mode} {owner} {size} {sha256} {path}\n")
                } else {
                    let xattrs = file.xattrs.hash();
                    format!("x {mode} {owner} {size} {sha256} {xattrs} {path}\n")
                }
            }
            FileKind::Directory { mode, owner } => format!("d {mode} {owner} {path}\n"),
            FileKind::Link { target } => {
                format!("l {} {path}\n", Hash32::of(target.as_str().as_bytes()))
            }
        };
        self.0.update(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{FileMeta, Hooks, ManifestParts, Mode, Owner, Xattrs};

    fn path(text: &str) -> RelPath {
        text.parse().expect("a path")
    }

    fn file(at: &str, content: &str) -> FileEntry {
        let kind = FileKind::File(FileMeta {
            mode: Mode::from_bits(0o644).expect("a mode"),
            size: content.len() as u64,
            sha256: Hash32::of(content.as_bytes()),
            config: false,
            owner: Owner::ROOT,
            xattrs: Xattrs::default(),
        });
        FileEntry { path: path(at), kind }
    }

    fn directory(at: &str) -> FileEntry {
        let mode = Mode::from_bits(0o750).expect("a mode");
        let owner = "acme:staff".parse().expect("an owner");
        FileEntry { path: path(at), kind: FileKind::Directory { mode, owner } }
    }

    fn link(at: &str, target: &str) -> FileEntry {
        let target = target.parse().expect("a target");
        FileEntry { path: path(at), kind: FileKind::Link { target } }
    }

    fn incremental(files: Vec<FileEntry>, remove: &[&str], tree: Hash32) -> Manifest {
        Manifest::new(ManifestParts {
            name: "acme".parse().expect("a name"),
            version: "2.0.0".parse().expect("a version"),
            base: Some("^1".parse().expect("a requirement")),
            platform: "any".parse().expect("a platform"),
            tree,
            files,
            deltas: None,
            remove: remove.iter().map(|text| path(text)).collect(),
            hooks: Hooks::default(),
        })
        .expect("a manifest")
    }

    #[test]
    fn the_listing_is_that_of_the_specification() {
        let mut shared = file("a b", "abc");
        if let FileKind::File(meta) = &mut shared.kind {
            let values = [("user.one".to_string(), b"1".to_vec()), ("user.two".into(), vec![])];
            meta.xattrs = Xattrs::new(values.into()).expect("attributes");
        }
        let tree = Tree::from_entries([link("c", "a b"), directory("b"), file("a", "abc"), shared]);
        let content = Hash32::of(b"abc");
        let xattrs = Hash32::of(b"MQ== user.one\n user.two\n");
        let target = Hash32::of(b"a b");
        let listing = format!(
            "f 0644 root:root 3 {content} a\n\
             x 0644 root:root 3 {content} {xattrs} a b\n\
             d 0750 acme:staff b\n\
             l {target} c\n"
        );
        assert_eq!(tree.hash(), Hash32::of(listing.as_bytes()));
        assert_eq!(Tree::default().hash(), Hash32::of(b""));
    }

    #[test]
    fn a_difference_leads_from_the_old_tree_to_the_new() {
        let old = Tree::from_entries([
            file("gone", "x"),
            file("kept", "k"),
            file("edited", "1"),
            file("was-file", "f"),
            file("was-dir/inner", "i"),
            link("was-link", "kept"),
        ]);
        let new = Tree::from_entries([
            file("kept", "k"),
            file("edited", "2"),
            file("was-file/inner", "f"),
            file("was-dir", "d"),
            directory("was-link"),
        ]);
        let difference = old.difference(&new);
        let brought: Vec<_> = difference.files.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(brought, ["edited", "was-dir", "was-file/inner", "was-link"]);
        let removed: Vec<_> = difference.remove.iter().map(RelPath::as_str).collect();
        assert_eq!(removed, ["gone", "was-dir/inner", "was-file"]);
        let manifest = incremental(difference.files, &removed, new.hash());
        assert_eq!(old.apply(&manifest), Ok(new));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let old = Tree::from_entries([file("a", "1"), file("d/inner", "2")]);
        let apply = |manifest: Manifest| old.apply(&manifest).expect_err("refused");
        assert_eq!(
            apply(incremental(vec![], &["b"], Hash32([0; 32]))),
            TreeError::NotThere(path("b"))
        );
        assert_eq!(
            apply(incremental(vec![file("a/b", "3")], &[], Hash32([0; 32]))),
            TreeError::BelowNonDirectory { path: path("a/b"), above: path("a") }
        );
        assert_eq!(
            apply(incremental(vec![file("a.b", "3"), file("a/b", "3")], &[], Hash32([0; 32]))),
            TreeError::BelowNonDirectory { path: path("a/b"), above: path("a") }
        );
        assert_eq!(
            apply(incremental(vec![link("d", "a")], &[], Hash32([0; 32]))),
            TreeError::BelowNonDirectory { path: path("d/inner"), above: path("d") }
        );
        let named = Hash32([0; 32]);
        assert_eq!(
            apply(incremental(vec![], &[], named)),
            TreeError::Hash { named, made: old.hash() }
        );
        assert_eq!(Tree::of(&incremental(vec![], &[], named)), Err(TreeError::Incremental));
    }
}
