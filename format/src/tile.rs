//! Tiles and entry bundles of a log, and how they grow (C2SP `tlog-tiles`; SPEC §4).
//!
//! A tile of level L holds up to 256 hashes of level 8·L of the tree; a bundle holds the entries
//! below one tile of level 0, each behind its 16-bit big-endian length.

use crate::hash::Hash32;
use crate::limits::{MAX_ENTRY, TILE_WIDTH};
use crate::merkle::{Frontier, node_hash};

/// Tree levels that one tile spans: 256 is 2⁸.
pub const TILE_HEIGHT: u32 = 8;
const WIDTH: u64 = TILE_WIDTH as u64;

/// A tile's place and width, and its hashes one behind the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// The tile's level, 0 at the leaves.
    pub level: u8,
    /// The tile's index within its level.
    pub index: u64,
    /// How many hashes it holds, 1 to 256.
    pub width: u16,
    /// The hashes, 32 bytes each.
    pub bytes: Vec<u8>,
}

/// The unfinished tiles at the right edge of a tree: all that appending needs of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edge {
    size: u64,
    /// The hashes of the unfinished tile of each level, empty where the last one is full.
    rows: Vec<Vec<Hash32>>,
}

/// Why bytes are no tile or no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// A tile's length is not 32 bytes a hash.
    #[error("tile has {found} bytes, expected {expected}")]
    TileLength {
        /// Bytes that a tile of this width has.
        expected: usize,
        /// Bytes that were found.
        found: usize,
    },
    /// The bundle ends within an entry.
    #[error("entry bundle ends within entry {0}")]
    BundleEnd(usize),
    /// An entry is longer than [`MAX_ENTRY`].
    #[error("entry {0} of the bundle is longer than {MAX_ENTRY} bytes")]
    EntryTooLong(usize),
    /// The bundle holds fewer entries than its place says.
    #[error("entry bundle has {found} entries, expected {expected}")]
    BundleCount {
        /// Entries that were expected.
        expected: usize,
        /// Entries that were found.
        found: usize,
    },
    /// The bundle holds more entries than its place says.
    #[error("entry bundle has more than the {expected} entries expected")]
    BundleExcess {
        /// Entries that were expected.
        expected: usize,
    },
}

/// How many hashes the tile `(level, index)` has in a tree of `size` entries: 0 to 256.
pub fn tile_width(size: u64, level: u8, index: u64) -> u16 {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
    let width = hashes.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
    u16::try_from(width).expect("at most 256")
}

/// Levels of tiles that a tree of `size` entries has.
pub fn tile_levels(size: u64) -> u8 {
    let mut levels = 0;
    while size.checked_shr(TILE_HEIGHT * u32::from(levels)).unwrap_or(0) > 0 {
        levels += 1;
    }
    levels
}

impl Edge {
    /// The edge of the empty tree.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` entries, `unfinished(level, index, width)` giving the bytes of
    /// each tile that is not full.
    pub fn load<E: From<TileError>>(
        size: u64,
        mut unfinished: impl FnMut(u8, u64, u16) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut rows = Vec::new();
        for level in 0..tile_levels(size) {
            let hashes = size >> (TILE_HEIGHT * u32::from(level));
            let (index, width) = (hashes / WIDTH, hashes % WIDTH);
            let width = u16::try_from(width).expect("below 256");
            let row = if width == 0 {
                Vec::new()
            } else {
                parse_tile(&unfinished(level, index, width)?, width)?
            };
            rows.push(row);
        }
        Ok(Self { size, rows })
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaves and returns every tile that is new or has grown, as it is now: full ones in
    /// between, the unfinished one of each level last. The work grows with `leaves`, not with the
    /// tree.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash32>) -> Vec<Tile> {
        let before = self.size;
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.push(leaf, &mut tiles);
        }
        for level in 0..self.rows.len() {
            let shift = TILE_HEIGHT * u32::try_from(level).expect("at most 8 levels");
            let grown = (before >> shift) != (self.size >> shift);
            if grown && !self.rows[level].is_empty() {
                let index = (self.size >> shift) / WIDTH;
                tiles.push(Tile::new(level, index, &self.rows[level]));
            }
        }
        tiles
    }

    fn push(&mut self, leaf: Hash32, tiles: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.rows.len() == level {
                self.rows.push(Vec::new());
            }
            self.rows[level].push(hash);
            if self.rows[level].len() < TILE_WIDTH {
                return;
            }
            let shift = TILE_HEIGHT * u32::try_from(level).expect("at most 8 levels");
            let index = (self.size >> shift) / WIDTH - 1;
            tiles.push(Tile::new(level, index, &self.rows[level]));
            hash = perfect_root(&self.rows[level]);
            self.rows[level].clear();
        }
    }

    /// The frontier of the same tree.
    pub fn frontier(&self) -> Frontier {
        let mut roots = Vec::new();
        for row in self.rows.iter().rev() {
            let mut at = 0;
            for bit in (0..TILE_HEIGHT).rev() {
                let count = 1 << bit;
                if row.len() & count != 0 {
                    roots.push(perfect_root(&row[at..at + count]));
                    at += count;
                }
            }
        }
        Frontier::from_parts(self.size, roots).expect("one root for each bit of the size")
    }
}

impl Tile {
    fn new(level: usize, index: u64, hashes: &[Hash32]) -> Self {
        Self {
            level: u8::try_from(level).expect("at most 8 levels"),
            index,
            width: u16::try_from(hashes.len()).expect("at most 256"),
            bytes: hashes.iter().flat_map(|hash| hash.0).collect(),
        }
    }
}

/// Reads the hashes of a tile of `width`.
pub fn parse_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash32>, TileError> {
    let expected = usize::from(width) * 32;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if bytes.len() != expected || !rest.is_empty() {
        return Err(TileError::TileLength { expected, found: bytes.len() });
    }
    Ok(hashes.iter().map(|hash| Hash32(*hash)).collect())
}

/// The root over 2ⁿ hashes.
pub fn perfect_root(hashes: &[Hash32]) -> Hash32 {
    if let [hash] = hashes {
        return *hash;
    }
    let (left, right) = hashes.split_at(hashes.len() / 2);
    node_hash(&perfect_root(left), &perfect_root(right))
}

/// Appends one entry to a bundle. The entry is at most [`MAX_ENTRY`] bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).expect("an entry is at most MAX_ENTRY bytes");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of bundle bytes, one after the other. Stops at the first error.
pub fn entries(bundle: &[u8]) -> Entries<'_> {
    Entries { rest: bundle, count: 0 }
}

/// Reads exactly `count` entries. Of more entries none beyond the first excess one is looked at:
/// empty ones would take eight times their bytes in memory.
pub fn parse_entries(bundle: &[u8], count: usize) -> Result<Vec<&[u8]>, TileError> {
    let found: Vec<_> = entries(bundle).take(count + 1).collect::<Result<_, _>>()?;
    match found.len() {
        length if length == count => Ok(found),
        length if length > count => Err(TileError::BundleExcess { expected: count }),
        length => Err(TileError::BundleCount { expected: count, found: length }),
    }
}

/// Iterator over the entries of a bundle, made by [`entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], TileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let index = self.count;
        self.count += 1;
        let split = self.rest.split_first_chunk::<2>().map(|(length, rest)| {
            let length = usize::from(u16::from_be_bytes(*length));
            (length, rest.split_at_checked(length))
        });
        let result = match split {
            Some((length, _)) if length > MAX_ENTRY => Err(TileError::EntryTooLong(index)),
            Some((_, Some((entry, rest)))) => {
                self.rest = rest;
                return Some(Ok(entry));
            }
            _ => Err(TileError::BundleEnd(index)),
        };
        self.rest = &[];
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;
    use std::collections::BTreeMap;

    type Tiles = BTreeMap<(u8, u64, u16), Vec<u8>>;

    fn leaf(n: u64) -> Hash32 {
        leaf_hash(&n.to_be_bytes())
    }

    fn store(tiles: Vec<Tile>, into: &mut Tiles) {
        for tile in tiles {
            let place = (tile.level, tile.index, tile.width);
            assert_eq!(tile.bytes.len(), usize::from(tile.width) * 32);
            assert!(into.insert(place, tile.bytes).is_none(), "{place:?} was written twice");
        }
    }

    #[test]
    fn appending_piece_by_piece_makes_the_same_tree() {
        let mut frontier = Frontier::empty();
        let mut edge = Edge::empty();
        let mut tiles = Tiles::new();
        let mut next = 0;
        for step in [1, 1, 253, 1, 1, 300, 65_536 - 557, 1, 700, 0, 3] {
            store(edge.append((next..next + step).map(leaf)), &mut tiles);
            (next..next + step).for_each(|n| frontier.push(leaf(n)));
            next += step;
            assert_eq!(edge.frontier(), frontier, "at {next}");
            // what is stored is enough to go on from
            let loaded = Edge::load(next, |level, index, width| {
                Ok::<_, TileError>(tiles[&(level, index, width)].clone())
            });
            assert_eq!(loaded, Ok(edge.clone()), "at {next}");
        }
        for level in 0..tile_levels(next) {
            let mut index = 0;
            while tile_width(next, level, index) > 0 {
                assert!(tiles.contains_key(&(level, index, tile_width(next, level, index))));
                index += 1;
            }
        }
        assert_eq!(tile_levels(next), 3);
    }

    #[test]
    fn widths_follow_the_size() {
        assert_eq!(tile_width(257, 0, 0), 256);
        assert_eq!(tile_width(257, 0, 1), 1);
        assert_eq!(tile_width(257, 0, 2), 0);
        assert_eq!(tile_width(257, 1, 0), 1);
        assert_eq!(tile_width(255, 1, 0), 0);
        assert_eq!((tile_levels(0), tile_levels(255), tile_levels(256)), (0, 1, 2));
    }

    #[test]
    fn bundles_are_read_to_the_byte() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"one");
        push_entry(&mut bundle, b"");
        assert_eq!(bundle, b"\x00\x03one\x00\x00");
        assert_eq!(parse_entries(&bundle, 2), Ok(vec![b"one".as_slice(), b""]));
        let count = TileError::BundleCount { expected: 3, found: 2 };
        assert_eq!(parse_entries(&bundle, 3), Err(count));
        assert_eq!(parse_entries(&bundle, 1), Err(TileError::BundleExcess { expected: 1 }));
        assert_eq!(parse_entries(&bundle[..4], 1), Err(TileError::BundleEnd(0)));
        // what lies behind the first excess entry is not looked at
        let endless = [b"\x00\x00".repeat(3).as_slice(), b"\xff"].concat();
        assert_eq!(parse_entries(&endless, 2), Err(TileError::BundleExcess { expected: 2 }));
        assert_eq!(parse_entries(&bundle[..6], 2), Err(TileError::BundleEnd(1)));
        assert_eq!(parse_entries(b"\x80\x01", 1), Err(TileError::EntryTooLong(0)));
    }
}
