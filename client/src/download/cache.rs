//! Files of the cache. Everything in it is verified whenever it is used; here is what keeps whoever
//! can write to it from making this program write elsewhere: no name below the cache is followed
//! if it is a symlink, and only a file that is this user's alone is written on.
//!
//! System calls: `mkdirat` and `openat` with `O_NOFOLLOW`, `renameat`, `unlinkat`.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use countersign_format::layout::RepoPath;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::object;

/// What follows the name of a file that has not come in full.
const PART: &str = ".part";

/// Opens a file to read it; none where there is none, or something else than a file.
pub(super) fn open(cache: &Path, path: &RepoPath) -> io::Result<Option<File>> {
    let Some((folder, name)) = folder(cache, path, false)? else { return Ok(None) };
    match object::look(&folder, name)? {
        Some(found) if found.kind == object::Kind::File => {
            object::open_file(folder, name).map(Some)
        }
        _ => Ok(None),
    }
}

/// Opens what has come of a file so far, to be gone on with, and makes it if it is not there.
pub(super) fn open_part(cache: &Path, path: &RepoPath) -> io::Result<File> {
    let (folder, name) = make_folder(cache, path)?;
    let name = format!("{name}{PART}");
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let open = |flags| rustix::fs::openat(&folder, &*name, flags | OFlags::NONBLOCK, mode);
    if let Ok(file) = open(flags).map(File::from)
        && is_ours_alone(&file)?
    {
        return Ok(file);
    }
    remove_at(&folder, &name)?;
    Ok(open(flags | OFlags::CREATE | OFlags::EXCL)?.into())
}

/// Gives a file that has come in full its name.
pub(super) fn complete(cache: &Path, path: &RepoPath) -> io::Result<()> {
    let (folder, name) = make_folder(cache, path)?;
    Ok(rustix::fs::renameat(&folder, format!("{name}{PART}"), &folder, name)?)
}

/// Writes a small file. It need not be durable: what is torn does not verify.
pub(super) fn write(cache: &Path, path: &RepoPath, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_part(cache, path)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    complete(cache, path)
}

/// Removes a file; what is not there is as good.
pub(super) fn remove(cache: &Path, path: &RepoPath) -> io::Result<()> {
    match folder(cache, path, false)? {
        Some((folder, name)) => remove_at(&folder, name),
        None => Ok(()),
    }
}

fn remove_at(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn is_ours_alone(file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    let user = rustix::process::geteuid().as_raw();
    Ok(found.is_file() && found.uid() == user && found.nlink() == 1)
}

fn make_folder<'p>(cache: &Path, path: &'p RepoPath) -> io::Result<(OwnedFd, &'p str)> {
    std::fs::create_dir_all(cache)?;
    folder(cache, path, true)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The folder of a file and the file's name; none where there is no such folder.
fn folder<'p>(
    cache: &Path,
    path: &'p RepoPath,
    make: bool,
) -> io::Result<Option<(OwnedFd, &'p str)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = match rustix::fs::open(cache, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        open => open?,
    };
    let (folders, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        if make {
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            match rustix::fs::mkdirat(&at, part, mode) {
                Err(Errno::EXIST) => {}
                done => done?,
            }
        }
        at = match object::open_directory(&at, part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
            open => open?,
        };
    }
    Ok(Some((at, name)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use countersign_format::hash::Hash32;
    use countersign_format::layout;

    use super::*;

    struct Lab {
        directory: tempfile::TempDir,
        path: RepoPath,
    }

    impl Lab {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let lab = Self { directory, path: layout::archive(&Hash32([7; 32])) };
            write(&lab.cache(), &lab.path, b"archive").expect("written");
            fs::write(lab.victim(), "precious").expect("written");
            lab
        }

        fn cache(&self) -> std::path::PathBuf {
            self.directory.path().join("cache")
        }

        fn victim(&self) -> std::path::PathBuf {
            self.directory.path().join("victim")
        }

        fn file(&self, ending: &str) -> std::path::PathBuf {
            self.cache().join(format!("{}{ending}", self.path))
        }

        fn is_whole(&self) {
            assert_eq!(fs::read_to_string(self.victim()).expect("read"), "precious");
        }
    }

    #[test]
    fn what_is_written_is_found_and_removed() {
        let lab = Lab::new();
        let mut found = open(&lab.cache(), &lab.path).expect("opened").expect("there");
        assert_eq!(io::read_to_string(&mut found).expect("read"), "archive");
        assert!(!lab.file(PART).exists());
        remove(&lab.cache(), &lab.path).expect("removed");
        remove(&lab.cache(), &lab.path).expect("gone already");
        assert!(open(&lab.cache(), &lab.path).expect("looked").is_none());
        // what began to come is gone on with
        open_part(&lab.cache(), &lab.path).expect("made").write_all(b"ar").expect("written");
        open_part(&lab.cache(), &lab.path).expect("opened").write_all(b"ch").expect("written");
        assert_eq!(fs::read(lab.file(PART)).expect("read"), b"arch");
    }

    #[test]
    fn planted_links_steer_no_write() {
        let lab = Lab::new();
        symlink(lab.victim(), lab.file(PART)).expect("planted");
        write(&lab.cache(), &lab.path, b"new").expect("written beside");
        lab.is_whole();
        fs::hard_link(lab.victim(), lab.file(PART)).expect("planted");
        write(&lab.cache(), &lab.path, b"new").expect("written beside");
        lab.is_whole();
        fs::remove_file(lab.file("")).expect("removed");
        symlink(lab.victim(), lab.file("")).expect("planted");
        assert!(open(&lab.cache(), &lab.path).expect("looked").is_none());
        write(&lab.cache(), &lab.path, b"new").expect("replaced");
        lab.is_whole();
        assert_eq!(fs::read(lab.file("")).expect("read"), b"new");
        // a folder
        let elsewhere = lab.directory.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        fs::remove_dir_all(lab.cache().join("patches")).expect("removed");
        symlink(&elsewhere, lab.cache().join("patches")).expect("planted");
        write(&lab.cache(), &lab.path, b"new").expect_err("refused");
        assert_eq!(fs::read_dir(&elsewhere).expect("listed").count(), 0);
    }
}
