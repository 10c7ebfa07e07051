//! Objects with all that is below them: measuring and removing.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::{Kind, deeper, look, names, open_directory};

/// Bytes of a block as `st_blocks` counts them.
const STATUS_BLOCK: u64 = 512;

/// What something takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Files, symlinks and the like, without directories.
    pub files: u64,
    /// Bytes that removing it frees: what has another name elsewhere frees none.
    pub bytes: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The names in an open directory and what has them, in no order.
pub fn entries(directory: impl AsFd) -> io::Result<Vec<(CString, Kind)>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // not every file system says it here
            FileType::Unknown => look(&directory, name)?.map_or(Kind::Other, |found| found.kind),
            kind => Kind::of(kind),
        };
        found.push((name.to_owned(), kind));
    }
    Ok(found)
}

/// Measures an object and all below it; nothing where it is not there.
pub fn measure(directory: impl AsFd, name: &str) -> io::Result<Size> {
    measure_below(directory.as_fd(), &CString::new(name)?, 0)
}

fn measure_below(directory: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<Size> {
    deeper(depth)?;
    let status = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Size::default()),
        status => status?,
    };
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        let blocks = if status.st_nlink > 1 { 0 } else { status.st_blocks.unsigned_abs() };
        return Ok(Size { files: 1, bytes: blocks.saturating_mul(STATUS_BLOCK) });
    }
    let open = match open_directory(directory, name) {
        // closed to its owner: it is removed all the same, but not measured
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Size::default());
        }
        open => open?,
    };
    let mut sum = Size::default();
    for name in names(&open)? {
        sum += measure_below(open.as_fd(), &name, depth + 1)?;
    }
    Ok(sum)
}

/// Removes an object and all below it; well where it is gone already.
pub fn remove_all(directory: impl AsFd, name: &str) -> io::Result<()> {
    remove_below(directory.as_fd(), &CString::new(name)?, 0)
}

fn remove_below(directory: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
    deeper(depth)?;
    let Some(found) = look(directory, name)? else { return Ok(()) };
    if found.kind != Kind::Directory {
        return unlink(directory, name, AtFlags::empty());
    }
    let open = match open_directory(directory, name) {
        // closed to its own owner, who is not root: root needs no mode, and must not change one by
        // a name that somebody may have made a symlink since
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            rustix::fs::chmodat(directory, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(directory, name)?
        }
        open => open?,
    };
    if found.mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&open, Mode::RWXU)?;
    }
    for name in names(&open)? {
        remove_below(open.as_fd(), &name, depth + 1)?;
    }
    unlink(directory, name, AtFlags::REMOVEDIR)
}

fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}
