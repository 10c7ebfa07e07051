//! Reading the beginning of a tail pack: its newest entries (SPEC §4.4).

use countersign_format::layout::RepoPath;
use countersign_format::pack::{PackError, PackReader, TAIL_GROUP, max_pack_length, tail_start};

use super::ask::unless_too_large;
use crate::error::GetError;
use crate::source::{Get, Got, Source};

/// Bytes that an entry with a summary line has in a tail pack, generously: too few cost a request more.
const ENTRY: u64 = 95;
/// Entries that are read only together, or not at all.
const GROUP: u64 = TAIL_GROUP as u64;
/// Bytes that come before the first entry, and that compression is not yet good for.
const BEGINNING: u64 = 300;
/// How often a part is asked for before the rest is.
const PARTS: usize = 2;

/// The last `wanted` entries of a log of `size`, the oldest first, from its tail pack. None where there
/// is none, or no good one: a log can do without.
pub(super) async fn read(
    source: &Source,
    path: &RepoPath,
    size: u64,
    wanted: u64,
) -> Result<Option<Vec<Vec<u8>>>, GetError> {
    let limit = max_pack_length(size - tail_start(size));
    let mut pack = Vec::new();
    let mut length = Some(BEGINNING + wanted.next_multiple_of(GROUP) * ENTRY);
    for part in 1.. {
        let have = pack.len() as u64;
        let request = Get::up_to(limit).range(have, length.filter(|_| part <= PARTS));
        let is_all = match unless_too_large(source.get(path, &request).await)? {
            Got::Whole { bytes, .. } => {
                pack = bytes;
                true
            }
            Got::Part { bytes, total } => {
                pack.extend_from_slice(&bytes);
                bytes.is_empty() || part > PARTS || total == Some(pack.len() as u64)
            }
            Got::NotFound | Got::NotModified => return Ok(None),
        };
        let Ok(mut newest) = newest(&pack, size, wanted) else { return Ok(None) };
        let found = newest.len() as u64;
        if found == wanted {
            newest.reverse();
            return Ok(Some(newest));
        }
        if is_all || pack.len() as u64 > limit {
            return Ok(None);
        }
        // as much again as those that came would take, and some more
        let each = (pack.len() as u64 / found.max(1)).max(ENTRY);
        length = Some(BEGINNING + (wanted - found).next_multiple_of(GROUP) * each * 5 / 4);
    }
    Ok(None)
}

/// At most `wanted` entries of a tail pack of which only the beginning may be there.
fn newest(pack: &[u8], size: u64, wanted: u64) -> Result<Vec<Vec<u8>>, PackError> {
    let mut entries = Vec::new();
    let mut reader = PackReader::new(pack, size - tail_start(size))?;
    while (entries.len() as u64) < wanted {
        match reader.read() {
            Ok(Some(entry)) => entries.push(entry.to_vec()),
            Ok(None) => break,
            Err(error) if error.is_end() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}
