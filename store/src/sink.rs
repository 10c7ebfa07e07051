//! The writing side of a repository: immutable files first, then the few that change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use countersign_format::layout::RepoPath;

use crate::durable::{self, Access, FileSystems, Temporary};

/// Where a publisher or a mirror writes a repository.
///
/// Immutable files are staged and appear, durably, with the next [`Self::sync`]. A mutable file
/// appears, durably, when [`Self::put_mutable`] returns, and never before all that was staged
/// earlier. So a reader, and a machine after a power loss, never sees a checkpoint whose tree is
/// not there (§2).
pub trait Sink {
    /// The bytes of a file as readers see it, or `None` if there is none. What is staged is not
    /// seen. A file of more than `limit` bytes is an error.
    fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError>;

    /// The size of a file as readers see it, or `None` if there is none.
    fn size(&self, path: &RepoPath) -> Result<Option<u64>, WriteError>;

    /// Stages a file that is written once and never changes. The same bytes again change nothing;
    /// other bytes are an error.
    fn put_immutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<Put, WriteError>;

    /// As [`Self::put_immutable`], with all the bytes of an open file, whatever its position.
    fn put_immutable_file(&mut self, path: &RepoPath, file: &mut File) -> Result<Put, WriteError>;

    /// Makes all that was staged visible and durable. After an error, part of it is visible, and
    /// what is not is staged no longer.
    fn sync(&mut self) -> Result<(), WriteError>;

    /// Writes a file that changes, after a [`Self::sync`].
    fn put_mutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), WriteError>;

    /// Removes a file that is no longer of use, such as the pack of a tail. Nothing happens if it
    /// is not there.
    fn remove(&mut self, path: &RepoPath) -> Result<(), WriteError>;
}

/// What writing an immutable file came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The file is new.
    Written,
    /// The file already has these bytes.
    Unchanged,
}

/// Why a repository could not be written, or read by its writer.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused something.
    #[error("cannot {doing} {path}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The file, or the directory that all staged files are in.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An immutable file is there with other bytes.
    #[error("{0} is there with other bytes and never changes")]
    Conflict(PathBuf),
    /// A file that is read back is larger than it may be.
    #[error("{path} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

/// Writes a repository to a directory. Its owner holds the directory's lock.
#[derive(Debug)]
pub struct DirectoryWriter {
    root: PathBuf,
    staged: BTreeMap<RepoPath, Temporary>,
    touched: FileSystems,
}

impl DirectoryWriter {
    /// A writer below `root`, which is there.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), staged: BTreeMap::new(), touched: FileSystems::default() }
    }

    fn failed<'a>(
        &'a self,
        doing: &'static str,
        path: &'a RepoPath,
    ) -> impl FnOnce(io::Error) -> WriteError + 'a {
        move |source| WriteError::System { doing, path: self.root.join(path), source }
    }

    fn open(&self, path: &RepoPath) -> Result<Option<File>, WriteError> {
        let staged = self.staged.get(path).map(|temporary| temporary.path().to_owned());
        open(&staged.unwrap_or_else(|| self.root.join(path))).map_err(self.failed("open", path))
    }

    /// Compares with what is there or staged, and stages `write` if there is nothing.
    fn stage(
        &mut self,
        path: &RepoPath,
        bytes: &mut dyn Read,
        write: impl FnOnce(&mut File, &mut dyn Read) -> io::Result<()>,
    ) -> Result<Put, WriteError> {
        if let Some(mut present) = self.open(path)? {
            if !equal(&mut present, bytes).map_err(self.failed("compare", path))? {
                return Err(WriteError::Conflict(self.root.join(path)));
            }
            // a writer that was killed may have left it visible and not yet durable
            let touched = self.touched.add(durable::parent(&self.root.join(path)));
            touched.map_err(self.failed("look at", path))?;
            return Ok(Put::Unchanged);
        }
        let fill = |file: &mut File| write(file, bytes);
        let temporary = Temporary::create(&self.root, path.as_ref(), Access::Public, fill)
            .map_err(self.failed("write", path))?;
        let touched = self.touched.add(durable::parent(&self.root.join(path)));
        touched.map_err(self.failed("look at", path))?;
        self.staged.insert(path.clone(), temporary);
        Ok(Put::Written)
    }
}

impl Sink for DirectoryWriter {
    fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError> {
        let file = open(&self.root.join(path)).map_err(self.failed("open", path))?;
        let Some(file) = file else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(self.failed("read", path))?;
        if bytes.len() as u64 > limit {
            return Err(WriteError::TooLarge { path: self.root.join(path), limit });
        }
        Ok(Some(bytes))
    }

    fn size(&self, path: &RepoPath) -> Result<Option<u64>, WriteError> {
        match self.root.join(path).metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("look at", path)(error)),
        }
    }

    fn put_immutable(&mut self, path: &RepoPath, mut bytes: &[u8]) -> Result<Put, WriteError> {
        self.stage(path, &mut bytes, |file, bytes| io::copy(bytes, file).map(drop))
    }

    fn put_immutable_file(&mut self, path: &RepoPath, file: &mut File) -> Result<Put, WriteError> {
        file.rewind().map_err(self.failed("read what becomes", path))?;
        let mut source = file.try_clone().map_err(self.failed("read what becomes", path))?;
        // from file to file the system copies, and where it can shares the blocks
        self.stage(path, file, |into, _| io::copy(&mut source, into).map(drop))
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        let staged = std::mem::take(&mut self.staged).into_values().collect();
        durable::commit_all(staged, &self.touched).map_err(|source| WriteError::System {
            doing: "complete writing to",
            path: self.root.clone(),
            source,
        })?;
        self.touched = FileSystems::default();
        Ok(())
    }

    fn put_mutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), WriteError> {
        self.sync()?;
        durable::write_atomic(&self.root, path.as_ref(), bytes, Access::Public)
            .map_err(self.failed("write", path))
    }

    fn remove(&mut self, path: &RepoPath) -> Result<(), WriteError> {
        durable::remove(&self.root, path.as_ref()).map_err(self.failed("remove", path))
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether two readers give the same bytes.
fn equal(left: &mut dyn Read, right: &mut dyn Read) -> io::Result<bool> {
    const PIECE: u64 = 64 * 1024;
    let (mut one, mut other) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        other.clear();
        (&mut *left).take(PIECE).read_to_end(&mut one)?;
        (&mut *right).take(PIECE).read_to_end(&mut other)?;
        if one != other {
            return Ok(false);
        }
        if one.is_empty() {
            return Ok(true);
        }
    }
}
