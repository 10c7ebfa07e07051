//! Packs: entries of a log in one zstd frame (SPEC §4.4; RFC 8878).
//!
//! A pack is trusted for nothing: its entries count once the tree that they make has the signed
//! root. Here are its places, its bounds and its two directions.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read as _, Take, Write as _};

use zstd::stream::{Decoder, Encoder};

use crate::limits::{
    MAX_PACK, MAX_PACK_BASE, MAX_PACK_INFLATED, MAX_PACKED_ENTRY, MAX_WINDOW_LOG, TILE_WIDTH,
};

#[cfg(test)]
mod tests;
mod text;

use text::GroupHead;

const WIDTH: u64 = TILE_WIDTH as u64;
/// Entries of a group of a tail pack. Smaller ones cost bytes, larger ones those who want few entries.
pub const TAIL_GROUP: usize = 16;
/// The highest level of packs.
pub const MAX_PACK_LEVEL: u8 = 2;

/// Entries that a full pack of `level` holds: 256·16^level.
pub fn pack_span(level: u8) -> u64 {
    WIDTH << (4 * u32::from(level))
}

/// The first entry that the tail pack of a log of `size` entries holds: it has the bundle of the last
/// entry and the one before, so 257 entries at least where there are so many, and 512 at most.
pub fn tail_start(size: u64) -> u64 {
    size.div_ceil(WIDTH).saturating_sub(2) * WIDTH
}

/// Most bytes that a pack of so many entries has as stored, at most [`MAX_PACK`]. Entries that take more
/// are read from bundles.
pub fn max_pack_length(entries: u64) -> u64 {
    entries.saturating_mul(MAX_PACKED_ENTRY).saturating_add(MAX_PACK_BASE).min(MAX_PACK)
}

/// Which entries a pack holds, and in which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// A run of full bundles, the oldest entry first.
    Bundles,
    /// The last entries of a log, the newest first, so that a reader takes only the beginning.
    Tail,
}

impl Order {
    /// Entries that are put into one group. Whoever has the bytes of a group can read it, whatever
    /// comes behind.
    fn group(self) -> usize {
        match self {
            Self::Bundles => TILE_WIDTH,
            Self::Tail => TAIL_GROUP,
        }
    }
}

/// Compresses entries at zstd `level`. They come in the order of the pack: of a tail the newest first.
/// None where the pack would be larger than readers take: they or what it inflates to have more than
/// [`MAX_PACK_INFLATED`] bytes, or it has more than [`max_pack_length`].
pub fn compress<'e>(
    order: Order,
    entries: impl IntoIterator<Item = &'e [u8]>,
    level: i32,
) -> io::Result<Option<Vec<u8>>> {
    let (mut parts, mut total) = (Vec::new(), 0);
    let (mut count, mut said) = (0, 0);
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        let (mut head, mut text) = (GroupHead::default(), Vec::new());
        for entry in entries.by_ref().take(order.group()) {
            head.push(&mut text, entry);
            count += 1;
            said += entry.len() as u64;
        }
        let head = head.to_bytes();
        total += (head.len() + text.len()) as u64;
        if total.max(said) > MAX_PACK_INFLATED {
            return Ok(None);
        }
        parts.extend([head, text]);
    }
    let mut encoder = Encoder::new(Vec::new(), level)?;
    encoder.window_log(MAX_WINDOW_LOG)?;
    encoder.include_checksum(false)?;
    encoder.set_pledged_src_size(Some(total))?;
    for part in parts {
        // hashes and texts in blocks of their own: what cannot be compressed stays out of the tables
        // by which the other is
        encoder.write_all(&part)?;
        encoder.flush()?;
    }
    let pack = encoder.finish()?;
    Ok((pack.len() as u64 <= max_pack_length(count)).then_some(pack))
}

/// Why a pack's entries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No zstd frame, one beyond its bounds, one that ends within an entry, or bytes after it.
    #[error("pack is malformed")]
    Malformed(#[from] io::Error),
    /// More entries than the pack's place says.
    #[error("pack has more than the {expected} entries that its place says")]
    Count {
        /// Entries that were expected.
        expected: u64,
    },
}

impl PackError {
    /// Whether there are too few bytes, as there are of a pack of which only the beginning is there.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Malformed(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }
}

/// Reads the entries of a pack one by one, holding one and the hashes of its group in memory. Entries
/// are handed out before the end of the pack is known to be good.
pub struct PackReader<R: BufRead> {
    inflated: BufReader<Take<Decoder<'static, R>>>,
    /// Entries that the pack has, where that is known.
    count: Option<u64>,
    /// Entries that were handed out.
    done: u64,
    /// Bytes that entries may still have: a byte of a pack may stand for many.
    left: u64,
    group: GroupHead,
    entry: Vec<u8>,
}

impl<R: BufRead> PackReader<R> {
    /// Reads a pack of `count` entries. Stops with an error beyond [`MAX_PACK_INFLATED`] bytes, in the
    /// frame or of entries, and at a window over 8 MiB.
    pub fn new(pack: R, count: u64) -> Result<Self, PackError> {
        Self::open(pack, Some(count))
    }

    /// Reads a pack of which it is not known how many entries it has.
    pub fn of_any_count(pack: R) -> Result<Self, PackError> {
        Self::open(pack, None)
    }

    fn open(pack: R, count: Option<u64>) -> Result<Self, PackError> {
        let mut decoder = Decoder::with_buffer(pack)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        let inflated = BufReader::with_capacity(1 << 16, decoder.take(MAX_PACK_INFLATED));
        let (left, group, entry) = (MAX_PACK_INFLATED, GroupHead::default(), Vec::new());
        Ok(Self { inflated, count, done: 0, left, group, entry })
    }

    /// The next entry. None after the last one, if the pack ends there.
    pub fn read(&mut self) -> Result<Option<&[u8]>, PackError> {
        if self.group.is_read() {
            self.group.check_end()?;
            let is_last = match self.count {
                Some(count) => self.done == count,
                None => self.inflated.fill_buf()?.is_empty(),
            };
            if is_last {
                return self.check_end().map(|()| None);
            }
            self.group = GroupHead::read(&mut self.inflated)?;
        }
        if let Some(expected) = self.count.filter(|count| self.done == *count) {
            return Err(PackError::Count { expected });
        }
        self.entry.clear();
        self.group.read_entry(&mut self.inflated, &mut self.entry)?;
        let left = self.left.checked_sub(self.entry.len() as u64);
        self.left = left.ok_or_else(|| invalid("entries of a pack have too many bytes"))?;
        self.done += 1;
        Ok(Some(&self.entry))
    }

    fn check_end(&mut self) -> Result<(), PackError> {
        if !self.inflated.fill_buf()?.is_empty() {
            return Err(PackError::Count { expected: self.done });
        }
        let pack = self.inflated.get_mut().get_mut().get_mut();
        if pack.fill_buf()?.is_empty() {
            Ok(())
        } else {
            Err(invalid("pack has bytes after its frame").into())
        }
    }

    /// The pack, as far as it was not read.
    pub fn into_inner(self) -> R {
        self.inflated.into_inner().into_inner().finish()
    }
}

impl<R: BufRead> fmt::Debug for PackReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PackReader")
            .field("count", &self.count)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
