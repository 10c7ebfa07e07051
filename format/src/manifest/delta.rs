//! What a manifest says of files that come as changes to other files (SPEC §7.1).

use std::collections::{BTreeMap, BTreeSet};

use super::{FileEntry, ManifestError};
use crate::hash::{Hash32, Hasher};
use crate::manifest::{FileKind, FileMeta};
use crate::relpath::RelPath;
use crate::tree::Tree;

/// The files of a manifest that come as changes to other files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deltas {
    /// [`Bases::hash`] of the files that they are changes to.
    pub bases: Hash32,
    /// Each by the path of the file that it makes. Not empty.
    pub files: BTreeMap<RelPath, Delta>,
}

/// A file's changes to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The file that it is changes to, where that is not the one at the same path.
    pub from: Option<RelPath>,
    /// Bytes of the delta; at most those of the file that it makes.
    pub bytes: u64,
}

/// The files that the deltas of a manifest are changes to, by their paths before the patch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bases(BTreeMap<RelPath, FileMeta>);

/// Why one file's delta is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaEntryError {
    /// It stands in a full patch.
    #[error("a full patch has no deltas")]
    Full,
    /// It is no regular file of the manifest, or is configuration, which a machine may have changed.
    #[error("only a regular file that is no configuration may come as a delta")]
    Kind,
    /// The delta has more bytes than what it makes.
    #[error("its delta has {bytes} bytes, more than its {size}")]
    Size {
        /// Bytes of the delta.
        bytes: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The base is named although it has the same path.
    #[error("its delta is from its own path, which is not said")]
    OwnPath,
}

/// Why a manifest's deltas do not fit what is there before the patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BasesError {
    /// A file is not there, or is none.
    #[error("the patch has changes to {0:?}, which is no file of the version before it")]
    NotThere(RelPath),
    /// The files are others.
    #[error(
        "the patch has changes to files of another version: theirs is {named}, here it is {made}"
    )]
    Others {
        /// `bases` of the manifest.
        named: Hash32,
        /// The hash of the files that are there.
        made: Hash32,
    },
}

impl Delta {
    /// The path of the file that it is changes to, before the patch; `path` is the one that it makes.
    pub fn base<'d>(&'d self, path: &'d RelPath) -> &'d RelPath {
        self.from.as_ref().unwrap_or(path)
    }
}

impl Deltas {
    /// The paths of the files that they are changes to.
    pub fn base_paths(&self) -> BTreeSet<&RelPath> {
        self.files.iter().map(|(path, delta)| delta.base(path)).collect()
    }

    /// The files that they are changes to, as they are in `before`, the tree before the patch; they
    /// must be the ones that the deltas were made from.
    pub fn bases(&self, before: &Tree) -> Result<Bases, BasesError> {
        let bases = Bases::find(self.base_paths(), before)?;
        let (named, made) = (self.bases, bases.hash());
        if named == made { Ok(bases) } else { Err(BasesError::Others { named, made }) }
    }

    /// Checks the deltas beside the files that they make, which are in byte order of paths.
    pub(super) fn check(&self, files: &[FileEntry], is_full: bool) -> Result<(), ManifestError> {
        for (path, delta) in &self.files {
            let check = || {
                if is_full {
                    return Err(DeltaEntryError::Full);
                }
                let place = files.binary_search_by(|entry| entry.path.cmp(path));
                let file = place.ok().and_then(|place| files[place].as_file());
                let file = file.filter(|file| !file.config).ok_or(DeltaEntryError::Kind)?;
                if delta.bytes > file.size {
                    return Err(DeltaEntryError::Size { bytes: delta.bytes, size: file.size });
                }
                let says_own = delta.from.as_ref() == Some(path);
                if says_own { Err(DeltaEntryError::OwnPath) } else { Ok(()) }
            };
            check().map_err(|reason| ManifestError::Delta { path: path.clone(), reason })?;
        }
        Ok(())
    }
}

impl Bases {
    /// The files at `paths` of a tree.
    pub fn find<'p>(
        paths: impl IntoIterator<Item = &'p RelPath>,
        tree: &Tree,
    ) -> Result<Self, BasesError> {
        let find = |path: &'p RelPath| match tree.get(path) {
            Some(FileKind::File(file)) => Ok((path.clone(), file.clone())),
            _ => Err(BasesError::NotThere(path.clone())),
        };
        paths.into_iter().map(find).collect::<Result<_, _>>().map(Self)
    }

    /// One of the files.
    pub fn get(&self, path: &RelPath) -> Option<&FileMeta> {
        self.0.get(path)
    }

    /// SHA-256 of one line `SIZE SHA256 PATH\n` a file, in byte order of paths.
    pub fn hash(&self) -> Hash32 {
        let mut hasher = Hasher::new();
        for (path, file) in &self.0 {
            hasher.update(format!("{} {} {path}\n", file.size, file.sha256).as_bytes());
        }
        hasher.finish()
    }
}
