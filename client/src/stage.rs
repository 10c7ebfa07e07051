//! Working areas: a closed `.patchctl/` at the root of each mount that a transaction touches.
//!
//! A rename only works within one mount, and bind mounts of one device are different mounts, so
//! there is one area a mount. An area has `staging/<transaction>/<slot>` for what is to be put in
//! place, and `backup/<transaction>/<slot>` for what was there. Slots are numbers, so no path of a
//! payload can lead out of an area.
//!
//! System calls: `mkdirat`, `fsync`, `renameat`, `unlinkat`, `fstatvfs`, `syncfs`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use countersign_format::manifest::{FileMeta, LinkTarget};
use countersign_store::crash::step;
use rustix::fs::{Mode, XattrFlags};

use crate::object::{self, Kind};
use crate::owner::{OwnerError, Owners};
use crate::root::{DirPath, Root, RootError, io_error};

/// The directory at the root of each mount.
pub const AREA: &str = ".patchctl";

/// In the names of backups that are somebody's and that no cleaning removes: `SLOT.kept-N`.
pub const KEPT: &str = ".kept-";

/// Bytes written at a time.
const CHUNK: usize = 128 * 1024;

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
    /// A working area that a journal names is gone, most likely because its mount is.
    #[error("working area /{0} is not there; is its file system mounted?")]
    Gone(String),
    /// An owner has no number under this root.
    #[error(transparent)]
    Owner(#[from] OwnerError),
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
}

impl Area {
    /// Makes what is missing of an area, durably: recovery takes an absent area for an absent
    /// mount.
    fn create(root: &Root, at: &DirPath, txn: i64) -> Result<Self, StageError> {
        let top = root.open_directory(at)?;
        let path = area_path(at);
        let failed = |source| StageError::from(io_error("make working area", &path, source));
        let directory = make_directory(&top, AREA).map_err(failed)?;
        must_be_closed(root, &directory, &path)?;
        let number = txn.to_string();
        let part = |name: &str| {
            let kind = make_directory(&directory, name)?;
            make_directory(&kind, &number)
        };
        let staging = part("staging").map_err(failed)?;
        let backup = part("backup").map_err(failed)?;
        let mount = object::look_at(&top).map_err(failed)?.mount;
        Ok(Self { at: at.clone(), mount, directory, staging, backup })
    }

    /// Opens an area that must be there.
    fn open(root: &Root, at: &DirPath, txn: i64) -> Result<Self, StageError> {
        let path = area_path(at);
        let gone = |_| StageError::Gone(path.clone());
        let top = root.open_directory(at)?;
        let directory = object::open_directory(&top, AREA).map_err(gone)?;
        must_be_closed(root, &directory, &path)?;
        let number = txn.to_string();
        let part = |name: &str| {
            let kind = object::open_directory(&directory, name)?;
            object::open_directory(&kind, &*number)
        };
        let (staging, backup) = (part("staging").map_err(gone)?, part("backup").map_err(gone)?);
        let mount =
            object::look_at(&top).map_err(|source| io_error("look at", &path, source))?.mount;
        Ok(Self { at: at.clone(), mount, directory, staging, backup })
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
}

impl<'r> Areas<'r> {
    /// No areas as yet.
    pub fn new(root: &'r Root, txn: i64) -> Self {
        Self { root, txn, list: Vec::new(), next: 0, nearest: HashMap::new() }
    }

    /// The areas of a transaction that was begun before; all must be there.
    pub fn open(root: &'r Root, txn: i64, at: &[DirPath]) -> Result<Self, StageError> {
        let list = at.iter().map(|at| Area::open(root, at, txn)).collect::<Result<_, _>>()?;
        Ok(Self { root, txn, list, next: 0, nearest: HashMap::new() })
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
            self.list.push(Area::create(self.root, &top, self.txn)?);
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

    /// A slot that is not used yet.
    pub fn slot(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Removes what was staged; backups stay unless `backups` is said.
    pub fn clean(&self, backups: bool) -> Result<(), StageError> {
        clean(self.root, self.txn, self.list.iter().map(Area::at), backups)
    }
}

/// Removes a transaction's staging directories, and its backups where that is said, but for those
/// that are somebody's. Areas that are not there need no cleaning.
pub fn clean<'a>(
    root: &Root,
    txn: i64,
    areas: impl IntoIterator<Item = &'a DirPath>,
    backups: bool,
) -> Result<(), StageError> {
    for at in areas {
        let Ok(top) = root.open_directory(at) else { continue };
        let Ok(directory) = object::open_directory(&top, AREA) else { continue };
        must_be_closed(root, &directory, &area_path(at))?;
        let failed = |source| io_error("clean", &area_path(at), source);
        let number = txn.to_string();
        step("transaction.clean", || {
            let Ok(parent) = object::open_directory(&directory, "staging") else { return Ok(()) };
            object::remove_all(&parent, &number)
        })
        .map_err(failed)?;
        if backups {
            step("transaction.clean", || {
                let Ok(parent) = object::open_directory(&directory, "backup") else {
                    return Ok(());
                };
                clean_backups(&parent, &number)
            })
            .map_err(failed)?;
        }
    }
    Ok(())
}

fn clean_backups(parent: &OwnedFd, number: &str) -> io::Result<()> {
    if object::look(parent, number)?.is_none() {
        return Ok(());
    }
    let directory = object::open_directory(parent, number)?;
    let (mut is_empty, names) = (true, object::names(&directory)?);
    for name in names.iter().map(|name| name.to_string_lossy()) {
        if name.contains(KEPT) {
            is_empty = false;
        } else {
            object::remove_all(&directory, &name)?;
        }
    }
    if is_empty { object::remove_all(parent, number) } else { Ok(()) }
}

/// `.patchctl` of a mount, relative to the root.
pub fn area_path(at: &DirPath) -> String {
    at.join(AREA).map_or_else(|_| AREA.to_owned(), |path| path.to_string())
}

/// Makes a directory closed to others unless it is there, and makes its name durable.
fn make_directory(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    step("transaction.area", || match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => Ok(rustix::fs::fsync(parent)?),
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    })?;
    object::open_directory(parent, name)
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

/// Writes a regular file into staging: content, owner, mode and extended attributes.
pub fn write_file(
    area: &Area,
    slot: u64,
    meta: &FileMeta,
    owner: Option<(u32, u32)>,
    content: &mut impl Read,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut file = step("transaction.stage", || object::create_file(area.staging(), &*name(slot)))?;
    let mut chunk = vec![0; CHUNK.min(usize::try_from(meta.size).unwrap_or(CHUNK).max(1))];
    loop {
        let length = match content.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        step("transaction.write", || file.write_all(&chunk[..length]))?;
        progress(length as u64);
    }
    finish_file(&file, meta, owner)
}

fn finish_file(file: &File, meta: &FileMeta, owner: Option<(u32, u32)>) -> io::Result<()> {
    object::set_metadata(file, owner, meta.mode.bits())?;
    for (attribute, value) in meta.xattrs.iter() {
        // capabilities are root's to give, like owners
        if owner.is_none() && attribute.starts_with("security.") {
            continue;
        }
        rustix::fs::fsetxattr(file, attribute.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Makes an empty directory in staging.
pub fn make_staged_directory(
    area: &Area,
    slot: u64,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    step("transaction.stage", || {
        rustix::fs::mkdirat(area.staging(), &*name(slot), Mode::RWXU)?;
        object::set_metadata(object::open_directory(area.staging(), &*name(slot))?, owner, mode)
    })
}

/// Makes a symlink in staging.
pub fn make_staged_link(
    area: &Area,
    slot: u64,
    target: &LinkTarget,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    step("transaction.stage", || {
        rustix::fs::symlinkat(target.as_str(), area.staging(), &*name(slot))?;
        owner.map_or(Ok(()), |owner| object::set_link_owner(area.staging(), &*name(slot), owner))
    })
}

/// Whether a slot holds anything.
pub fn is_there(directory: BorrowedFd<'_>, slot: u64) -> io::Result<Option<Kind>> {
    Ok(object::look(directory, &*name(slot))?.map(|found| found.kind))
}

/// The file name of a slot.
pub fn name(slot: u64) -> String {
    slot.to_string()
}
