//! The archive (`.patch`): one zstd frame of one pax tar (SPEC §7; RFC 8878; POSIX `pax`).
//!
//! ```text
//! manifest.json        what the patch brings, removes and runs
//! hooks/<name>         the programs that the manifest names, in byte order
//! files/<path>         every path of the manifest, in its order
//! deltas/<path>        in the place of one that comes as changes to another file
//! two blocks of zeros
//! ```
//!
//! The manifest settles every byte of the tar but the files' content, the hooks, and one
//! modification time that all members share. A reader therefore compares instead of interpreting:
//! a member in another form is refused, however harmless.

mod diagnose;
mod error;
mod frame;
mod header;
mod read;
mod write;

use crate::hash::Hash32;
use crate::manifest::Manifest;
use crate::name::{PatchName, PatchVersion, Platform, Requirement};

pub use error::ArchiveError;
pub use read::{ArchiveReader, Checked, Content, Member};
pub use write::{MAX_LEVEL, MAX_TIME, WriteError, WriteOptions, write_archive};

/// What a log entry says of an archive. The archive must agree with all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// The patch's name.
    pub name: PatchName,
    /// The version that is installed after it.
    pub version: PatchVersion,
    /// What must be installed before; none for a full patch.
    pub base: Option<Requirement>,
    /// Where it may be installed.
    pub platform: Platform,
    /// Bytes of the archive.
    pub size: u64,
    /// SHA-256 of the archive.
    pub sha256: Hash32,
    /// Bytes of all files together.
    pub unpacked: u64,
    /// Number of files, directories and symlinks.
    pub files: u64,
}

impl Announced {
    /// What a log entry has to say of an archive of this manifest, size and hash.
    pub fn of(manifest: &Manifest, size: u64, sha256: Hash32) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            base: manifest.base.clone(),
            platform: manifest.platform.clone(),
            size,
            sha256,
            unpacked: manifest.unpacked(),
            files: manifest.file_count(),
        }
    }
}

/// Checks a whole archive in memory against what its log entry announces.
pub fn check(bytes: &[u8], announced: &Announced) -> Result<Checked, ArchiveError> {
    ArchiveReader::open(bytes, announced)?.finish()
}

/// Checks a whole archive in memory that no log entry announces.
pub fn check_unannounced(bytes: &[u8]) -> Result<Checked, ArchiveError> {
    ArchiveReader::open_unannounced(bytes)?.finish()
}

#[cfg(test)]
mod tests;
