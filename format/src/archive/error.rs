//! What can be wrong with an archive.

use std::io;

use crate::delta::DeltaError;
use crate::hash::Hash32;
use crate::limits::{MAX_ARCHIVE, MAX_HOOK, MAX_MANIFEST};
use crate::manifest::{ManifestError, Mode};
use crate::relpath::{RelPath, RelPathError};

/// Why an archive is refused. Sizes are in bytes; member names are cut to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The source could not be read. Says nothing about the archive.
    #[error("reading the archive failed: {message}")]
    Io {
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the source says.
        message: String,
    },
    /// The log entry announces more than [`MAX_ARCHIVE`].
    #[error("archive is announced with {0} bytes, the limit is {MAX_ARCHIVE}")]
    Announced(u64),
    /// The archive goes on beyond its size. Reading stopped at the first excess byte.
    #[error("archive has more than its {announced} bytes")]
    TooLong {
        /// The most bytes it may have.
        announced: u64,
    },
    /// The archive ends before its size.
    #[error("archive ends after {found} of {announced} bytes")]
    TooShort {
        /// The size that the log entry has.
        announced: u64,
        /// The bytes that there were.
        found: u64,
    },
    /// The archive's SHA-256 is another.
    #[error("archive has SHA-256 {found}, announced is {announced}")]
    Hash {
        /// The SHA-256 that the log entry has.
        announced: Hash32,
        /// The SHA-256 of what was read.
        found: Hash32,
    },
    /// The archive does not begin with a zstd frame (a skippable frame is none).
    #[error("archive does not begin with a zstd frame")]
    Magic,
    /// The zstd frame is damaged, asks for a window above 8 MiB, or for a dictionary.
    #[error("archive's zstd frame is refused: {0}")]
    Frame(String),
    /// The archive goes on after its zstd frame.
    #[error("archive has bytes after its zstd frame")]
    AfterFrame,
    /// The tar ends in the middle of a member or without its end marker.
    #[error("archive's tar ends in the middle")]
    Truncated,
    /// The tar goes on after its end marker.
    #[error("archive's tar has bytes after its end marker")]
    AfterEnd,
    /// The first member is not `manifest.json` in its one form.
    #[error("archive's first member is not manifest.json")]
    NoManifest,
    /// The manifest's member is larger than [`MAX_MANIFEST`].
    #[error("manifest.json has {0} bytes, the limit is {MAX_MANIFEST}")]
    ManifestSize(u64),
    /// The manifest is refused, by itself or beside the log entry.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A hook is larger than [`MAX_HOOK`].
    #[error("member {member:?} has {size} bytes, the limit is {MAX_HOOK}")]
    HookSize {
        /// The member.
        member: String,
        /// Its size.
        size: u64,
    },
    /// A member that the manifest names is not in the tar, or not at its place in the order.
    #[error("member {0:?} is missing: it is in the manifest, but not in its place in the tar")]
    Missing(String),
    /// A member that the manifest does not name.
    #[error("member {0:?} is not in the manifest")]
    Unlisted(String),
    /// A member that was there before, or that stands behind its place in the order.
    #[error("member {0:?} is there twice or out of order")]
    Repeated(String),
    /// A member's name is no payload path.
    #[error("member {member:?} is refused: {reason}")]
    UnsafePath {
        /// The member, as far as it is text.
        member: String,
        /// What is wrong with it.
        reason: RelPathError,
    },
    /// A member is neither a regular file, a directory nor a symlink.
    #[error("member {member:?} is {kind}, which no archive may hold")]
    Forbidden {
        /// The member.
        member: String,
        /// What it is.
        kind: &'static str,
    },
    /// A member is of another kind than the manifest says.
    #[error("member {member:?} is {found}, the manifest says {expected}")]
    Kind {
        /// The member.
        member: String,
        /// What the manifest says.
        expected: &'static str,
        /// What the tar says.
        found: &'static str,
    },
    /// A member has another mode than the manifest says.
    #[error("member {member:?} has mode {found:04o}, the manifest says {expected}")]
    Mode {
        /// The member.
        member: String,
        /// What the manifest says.
        expected: Mode,
        /// What the tar says.
        found: u64,
    },
    /// A member has another size than the manifest says.
    #[error("member {member:?} has {found} bytes, the manifest says {expected}")]
    Size {
        /// The member.
        member: String,
        /// What the manifest says.
        expected: u64,
        /// What the tar says.
        found: u64,
    },
    /// A symlink points elsewhere than the manifest says.
    #[error("member {member:?} points to {found:?}, the manifest says {expected:?}")]
    Target {
        /// The member.
        member: String,
        /// What the manifest says.
        expected: String,
        /// What the tar says.
        found: String,
    },
    /// A member names an owner; the manifest alone says who owns a file.
    #[error("member {member:?} has user {user} and group {group} in the tar, not 0 and 0")]
    Ids {
        /// The member.
        member: String,
        /// The user's number.
        user: u64,
        /// The group's number.
        group: u64,
    },
    /// A member's header is not in the one form that SPEC §7 gives it.
    #[error("member {member:?} has a header of another form: {field}")]
    Header {
        /// The member.
        member: String,
        /// The part of the header.
        field: &'static str,
    },
    /// The bytes that fill a member up to a whole block are not zero.
    #[error("member {0:?} is not padded with zeros")]
    Padding(String),
    /// A file's content has another SHA-256 than the manifest says.
    #[error("file {path:?} has SHA-256 {found}, the manifest says {expected}")]
    Content {
        /// The file.
        path: RelPath,
        /// What the manifest says.
        expected: Hash32,
        /// The SHA-256 of the content.
        found: Hash32,
    },
    /// A delta is damaged, or was made for another base.
    #[error("delta of {path:?} is refused: {reason}")]
    Delta {
        /// The file that it would make.
        path: RelPath,
        /// What is wrong with it.
        reason: DeltaError,
    },
}

impl ArchiveError {
    /// Takes the archive's error out of one that came from reading a member's content; gives back
    /// an error that has another origin, such as the disk that was copied to.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(inner) => Ok(inner.clone()),
            None => Err(error),
        }
    }
}

impl From<ArchiveError> for io::Error {
    fn from(error: ArchiveError) -> Self {
        let kind = match &error {
            ArchiveError::Io { kind, .. } => *kind,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
