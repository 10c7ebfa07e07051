//! Checking an archive (SPEC §7): that it is what the collection signed.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::Path;

use countersign_format::archive::{ArchiveError, ArchiveReader};
use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hasher;
use countersign_format::layout;

use super::DistributionError;

/// As [`check`], of all of `file`, found at `path`.
pub(super) fn check_file(
    mut file: &File,
    path: &Path,
    entry: &PatchEntry,
) -> Result<(), DistributionError> {
    file.rewind().map_err(DistributionError::io("read", path))?;
    check(BufReader::new(file), entry)
}

/// Reads an archive to its end: hash, bounds, and that it agrees with its log entry.
pub(super) fn check(archive: impl Read, entry: &PatchEntry) -> Result<(), DistributionError> {
    ArchiveReader::open(archive, &entry.announced()).and_then(ArchiveReader::finish).map_err(
        |source| DistributionError::Archive {
            identity: Box::new(entry.identity()),
            path: layout::archive(&entry.archive.sha256),
            source: Box::new(source),
        },
    )?;
    Ok(())
}

/// How much is read at once.
const PIECE: usize = 128 * 1024;

/// Reads the archive at `path` to its end and compares its hash with that of its log entry. One that
/// was checked as a whole before is still what it was.
pub(super) fn check_hash(path: &Path, entry: &PatchEntry) -> Result<(), DistributionError> {
    let hash = || {
        let (mut file, mut hasher) = (File::open(path)?, Hasher::new());
        let room = usize::try_from(entry.archive.size).unwrap_or(PIECE).clamp(1, PIECE);
        let mut piece = vec![0; room];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&piece[..read]),
            }
        }
    };
    let (announced, found) =
        (entry.archive.sha256, hash().map_err(DistributionError::io("read", path))?);
    if found == announced {
        return Ok(());
    }
    Err(DistributionError::Archive {
        identity: Box::new(entry.identity()),
        path: layout::archive(&announced),
        source: Box::new(ArchiveError::Hash { announced, found }),
    })
}
