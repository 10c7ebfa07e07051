//! Objects with all that is below them: measuring and removing.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::{Found, Kind, look, names, open_directory};

/// Bytes of a block as `st_blocks` counts them.
const STATUS_BLOCK: u64 = 512;

/// Most directories that are open at a time while others are removed.
const MAX_OPEN: usize = 64;

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

/// Measures an object and all below it; nothing where it is not there. What is too deep to be named,
/// or closed to its owner, is removed all the same, but not measured.
pub fn measure(directory: impl AsFd, name: &str) -> io::Result<Size> {
    let mut sum = Size::default();
    // each directory is opened by its whole path, so that few are open at a time however deep they are
    let mut ahead = vec![name.as_bytes().to_vec()];
    while let Some(path) = ahead.pop() {
        match measure_one(directory.as_fd(), &path, &mut ahead) {
            Ok(size) => sum += size,
            Err(error) if is_not_measured(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

fn is_not_measured(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidFilename | NotFound | PermissionDenied)
}

/// Measures what is at a path beneath a directory, and adds the directories in it to `ahead`.
fn measure_one(
    directory: BorrowedFd<'_>,
    path: &[u8],
    ahead: &mut Vec<Vec<u8>>,
) -> io::Result<Size> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = match openat2(directory, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOTDIR | Errno::LOOP) => return size_of(directory, &CString::new(path)?),
        open => open?,
    };
    let mut sum = Size::default();
    for (name, kind) in entries(&open)? {
        if kind == Kind::Directory {
            ahead.push([path, b"/", name.to_bytes()].concat());
        } else {
            sum += size_of(open.as_fd(), &name)?;
        }
    }
    Ok(sum)
}

/// What something that is no directory takes.
fn size_of(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Size> {
    let status = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Size::default()),
        status => status?,
    };
    let blocks = if status.st_nlink > 1 { 0 } else { status.st_blocks.unsigned_abs() };
    Ok(Size { files: 1, bytes: blocks.saturating_mul(STATUS_BLOCK) })
}

/// Removes an object and all below it; well where it is gone already.
///
/// A path of a patch may lead through 2,048 directories, and what somebody made in them further. With a
/// descriptor for each, removing them would end at the limit on open files (1,024 in most sessions), at
/// every recovery anew; coming back through `..` would end wherever somebody moved a directory to. So
/// what lies `MAX_OPEN` deep is moved to the top of what is removed, and removed from there.
pub fn remove_all(directory: impl AsFd, name: &str) -> io::Result<()> {
    let (directory, name) = (directory.as_fd(), CString::new(name)?);
    let Some(found) = look(directory, &name)? else { return Ok(()) };
    if found.kind != Kind::Directory {
        return unlink(directory, &name, AtFlags::empty());
    }
    let top = open_to_empty(directory, &name, found)?;
    let mut removal = Removal { top: top.as_fd(), moved: 0 };
    loop {
        let before = removal.moved;
        removal.empty(top.as_fd(), 1)?;
        if removal.moved == before {
            return unlink(directory, &name, AtFlags::REMOVEDIR);
        }
    }
}

/// The removal of a directory with all that is in it.
struct Removal<'t> {
    /// The directory itself.
    top: BorrowedFd<'t>,
    /// How many directories were moved up into it.
    moved: u64,
}

impl Removal<'_> {
    fn empty(&mut self, open: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        for name in names(open)? {
            let Some(found) = look(open, &name)? else { continue };
            if found.kind != Kind::Directory {
                unlink(open, &name, AtFlags::empty())?;
                continue;
            }
            let below = open_to_empty(open, &name, found)?;
            if depth < MAX_OPEN {
                self.empty(below.as_fd(), depth + 1)?;
                unlink(open, &name, AtFlags::REMOVEDIR)?;
            } else {
                self.move_up(open, &name)?;
            }
        }
        Ok(())
    }

    /// Moves a directory to the top, under a name that is free or that of an empty directory.
    fn move_up(&mut self, from: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let to = format!("moved-up-{}", self.moved);
            match rustix::fs::renameat(from, name, self.top, to) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                result => return Ok(result?),
            }
        }
    }
}

/// Opens a directory, whose owner gets to change what is in it.
fn open_to_empty(directory: BorrowedFd<'_>, name: &CStr, found: Found) -> io::Result<OwnedFd> {
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
    Ok(open)
}

fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// Makes directories in each other, each but the innermost with a file.
    fn make_deep(top: &Path, levels: usize) -> io::Result<()> {
        fs::create_dir(top)?;
        let mut at = fs::File::open(top)?.into();
        for level in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU)?;
            let flags = OFlags::CREATE | OFlags::WRONLY;
            drop(rustix::fs::openat(&at, format!("file-{level}"), flags, Mode::RUSR)?);
            at = open_directory(&at, "d")?;
        }
        Ok(())
    }

    #[test]
    fn what_is_deeper_than_descriptors_reach_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = fs::File::open(directory.path()).expect("open");
        for levels in [1, MAX_OPEN - 1, MAX_OPEN, MAX_OPEN + 1, 3_000] {
            let top = directory.path().join("top");
            make_deep(&top, levels).expect("made");
            // names that are taken where directories are moved to
            fs::write(top.join("moved-up-1"), "file").expect("written");
            fs::create_dir_all(top.join("moved-up-2/inner")).expect("made");
            remove_all(&open, "top").expect("removed");
            assert!(!top.exists(), "{levels}");
        }
    }

    #[test]
    fn closed_directories_are_removed_at_any_depth() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = fs::File::open(directory.path()).expect("open");
        let mut at = directory.path().join("top");
        fs::create_dir(&at).expect("made");
        let mut made = vec![at.clone()];
        for _ in 0..MAX_OPEN + 5 {
            at.push("d");
            fs::create_dir(&at).expect("made");
            made.push(at.clone());
        }
        for path in made.iter().rev() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o500)).expect("closed");
        }
        remove_all(&open, "top").expect("removed");
        assert!(!made[0].exists());
    }

    #[test]
    fn measuring_counts_every_level_and_follows_no_symlink() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = fs::File::open(directory.path()).expect("open");
        make_deep(&directory.path().join("top"), 1_500).expect("made");
        fs::create_dir(directory.path().join("elsewhere")).expect("made");
        fs::write(directory.path().join("elsewhere/file"), "x").expect("written");
        let link = directory.path().join("top/link");
        std::os::unix::fs::symlink("../elsewhere", &link).expect("linked");
        assert_eq!(measure(&open, "top").expect("measured").files, 1_501);
        fs::rename(link, directory.path().join("link")).expect("moved");
        assert_eq!(measure(&open, "link").expect("measured").files, 1);
        assert_eq!(measure(&open, "nothing").expect("measured"), Size::default());
        remove_all(&open, "top").expect("removed");
    }
}
