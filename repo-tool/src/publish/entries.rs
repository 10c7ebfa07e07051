//! Reading back a log that is held in a directory of one's own.

use std::ops::Range;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::tile::{self, Edge, TileError, tile_width};
use countersign_store::{DirectoryWriter, Sink};

use super::PublishError;

const WIDTH: u64 = TILE_WIDTH as u64;

/// Hands each of the first `size` entries of a log to `take`, with its leaf index.
pub fn read_entries(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    take: impl FnMut(u64, &[u8]),
) -> Result<(), PublishError> {
    read_entries_from(sink, log, (0, size), take)
}

/// As [`read_entries`], from the leaf index `from` on.
pub fn read_entries_from(
    sink: &dyn Sink,
    log: Log,
    (from, size): (u64, u64),
    mut take: impl FnMut(u64, &[u8]),
) -> Result<(), PublishError> {
    if from >= size {
        return Ok(());
    }
    for index in from / WIDTH..size.div_ceil(WIDTH) {
        let mut at = index * WIDTH;
        for_bundle(sink, log, size, index, &mut |entry| {
            if at >= from {
                take(at, entry);
            }
            at += 1;
        })?;
    }
    Ok(())
}

/// The entry at a leaf index of a log of `size` entries, which is above it.
pub fn read_entry(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    index: u64,
) -> Result<Vec<u8>, PublishError> {
    let (mut place, mut found) = (0, Vec::new());
    for_bundle(sink, log, size, index / WIDTH, &mut |entry| {
        if place == index % WIDTH {
            found = entry.to_vec();
        }
        place += 1;
    })?;
    Ok(found)
}

/// Reads single entries of a log of one's own, of which those that are asked for one after the other
/// often lie close together.
#[derive(Debug)]
pub struct EntryReader {
    files: DirectoryWriter,
    log: Log,
    size: u64,
    /// The bundle that was read last, and where its entries are in it.
    bundle: Option<(u64, Vec<Range<usize>>, Vec<u8>)>,
}

impl EntryReader {
    /// Of the log of `size` entries below `files`.
    pub fn new(files: DirectoryWriter, log: Log, size: u64) -> Self {
        Self { files, log, size, bundle: None }
    }

    /// Entries of the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The entry at a leaf index, which is below the size.
    pub fn read(&mut self, index: u64) -> Result<Vec<u8>, PublishError> {
        let wanted = index / WIDTH;
        if self.bundle.as_ref().is_none_or(|(held, ..)| *held != wanted) {
            let mut places = Vec::new();
            let mut bytes = Vec::new();
            for_bundle(&self.files, self.log, self.size, wanted, &mut |entry| {
                places.push(bytes.len()..bytes.len() + entry.len());
                bytes.extend_from_slice(entry);
            })?;
            self.bundle = Some((wanted, places, bytes));
        }
        let place = usize::try_from(index % WIDTH).expect("below 256");
        let found = self.bundle.as_ref().and_then(|(_, places, bytes)| {
            places.get(place).map(|place| bytes[place.clone()].to_vec())
        });
        let path = || layout::bundle(self.log, wanted, tile_width(self.size, 0, wanted));
        found.ok_or_else(|| PublishError::Missing(path()))
    }
}

/// The root that the tiles of a log of `size` entries say it had when it had `earlier` entries, at
/// most `size`. Reads one tile a level.
pub fn root_at(sink: &dyn Sink, log: Log, size: u64, earlier: u64) -> Result<Hash32, PublishError> {
    /// Either kind of failure, since the edge is loaded by a closure.
    enum Failed {
        Tile(TileError),
        Publish(PublishError),
    }
    impl From<TileError> for Failed {
        fn from(error: TileError) -> Self {
            Self::Tile(error)
        }
    }
    let read = |level: u8, index: u64, width: u16| {
        let path = layout::tile(log, level, index, tile_width(size, level, index));
        let bytes = sink.read(&path, (TILE_WIDTH * 32) as u64);
        let bytes = bytes.map_err(|error| Failed::Publish(error.into()))?;
        let mut bytes = bytes.ok_or(Failed::Publish(PublishError::Missing(path)))?;
        bytes.truncate(usize::from(width) * 32);
        Ok(bytes)
    };
    match Edge::load(earlier, read) {
        Ok(edge) => Ok(edge.frontier().root()),
        Err(Failed::Publish(error)) => Err(error),
        Err(Failed::Tile(source)) => {
            Err(PublishError::Damaged { path: layout::checkpoint(log), source })
        }
    }
}

fn for_bundle(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    index: u64,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), PublishError> {
    let width = tile_width(size, 0, index);
    let path = layout::bundle(log, index, width);
    let bytes = sink.read(&path, MAX_BUNDLE as u64)?;
    let bytes = bytes.ok_or_else(|| PublishError::Missing(path.clone()))?;
    let entries = tile::parse_entries(&bytes, usize::from(width))
        .map_err(|source| PublishError::Damaged { path, source })?;
    entries.into_iter().for_each(take);
    Ok(())
}
