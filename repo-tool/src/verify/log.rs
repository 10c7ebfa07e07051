//! One log: its bundles and tiles against each other and against the signed root.
//!
//! Bundles and tiles of level 0 are read side by side. Where they contradict each other, the signed
//! root says which of the two is right.

use std::collections::BTreeMap;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::merkle::leaf_hash;
use countersign_format::tile::{parse_entries, parse_tile, tile_levels, tile_width};

use super::Check;
use super::finding::FindingKind;
use super::heads::Head;
use crate::tree::{Tree, WIDTH};

/// Takes the entries on which bundle and tile agree: leaf index, and the entry's bytes.
pub(super) type Taker<'a> = dyn FnMut(u64, &[u8]) + 'a;

/// Checks a log's bundles and tiles. None where too much is missing to know its tree.
pub(super) async fn check(check: &mut Check, head: &Head, take: &mut Taker<'_>) -> Option<Tree> {
    let (log, size) = (head.log, head.checkpoint.size);
    let mut sides = Sides::new(log);
    for index in 0..size.div_ceil(WIDTH) {
        let width = tile_width(size, 0, index);
        let bundle = read_bundle(check, log, index, width).await;
        let tile = read_tile(check, log, index, width).await;
        if bundle.is_none() && tile.is_none() {
            let message = format!(
                "neither its entries nor their hashes can be read, so that nothing of the {log} \
                 log from entry {} on can be checked",
                index * WIDTH
            );
            check.findings.add(layout::bundle(log, index, width), FindingKind::Damaged, message);
            return None;
        }
        sides.add(index, bundle.as_deref(), tile, take);
    }
    let tree = sides.decide(check, head);
    for level in 1..tile_levels(size) {
        let mut index = 0;
        while tile_width(size, level, index) > 0 {
            check_upper_tile(check, &tree, level, index).await;
            index += 1;
        }
    }
    Some(tree)
}

/// What the two kinds of file say, as long as it is open which of them is right.
struct Sides {
    by_bundles: Tree,
    by_tiles: Tree,
    /// For each bundle that its tile contradicts, the first entry and how many.
    contradictions: BTreeMap<u64, (u64, usize)>,
}

impl Sides {
    fn new(log: Log) -> Self {
        let tree = Tree::new(log);
        Self { by_bundles: tree.clone(), by_tiles: tree, contradictions: BTreeMap::new() }
    }

    /// Adds the two files of one place, of which one may be missing.
    fn add(
        &mut self,
        index: u64,
        bundle: Option<&[Vec<u8>]>,
        tile: Option<Vec<Hash32>>,
        take: &mut Taker<'_>,
    ) {
        let entries = bundle.unwrap_or_default();
        let leaves: Vec<Hash32> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let both = bundle.is_some() && tile.is_some();
        let tile_leaves = tile.unwrap_or_else(|| leaves.clone());
        let mut first_wrong = None;
        let mut wrong = 0;
        for (offset, entry) in entries.iter().enumerate() {
            let entry_index = index * WIDTH + offset as u64;
            if leaves[offset] == tile_leaves[offset] {
                take(entry_index, entry);
            } else {
                first_wrong.get_or_insert(entry_index);
                wrong += 1;
            }
        }
        if let Some(first) = first_wrong.filter(|_| both) {
            self.contradictions.insert(index, (first, wrong));
        }
        self.by_bundles.push(if bundle.is_some() { &leaves } else { &tile_leaves });
        self.by_tiles.push(&tile_leaves);
    }

    /// Takes the side that has the signed root, and reports what contradicts it.
    fn decide(self, check: &mut Check, head: &Head) -> Tree {
        let (log, size, signed) = (head.log, head.checkpoint.size, head.checkpoint.root);
        let root = self.by_bundles.root();
        let bundles_are_right = root == signed;
        let tiles_are_right = !bundles_are_right && self.by_tiles.root() == signed;
        if !bundles_are_right && !tiles_are_right {
            let message = format!(
                "signed is root {}, the log's {size} entries lead to {}",
                signed.to_base64(),
                root.to_base64()
            );
            check.findings.add(&head.file, FindingKind::Fork, message);
        }
        for (index, (first, count)) in self.contradictions {
            let width = tile_width(size, 0, index);
            let bundle = layout::bundle(log, index, width);
            let tile = layout::tile(log, 0, index, width);
            let (file, message) = if bundles_are_right {
                (
                    tile,
                    format!("{count} hashes are not those of the entries, from entry {first} on"),
                )
            } else if tiles_are_right {
                let message =
                    format!("{count} entries are not those of the signed tree, from {first} on");
                (bundle, message)
            } else {
                (bundle, format!("contradicts {tile} in {count} entries, from {first} on"))
            };
            check.findings.add(file, FindingKind::Damaged, message);
        }
        if tiles_are_right { self.by_tiles } else { self.by_bundles }
    }
}

async fn read_bundle(check: &mut Check, log: Log, index: u64, width: u16) -> Option<Vec<Vec<u8>>> {
    let path = layout::bundle(log, index, width);
    let bytes = check.read_required(&path, MAX_BUNDLE).await?;
    match parse_entries(&bytes, usize::from(width)) {
        Ok(entries) => Some(entries.into_iter().map(<[u8]>::to_vec).collect()),
        Err(error) => {
            check.findings.add(&path, FindingKind::Damaged, error.to_string());
            None
        }
    }
}

async fn read_tile(check: &mut Check, log: Log, index: u64, width: u16) -> Option<Vec<Hash32>> {
    let path = layout::tile(log, 0, index, width);
    let bytes = check.read_required(&path, TILE_WIDTH * 32).await?;
    match parse_tile(&bytes, width) {
        Ok(hashes) => Some(hashes),
        Err(error) => {
            check.findings.add(&path, FindingKind::Damaged, error.to_string());
            None
        }
    }
}

async fn check_upper_tile(check: &mut Check, tree: &Tree, level: u8, index: u64) {
    let expected = tree.upper_tile(level, index);
    let width = u16::try_from(expected.len()).expect("at most 256");
    let path = layout::tile(tree.log(), level, index, width);
    let Some(bytes) = check.read_required(&path, TILE_WIDTH * 32).await else { return };
    let message = match parse_tile(&bytes, width) {
        Ok(hashes) => {
            let wrong = hashes.iter().zip(&expected).filter(|(found, hash)| found != hash).count();
            if wrong == 0 {
                return;
            }
            format!("{wrong} hashes are not those of the tiles below")
        }
        Err(error) => error.to_string(),
    };
    check.findings.add(&path, FindingKind::Damaged, message);
}
