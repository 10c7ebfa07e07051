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

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use countersign_format::relpath::{RelPath, RelPathError};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::object::{self, Found, Identity, Kind};
use crate::owner::Owners;

/// Most symlinks followed on one path, as Linux has it.
pub const MAX_LINKS: usize = 40;

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

/// Where a path really leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path with every symlinked directory above it replaced by where it leads. The last part
    /// itself is not followed.
    pub path: RelPath,
    /// How many of the directories above it, counted from the innermost, are absent.
    pub absent: usize,
}

/// Resolves paths as they will be once a plan is carried out, and remembers directories.
pub struct Resolver<'r> {
    root: &'r Root,
    becomes: HashMap<RelPath, Becomes>,
    known: HashMap<DirPath, (DirPath, usize)>,
}

/// What a resolved path will be, against what it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// A directory of the plan's own making, whatever is there now.
    Directory,
    /// Nothing, or at least nothing that leads on.
    Absent,
}

impl<'r> Resolver<'r> {
    /// A walker of the root as it is.
    pub fn new(root: &'r Root) -> Self {
        Self { root, becomes: HashMap::new(), known: HashMap::new() }
    }

    /// A walker of the root as it will be.
    pub fn with(root: &'r Root, becomes: HashMap<RelPath, Becomes>) -> Self {
        Self { root, becomes, known: HashMap::new() }
    }

    /// Resolves every directory above `path`.
    pub fn resolve(&mut self, path: &RelPath) -> Result<Resolved, RootError> {
        let (directory, absent) = self.resolve_directory(&DirPath::of(path))?;
        let resolved = directory
            .join(path.file_name())
            .map_err(|source| RootError::Path { path: path.as_str().to_owned(), source })?;
        Ok(Resolved { path: resolved, absent })
    }

    /// Resolves a directory, its last part too, and counts its absent parts.
    pub fn resolve_directory(&mut self, given: &DirPath) -> Result<(DirPath, usize), RootError> {
        if let Some(known) = self.known.get(given) {
            return Ok(known.clone());
        }
        let resolved = self.walk(given)?;
        self.known.insert(given.clone(), resolved.clone());
        Ok(resolved)
    }

    fn walk(&self, given: &DirPath) -> Result<(DirPath, usize), RootError> {
        let bad = |source| RootError::Path { path: given.as_str().to_owned(), source };
        let mut ahead: Vec<String> = given.as_str().rsplit('/').map(str::to_owned).collect();
        let (mut at, mut absent, mut links) = (DirPath::ROOT, 0_usize, 0);
        while let Some(part) = ahead.pop() {
            match &*part {
                "" | "." => continue,
                ".." => {
                    absent = absent.saturating_sub(1);
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = at.join(&part).map_err(bad)?;
            if absent > 0 {
                absent += 1;
                at = next.into();
                continue;
            }
            match self.step(&next)? {
                Part::Directory => at = next.into(),
                Part::Absent => {
                    absent = 1;
                    at = next.into();
                }
                Part::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(RootError::TooManyLinks(given.as_str().to_owned()));
                    }
                    if target.starts_with('/') {
                        at = DirPath::ROOT;
                    }
                    ahead.extend(target.rsplit('/').map(str::to_owned));
                }
            }
        }
        Ok((at, absent))
    }

    /// What one part of a path is, seen from its already resolved directory.
    fn step(&self, path: &RelPath) -> Result<Part, RootError> {
        match self.becomes.get(path) {
            // what will be a directory may be absent as yet; its parts are then absent too
            Some(Becomes::Directory) => {
                let is = self.root.look(path)?.is_some_and(|found| found.kind == Kind::Directory);
                return Ok(if is { Part::Directory } else { Part::Absent });
            }
            Some(Becomes::Absent) => return Ok(Part::Absent),
            None => {}
        }
        let Some(found) = self.root.look(path)? else { return Ok(Part::Absent) };
        match found.kind {
            Kind::Directory => Ok(Part::Directory),
            Kind::Link if self.root.trusts(found.uid) => {
                let parent = self.root.open_parent(path)?;
                let target = rustix::fs::readlinkat(&parent, path.file_name(), Vec::new());
                let target = target
                    .map_err(|source| io_error("read symlink", path.as_str(), source.into()))?;
                target.into_string().map(Part::Link).map_err(|_| RootError::Path {
                    path: path.as_str().to_owned(),
                    source: RelPathError::Utf8,
                })
            }
            Kind::Link => {
                Err(RootError::UntrustedLink { path: path.as_str().to_owned(), owner: found.uid })
            }
            kind => Err(RootError::NotDirectory { path: path.as_str().to_owned(), kind }),
        }
    }
}

impl fmt::Debug for Resolver<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("becomes", &self.becomes).finish_non_exhaustive()
    }
}

enum Part {
    Directory,
    Absent,
    Link(String),
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
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, lchown, symlink};

    fn path(text: &str) -> RelPath {
        text.parse().expect("a path")
    }

    fn resolve(root: &Root, text: &str) -> Result<(String, usize), RootError> {
        let resolved = Resolver::new(root).resolve(&path(text))?;
        Ok((resolved.path.to_string(), resolved.absent))
    }

    #[test]
    fn symlinked_directories_lead_beneath_the_root() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("usr/lib")).expect("made");
        symlink("usr/lib", directory.path().join("lib")).expect("made");
        symlink("/usr", directory.path().join("absolute")).expect("made");
        symlink("../../../../usr", directory.path().join("up")).expect("made");
        symlink("loop", directory.path().join("loop")).expect("made");
        std::fs::write(directory.path().join("file"), b"").expect("written");
        let root = Root::open(directory.path()).expect("opened");
        let good = [
            ("lib/x", "usr/lib/x", 0),
            ("absolute/lib/x", "usr/lib/x", 0),
            ("up/lib/x", "usr/lib/x", 0),
            ("lib/new/deep/x", "usr/lib/new/deep/x", 2),
            ("lib", "lib", 0),
            ("x", "x", 0),
        ];
        for (given, leads, absent) in good {
            let resolved = resolve(&root, given).expect(given);
            assert_eq!(resolved, (leads.to_owned(), absent), "{given}");
        }
        assert!(matches!(resolve(&root, "loop/x"), Err(RootError::TooManyLinks(_))));
        assert!(matches!(resolve(&root, "file/x"), Err(RootError::NotDirectory { .. })));
    }

    #[test]
    fn a_planted_symlink_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("home/user")).expect("made");
        std::fs::create_dir_all(directory.path().join("etc")).expect("made");
        let link = directory.path().join("home/user/app");
        symlink("/etc", &link).expect("made");
        let root = Root::open(directory.path()).expect("opened");
        assert!(resolve(&root, "home/user/app/x").is_ok(), "owned by who installs");
        if !root.is_privileged() {
            eprintln!("skipped: giving a symlink away needs root");
            return;
        }
        lchown(&link, Some(1000), Some(1000)).expect("given away");
        let error = resolve(&root, "home/user/app/x").expect_err("refused");
        assert!(matches!(error, RootError::UntrustedLink { owner: 1000, .. }), "{error}");
        chown(directory.path().join("etc"), Some(1000), Some(1000)).expect("given away");
        assert!(resolve(&root, "etc/x").is_ok(), "a real directory's owner may be anybody");
    }

    #[test]
    fn the_kernel_refuses_symlinks_in_resolved_paths() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("real")).expect("made");
        symlink("real", directory.path().join("link")).expect("made");
        let root = Root::open(directory.path()).expect("opened");
        assert!(root.open_directory(&path("real").into()).is_ok());
        assert!(root.open_directory(&path("link").into()).is_err());
        assert!(root.open_directory(&DirPath::ROOT).is_ok());
        assert_eq!(
            root.look(&path("link")).expect("looked").map(|found| found.kind),
            Some(Kind::Link)
        );
        assert_eq!(root.look(&path("none/x")).expect("looked"), None);
    }

    #[test]
    fn resolves_what_a_plan_will_make() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("v1")).expect("made");
        symlink("v1", directory.path().join("current")).expect("made");
        let root = Root::open(directory.path()).expect("opened");
        let becomes = HashMap::from([(path("current"), Becomes::Directory)]);
        let mut walker = Resolver::with(&root, becomes);
        let resolved = walker.resolve(&path("current/x")).expect("resolved");
        assert_eq!(resolved, Resolved { path: path("current/x"), absent: 1 });
    }
}
