//! A log's tree down to the roots over 256 entries: what tiles, bundles and packs are compared with.

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::TILE_WIDTH;
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::pack::{
    Order, PackError, PackReader, max_pack_length, pack_span, tail_start,
};
use countersign_format::tile::{TILE_HEIGHT, parse_tile, perfect_root, tile_width};
use countersign_store::Sink;

use crate::publish::PublishError;

/// Entries of a full bundle.
pub(crate) const WIDTH: u64 = TILE_WIDTH as u64;
/// The width of full tiles, bundles and packs, as paths take it.
pub(crate) const FULL: u16 = 256;

/// The hashes of a tree down to the roots over 256 entries, and the leaves of its unfinished
/// bundle. What lies between is read again where it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    log: Log,
    bundles: Vec<Hash32>,
    tail: Vec<Hash32>,
}

impl Tree {
    /// The tree without entries.
    pub(crate) fn new(log: Log) -> Self {
        Self { log, bundles: Vec::new(), tail: Vec::new() }
    }

    /// The tree of `size` entries that is published below `sink`. Whether it has the signed root is
    /// the caller's to check.
    pub(crate) fn load(sink: &dyn Sink, log: Log, size: u64) -> Result<Self, PublishError> {
        let read = |level: u8, index: u64| {
            let width = tile_width(size, level, index);
            if width == 0 {
                return Ok(Vec::new());
            }
            let path = layout::tile(log, level, index, width);
            let bytes = sink.read(&path, 32 * WIDTH)?;
            let bytes = bytes.ok_or_else(|| PublishError::Missing(path.clone()))?;
            parse_tile(&bytes, width).map_err(|source| PublishError::Damaged { path, source })
        };
        let mut tree = Self::new(log);
        for index in 0..(size / WIDTH).div_ceil(WIDTH) {
            tree.bundles.extend(read(1, index)?);
        }
        if !size.is_multiple_of(WIDTH) {
            tree.tail = read(0, size / WIDTH)?;
        }
        Ok(tree)
    }

    /// Adds the leaves of the next bundle, or of the unfinished one now that it has grown. Only the
    /// last one may be unfinished.
    pub(crate) fn push(&mut self, leaves: &[Hash32]) {
        if leaves.len() == TILE_WIDTH {
            self.bundles.push(perfect_root(leaves));
            self.tail.clear();
        } else {
            self.tail = leaves.to_vec();
        }
    }

    /// The tree when it had so many full bundles, and these leaves of the next one.
    pub(crate) fn beginning(&self, bundles: usize, tail: &[Hash32]) -> Self {
        Self { log: self.log, bundles: self.bundles[..bundles].to_vec(), tail: tail.to_vec() }
    }

    pub(crate) fn log(&self) -> Log {
        self.log
    }

    /// Entries in the tree.
    pub(crate) fn size(&self) -> u64 {
        self.bundles.len() as u64 * WIDTH + self.tail.len() as u64
    }

    /// The right edge of the tree.
    pub(crate) fn frontier(&self) -> Frontier {
        frontier_over(&self.bundles, &self.tail)
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Hash32 {
        root_over(&self.bundles, &self.tail)
    }

    /// The roots over full bundles, and the leaves after them.
    pub(crate) fn parts(&self) -> (&[Hash32], &[Hash32]) {
        (&self.bundles, &self.tail)
    }

    /// The hashes that the tile `(level, index)` has, level 1 and above.
    pub(crate) fn upper_tile(&self, level: u8, index: u64) -> Vec<Hash32> {
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

    /// A full pack.
    pub(crate) fn pack(&self, level: u8, index: u64) -> Pack {
        let span = to_index(pack_span(level) / WIDTH);
        let start = to_index(index) * span;
        Pack {
            path: layout::pack(self.log, level, index),
            order: Order::Bundles,
            entries: pack_span(level),
            root: perfect_root(&self.bundles[start..start + span]),
        }
    }

    /// The tail pack of the whole tree.
    pub(crate) fn tail_pack(&self) -> Pack {
        let first = to_index(tail_start(self.size()) / WIDTH);
        Pack {
            path: layout::tail_pack(self.log, self.size()),
            order: Order::Tail,
            entries: self.size() - tail_start(self.size()),
            root: root_over(&self.bundles[first..], &self.tail),
        }
    }
}

/// A pack that a log may have, and what it is compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pack {
    pub(crate) path: RepoPath,
    pub(crate) order: Order,
    pub(crate) entries: u64,
    /// The root over its entries.
    pub(crate) root: Hash32,
}

impl Pack {
    /// Most bytes that it has.
    pub(crate) fn limit(&self) -> u64 {
        max_pack_length(self.entries)
    }

    /// Whether `bytes` hold its entries.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> Result<bool, PackError> {
        let mut reader = PackReader::new(bytes, self.entries)?;
        let mut leaves = Vec::new();
        while let Some(entry) = reader.read()? {
            leaves.push(leaf_hash(entry));
        }
        if self.order == Order::Tail {
            leaves.reverse();
        }
        let mut frontier = Frontier::empty();
        for leaf in leaves {
            frontier.push(leaf);
        }
        Ok(frontier.root() == self.root)
    }
}

/// The root over full bundles and the leaves after them.
pub(crate) fn root_over(bundles: &[Hash32], tail: &[Hash32]) -> Hash32 {
    frontier_over(bundles, tail).root()
}

fn frontier_over(bundles: &[Hash32], tail: &[Hash32]) -> Frontier {
    let frontier = |hashes: &[Hash32]| {
        let mut frontier = Frontier::empty();
        for hash in hashes {
            frontier.push(*hash);
        }
        frontier
    };
    let size = bundles.len() as u64 * WIDTH + tail.len() as u64;
    let roots = [frontier(bundles).roots(), frontier(tail).roots()].concat();
    Frontier::from_parts(size, roots).expect("one root for each bit of the size")
}

pub(crate) fn to_index(number: u64) -> usize {
    usize::try_from(number).expect("within a tree in memory")
}

#[cfg(test)]
mod tests {
    use countersign_format::merkle::leaf_hash;
    use countersign_format::tile::Edge;

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
        assert_eq!(tree.pack(1, 3).root, perfect_root(&leaves[3 * 4096..4 * 4096]));
    }
}
