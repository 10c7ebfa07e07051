//! The nodes of a log's tree, from its hash tiles: what proofs are made of without reading an entry.

use std::collections::BTreeMap;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::TILE_WIDTH;
use countersign_format::merkle::{Frontier, NodeReader};
use countersign_format::tile::{TILE_HEIGHT, parse_tile, perfect_root, tile_width};
use countersign_store::Sink;

use super::growth::Tail;
use super::{PublishError, read_head};

/// The tree of a log, entries that are about to be appended included.
pub struct TreeNodes<'a> {
    sink: &'a dyn Sink,
    log: Log,
    held: u64,
    size: u64,
    /// The tiles that differ from the held ones, by level and index.
    grown: BTreeMap<(u8, u64), Vec<u8>>,
}

impl<'a> TreeNodes<'a> {
    /// Of the log that is held in `sink` with `new` behind it. What is held at its right edge is
    /// checked.
    pub fn open(sink: &'a dyn Sink, log: Log, new: &[Vec<u8>]) -> Result<Self, PublishError> {
        let published = read_head(sink, log)?;
        let (mut edge, held) = match &published {
            Some(published) => (Tail::load(sink, log, published)?, published.size),
            None => (Tail::default(), 0),
        };
        let tiles = edge.append(new).tiles.into_iter();
        let grown = tiles.map(|tile| ((tile.level, tile.index), tile.bytes)).collect();
        Ok(Self { sink, log, held, size: edge.size(), grown })
    }

    /// Of the log of `size` entries in `sink`, whatever its head says.
    pub fn of(sink: &'a dyn Sink, log: Log, size: u64) -> Self {
        Self { sink, log, held: size, size, grown: BTreeMap::new() }
    }

    /// Entries of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Entries that are held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The right edge that the tree had with `earlier` entries, at most its size.
    pub fn frontier_at(&mut self, earlier: u64) -> Result<Frontier, PublishError> {
        let (mut roots, mut at) = (Vec::new(), 0);
        for level in (0..u64::BITS).rev().filter(|level| earlier >> level & 1 == 1) {
            roots.push(self.node(u8::try_from(level).expect("below 64"), at >> level)?);
            at += 1 << level;
        }
        Ok(Frontier::from_parts(earlier, roots).expect("one root for each bit of the size"))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash32>, PublishError> {
        let grown = self.grown.get(&(level, index));
        let size = if grown.is_some() { self.size } else { self.held };
        let width = tile_width(size, level, index);
        let path = layout::tile(self.log, level, index, width);
        let bytes = match grown {
            Some(bytes) => Some(bytes.clone()),
            None => self.sink.read(&path, TILE_WIDTH as u64 * 32)?,
        };
        let bytes = bytes.ok_or_else(|| PublishError::Missing(path.clone()))?;
        parse_tile(&bytes, width).map_err(|source| PublishError::Damaged { path, source })
    }
}

impl NodeReader for TreeNodes<'_> {
    type Error = PublishError;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash32, PublishError> {
        let (row, height) = (u32::from(level) / TILE_HEIGHT, u32::from(level) % TILE_HEIGHT);
        let row = u8::try_from(row).expect("below the level");
        let first = index << height;
        let (tile, start) = (first / TILE_WIDTH as u64, first % TILE_WIDTH as u64);
        let start = usize::try_from(start).expect("below 256");
        let hashes = self.tile(row, tile)?;
        let range = hashes.get(start..start + (1 << height));
        let missing = || PublishError::Missing(layout::tile(self.log, row, tile, 256));
        range.map(perfect_root).ok_or_else(missing)
    }
}
