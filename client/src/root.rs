//! The install root, and paths beneath it.
//!
//! A path is resolved twice. [`Resolver`] walks it part by part to learn where it really leads,
//! and follows a symlinked directory only if its owner is trusted: a symlink that somebody else
//! planted must not steer a write. The result has no symlink in it, and opening it again with
//! `openat2` and `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` makes the kernel hold it to that, so
//! nothing can be swapped between the look and the use. Absolute targets and `..` stay beneath the
//! root, as in a chroot.
//!
//! System calls: `openat2`, `statx`, `readlinkat`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use countersign_format::relpath::{RelPath, RelPathError};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::object::{self, Found, Identity, Kind};
use crate::owner::Owners;

mod parents;
mod resolve;

pub use parents::Parents;
pub use resolve::{Becomes, MAX_LINKS, Resolved, Resolver};

/// A directory beneath the root: none is the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DirPath(Option<RelPath>);

/// An open install root.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
    user: u32,
    whole_system: bool,
}

/// Why a path beneath the root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The root cannot be opened.
    #[error("cannot open install root {}", path.display())]
    Open {
        /// The root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {what} /{path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where, relative to the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A symlink stands where a directory must be and belongs to somebody who is not trusted.
    #[error("/{path} is a symlink owned by user {owner}, which is not followed")]
    UntrustedLink {
        /// The symlink.
        path: String,
        /// Its owner.
        owner: u32,
    },
    /// Something other than a directory stands where one must be.
    #[error("/{path} is a {kind}, not a directory")]
    NotDirectory {
        /// The path.
        path: String,
        /// What is there.
        kind: Kind,
    },
    /// More symlinks than [`MAX_LINKS`].
    #[error("/{0} leads through more than {MAX_LINKS} symlinks")]
    TooManyLinks(String),
    /// A resolved path is no payload path.
    #[error("/{path} leads to a path that cannot be used")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with where it leads.
        source: RelPathError,
    },
}

impl DirPath {
    /// The root itself.
    pub const ROOT: Self = Self(None);

    /// The directory that holds `path`.
    pub fn of(path: &RelPath) -> Self {
        Self(path.parent())
    }

    /// `name` in this directory.
    pub fn join(&self, name: &str) -> Result<RelPath, RelPathError> {
        match &self.0 {
            None => name.parse(),
            Some(directory) => format!("{directory}/{name}").parse(),
        }
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", RelPath::as_str)
    }

    /// The directory as a path; none for the root.
    pub fn as_path(&self) -> Option<&RelPath> {
        self.0.as_ref()
    }

    /// Whether `path` lies directly in this directory.
    pub fn holds(&self, path: &RelPath) -> bool {
        match (&self.0, path.as_str().rsplit_once('/')) {
            (None, above) => above.is_none(),
            (Some(directory), Some((above, _))) => directory.as_str() == above,
            (Some(_), None) => false,
        }
    }

    /// The directory above; none for the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.as_ref().map(Self::of)
    }
}

impl From<RelPath> for DirPath {
    fn from(path: RelPath) -> Self {
        Self(Some(path))
    }
}

impl fmt::Display for DirPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for DirPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl Root {
    /// Opens an install root. The path itself is the operator's word and is followed.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let failed = |source| RootError::Open { path: path.to_owned(), source };
        let whole = path.canonicalize().map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
        let directory = open(&whole).map_err(|error| failed(error.into()))?;
        Ok(Self {
            directory,
            whole_system: whole == Path::new("/"),
            path: whole,
            user: rustix::process::geteuid().as_raw(),
        })
    }

    /// The root's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is `/`.
    pub fn is_whole_system(&self) -> bool {
        self.whole_system
    }

    /// The effective user who installs here.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Whether owners can be set. Without privilege every file belongs to the user who installs.
    pub fn is_privileged(&self) -> bool {
        self.user == 0
    }

    /// Opens a directory that is already resolved: a symlink anywhere in it is an error.
    pub fn open_directory(&self, directory: &DirPath) -> Result<OwnedFd, RootError> {
        let path = if directory.0.is_some() { directory.as_str() } else { "." };
        self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|source| io_error("open directory", directory.as_str(), source))
    }

    /// Opens the directory that holds a resolved path.
    pub fn open_parent(&self, path: &RelPath) -> Result<OwnedFd, RootError> {
        self.open_directory(&DirPath::of(path))
    }

    /// Looks at a resolved path; none where it, or a directory above it, is absent.
    pub fn look(&self, path: &RelPath) -> Result<Option<Found>, RootError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let open = match self.open_beneath(path.as_str(), flags) {
            Err(error) if is_absent(&error) => return Ok(None),
            open => open.map_err(|source| io_error("look at", path.as_str(), source))?,
        };
        let found = object::look_at(&open);
        found.map(Some).map_err(|source| io_error("look at", path.as_str(), source))
    }

    /// The identity of the object at a resolved path, its content hashed.
    pub fn identify(&self, path: &RelPath) -> Result<Option<Identity>, RootError> {
        if self.look(path)?.is_none() {
            return Ok(None);
        }
        let parent = self.open_parent(path)?;
        object::identify(&parent, path.file_name())
            .map_err(|source| io_error("read", path.as_str(), source))
    }

    /// The mount that a resolved directory is on.
    pub fn mount_of(&self, directory: &DirPath) -> Result<u64, RootError> {
        let open = self.open_directory(directory)?;
        let found = object::look_at(&open);
        Ok(found.map_err(|source| io_error("look at", directory.as_str(), source))?.mount)
    }

    /// The users and groups of this root. A file that is absent, or is no plain file, counts as
    /// empty.
    pub fn owners(&self) -> Result<Owners, RootError> {
        let mut walker = Resolver::new(self);
        let mut read = |path: &str| -> Result<Vec<u8>, RootError> {
            let path: RelPath = path.parse().expect("a constant path");
            let path = walker.resolve(&path)?.path;
            let Some(Found { kind: Kind::File, .. }) = self.look(&path)? else {
                return Ok(Vec::new());
            };
            let parent = self.open_parent(&path)?;
            object::open_file(&parent, path.file_name())
                .and_then(|file| {
                    let mut text = Vec::new();
                    let limit = crate::owner::MAX_OWNER_FILE;
                    io::Read::read_to_end(&mut io::Read::take(file, limit), &mut text)?;
                    Ok(text)
                })
                .map_err(|source| io_error("read", path.as_str(), source))
        };
        Ok(Owners::parse(&read("etc/passwd")?, &read("etc/group")?))
    }

    fn trusts(&self, owner: u32) -> bool {
        owner == 0 || owner == self.user
    }

    fn open_beneath(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve)?)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// An error of a system call at a path beneath the root.
pub(crate) fn io_error(what: &'static str, path: &str, source: io::Error) -> RootError {
    RootError::Io { what, path: path.to_owned(), source }
}

/// A symlink in a resolved path means that what was below it is not what is meant: it is absent.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(test)]
mod tests;
