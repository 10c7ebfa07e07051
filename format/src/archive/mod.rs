//! The archive (`.patch`): one zstd frame of one pax tar (SPEC §7; RFC 8878; POSIX `pax`).

use crate::hash::Hash32;
use crate::name::{PatchName, PatchVersion, Platform, Requirement};

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
