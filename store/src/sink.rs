//! The writing side of a repository: immutable files first, then the few that change.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::layout::RepoPath;

use crate::durable::{self, Access, FileSystems, Link, Temporary, Unnamed};

/// How much room a file is read into at first.
const SMALL: usize = 4096;

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

    /// As [`Self::put_immutable`], with all the bytes of the file `from`, which nobody writes to any
    /// more: where the file system can, it gets another name and no byte is copied.
    fn put_immutable_link(&mut self, path: &RepoPath, from: &Path) -> Result<Put, WriteError>;

    /// Stages a file of the writer's own, outside the repository: it gets its name, durably, with
    /// the next [`Self::sync`], after all else that is staged.
    fn put_along(&mut self, file: Temporary) -> Result<(), WriteError>;

    /// Drops all that is staged.
    fn discard(&mut self);

    /// Makes the bytes of all that was staged durable, and those of `others`, which are the
    /// writer's own files outside the repository and have no names yet. Nothing becomes visible.
    fn flush(&mut self, others: &[Temporary]) -> Result<(), WriteError>;

    /// Makes all that was staged visible and durable. After an error, part of it is visible, and
    /// what is not is staged no longer.
    fn sync(&mut self) -> Result<(), WriteError> {
        self.put_heads(&[])
    }

    /// Writes files that change: after all that was staged is visible and durable, the first one,
    /// durably, then the next.
    fn put_heads(&mut self, heads: &[(RepoPath, Vec<u8>)]) -> Result<(), WriteError>;

    /// Writes a file that changes, after a [`Self::sync`].
    fn put_mutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), WriteError> {
        self.put_heads(&[(path.clone(), bytes.to_vec())])
    }

    /// Removes a file that is no longer of use, such as the pack of a tail; that it is gone is
    /// durable with the next [`Self::sync`]. Nothing happens if it is not there.
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
    staged: BTreeMap<RepoPath, Unnamed>,
    along: Vec<Temporary>,
    /// Whether the bytes of all that is staged are durable.
    is_flushed: bool,
    touched: FileSystems,
    /// Directories that are there, and the file system that each is on.
    places: HashMap<PathBuf, u64>,
}

impl DirectoryWriter {
    /// A writer below `root`, which is there.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            staged: BTreeMap::new(),
            along: Vec::new(),
            is_flushed: true,
            touched: FileSystems::default(),
            places: HashMap::new(),
        }
    }

    /// Another one below the same root, which has staged nothing: to read with.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self::new(&self.root)
    }

    fn failed<'a>(
        &'a self,
        doing: &'static str,
        path: &'a RepoPath,
    ) -> impl FnOnce(io::Error) -> WriteError + 'a {
        move |source| WriteError::System { doing, path: self.root.join(path), source }
    }

    fn incomplete(&self, source: io::Error) -> WriteError {
        WriteError::System { doing: "complete writing to", path: self.root.clone(), source }
    }

    fn open(&self, path: &RepoPath) -> Result<Option<File>, WriteError> {
        let opened = match self.staged.get(path) {
            Some(Unnamed::Temporary(temporary)) => open(temporary.path()),
            Some(Unnamed::Link(link)) => open(link.from()),
            None => open(&self.root.join(path)),
        };
        opened.map_err(self.failed("open", path))
    }

    /// Whether a file is there or staged.
    fn is_there(&self, path: &RepoPath) -> Result<bool, WriteError> {
        Ok(self.staged.contains_key(path) || self.size(path)?.is_some())
    }

    /// Compares with what is there or staged; [`Put::Written`] where there is nothing: it is to be.
    fn compare(&mut self, path: &RepoPath, bytes: &mut dyn Read) -> Result<Put, WriteError> {
        let Some(mut present) = self.open(path)? else { return Ok(Put::Written) };
        if !equal(&mut present, bytes).map_err(self.failed("compare", path))? {
            return Err(WriteError::Conflict(self.root.join(path)));
        }
        // a writer that was killed may have left it visible and not yet durable
        self.touch(path)?;
        Ok(Put::Unchanged)
    }

    /// Stages what `make` makes of the file to be and the file system that its directory is on.
    fn stage(
        &mut self,
        path: &RepoPath,
        make: impl FnOnce(&Path, u64) -> io::Result<Unnamed>,
    ) -> Result<Put, WriteError> {
        let target = self.root.join(path);
        let placed = self.place(path, durable::parent(&target));
        let unnamed = placed.and_then(|device| make(&target, device));
        let unnamed = unnamed.map_err(self.failed("write", path))?;
        self.staged.insert(path.clone(), unnamed);
        self.is_flushed = false;
        Ok(Put::Written)
    }

    /// Makes the directory of a path, which is to be synced, and returns its file system.
    fn place(&mut self, path: &RepoPath, directory: &Path) -> io::Result<u64> {
        if let Some(device) = self.places.get(directory) {
            self.touched.insert(*device, directory);
            return Ok(*device);
        }
        durable::make_place(&self.root, path.as_ref(), Access::Public)?;
        let device = durable::device(directory)?;
        self.touched.insert(device, directory);
        self.places.insert(directory.to_owned(), device);
        Ok(device)
    }

    /// Remembers the file system of a path, which is to be synced.
    fn touch(&mut self, path: &RepoPath) -> Result<(), WriteError> {
        let touched = self.touched.add(durable::parent(&self.root.join(path)));
        touched.map_err(self.failed("look at", path))
    }

    /// Gives all that is staged its name, durably, and makes the bytes of `heads` durable.
    fn show(&mut self, heads: &[Temporary]) -> io::Result<()> {
        if !self.is_flushed {
            self.touched.sync_bytes()?;
        }
        for head in heads {
            self.touched.add(head.directory())?;
        }
        let mut staged: Vec<Unnamed> = std::mem::take(&mut self.staged).into_values().collect();
        staged.extend(self.along.drain(..).map(Unnamed::Temporary));
        durable::commit_all(staged, &self.touched)?;
        (self.touched, self.is_flushed) = (FileSystems::default(), true);
        Ok(())
    }

    /// Whether a [`Sink::sync`] has something to do.
    fn is_clean(&self) -> bool {
        self.along.is_empty() && self.touched.is_empty()
    }
}

impl Sink for DirectoryWriter {
    fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError> {
        let file = open(&self.root.join(path)).map_err(self.failed("open", path))?;
        let Some(file) = file else { return Ok(None) };
        // most files are small: one call reads them, another finds their end
        let mut bytes = Vec::with_capacity(SMALL);
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
        let whole = bytes;
        match self.compare(path, &mut bytes)? {
            Put::Unchanged => Ok(Put::Unchanged),
            Put::Written => self.stage(path, |target, _| {
                let write = |file: &mut File| file.write_all(whole);
                Temporary::create_there(target, Access::Public, write).map(Unnamed::Temporary)
            }),
        }
    }

    fn put_immutable_file(&mut self, path: &RepoPath, file: &mut File) -> Result<Put, WriteError> {
        file.rewind().map_err(self.failed("read what becomes", path))?;
        match self.compare(path, file)? {
            Put::Unchanged => Ok(Put::Unchanged),
            Put::Written => self.stage(path, |target, _| copy_to(target, file)),
        }
    }

    fn put_immutable_link(&mut self, path: &RepoPath, from: &Path) -> Result<Put, WriteError> {
        if self.is_there(path)? {
            let mut file = File::open(from).map_err(self.failed("read what becomes", path))?;
            return self.compare(path, &mut file);
        }
        self.stage(path, |target, device| match Link::new(target, Access::Public, from, device) {
            Ok(Some(link)) => Ok(Unnamed::Link(link)),
            Err(error) if !durable::cannot_link(&error) => Err(error),
            // on another file system, or somebody else's, whose mode is not ours to set
            _ => copy_to(target, &mut File::open(from)?),
        })
    }

    fn put_along(&mut self, file: Temporary) -> Result<(), WriteError> {
        let touched = self.touched.add(file.directory());
        let path = file.path().to_owned();
        touched.map_err(|source| WriteError::System { doing: "look at", path, source })?;
        self.along.push(file);
        self.is_flushed = false;
        Ok(())
    }

    fn discard(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        drop((staged, std::mem::take(&mut self.along)));
        // what was visible before and is not yet durable is synced all the same
    }

    fn flush(&mut self, others: &[Temporary]) -> Result<(), WriteError> {
        let flush = || {
            let mut file_systems = self.touched.clone();
            others.iter().try_for_each(|other| file_systems.add(other.directory()))?;
            file_systems.sync_bytes()
        };
        flush().map_err(|source| self.incomplete(source))?;
        self.is_flushed = true;
        Ok(())
    }

    fn put_heads(&mut self, heads: &[(RepoPath, Vec<u8>)]) -> Result<(), WriteError> {
        if self.is_clean() {
            for (path, bytes) in heads {
                durable::write_atomic(&self.root, path.as_ref(), bytes, Access::Public)
                    .map_err(self.failed("write", path))?;
            }
            return Ok(());
        }
        let mut waiting = Vec::new();
        for (path, bytes) in heads {
            let write = |file: &mut File| file.write_all(bytes);
            let head = Temporary::create(&self.root, path.as_ref(), Access::Public, write);
            waiting.push(head.map_err(self.failed("write", path))?);
        }
        self.show(&waiting).map_err(|source| self.incomplete(source))?;
        for (head, (path, _)) in waiting.into_iter().zip(heads) {
            durable::name_all(vec![head]).map_err(self.failed("write", path))?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &RepoPath) -> Result<(), WriteError> {
        if durable::unlink(&self.root, path.as_ref()).map_err(self.failed("remove", path))? {
            self.touch(path)?;
        }
        Ok(())
    }
}

fn copy_to(target: &Path, source: &mut File) -> io::Result<Unnamed> {
    Temporary::copy_there(target, Access::Public, source).map(Unnamed::Temporary)
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
