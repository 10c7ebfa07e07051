//! Where the paths of new trees really lead once the plan is carried out.

use std::collections::{HashMap, HashSet};

use countersign_format::manifest::FileEntry;
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;

use super::{Component, PrepareError};
use crate::db::installed::InstalledFile;
use crate::journal::Step;
use crate::object::{Kind, Stamp};
use crate::root::{Becomes, DirPath, Resolver, Root};

/// A path of an installed tree that the transaction does not touch, as it was before. Afterwards it
/// must be what the tree says, unless it was not so before and nobody touched it since.
#[derive(Debug)]
pub(super) struct Watched {
    pub name: PatchName,
    pub file: InstalledFile,
    pub stamp: Option<Stamp>,
}

/// Resolves every path of new trees. `old` are the resolved paths of what the plan's components
/// have now: a symlink among them that is to become a directory does not lead anywhere any more.
pub(super) fn resolve_trees(
    root: &Root,
    trees: &[&Tree],
    old: &HashMap<RelPath, Kind>,
) -> Result<Vec<Vec<InstalledFile>>, PrepareError> {
    let becomes = becoming_directories(root, trees, old)?;
    let mut walker = Resolver::with(root, becomes);
    let mut all = Vec::with_capacity(trees.len());
    for tree in trees {
        let mut files = Vec::with_capacity(tree.len());
        for (path, kind) in tree.iter() {
            let entry = FileEntry { path: path.clone(), kind: kind.clone() };
            let resolved = if entry.is_directory() {
                resolve_directory(root, &mut walker, path, old)?
            } else {
                walker.resolve(path)?.path
            };
            files.push(InstalledFile { entry, resolved });
        }
        all.push(files);
    }
    Ok(all)
}

/// A declared directory may be a symlink to one that somebody else made, such as `lib`.
fn resolve_directory(
    root: &Root,
    walker: &mut Resolver<'_>,
    path: &RelPath,
    old: &HashMap<RelPath, Kind>,
) -> Result<RelPath, PrepareError> {
    let resolved = walker.resolve(path)?.path;
    let is_link = root.look(&resolved)?.is_some_and(|found| found.kind == Kind::Link);
    if !is_link || old.contains_key(&resolved) {
        return Ok(resolved);
    }
    let (leads, absent) = walker.resolve_directory(&DirPath::from(path.clone()))?;
    match leads.as_path() {
        Some(leads) if absent == 0 => Ok(leads.clone()),
        _ => Ok(resolved),
    }
}

/// The paths where a component of the plan has a file or symlink now and a directory of some new
/// tree will be.
fn becoming_directories(
    root: &Root,
    trees: &[&Tree],
    old: &HashMap<RelPath, Kind>,
) -> Result<HashMap<RelPath, Becomes>, PrepareError> {
    let leaves: HashSet<&RelPath> =
        old.iter().filter(|(_, kind)| **kind != Kind::Directory).map(|(path, _)| path).collect();
    let mut becomes = HashMap::new();
    if leaves.is_empty() {
        return Ok(becomes);
    }
    let mut seen: HashSet<RelPath> = HashSet::new();
    for tree in trees {
        for (path, kind) in tree.iter() {
            let itself = matches!(kind, countersign_format::manifest::FileKind::Directory { .. });
            let above = path.ancestors().chain(itself.then(|| path.clone()));
            for directory in above {
                if !seen.insert(directory.clone()) {
                    continue;
                }
                // what was found so far may change where this one leads
                let mut walker = Resolver::with(root, becomes.clone());
                let resolved = walker.resolve(&directory)?.path;
                let stays = trees.iter().any(|tree| {
                    tree.get(&directory).is_some_and(|kind| {
                        !matches!(kind, countersign_format::manifest::FileKind::Directory { .. })
                    })
                });
                if leaves.contains(&resolved) && !stays {
                    becomes.insert(resolved, Becomes::Directory);
                }
            }
        }
    }
    Ok(becomes)
}

/// The paths that no step touches, with what tells whether somebody else does.
pub(super) fn watch(
    root: &Root,
    components: &[Component],
    steps: &[Step],
) -> Result<Vec<Watched>, PrepareError> {
    let touched: HashSet<&RelPath> = steps.iter().map(|step| &step.path).collect();
    let mut watched = Vec::new();
    for component in components {
        for file in &component.new_files {
            if touched.contains(&file.resolved) {
                continue;
            }
            let stamp = root.look(&file.resolved)?.map(|found| found.stamp);
            watched.push(Watched { name: component.name.clone(), file: file.clone(), stamp });
        }
    }
    Ok(watched)
}
