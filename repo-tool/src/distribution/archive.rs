//! Checking an archive as a whole (SPEC §7): that it is what the collection signed.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use countersign_format::archive::ArchiveReader;
use countersign_format::entry::PatchEntry;
use countersign_format::layout;

use super::DistributionError;

/// Reads the archive `file`, found at `path`, to its end: hash, bounds, and that it agrees with
/// its log entry.
pub(super) fn check(
    file: &mut File,
    path: &Path,
    entry: &PatchEntry,
) -> Result<(), DistributionError> {
    file.rewind().map_err(DistributionError::io("read", path))?;
    ArchiveReader::open(BufReader::new(file), &entry.announced())
        .and_then(ArchiveReader::finish)
        .map_err(|source| DistributionError::Archive {
        identity: Box::new(entry.identity()),
        path: layout::archive(&entry.archive.sha256),
        source: Box::new(source),
    })?;
    Ok(())
}
