//! Working areas: a closed `.patchctl/` at the root of each mount that a transaction touches.
//!
//! A rename only works within one mount, and bind mounts of one device are different mounts, so
//! there is one area a mount. An area has `staging/<transaction>/<slot>` for what is to be put in
//! place, and `backup/<transaction>/<slot>` for what was there. Slots are numbers, so no path of a
//! payload can lead out of an area.
//!
//! System calls: `mkdirat`, `flock`, `fsync`, `renameat2`, `unlinkat`, `fstatvfs`, `syncfs`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use countersign_format::relpath::RelPath;
use countersign_store::crash::step;
use rustix::fs::{FlockOperation, Mode, RenameFlags};

use crate::object::{self, Kind};
use crate::owner::{OwnerError, Owners};
use crate::root::{DirPath, Root, RootError, io_error};

mod clean;
mod early;
mod spot;
mod write;

pub use clean::{Backups, clean};
use early::EarlyFlush;
pub use spot::{Spot, StagingDirectory, weed};
pub use write::{StagedWriter, give_away, make_staged_directory, make_staged_link};

/// The directory at the root of each mount.
pub const AREA: &str = ".patchctl";

/// In the names of backups that are somebody's and that no cleaning removes: `SLOT.kept-N`.
pub const KEPT: &str = ".kept-";

/// How long to wait for another state's transaction: only a child that is just being started can
/// hold the lock beyond its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most other states whose leavings under one number are set aside.
const MAX_OTHERS: u32 = 1000;

/// Why something cannot be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The root or a path beneath it.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Somebody else's `.patchctl`.
    #[error("/{path} is {found}, not a directory closed to all but user {user}")]
    Area {
        /// Where.
        path: String,
        /// What is there.
        found: String,
        /// Who must own it.
        user: u32,
    },
    /// Another state's transaction works there.
    #[error("working area /{0} is in use by a patchctl with another state")]
    Busy(String),
    /// A working area that a journal names is gone, most likely because its mount is.
    #[error("working area /{0} is not there; is its file system mounted?")]
    Gone(String),
    /// A file of an archive cannot be staged.
    #[error("cannot stage /{path}")]
    Object {
        /// The file's path, relative to the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The state database.
    #[error(transparent)]
    Database(#[from] crate::db::DatabaseError),
}

/// Who owns what is installed.
#[derive(Debug, Clone)]
pub enum Ownership {
    /// Root installs: owners are set, by the root's own names.
    Named(Owners),
    /// A user without privilege installs: all files are this user's, whatever the manifest says.
    AllOf(u32),
}

impl Ownership {
    /// How owners are set under `root`.
    pub fn of(root: &Root) -> Result<Self, RootError> {
        if root.is_privileged() {
            Ok(Self::Named(root.owners()?))
        } else {
            Ok(Self::AllOf(root.user()))
        }
    }

    /// The numbers to set; none where owners are left alone.
    pub fn numbers(
        &self,
        owner: &countersign_format::manifest::Owner,
    ) -> Result<Option<(u32, u32)>, OwnerError> {
        match self {
            Self::Named(owners) => owners.find(owner.as_str()).map(Some),
            Self::AllOf(_) => Ok(None),
        }
    }
}

/// One transaction's part of a working area.
#[derive(Debug)]
pub struct Area {
    at: DirPath,
    mount: u64,
    directory: OwnedFd,
    staging: OwnedFd,
    backup: OwnedFd,
    early: EarlyFlush,
}

impl Area {
    /// Makes what is missing of an area, durably: recovery takes an absent area for an absent
    /// mount. `known` are the transaction's areas so far.
    fn create(root: &Root, at: &DirPath, txn: i64, known: &[Self]) -> Result<Self, StageError> {
        let top = root.open_directory(at)?;
        let path = area_path(at);
        let failed = |source| StageError::from(io_error("make working area", &path, source));
        let mut made = Vec::new();
        let directory = make_directory(&top, AREA, &mut made).map_err(failed)?;
        must_be_closed(root, &directory, &path)?;
        let is_shared = lock(&directory, &path, known)?;
        let number = txn.to_string();
        let mut part = |name: &str| {
            let kind = make_directory(&directory, name, &mut made)?;
            if !is_shared {
                set_aside(&kind, &number)?;
            }
            make_directory(&kind, &number, &mut made)
        };
        let staging = part("staging").map_err(failed)?;
        let backup = part("backup").map_err(failed)?;
        // all are made first: a file system then mostly has one thing to write, not five
        let flush = |parent: &OwnedFd| Ok(rustix::fs::fsync(parent)?);
        made.iter()
            .try_for_each(|parent| step("transaction.area", || flush(parent)))
            .map_err(failed)?;
        let mount = object::look_at(&top).map_err(failed)?.mount;
        Ok(Self { at: at.clone(), mount, directory, staging, backup, early: EarlyFlush::default() })
    }

    /// Opens an area that must be there.
    fn open(root: &Root, at: &DirPath, txn: i64, known: &[Self]) -> Result<Self, StageError> {
        let path = area_path(at);
        let gone = |_| StageError::Gone(path.clone());
        let top = root.open_directory(at)?;
        let directory = object::open_directory(&top, AREA).map_err(gone)?;
        must_be_closed(root, &directory, &path)?;
        lock(&directory, &path, known)?;
        let number = txn.to_string();
        let part = |name: &str| {
            let kind = object::open_directory(&directory, name)?;
            object::open_directory(&kind, &*number)
        };
        let (staging, backup) = (part("staging").map_err(gone)?, part("backup").map_err(gone)?);
        let mount =
            object::look_at(&top).map_err(|source| io_error("look at", &path, source))?.mount;
        Ok(Self { at: at.clone(), mount, directory, staging, backup, early: EarlyFlush::default() })
    }

    /// The root of the area's mount.
    pub fn at(&self) -> &DirPath {
        &self.at
    }

    /// The transaction's staging directory.
    pub fn staging(&self) -> BorrowedFd<'_> {
        self.staging.as_fd()
    }

    /// The transaction's backup directory.
    pub fn backup(&self) -> BorrowedFd<'_> {
        self.backup.as_fd()
    }

    /// Names of backups that no cleaning removes.
    pub fn kept(&self) -> Result<Vec<String>, StageError> {
        let names = object::names(&self.backup);
        let names = names.map_err(|source| io_error("list", &area_path(&self.at), source))?;
        let names = names.iter().filter_map(|name| name.to_str().ok());
        Ok(names.filter(|name| name.contains(KEPT)).map(str::to_owned).collect())
    }

    /// Flushes the whole file system.
    pub fn flush(&self) -> Result<(), StageError> {
        step("transaction.flush", || Ok(rustix::fs::syncfs(&self.directory)?))
            .map_err(|source| io_error("flush", &area_path(&self.at), source).into())
    }

    /// Bytes and files that still fit on the file system, for everybody but root's reserve.
    pub fn free(&self) -> Result<Free, StageError> {
        let found = rustix::fs::fstatvfs(&self.directory)
            .map_err(|error| io_error("measure", &area_path(&self.at), error.into()))?;
        Ok(Free {
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            // file systems that make inodes as needed say 0 of 0
            files: (found.f_files > 0).then_some(found.f_favail),
            block: found.f_frsize.max(1),
        })
    }
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// Inodes, where the file system counts them.
    pub files: Option<u64>,
    /// The size that files are rounded up to.
    pub block: u64,
}

/// The working areas of one transaction.
#[derive(Debug)]
pub struct Areas<'r> {
    root: &'r Root,
    txn: i64,
    list: Vec<Area>,
    next: u64,
    nearest: HashMap<DirPath, usize>,
    /// The area and the slot of each tree, by the directory that it is for.
    trees: HashMap<RelPath, (usize, u64)>,
}

impl<'r> Areas<'r> {
    /// No areas as yet.
    pub fn new(root: &'r Root, txn: i64) -> Self {
        Self::with(root, txn, Vec::new())
    }

    /// The areas of a transaction that was begun before; all must be there.
    pub fn open(root: &'r Root, txn: i64, at: &[DirPath]) -> Result<Self, StageError> {
        let mut list = Vec::with_capacity(at.len());
        for at in at {
            let area = Area::open(root, at, txn, &list)?;
            list.push(area);
        }
        Ok(Self::with(root, txn, list))
    }

    fn with(root: &'r Root, txn: i64, list: Vec<Area>) -> Self {
        Self { root, txn, list, next: 0, nearest: HashMap::new(), trees: HashMap::new() }
    }

    /// The area for things in a resolved directory, which may be absent as yet: that of its mount.
    /// `note` writes a new area down before it is made.
    pub fn for_directory(
        &mut self,
        directory: &DirPath,
        note: &mut dyn FnMut(usize, &DirPath) -> Result<(), StageError>,
    ) -> Result<usize, StageError> {
        if let Some(area) = self.nearest.get(directory) {
            return Ok(*area);
        }
        let (mut top, mount) = self.nearest_present(directory)?;
        while let Some(above) = top.parent() {
            if self.root.mount_of(&above)? != mount {
                break;
            }
            top = above;
        }
        let known = self.list.iter().position(|area| area.mount == mount);
        let area = if let Some(area) = known {
            area
        } else {
            note(self.list.len(), &top)?;
            let area = Area::create(self.root, &top, self.txn, &self.list)?;
            self.list.push(area);
            self.list.len() - 1
        };
        self.nearest.insert(directory.clone(), area);
        Ok(area)
    }

    fn nearest_present(&self, directory: &DirPath) -> Result<(DirPath, u64), StageError> {
        let mut at = directory.clone();
        loop {
            match (self.root.mount_of(&at), at.parent()) {
                (Ok(mount), _) => return Ok((at, mount)),
                (Err(_), Some(above)) => at = above,
                (Err(error), None) => return Err(error.into()),
            }
        }
    }

    /// One area.
    pub fn get(&self, area: usize) -> &Area {
        &self.list[area]
    }

    /// The backup directory of one area, relative to the root.
    pub fn backup_path(&self, area: usize) -> String {
        format!("{}/backup/{}", area_path(self.list[area].at()), self.txn)
    }

    /// All areas.
    pub fn iter(&self) -> impl Iterator<Item = &Area> {
        self.list.iter()
    }

    /// Takes note of a file that was staged, and may begin to flush its file system early.
    pub fn has_grown(&mut self, area: usize, bytes: u64) {
        let Area { early, directory, .. } = &mut self.list[area];
        if early.has_grown(bytes) {
            early.begin(directory);
        }
    }

    /// Begins to flush the file systems, ahead of the flush that counts.
    pub fn begin_flush(&mut self) {
        for Area { early, directory, .. } in &mut self.list {
            early.begin(directory);
        }
    }

    /// A slot that is not used yet.
    pub fn slot(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Removes what was staged.
    pub fn clean(&self, backups: Backups) -> Result<(), StageError> {
        clean(self.root, self.txn, self.list.iter().map(Area::at), backups)
    }
}

/// `.patchctl` of a mount, relative to the root.
pub fn area_path(at: &DirPath) -> String {
    at.join(AREA).map_or_else(|_| AREA.to_owned(), |path| path.to_string())
}

/// Makes a directory closed to others unless it is there. Where it is new, its parent is added to
/// `made`: it is to be flushed, for the name to be durable.
fn make_directory(parent: &OwnedFd, name: &str, made: &mut Vec<OwnedFd>) -> io::Result<OwnedFd> {
    let is_new =
        step("transaction.area", || match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        })?;
    if is_new {
        made.push(parent.try_clone()?);
    }
    object::open_directory(parent, name)
}

/// Two states of one root would number their transactions alike and work in each other's
/// directories. Held until the area is closed. True where one of `known` is this very directory, as
/// where it is mounted twice.
fn lock(directory: &OwnedFd, path: &str, known: &[Area]) -> Result<bool, StageError> {
    let identity = |open: &OwnedFd| {
        let found = rustix::fs::fstat(open);
        found.map(|found| (found.st_dev, found.st_ino)).map_err(io::Error::from)
    };
    let failed = |source| StageError::from(io_error("look at", path, source));
    let this = identity(directory).map_err(failed)?;
    for area in known {
        if identity(&area.directory).map_err(failed)? == this {
            return Ok(true);
        }
    }
    let started = Instant::now();
    // some file systems cannot lock directories
    while rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive)
        == Err(rustix::io::Errno::WOULDBLOCK)
    {
        if started.elapsed() > PATIENCE {
            return Err(StageError::Busy(path.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// What another state left under a transaction's number, be it a state that was lost, is not this
/// one's to put back, but somebody may need it.
fn set_aside(kind: &OwnedFd, number: &str) -> io::Result<()> {
    if object::look(kind, number)?.is_none() {
        return Ok(());
    }
    for other in 1..=MAX_OTHERS {
        let name = format!("{number}.other-{other}");
        match rustix::fs::renameat_with(kind, number, kind, &*name, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            renamed => return Ok(renamed?),
        }
    }
    Err(io::Error::other("too many other states left something there"))
}

/// In a directory that others can write to, somebody may have been there first.
fn must_be_closed(root: &Root, directory: &OwnedFd, path: &str) -> Result<(), StageError> {
    let found = object::look_at(directory).map_err(|source| io_error("look at", path, source))?;
    if found.uid != root.user() || found.mode & 0o077 != 0 {
        let found = format!("owned by user {} with mode {:04o}", found.uid, found.mode);
        return Err(StageError::Area { path: path.to_owned(), found, user: root.user() });
    }
    Ok(())
}

/// Whether a slot holds anything.
pub fn is_there(directory: BorrowedFd<'_>, slot: u64) -> io::Result<Option<Kind>> {
    Ok(object::look(directory, &*name(slot))?.map(|found| found.kind))
}

/// The file name of a slot.
pub fn name(slot: u64) -> String {
    slot.to_string()
}
