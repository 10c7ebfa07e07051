//! Files that come as changes to others (SPEC §7.1): finds what they are changes to, and makes sure
//! that it is as it was when they were made.
//!
//! System calls: those of [`Root`] and [`object`], and `pread`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use countersign_format::delta::DeltaReader;
use countersign_format::manifest::{Bases, BasesError, Delta, FileEntry, FileMeta, Manifest};
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;

use super::unpack::StagedFile;
use crate::object;
use crate::root::{Resolver, Root, RootError};
use crate::stage::{Area, Areas};

/// Why what a patch has changes to is not there as it was when they were made. A full patch of the
/// same version needs none of it.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The patch was made from another tree.
    #[error(transparent)]
    Tree(#[from] BasesError),
    /// A file was removed, or something else is in its place.
    #[error("/{path}, to which it has changes, is no file here")]
    NotThere {
        /// The file, relative to the root.
        path: RelPath,
        /// What came of opening it.
        source: io::Error,
    },
    /// A file was changed on this machine.
    #[error("/{0}, to which it has changes, is not as it was installed")]
    Changed(RelPath),
    /// A file cannot be read.
    #[error("cannot read /{path}, to which it has changes")]
    Read {
        /// The file, relative to the root.
        path: RelPath,
        /// Why.
        source: io::Error,
    },
    /// What earlier patches of the chain brought cannot be looked for.
    #[error("cannot open what was staged")]
    Staging(#[source] io::Error),
    /// A file cannot be reached.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// The files that one archive has changes to.
#[derive(Debug)]
pub(super) struct BaseFiles<'b> {
    bases: Bases,
    /// What earlier archives of the chain brought: it counts for more than what is installed.
    staged: &'b BTreeMap<RelPath, StagedFile>,
    /// The staging directory of each working area, where there is anything to be looked for.
    staging: Vec<OwnedFd>,
}

/// A file that is as it was when changes to it were made.
#[derive(Debug)]
pub(super) struct BaseFile {
    file: File,
    size: u64,
}

impl<'b> BaseFiles<'b> {
    /// Those of a manifest in the tree before it.
    pub fn new(
        manifest: &Manifest,
        before: &Tree,
        staged: &'b BTreeMap<RelPath, StagedFile>,
        areas: &Areas<'_>,
    ) -> Result<Self, BaseError> {
        let Some(deltas) = &manifest.deltas else {
            return Ok(Self { bases: Bases::default(), staged, staging: Vec::new() });
        };
        let own = |area: &Area| area.staging().try_clone_to_owned();
        let staging =
            areas.iter().map(own).collect::<Result<_, _>>().map_err(BaseError::Staging)?;
        Ok(Self { bases: deltas.bases(before)?, staged, staging })
    }

    /// Opens what `delta` is changes to, and reads it to its end to see that it is that. What is done
    /// with it afterwards is done with what was opened here.
    pub fn open(
        &self,
        delta: &Delta,
        entry: &FileEntry,
        (root, walker): (&Root, &mut Resolver<'_>),
    ) -> Result<BaseFile, BaseError> {
        let path = delta.base(&entry.path);
        let expected = self.bases.get(path).ok_or_else(|| BasesError::NotThere(path.clone()))?;
        let not_there = |source| BaseError::NotThere { path: path.clone(), source };
        let mut file = if let Some(StagedFile { area, spot, .. }) = self.staged.get(path) {
            let directory = spot.open_directory(self.staging[*area].as_fd());
            let open = directory.and_then(|open| object::open_file(open, &*spot.file_name()));
            open.map_err(not_there)?
        } else {
            let resolved = walker.resolve(path)?.path;
            let parent = root.open_parent(&resolved)?;
            object::open_file(&parent, resolved.file_name()).map_err(not_there)?
        };
        let failed = |source| BaseError::Read { path: path.clone(), source };
        let (size, sha256) = (expected.size, expected.sha256);
        // what is much larger need not be read to know it
        if file.metadata().map_err(failed)?.len() != size
            || object::hash(&mut file).map_err(failed)? != (size, sha256)
        {
            return Err(BaseError::Changed(path.clone()));
        }
        Ok(BaseFile { file, size })
    }
}

impl BaseFile {
    /// The file that a delta makes of this. It is what the manifest says once it was read to its end.
    pub fn apply<'e>(
        self,
        delta: impl Read + 'e,
        entry: &'e FileEntry,
        meta: &'e FileMeta,
    ) -> impl Read + 'e {
        let read = move |to: &mut [u8], at: u64| self.file.read_exact_at(to, at);
        DeltaReader::new(delta, read, self.size, &entry.path, meta)
    }
}
