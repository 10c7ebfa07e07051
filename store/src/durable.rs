//! Durable writing to a directory.
//!
//! System calls, in this order:
//!
//! - [`write_atomic`]: `mkdir`, `fchmod` and `fsync` of the parent for each missing directory;
//!   `open(O_CREAT|O_EXCL)` of a temporary beside the target, `write`, `fsync`, `rename`, `fsync` of
//!   the directory.
//! - [`Temporary::create`] and the writes to it: `mkdir`, `open`, `write`. Here as there a file is
//!   made with its mode; `fchmod` follows where the umask took bits away.
//! - [`FileSystems::sync_bytes`]: `syncfs` of each file system involved. Afterwards every byte that
//!   was written is durable, so names may point at it.
//! - [`name_all`]: `rename` for each temporary, `fsync` of each directory once.
//! - `commit_all`: `link` for each file that gets another name, no byte of which is copied, and `rename`
//!   for each temporary; then `syncfs`, which makes the names durable, and the bytes of whatever
//!   else was written in between. Where the file system does not link, a copy is made like a temporary,
//!   with a `syncfs` before it gets its name.
//!
//! A temporary is removed by `unlink` when an error comes before its `rename`; one that a killed
//! process left is removed by [`clean_temporaries`]. Each call is a named step (see
//! [`crate::crash`]). Whoever writes holds the directory's lock (see [`crate::lock`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::syncfs;

use crate::crash::step;

/// How the name of every temporary begins.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Who may read what is written, whatever the umask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everybody: files 0644, directories 0755.
    Public,
    /// The owner alone: files 0600, directories 0700.
    Private,
}

impl Access {
    fn file_mode(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Private => 0o600,
        }
    }

    fn permissions(self) -> Permissions {
        Permissions::from_mode(self.file_mode())
    }

    /// Whether a file has its mode.
    fn is_of(self, file: &Metadata) -> bool {
        file.mode() & 0o7777 == self.file_mode()
    }

    fn directory_mode(self) -> u32 {
        match self {
            Self::Public => 0o755,
            Self::Private => 0o700,
        }
    }
}

/// A file below a root that has all its bytes but not yet its name. Dropped, it is removed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    target: PathBuf,
    is_named: bool,
}

/// Writes `bytes` to `path` below `root`, replacing what is there, so that a reader and a machine
/// after a power loss see the old file or the new one and nothing else. Durable on return.
pub fn write_atomic(root: &Path, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    make_directories(root, path, access, Durability::Now)?;
    let (mut temporary, mut file) = Temporary::open(&root.join(path), access)?;
    step("durable.write", || file.write_all(bytes))?;
    step("durable.fsync", || file.sync_all())?;
    temporary.rename()?;
    sync_directory(parent(&temporary.target))
}

/// The file systems that some directories are on, each with one of them.
#[derive(Clone, Default, Debug)]
pub struct FileSystems(BTreeMap<u64, PathBuf>);

impl FileSystems {
    /// That of a directory that is there.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let mut file_systems = Self::default();
        file_systems.add(directory)?;
        Ok(file_systems)
    }

    /// Adds the file system of a directory that is there.
    pub fn add(&mut self, directory: &Path) -> io::Result<()> {
        self.insert(device(directory)?, directory);
        Ok(())
    }

    /// Adds the file system `device`, which a directory is on.
    pub(crate) fn insert(&mut self, device: u64, directory: &Path) {
        self.0.entry(device).or_insert_with(|| directory.to_owned());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes all bytes durable that were written to these file systems.
    pub fn sync_bytes(&self) -> io::Result<()> {
        self.sync("durable.syncfs-bytes")
    }

    fn sync(&self, name: &'static str) -> io::Result<()> {
        let sync = |directory| Ok(syncfs(File::open(directory)?)?);
        self.0.values().try_for_each(|directory| step(name, || sync(directory)))
    }
}

/// The file system that a directory is on.
pub(crate) fn device(directory: &Path) -> io::Result<u64> {
    Ok(fs::metadata(directory)?.dev())
}

/// Makes the directories that a file at `path` below `root` is to be in, durable with what is made
/// durable next.
pub(crate) fn make_place(root: &Path, path: &Path, access: Access) -> io::Result<()> {
    make_directories(root, path, access, Durability::Later)
}

/// What gets its name with `commit_all`.
#[derive(Debug)]
pub(crate) enum Unnamed {
    /// A file that has no name yet.
    Temporary(Temporary),
    /// A file that gets another name.
    Link(Link),
}

/// Gives all of `unnamed`, whose bytes are durable, their names and makes the names durable, along
/// with all else on `file_systems`, which are at least those of the names. After an error some have
/// their names and the others are gone.
pub(crate) fn commit_all(unnamed: Vec<Unnamed>, file_systems: &FileSystems) -> io::Result<()> {
    let (mut copies, mut temporaries) = (Vec::new(), Vec::new());
    for unnamed in unnamed {
        match unnamed {
            Unnamed::Temporary(temporary) => temporaries.push(temporary),
            Unnamed::Link(link) => copies.extend(link.make()?),
        }
    }
    if !copies.is_empty() {
        file_systems.sync_bytes()?;
    }
    copies.iter_mut().chain(&mut temporaries).try_for_each(Temporary::rename)?;
    file_systems.sync("durable.syncfs-names")
}

/// Gives a few temporaries, whose bytes are durable, their names and makes the names durable.
/// After an error some have their names and the others are gone.
pub fn name_all(mut temporaries: Vec<Temporary>) -> io::Result<()> {
    temporaries.iter_mut().try_for_each(Temporary::rename)?;
    let directories: BTreeSet<&Path> =
        temporaries.iter().map(|temporary| parent(&temporary.target)).collect();
    directories.into_iter().try_for_each(sync_directory)
}

/// Removes what killed writers left below `root`, and returns how many files that were. Only for
/// whoever holds the lock.
pub fn clean_temporaries(root: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            removed += clean_temporaries(&entry.path())?;
        } else if kind.is_file() && is_temporary(&entry.file_name()) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a file name is that of a temporary.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

/// Removes `path` below `root`; that it is gone is durable on return. Nothing happens if it is
/// not there.
pub fn remove(root: &Path, path: &Path) -> io::Result<()> {
    if unlink(root, path)? { sync_directory(parent(&root.join(path))) } else { Ok(()) }
}

/// As [`remove`], but that it is gone is durable only with what is made durable next. Returns
/// whether it was there.
pub fn unlink(root: &Path, path: &Path) -> io::Result<bool> {
    match step("durable.unlink", || fs::remove_file(root.join(path))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

impl Temporary {
    /// Makes a temporary for `path` below `root`, with missing directories, and lets `write` fill
    /// it. Its bytes become durable with [`FileSystems::sync_bytes`], its name with `commit_all`
    /// or [`name_all`].
    pub fn create(
        root: &Path,
        path: &Path,
        access: Access,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Self> {
        make_place(root, path, access)?;
        Self::create_there(&root.join(path), access, write)
    }

    /// As [`Self::create`], for a `target` whose directory is there.
    pub(crate) fn create_there(
        target: &Path,
        access: Access,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (temporary, mut file) = Self::open(target, access)?;
        step("durable.write", || write(&mut file))?;
        Ok(temporary)
    }

    /// As [`Self::create_there`], with a copy of `source` from where it is read next. From file to file
    /// the system copies, and where it can shares the blocks.
    pub(crate) fn copy_there(target: &Path, access: Access, source: &mut File) -> io::Result<Self> {
        Self::create_there(target, access, |into| io::copy(source, into).map(drop))
    }

    /// Where the bytes are as long as they have no name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that it is in and stays in.
    pub fn directory(&self) -> &Path {
        parent(&self.target)
    }

    /// A path beside `target` that no other temporary of this process has.
    fn unnamed(target: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id());
        Self { path: parent(target).join(name), target: target.to_owned(), is_named: false }
    }

    fn open(target: &Path, access: Access) -> io::Result<(Self, File)> {
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(access.file_mode());
            // made before the file is, so that it is removed even if opening fails once done
            let temporary = Self::unnamed(target);
            match step("durable.open", || options.open(&temporary.path)) {
                Ok(file) => {
                    if !access.is_of(&file.metadata()?) {
                        step("durable.chmod", || file.set_permissions(access.permissions()))?;
                    }
                    return Ok((temporary, file));
                }
                // left by a killed process that had this one's number
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(&mut self) -> io::Result<()> {
        step("durable.rename", || fs::rename(&self.path, &self.target))?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_named {
            // what cannot be removed now is found by `clean_temporaries`
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Another name that a file below the same mount is to get; it has none before `commit_all`.
#[derive(Debug)]
pub(crate) struct Link {
    from: PathBuf,
    target: PathBuf,
    access: Access,
}

impl Link {
    /// Another name `target` for the file `from`, which nobody writes to any more, in a directory that is
    /// there and on the file system `device`. None where the file is on another one.
    pub(crate) fn new(
        target: &Path,
        access: Access,
        from: &Path,
        device: u64,
    ) -> io::Result<Option<Self>> {
        let metadata = fs::metadata(from)?;
        if metadata.dev() != device {
            return Ok(None);
        }
        if !access.is_of(&metadata) {
            step("durable.chmod", || fs::set_permissions(from, access.permissions()))?;
        }
        Ok(Some(Self { from: from.to_owned(), target: target.to_owned(), access }))
    }

    /// The file.
    pub(crate) fn from(&self) -> &Path {
        &self.from
    }

    /// Gives it the name. A copy without its name where the file system does not link.
    fn make(&self) -> io::Result<Option<Temporary>> {
        match step("durable.link", || fs::hard_link(&self.from, &self.target)) {
            Err(error) if cannot_link(&error) => {
                let mut from = File::open(&self.from)?;
                Temporary::copy_there(&self.target, self.access, &mut from).map(Some)
            }
            linked => linked.map(|()| None),
        }
    }
}

/// Whether an error says that a file cannot have another name there, rather than that something
/// is wrong.
pub(crate) fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

/// When new directories become durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Now,
    Later,
}

/// Makes the directories between `root` and `path` that are missing. `root` itself is there.
fn make_directories(
    root: &Path,
    path: &Path,
    access: Access,
    durability: Durability,
) -> io::Result<()> {
    let mut directory = root.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        directory.push(part);
        if directory.is_dir() {
            continue;
        }
        let mut builder = fs::DirBuilder::new();
        builder.mode(access.directory_mode());
        match step("durable.mkdir", || builder.create(&directory)) {
            // made by an earlier try that failed once it was done
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let permissions = Permissions::from_mode(access.directory_mode());
        step("durable.chmod", || fs::set_permissions(&directory, permissions))?;
        if durability == Durability::Now {
            sync_directory(parent(&directory))?;
        }
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    step("durable.fsync-directory", || File::open(directory)?.sync_all())
}

/// The directory of a path; the current one for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
