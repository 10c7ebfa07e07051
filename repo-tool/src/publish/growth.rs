//! The files that a log gains with new entries.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::merkle::leaf_hash;
use countersign_format::tile::{self, Edge, TILE_HEIGHT, Tile, TileError};
use countersign_store::Sink;

use super::{FULL, PublishError};

const WIDTH: u64 = TILE_WIDTH as u64;

/// The right edge of a log: all that appending needs of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// The unfinished tiles.
    pub(super) edge: Edge,
    /// The unfinished bundle; empty where the last one is full.
    pub(super) bundle: Vec<u8>,
}

/// The files that a log gains.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The tiles.
    pub(super) tiles: Vec<Tile>,
    /// The bundles, in order.
    pub(super) bundles: Vec<Bundle>,
}

/// An entry bundle.
#[derive(Debug)]
pub(super) struct Bundle {
    index: u64,
    width: u16,
    pub(super) bytes: Vec<u8>,
}

impl Tail {
    /// Reads the unfinished tiles and bundle at the right edge, and checks that they make the root.
    pub(super) fn load(sink: &dyn Sink, log: Log, head: &Checkpoint) -> Result<Self, PublishError> {
        let mut unfinished = Vec::new();
        for level in 0..tile::tile_levels(head.size) {
            let index = (head.size >> (TILE_HEIGHT * u32::from(level))) / WIDTH;
            let width = tile::tile_width(head.size, level, index);
            let mut bytes = Vec::new();
            if width > 0 {
                let path = layout::tile(log, level, index, width);
                bytes = read(sink, &path, TILE_WIDTH * 32)?;
                tile::parse_tile(&bytes, width)
                    .map_err(|source| PublishError::Damaged { path, source })?;
            }
            unfinished.push(bytes);
        }
        let tiles = |level: u8, _, _| Ok::<_, TileError>(unfinished[usize::from(level)].clone());
        let edge = Edge::load(head.size, tiles).expect("each tile was parsed above");
        if edge.frontier().root() != head.root {
            return Err(PublishError::Root(layout::checkpoint(log)));
        }
        let index = head.size / WIDTH;
        let width = tile::tile_width(head.size, 0, index);
        let mut bundle = Vec::new();
        if width > 0 {
            let path = layout::bundle(log, index, width);
            bundle = read(sink, &path, MAX_BUNDLE)?;
            check_bundle(&bundle, width, &unfinished[0]).map_err(|error| match error {
                Some(source) => PublishError::Damaged { path: path.clone(), source },
                None => PublishError::Root(path.clone()),
            })?;
        }
        Ok(Self { edge, bundle })
    }

    pub(super) fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(super) fn root(&self) -> Hash32 {
        self.edge.frontier().root()
    }

    /// Appends entries and returns the new files. The work grows with the entries, not with the
    /// log.
    pub(super) fn append(&mut self, entries: &[Vec<u8>]) -> Growth {
        let leaves = entries.iter().map(|entry| leaf_hash(entry));
        let mut size = self.size();
        let mut growth = Growth { tiles: self.edge.append(leaves), bundles: Vec::new() };
        for entry in entries {
            tile::push_entry(&mut self.bundle, entry);
            size += 1;
            if size.is_multiple_of(WIDTH) {
                growth.bundles.push(Bundle::last(size, std::mem::take(&mut self.bundle)));
            }
        }
        if !entries.is_empty() && !self.bundle.is_empty() {
            growth.bundles.push(Bundle::last(size, self.bundle.clone()));
        }
        growth
    }
}

impl Bundle {
    /// The last bundle of a log of `size` entries.
    fn last(size: u64, bytes: Vec<u8>) -> Self {
        let index = (size - 1) / WIDTH;
        Self { index, width: tile::tile_width(size, 0, index), bytes }
    }

    /// The bundle `(index, width)` as it was read.
    pub(super) fn new(index: u64, width: u16, bytes: Vec<u8>) -> Self {
        Self { index, width, bytes }
    }

    pub(super) fn path(&self, log: Log) -> RepoPath {
        layout::bundle(log, self.index, self.width)
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Its entries, in order.
    pub(super) fn entries(&self, log: Log) -> Result<Vec<&[u8]>, PublishError> {
        tile::parse_entries(&self.bytes, self.width.into())
            .map_err(|source| PublishError::Damaged { path: self.path(log), source })
    }

    pub(super) fn is_full(&self) -> bool {
        self.width == FULL
    }
}

/// Checks that a bundle's entries are those of the tile above them.
fn check_bundle(bundle: &[u8], width: u16, tile: &[u8]) -> Result<(), Option<TileError>> {
    let entries = tile::parse_entries(bundle, usize::from(width)).map_err(Some)?;
    let hashes: Vec<u8> = entries.iter().flat_map(|entry| leaf_hash(entry).0).collect();
    if hashes == tile { Ok(()) } else { Err(None) }
}

fn read(sink: &dyn Sink, path: &RepoPath, limit: usize) -> Result<Vec<u8>, PublishError> {
    sink.read(path, limit as u64)?.ok_or_else(|| PublishError::Missing(path.clone()))
}

/// Entry `index` of a log of `size` entries, which is larger than that.
pub(super) fn entry(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    index: u64,
) -> Result<Vec<u8>, PublishError> {
    let (bundle, place) = (index / WIDTH, index % WIDTH);
    let width = tile::tile_width(size, 0, bundle);
    let path = layout::bundle(log, bundle, width);
    let bytes = read(sink, &path, MAX_BUNDLE)?;
    let entries = tile::parse_entries(&bytes, width.into())
        .map_err(|source| PublishError::Damaged { path: path.clone(), source })?;
    let place = usize::try_from(place).expect("below 256");
    let entry = entries.get(place).ok_or(PublishError::Missing(path))?;
    Ok(entry.to_vec())
}
