//! The manifest: what an archive brings, removes and runs (SPEC §7, `manifest.json`).

mod delta;
mod file;
mod hooks;
mod raw;

use std::fmt;
use std::ops::Deref;

use crate::archive::Announced;
use crate::hash::Hash32;
use crate::json::{self, JsonError};
use crate::limits::{MAX_ARCHIVE, MAX_FILES, MAX_MANIFEST};
use crate::name::{PatchName, PatchVersion, Platform, Requirement};
use crate::relpath::RelPath;
use crate::tree;

pub use delta::{Bases, BasesError, Delta, DeltaEntryError, Deltas};
pub use file::{
    FileEntry, FileError, FileKind, FileMeta, LinkTarget, MAX_OWNER_NAME, MAX_XATTR_NAME, Mode,
    Owner, Xattrs,
};
pub use hooks::{HookPath, HookPathError, Hooks};
use raw::RawManifest;

/// The manifest's `type`.
pub const MANIFEST_TYPE: &str = "manifest/v1";

/// A part that no path of a manifest may have: the client's own directories, where it keeps what it
/// stages and what it would put back.
pub const RESERVED_PART: &str = ".patchctl";

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MAX_MANIFEST`].
    #[error("manifest has {0} bytes, the limit is {MAX_MANIFEST}")]
    TooLarge(u64),
    /// Not strict JSON of the manifest's shape.
    #[error("manifest: {0}")]
    Json(#[from] JsonError),
    /// More than [`MAX_FILES`] files, or paths to remove.
    #[error("manifest member `{0}` has more than {MAX_FILES} elements")]
    TooMany(&'static str),
    /// One file's members do not fit together.
    #[error("manifest file {path:?}: {reason}")]
    File {
        /// The file.
        path: RelPath,
        /// What is wrong.
        reason: FileError,
    },
    /// One file's delta is refused.
    #[error("manifest file {path:?}: {reason}")]
    Delta {
        /// The file.
        path: RelPath,
        /// What is wrong.
        reason: DeltaEntryError,
    },
    /// The manifest has deltas and not the hash of what they are changes to, or the reverse.
    #[error("manifest member `bases` stands where there are deltas, and only there")]
    Bases,
    /// Paths are not in ascending byte order, or one is there twice.
    #[error("manifest member `{list}` is not in strictly ascending order at {path:?}")]
    Order {
        /// Which of the two lists.
        list: &'static str,
        /// The first path that is not above its predecessor.
        path: RelPath,
    },
    /// A path lies below one that is no directory.
    #[error("manifest file {path:?} lies below {above:?}, which is no directory")]
    BelowNonDirectory {
        /// The path.
        path: RelPath,
        /// The file or symlink above it.
        above: RelPath,
    },
    /// A path leads into the client's own directories.
    #[error("manifest path {0:?} has the part `{RESERVED_PART}`, which is the client's own")]
    Reserved(RelPath),
    /// A path is both brought and removed.
    #[error("manifest removes {0:?}, which it also brings")]
    RemovedAndBrought(RelPath),
    /// A full patch removes paths, though there is nothing before it.
    #[error("manifest removes {0:?}, but has no base")]
    RemoveWithoutBase(RelPath),
    /// The file sizes of a manifest exceed [`MAX_ARCHIVE`] together.
    #[error("manifest's files have more than {MAX_ARCHIVE} bytes together")]
    TooMuch,
    /// A full patch's files do not make the tree it names.
    #[error("manifest's files make tree {made}, but it names {named}")]
    Tree {
        /// `tree` of the manifest.
        named: Hash32,
        /// The hash of the listing of its files.
        made: Hash32,
    },
    /// The manifest contradicts its log entry.
    #[error("manifest's {field} is {manifest}, but the log entry's is {entry}")]
    Disagrees {
        /// The member.
        field: &'static str,
        /// What the manifest says.
        manifest: String,
        /// What the entry says.
        entry: String,
    },
}

/// A manifest that was checked: [`Manifest::parse`] and [`Manifest::new`] are the only ways to one.
/// Its members are read through [`ManifestParts`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest(ManifestParts);

/// The members of a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestParts {
    /// The patch's name.
    pub name: PatchName,
    /// The version that is installed after this patch.
    pub version: PatchVersion,
    /// What must be installed before; none for a full patch.
    pub base: Option<Requirement>,
    /// Where it may be installed.
    pub platform: Platform,
    /// Hash of the listing of all that is installed after this patch ([`tree`]).
    pub tree: Hash32,
    /// What the archive brings, in byte order of paths.
    pub files: Vec<FileEntry>,
    /// Those of `files` that come as changes to other files; none in a full patch.
    pub deltas: Option<Deltas>,
    /// What goes away, in byte order of paths; empty for a full patch.
    pub remove: Vec<RelPath>,
    /// What runs.
    pub hooks: Hooks,
}

impl Deref for Manifest {
    type Target = ManifestParts;

    fn deref(&self) -> &ManifestParts {
        &self.0
    }
}

impl Manifest {
    /// Sorts the lists of `parts` and checks all that a reader checks.
    pub fn new(mut parts: ManifestParts) -> Result<Self, ManifestError> {
        parts.files.sort_by(|left, right| left.path.cmp(&right.path));
        parts.remove.sort();
        Self::checked(parts)
    }

    /// Reads `manifest.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let length = bytes.len() as u64;
        if length > MAX_MANIFEST {
            return Err(ManifestError::TooLarge(length));
        }
        Self::checked(json::parse::<RawManifest>(bytes, MANIFEST_TYPE)?.try_into()?)
    }

    /// As [`Manifest::parse`], for a manifest that is announced with so many files: one with another
    /// number of them is refused before any of them takes memory, since until the end of its archive
    /// nobody knows whose manifest it is.
    pub fn parse_announced(bytes: &[u8], files: u64) -> Result<Self, ManifestError> {
        if let Some(found) = raw::count_files(bytes) {
            same("number of files", &found, &files)?;
        }
        Self::parse(bytes)
    }

    /// Writes `manifest.json`: one line and its newline. The same manifest gives the same bytes.
    pub fn to_json(&self) -> Vec<u8> {
        json::print_line(MANIFEST_TYPE, &RawManifest::from(self.0.clone()))
    }

    /// What is said of the delta that a file comes as; none where it comes whole.
    pub fn delta(&self, path: &RelPath) -> Option<&Delta> {
        self.deltas.as_ref()?.files.get(path)
    }

    /// Bytes of all files together, as they are when deltas are applied, and as the log entry's `archive.unpacked` has it.
    pub fn unpacked(&self) -> u64 {
        self.files.iter().map(FileEntry::size).sum()
    }

    /// Number of files, directories and symlinks, as the log entry's `archive.files` has it.
    pub fn file_count(&self) -> u64 {
        self.files.len() as u64
    }

    /// Checks that the manifest says what the log entry says.
    pub fn agrees_with(&self, announced: &Announced) -> Result<(), ManifestError> {
        let base = |base: &Option<Requirement>| match base {
            Some(requirement) => requirement.to_string(),
            None => "absent".into(),
        };
        same("name", &self.name, &announced.name)?;
        same("version", &self.version, &announced.version)?;
        same("base", &base(&self.base), &base(&announced.base))?;
        same("platform", &self.platform, &announced.platform)?;
        same("number of files", &self.file_count(), &announced.files)?;
        same("unpacked size", &self.unpacked(), &announced.unpacked)
    }

    fn checked(parts: ManifestParts) -> Result<Self, ManifestError> {
        if parts.files.len() as u64 > MAX_FILES {
            return Err(ManifestError::TooMany("files"));
        }
        if parts.remove.len() as u64 > MAX_FILES {
            return Err(ManifestError::TooMany("remove"));
        }
        ascending("files", parts.files.iter().map(|entry| &entry.path))?;
        ascending("remove", parts.remove.iter())?;
        nothing_below_files(&parts.files)?;
        let mut paths = parts.files.iter().map(|entry| &entry.path).chain(&parts.remove);
        if let Some(path) = paths.find(|path| path.parts().any(|part| part == RESERVED_PART)) {
            return Err(ManifestError::Reserved(path.clone()));
        }
        let mut unpacked = 0_u64;
        for entry in &parts.files {
            // each is at most MAX_ARCHIVE, so the sum of two cannot overflow
            unpacked += entry.size();
            if entry.size() > MAX_ARCHIVE || unpacked > MAX_ARCHIVE {
                return Err(ManifestError::TooMuch);
            }
        }
        let brought =
            |path: &&RelPath| parts.files.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
        if let Some(path) = parts.remove.iter().find(brought) {
            return Err(ManifestError::RemovedAndBrought(path.clone()));
        }
        if let Some(deltas) = &parts.deltas {
            if deltas.files.is_empty() {
                return Err(ManifestError::Bases);
            }
            deltas.check(&parts.files, parts.base.is_none())?;
        }
        if parts.base.is_none() {
            if let Some(path) = parts.remove.first() {
                return Err(ManifestError::RemoveWithoutBase(path.clone()));
            }
            let made = tree::listing_hash(&parts.files);
            if made != parts.tree {
                return Err(ManifestError::Tree { named: parts.tree, made });
            }
        }
        Ok(Self(parts))
    }
}

fn same<T: PartialEq + fmt::Display>(
    field: &'static str,
    manifest: &T,
    entry: &T,
) -> Result<(), ManifestError> {
    if manifest == entry {
        return Ok(());
    }
    let (manifest, entry) = (manifest.to_string(), entry.to_string());
    Err(ManifestError::Disagrees { field, manifest, entry })
}

fn ascending<'a>(
    list: &'static str,
    paths: impl Iterator<Item = &'a RelPath> + Clone,
) -> Result<(), ManifestError> {
    match paths.clone().zip(paths.skip(1)).find(|(left, right)| left >= right) {
        Some((_, path)) => Err(ManifestError::Order { list, path: path.clone() }),
        None => Ok(()),
    }
}

/// Looks below each file rather than above each path: a path may have 2,047 directories above it, and
/// a manifest thousands of such paths. `files` are in byte order.
fn nothing_below_files(files: &[FileEntry]) -> Result<(), ManifestError> {
    for entry in files.iter().filter(|entry| !entry.is_directory()) {
        let inside = format!("{}/", entry.path);
        let place = files.partition_point(|other| other.path.as_str() < inside.as_str());
        if let Some(below) = files.get(place)
            && below.path.as_str().starts_with(&inside)
        {
            let (path, above) = (below.path.clone(), entry.path.clone());
            return Err(ManifestError::BelowNonDirectory { path, above });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
