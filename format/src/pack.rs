//! Packs: runs of entry bundles as one zstd frame (SPEC §4.4; RFC 8878).
//!
//! A pack is trusted for nothing: its entries count once the tree that they make has the signed
//! root. Here are its places, its bounds and its two directions.

use std::io::{self, Read};

use crate::limits::{MAX_ENTRY, MAX_PACK_INFLATED, MAX_WINDOW_LOG, TILE_WIDTH};

/// The highest level of packs.
pub const MAX_PACK_LEVEL: u8 = 2;

/// Entries that a full pack of `level` holds: 256·16^level.
pub fn pack_span(level: u8) -> u64 {
    (TILE_WIDTH as u64) << (4 * u32::from(level))
}

/// Compresses a run of bundles, at zstd `level`.
pub fn compress(bundles: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), level)?;
    encoder.window_log(MAX_WINDOW_LOG)?;
    encoder.include_checksum(false)?;
    encoder.set_pledged_src_size(Some(bundles.len() as u64))?;
    io::copy(&mut &*bundles, &mut encoder)?;
    encoder.finish()
}

/// Inflates a pack; stops with an error of kind [`io::ErrorKind::InvalidData`] beyond
/// [`MAX_PACK_INFLATED`] bytes, at a window over 8 MiB, or at bytes after the frame.
pub fn inflate(pack: &[u8]) -> io::Result<Vec<u8>> {
    let mut rest = pack;
    let mut bundles = Vec::new();
    {
        let mut decoder = zstd::stream::Decoder::with_buffer(&mut rest)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        decoder.by_ref().take(MAX_PACK_INFLATED + 1).read_to_end(&mut bundles)?;
    }
    if bundles.len() as u64 > MAX_PACK_INFLATED {
        return Err(invalid("pack inflates beyond its bound"));
    }
    if !rest.is_empty() {
        return Err(invalid("pack has bytes after its frame"));
    }
    Ok(bundles)
}

/// Why a pack's entries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackError<E> {
    /// No zstd frame, one beyond its bounds, one that ends within an entry, or bytes after it.
    #[error("pack is malformed")]
    Malformed(#[source] io::Error),
    /// More or fewer entries than the pack's place says.
    #[error("pack has not the {expected} entries that its place says")]
    Count {
        /// Entries that were expected.
        expected: u64,
    },
    /// Whoever takes the entries gave up.
    #[error(transparent)]
    Taker(E),
}

/// Hands out the entries of a pack one by one, without holding more than one in memory. Entries are
/// handed out before the end of the pack is known to be good.
pub fn for_each_entry<E>(
    pack: &[u8],
    count: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), PackError<E>> {
    let mut rest = pack;
    let mut entry = vec![0; MAX_ENTRY];
    {
        let malformed = PackError::Malformed;
        let mut decoder =
            zstd::stream::Decoder::with_buffer(&mut rest).map_err(malformed)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(malformed)?;
        let mut bundles = io::BufReader::with_capacity(1 << 16, decoder.take(MAX_PACK_INFLATED));
        for _ in 0..count {
            let mut length = [0; 2];
            bundles.read_exact(&mut length).map_err(malformed)?;
            let length = usize::from(u16::from_be_bytes(length));
            let Some(entry) = entry.get_mut(..length) else {
                return Err(malformed(invalid("entry is longer than entries may be")));
            };
            bundles.read_exact(entry).map_err(malformed)?;
            take(entry).map_err(PackError::Taker)?;
        }
        if bundles.read(&mut [0]).map_err(malformed)? != 0 {
            return Err(PackError::Count { expected: count });
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(PackError::Malformed(invalid("pack has bytes after its frame")))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_spans() {
        let bundles = b"\x00\x03one".repeat(1000);
        let pack = compress(&bundles, 3).expect("compressed");
        assert!(pack.len() < 100);
        assert_eq!(inflate(&pack).expect("inflated"), bundles);
        assert_eq!([0, 1, 2].map(pack_span), [256, 4096, 65_536]);
    }

    #[test]
    fn entries_come_one_by_one() {
        let read = |pack: &[u8], count| {
            let mut entries = Vec::new();
            let take = |entry: &[u8]| {
                entries.push(entry.to_vec());
                Ok::<_, std::convert::Infallible>(())
            };
            for_each_entry(pack, count, take).map(|()| entries)
        };
        let mut pack = compress(b"\x00\x03one\x00\x00\x00\x03two", 3).expect("compressed");
        let entries = read(&pack, 3).expect("three entries");
        assert_eq!(entries, [b"one".to_vec(), Vec::new(), b"two".to_vec()]);
        assert!(matches!(read(&pack, 2), Err(PackError::Count { expected: 2 })));
        assert!(matches!(read(&pack, 4), Err(PackError::Malformed(_))));
        pack.push(0);
        assert!(matches!(read(&pack, 3), Err(PackError::Malformed(_))));
        let long = compress(b"\xff\xff", 3).expect("compressed");
        assert!(matches!(read(&long, 1), Err(PackError::Malformed(_))));
    }

    #[test]
    fn stops_at_bombs_and_leftovers() {
        let over = usize::try_from(MAX_PACK_INFLATED).expect("64 bits") + 1;
        let bomb = compress(&vec![0; over], 1).expect("compressed");
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
        let mut pack = compress(b"x", 1).expect("compressed");
        pack.push(0);
        assert!(inflate(&pack).is_err());
        pack.truncate(4);
        assert!(inflate(&pack).is_err());
    }
}
