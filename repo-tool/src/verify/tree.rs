//! The tree of a log, once it is known which hashes are the signed ones: what tiles, bundles and
//! packs are compared with.

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::pack::pack_span;
use countersign_format::tile::{TILE_HEIGHT, parse_entries, parse_tile, perfect_root, tile_width};

use super::reader::Reader;

pub(super) const WIDTH: u64 = TILE_WIDTH as u64;
pub(super) const FULL: u16 = 256;

/// The hashes of a tree down to the roots over 256 entries, and the leaves of its unfinished
/// bundle. What lies between is read again where it is needed.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    log: Log,
    bundles: Vec<Hash32>,
    tail: Vec<Hash32>,
}

impl Tree {
    pub(super) fn new(log: Log) -> Self {
        Self { log, bundles: Vec::new(), tail: Vec::new() }
    }

    /// Adds the leaves of the next bundle; only the last one may be unfinished.
    pub(super) fn push(&mut self, leaves: &[Hash32]) {
        if leaves.len() == TILE_WIDTH {
            self.bundles.push(perfect_root(leaves));
        } else {
            self.tail = leaves.to_vec();
        }
    }

    pub(super) fn log(&self) -> Log {
        self.log
    }

    /// Entries in the tree.
    pub(super) fn size(&self) -> u64 {
        self.bundles.len() as u64 * WIDTH + self.tail.len() as u64
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Hash32 {
        root_over(&self.bundles, &self.tail)
    }

    /// The root of the tree when it had `size` entries; none beyond its size, or where the leaves
    /// can no longer be read.
    pub(super) async fn root_at(&self, size: u64, reader: &Reader) -> Option<Hash32> {
        if size > self.size() {
            return None;
        }
        let (bundles, rest) = (to_index(size / WIDTH), to_index(size % WIDTH));
        if rest == 0 {
            return Some(root_over(&self.bundles[..bundles], &[]));
        }
        let leaves = self.leaves(size / WIDTH, reader).await?;
        Some(root_over(&self.bundles[..bundles], &leaves[..rest]))
    }

    /// The hashes that the tile `(level, index)` has, level 1 and above.
    pub(super) fn upper_tile(&self, level: u8, index: u64) -> Vec<Hash32> {
        let width = u64::from(tile_width(self.size(), level, index));
        // one hash of this level is the root over so many bundles
        let span = 1_u64 << (TILE_HEIGHT * u32::from(level - 1));
        let first = index * WIDTH;
        let root = |place: u64| {
            let start = to_index(place * span);
            perfect_root(&self.bundles[start..start + to_index(span)])
        };
        (first..first + width).map(root).collect()
    }

    /// The root over the entries of a full pack.
    pub(super) fn pack_root(&self, level: u8, index: u64) -> Hash32 {
        let span = to_index(pack_span(level) / WIDTH);
        let start = to_index(index) * span;
        perfect_root(&self.bundles[start..start + span])
    }

    /// The leaves of a bundle, from whichever of its two files has the right ones.
    pub(super) async fn leaves(&self, index: u64, reader: &Reader) -> Option<Vec<Hash32>> {
        if to_index(index) == self.bundles.len() {
            return Some(self.tail.clone());
        }
        let expected = self.bundles.get(to_index(index))?;
        let is_right =
            |leaves: &Vec<Hash32>| leaves.len() == TILE_WIDTH && perfect_root(leaves) == *expected;
        let path = layout::tile(self.log, 0, index, FULL);
        let tile = reader.read(&path, 32 * WIDTH).await.ok().flatten();
        let leaves = tile.and_then(|bytes| parse_tile(&bytes, FULL).ok()).filter(is_right);
        if leaves.is_some() {
            return leaves;
        }
        let path = layout::bundle(self.log, index, FULL);
        let bundle = reader.read(&path, MAX_BUNDLE as u64).await.ok().flatten()?;
        leaves_of(&bundle, FULL).ok().filter(is_right)
    }
}

/// The leaf hashes of a bundle of `width` entries.
pub(super) fn leaves_of(
    bundle: &[u8],
    width: u16,
) -> Result<Vec<Hash32>, countersign_format::tile::TileError> {
    let entries = parse_entries(bundle, usize::from(width))?;
    Ok(entries.into_iter().map(leaf_hash).collect())
}

/// The root over full bundles and the leaves after them.
pub(super) fn root_over(bundles: &[Hash32], tail: &[Hash32]) -> Hash32 {
    let frontier = |hashes: &[Hash32]| {
        let mut frontier = Frontier::empty();
        for hash in hashes {
            frontier.push(*hash);
        }
        frontier
    };
    let size = bundles.len() as u64 * WIDTH + tail.len() as u64;
    let roots = [frontier(bundles).roots(), frontier(tail).roots()].concat();
    Frontier::from_parts(size, roots).expect("one root for each bit of the size").root()
}

fn to_index(number: u64) -> usize {
    usize::try_from(number).expect("within a tree in memory")
}

#[cfg(test)]
mod tests {
    use countersign_format::tile::Edge;
    use countersign_store::{MemoryRepository, Source};

    use super::*;

    #[test]
    fn roots_and_tiles_are_those_of_the_tree() {
        let leaves: Vec<Hash32> = (0..70_000_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut edge = Edge::empty();
        let mut tree = Tree::new(Log::Collection);
        let mut tiles = Vec::new();
        for chunk in leaves.chunks(TILE_WIDTH) {
            tiles = edge.append(chunk.iter().copied());
            tree.push(chunk);
        }
        assert_eq!(tree.size(), edge.size());
        assert_eq!(tree.root(), edge.frontier().root());
        for tile in tiles.iter().filter(|tile| tile.level > 0) {
            let hashes = tree.upper_tile(tile.level, tile.index);
            assert_eq!(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), tile.bytes);
        }
        assert_eq!(tree.pack_root(1, 3), perfect_root(&leaves[3 * 4096..4 * 4096]));
    }

    #[test]
    fn earlier_roots_need_the_tail_of_their_time() {
        let reader = Reader::new(Source::memory("memory", &MemoryRepository::new()), None);
        let leaves: Vec<Hash32> = (0..300_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut tree = Tree::new(Log::Collection);
        leaves.chunks(TILE_WIDTH).for_each(|chunk| tree.push(chunk));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let root_at = |size| runtime.block_on(tree.root_at(size, &reader));
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
