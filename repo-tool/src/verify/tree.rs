//! What a tree's files add to it: leaves, and the roots of earlier times.

use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::merkle::leaf_hash;
use countersign_format::tile::{TileError, parse_entries, parse_tile, perfect_root};

use super::reader::Reader;
use crate::tree::{FULL, Tree, WIDTH, to_index};

/// The root of the tree when it had `size` entries; none beyond its size, or where the leaves can
/// no longer be read.
pub(super) async fn root_at(tree: &Tree, size: u64, reader: &Reader) -> Option<Hash32> {
    tree_at(tree, size, reader).await.map(|tree| tree.root())
}

/// The tree when it had `size` entries; none beyond its size, or where the leaves can no longer be
/// read.
pub(super) async fn tree_at(tree: &Tree, size: u64, reader: &Reader) -> Option<Tree> {
    if size > tree.size() {
        return None;
    }
    let (index, rest) = (size / WIDTH, to_index(size % WIDTH));
    let leaves = if rest == 0 { Vec::new() } else { leaves(tree, index, reader).await? };
    Some(tree.beginning(to_index(index), &leaves[..rest]))
}

/// The leaves of a bundle, from whichever of its two files has the right ones.
pub(super) async fn leaves(tree: &Tree, index: u64, reader: &Reader) -> Option<Vec<Hash32>> {
    let (bundles, tail) = tree.parts();
    if to_index(index) == bundles.len() {
        return Some(tail.to_vec());
    }
    let expected = bundles.get(to_index(index))?;
    let is_right =
        |leaves: &Vec<Hash32>| leaves.len() == TILE_WIDTH && perfect_root(leaves) == *expected;
    let path = layout::tile(tree.log(), 0, index, FULL);
    let tile = reader.read(&path, 32 * WIDTH).await.ok().flatten();
    let leaves = tile.and_then(|bytes| parse_tile(&bytes, FULL).ok()).filter(is_right);
    if leaves.is_some() {
        return leaves;
    }
    let path = layout::bundle(tree.log(), index, FULL);
    let bundle = reader.read(&path, MAX_BUNDLE as u64).await.ok().flatten()?;
    leaves_of(&bundle, FULL).ok().filter(is_right)
}

/// The leaf hashes of a bundle of `width` entries.
pub(super) fn leaves_of(bundle: &[u8], width: u16) -> Result<Vec<Hash32>, TileError> {
    let entries = parse_entries(bundle, usize::from(width))?;
    Ok(entries.into_iter().map(leaf_hash).collect())
}

#[cfg(test)]
mod tests {
    use countersign_format::layout::Log;
    use countersign_format::merkle::Frontier;
    use countersign_store::{MemoryRepository, Source};

    use super::*;

    #[test]
    fn earlier_roots_need_the_tail_of_their_time() {
        let reader = Reader::new(Source::memory("memory", &MemoryRepository::new()), None);
        let leaves: Vec<Hash32> = (0..300_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut tree = Tree::new(Log::Collection);
        leaves.chunks(TILE_WIDTH).for_each(|chunk| tree.push(chunk));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let root_at = |size| runtime.block_on(root_at(&tree, size, &reader));
        let mut frontier = Frontier::empty();
        for (size, leaf) in (1..).zip(&leaves) {
            frontier.push(*leaf);
            match size {
                256.. => assert_eq!(root_at(size), Some(frontier.root()), "{size}"),
                // the first bundle's files are not there
                _ => assert_eq!(root_at(size), None),
            }
        }
        assert_eq!(root_at(301), None);
    }
}
