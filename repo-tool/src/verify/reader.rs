//! Where a check reads from.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use countersign_format::layout::RepoPath;
use countersign_store::{Cause, Download, Get, GetError, Got, Source};

/// The repository that is checked.
#[derive(Debug)]
pub(super) struct Reader {
    source: Source,
    /// The directory that it is, where it is one.
    root: Option<PathBuf>,
}

impl Reader {
    pub(super) fn new(source: Source, root: Option<&Path>) -> Self {
        Self { source, root: root.map(Path::to_owned) }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The whole file; none if there is none.
    pub(super) async fn read(
        &self,
        path: &RepoPath,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, GetError> {
        match self.source.get(path, &Get::up_to(limit)).await? {
            Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(bytes)),
            Got::NotFound | Got::NotModified => Ok(None),
        }
    }

    /// A large file of `size` bytes, open at its beginning; none if there is none.
    pub(super) async fn open(&self, path: &RepoPath, size: u64) -> Result<Option<File>, GetError> {
        let local = |source| GetError { location: path.to_string(), cause: Cause::Local(source) };
        if let Some(root) = &self.root {
            return match File::open(root.join(path)) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    Err(GetError { location: path.to_string(), cause: Cause::Read(error) })
                }
            };
        }
        let mut file = tempfile::tempfile().map_err(local)?;
        if !self.source.download(path, &Download { size }, &mut file, |_| ()).await? {
            return Ok(None);
        }
        io::Seek::rewind(&mut file).map_err(local)?;
        Ok(Some(file))
    }
}
