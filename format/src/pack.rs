//! Packs: runs of entry bundles as one zstd frame (SPEC §4.4; RFC 8878).
//!
//! A pack is trusted for nothing: its entries count once the tree that they make has the signed
//! root. Here are its places, its bounds and its two directions.

use std::io::{self, Read};

use crate::limits::{MAX_PACK_INFLATED, MAX_WINDOW_LOG, TILE_WIDTH};

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
