//! Objects of a file system, told by open directories and names, never by followed paths.
//!
//! System calls: `statx`, `openat` with `O_NOFOLLOW`, `readlinkat`, `mkdirat`,
//! `symlinkat`, `fchown`, `fchmod`, `fgetxattr`, `fsetxattr`, `unlinkat`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use countersign_format::hash::{Hash32, Hasher};
use data_encoding::BASE64;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Statx, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use serde::{Deserialize, Serialize};

mod below;

pub use below::{Size, entries, measure, remove_all};

/// Bytes read or written at a time.
const CHUNK: usize = 128 * 1024;

/// Deepest directory that is copied, recursively: `PATH_MAX` over the shortest name.
const MAX_DEPTH: usize = 2048;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket: never installed, never replaced.
    Other,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "symlink",
            Self::Other => "special file",
        })
    }
}

/// What `statx` says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Permission and set-id bits.
    pub mode: u32,
    /// The owning user.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// The mount it is on; where the kernel knows no mount IDs, the device.
    pub mount: u64,
    /// What changes when the object does.
    pub stamp: Stamp,
}

/// Changes whenever an object's content or status does, as far as a file system can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

/// An object as the journal tells it apart: kind, metadata, content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Identity {
    /// A regular file.
    File {
        /// Permission and set-id bits.
        mode: u32,
        /// The owning user.
        uid: u32,
        /// The owning group.
        gid: u32,
        /// Size in bytes.
        size: u64,
        /// SHA-256 of the content.
        sha256: Hash32,
        /// The extended attributes that an installed file may carry (SPEC §7), values in base64.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        xattrs: BTreeMap<String, String>,
    },
    /// A directory.
    Directory {
        /// Permission and set-id bits.
        mode: u32,
        /// The owning user.
        uid: u32,
        /// The owning group.
        gid: u32,
    },
    /// A symbolic link.
    Link {
        /// What it points at, as text; bytes that are not UTF-8 are replaced.
        target: String,
    },
    /// A device, a pipe or a socket.
    Other,
}

impl Identity {
    /// What the object is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File { .. } => Kind::File,
            Self::Directory { .. } => Kind::Directory,
            Self::Link { .. } => Kind::Link,
            Self::Other => Kind::Other,
        }
    }

    /// The same object, owned by somebody else.
    #[must_use]
    pub fn owned_by(mut self, user: u32, group: u32) -> Self {
        if let Self::File { uid, gid, .. } | Self::Directory { uid, gid, .. } = &mut self {
            (*uid, *gid) = (user, group);
        }
        self
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }
}

/// Looks at `name` in `directory` without following it; none where nothing is there.
pub fn look(directory: impl AsFd, name: impl Arg) -> io::Result<Option<Found>> {
    match rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, statx_fields()) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(Found::from_statx(&found?))),
    }
}

/// Looks at an open object itself.
pub fn look_at(open: impl AsFd) -> io::Result<Found> {
    Ok(Found::from_statx(&rustix::fs::statx(open, "", AtFlags::EMPTY_PATH, statx_fields())?))
}

fn statx_fields() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::MNT_ID
}

impl Stamp {
    /// Whether an object has been neither written to nor exchanged for another since this was its
    /// stamp. That its status changed, as a rename changes it, does not matter.
    pub fn is_same_content(&self, other: &Self) -> bool {
        let content = |stamp: &Self| (stamp.inode, stamp.size, stamp.modified);
        content(self) == content(other)
    }
}

impl Found {
    /// Whether this and another object of the same file system are one under two names.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.stamp.inode == other.stamp.inode
    }

    fn from_statx(found: &Statx) -> Self {
        let device = (u64::from(found.stx_dev_major) << 32) | u64::from(found.stx_dev_minor);
        let knows_mounts = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Self {
            kind: Kind::of(FileType::from_raw_mode(found.stx_mode.into())),
            mode: u32::from(found.stx_mode) & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            size: found.stx_size,
            mount: if knows_mounts { found.stx_mnt_id } else { device },
            stamp: Stamp {
                inode: found.stx_ino,
                size: found.stx_size,
                modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
                changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
            },
        }
    }
}

/// The identity of `name` in `directory`, its content hashed; none where nothing is there.
pub fn identify(directory: impl AsFd, name: impl Arg + Copy) -> io::Result<Option<Identity>> {
    let Some(found) = look(&directory, name)? else { return Ok(None) };
    Ok(Some(match found.kind {
        Kind::File => {
            let Found { mode, uid, gid, .. } = found;
            let mut file = open_file(directory, name)?;
            let (size, sha256) = hash(&mut file)?;
            let xattrs = xattrs(&file)?
                .into_iter()
                .map(|(name, value)| (name, BASE64.encode(&value)))
                .collect();
            Identity::File { mode, uid, gid, size, sha256, xattrs }
        }
        Kind::Directory => Identity::Directory { mode: found.mode, uid: found.uid, gid: found.gid },
        Kind::Link => Identity::Link { target: read_link(directory, name)? },
        Kind::Other => Identity::Other,
    }))
}

/// Where a symlink points, as text.
pub fn read_link(directory: impl AsFd, name: impl Arg) -> io::Result<String> {
    let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
    Ok(target.to_string_lossy().into_owned())
}

/// Opens a regular file for reading; a symlink or anything else is an error.
pub fn open_file(directory: impl AsFd, name: impl Arg) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// Opens a directory; a symlink is an error.
pub fn open_directory(directory: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

thread_local! {
    /// What files are read through: made once a thread, since making it costs more than hashing a
    /// small file.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Size and SHA-256 of what is left to read.
pub fn hash(file: &mut File) -> io::Result<(u64, Hash32)> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut hasher = Hasher::new();
        let mut size = 0;
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok((size, hasher.finish())),
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    size += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// The mode of a file that nobody else may read or write.
pub const OWNER_ONLY: u32 = 0o600;

/// Makes a new regular file to be written to. It has as much of `mode` as the process's mask lets
/// it have, without set-id bits, and its owner can always write to it by what is returned.
pub fn create_file(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode & 0o777);
    Ok(File::from(rustix::fs::openat(directory, name, flags, mode)?))
}

/// Sets owner (none: leave it) and then mode, in this order because a new owner clears set-id.
pub fn set_metadata(open: impl AsFd, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    set_owner(&open, owner)?;
    Ok(rustix::fs::fchmod(&open, Mode::from_raw_mode(mode))?)
}

/// Sets the owner, if there is one to set. It clears set-id bits and capabilities, so it comes
/// before both; a mode that forbids writing comes after the attributes.
pub fn set_owner(open: impl AsFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    Ok(rustix::fs::fchown(&open, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Sets the owner of a symlink.
pub fn set_link_owner(directory: impl AsFd, name: impl Arg, owner: (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?)
}

/// Copies one object with its metadata and extended attributes; directories with all in them.
/// `keep_owner` is false for a user who cannot give files away.
pub fn copy(
    from: (BorrowedFd<'_>, &str),
    to: (BorrowedFd<'_>, &str),
    keep_owner: bool,
) -> io::Result<()> {
    let (from_name, to_name) = (CString::new(from.1)?, CString::new(to.1)?);
    copy_below((from.0, &from_name), (to.0, &to_name), keep_owner, 0)
}

type At<'a> = (BorrowedFd<'a>, &'a CStr);

fn copy_below(from: At<'_>, to: At<'_>, keep_owner: bool, depth: usize) -> io::Result<()> {
    let found = look(from.0, from.1)?.ok_or(io::ErrorKind::NotFound)?;
    let owner = keep_owner.then_some((found.uid, found.gid));
    match found.kind {
        Kind::File => copy_file(from, to, owner, found.mode),
        Kind::Link => {
            let target = rustix::fs::readlinkat(from.0, from.1, Vec::new())?;
            rustix::fs::symlinkat(target, to.0, to.1)?;
            owner.map_or(Ok(()), |owner| set_link_owner(to.0, to.1, owner))
        }
        Kind::Directory => {
            deeper(depth)?;
            rustix::fs::mkdirat(to.0, to.1, Mode::RWXU)?;
            let (source, target) = (open_directory(from.0, from.1)?, open_directory(to.0, to.1)?);
            for name in names(&source)? {
                let (from, to) = ((source.as_fd(), &*name), (target.as_fd(), &*name));
                copy_below(from, to, keep_owner, depth + 1)?;
            }
            set_owner(&target, owner)?;
            copy_xattrs(&source, &target)?;
            set_metadata(&target, None, found.mode)
        }
        Kind::Other => Err(io::Error::other("a special file cannot be copied")),
    }
}

fn copy_file(from: At<'_>, to: At<'_>, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    let mut source = open_file(from.0, from.1)?;
    let mut target = create_file(to.0, to.1, OWNER_ONLY)?;
    io::copy(&mut source, &mut target)?;
    set_owner(&target, owner)?;
    copy_xattrs(&source, &target)?;
    set_metadata(&target, None, mode)?;
    target.set_modified(source.metadata()?.modified()?)
}

fn deeper(depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH { Err(io::Error::other("directories nest too deep")) } else { Ok(()) }
}

/// Copies the extended attributes that an installed file may carry (SPEC §7).
fn copy_xattrs(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    for (name, value) in xattrs(from)? {
        rustix::fs::fsetxattr(&to, &*name, &value, XattrFlags::empty())?;
    }
    Ok(())
}

/// The `user.*` and `security.capability` attributes of an open object, sorted by name.
pub fn xattrs(open: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut list = match rustix::fs::flistxattr_query(&open) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(0) => return Ok(Vec::new()),
        length => vec![0; length?],
    };
    let length = rustix::fs::flistxattr(&open, &mut list[..])?;
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !(name.starts_with("user.") || name == "security.capability") {
            continue;
        }
        let mut value = vec![0; rustix::fs::fgetxattr_query(&open, name)?];
        let length = rustix::fs::fgetxattr(&open, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_owned(), value));
    }
    found.sort();
    Ok(found)
}

/// The names in an open directory, sorted by bytes.
pub fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
