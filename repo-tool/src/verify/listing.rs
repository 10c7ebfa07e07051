//! All files of a directory: those that nothing led to are named.

use std::fs;
use std::path::Path;

use countersign_format::layout::{Log, Place, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::tile::parse_tile;
use countersign_store::durable::is_temporary;

use super::Check;
use super::finding::FindingKind;
use super::jobs::check_pack;
use super::tree::{leaves, leaves_of, tree_at};
use crate::replica::is_private;
use crate::tree::Tree;

/// Looks at every file below `root` that was not looked at yet.
pub(super) async fn check(check: &mut Check, root: &Path, trees: &[Tree]) {
    let mut paths = Vec::new();
    list(check, root, "", &mut paths);
    for path in paths {
        let place = Place::parse(&path);
        if is_private(&path) || place.is_some_and(|place| check.seen.contains(&place.path())) {
            continue;
        }
        let tree = |log: Log| trees.iter().find(|tree| tree.log() == log);
        let is_earlier = match place {
            Some(Place::Tile { log, level, index, width }) => match tree(log) {
                Some(tree) => earlier_tile(check, tree, level, index, width).await,
                None => false,
            },
            Some(Place::Bundle { log, index, width }) => match tree(log) {
                Some(tree) => earlier_bundle(check, tree, index, width).await,
                None => false,
            },
            Some(Place::TailPack { log, size }) => match tree(log) {
                Some(tree) => earlier_tail(check, tree, size).await,
                None => false,
            },
            _ => false,
        };
        if !is_earlier {
            unexpected(check, &path, place);
        }
    }
}

/// Collects the paths of regular files; everything else is named at once.
fn list(check: &mut Check, directory: &Path, prefix: &str, paths: &mut Vec<String>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("the directory cannot be read: {error}");
            return check.findings.add(prefix, FindingKind::Unreadable, message);
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = match prefix {
            "" => name.to_string_lossy().into_owned(),
            _ => format!("{prefix}/{}", name.to_string_lossy()),
        };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(check, &entry.path(), &path, paths),
            Ok(kind) if kind.is_file() => paths.push(path),
            Ok(_) => {
                let message = "neither a file nor a directory";
                check.findings.add(path, FindingKind::Unexpected, message);
            }
            Err(error) => {
                let message = format!("cannot be looked at: {error}");
                check.findings.add(path, FindingKind::Unreadable, message);
            }
        }
    }
}

fn unexpected(check: &mut Check, path: &str, place: Option<Place>) {
    let file_name = path.rsplit('/').next().unwrap_or(path);
    let message = match place {
        _ if is_temporary(file_name.as_ref()) => "left from a writer that was interrupted",
        None => "not a file of a repository",
        Some(Place::Archive(_) | Place::PatchNote(_)) => {
            "of a patch that is not published here, or not released"
        }
        Some(Place::Candidate(_)) => "a head that waits for no witness here",
        Some(Place::Authority { .. }) => "beyond the end of the chain of authority notes",
        Some(_) => "belongs to no head that is published or waits for its witnesses",
    };
    check.findings.add(path, FindingKind::Unexpected, message);
}

/// A tile of an earlier head: the beginning of the one that stands there now.
async fn earlier_tile(check: &mut Check, tree: &Tree, level: u8, index: u64, width: u16) -> bool {
    let reader = check.reader.clone();
    let now = match level {
        0 => leaves(tree, index, &reader).await.unwrap_or_default(),
        _ if level > countersign_format::tile::tile_levels(tree.size()) => return false,
        _ => tree.upper_tile(level, index),
    };
    let Some(expected) = now.get(..usize::from(width)) else { return false };
    let path = Place::Tile { log: tree.log(), level, index, width }.path();
    let Some(bytes) = check.read(&path, TILE_WIDTH * 32).await else { return true };
    let is_right = parse_tile(&bytes, width).is_ok_and(|hashes| hashes == expected);
    report(check, &path, is_right, "its hashes are not those of the signed tree");
    true
}

/// A bundle of an earlier head.
async fn earlier_bundle(check: &mut Check, tree: &Tree, index: u64, width: u16) -> bool {
    let reader = check.reader.clone();
    let now = leaves(tree, index, &reader).await.unwrap_or_default();
    let Some(expected) = now.get(..usize::from(width)) else { return false };
    let path = Place::Bundle { log: tree.log(), index, width }.path();
    let Some(bytes) = check.read(&path, MAX_BUNDLE).await else { return true };
    let is_right = leaves_of(&bytes, width).is_ok_and(|leaves| leaves == expected);
    report(check, &path, is_right, "its entries are not those of the signed tree");
    true
}

/// The tail pack of an earlier head.
async fn earlier_tail(check: &mut Check, tree: &Tree, size: u64) -> bool {
    let reader = check.reader.clone();
    let Some(tree) = tree_at(tree, size, &reader).await.filter(|_| size > 0) else { return false };
    check_pack(&reader, &tree.tail_pack(), &mut check.findings).await;
    true
}

fn report(check: &mut Check, path: &RepoPath, is_right: bool, message: &str) {
    if !is_right {
        check.findings.add(path, FindingKind::Damaged, message);
    }
}
