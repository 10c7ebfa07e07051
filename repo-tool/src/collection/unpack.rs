//! Unpacking a patch for a test: files, modes and symlinks below a directory of the test's own,
//! without owners, extended attributes and set-id bits.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use countersign_format::archive::{ArchiveReader, Member};
use countersign_format::manifest::{FileEntry, FileKind, Manifest};

use super::CollectionError;

/// Unpacks `archive` over what is in `root`, and its hooks into `hooks`. An incremental patch must
/// be known to go on from what is there.
pub(super) fn unpack(
    archive: &Path,
    root: &Path,
    hooks: &Path,
) -> Result<Manifest, CollectionError> {
    let file = File::open(archive).map_err(CollectionError::io("read", archive))?;
    let failed = |source| CollectionError::archive(archive)(source);
    let mut reader = ArchiveReader::open_unannounced(BufReader::new(file)).map_err(failed)?;
    for path in &reader.manifest().remove {
        let path = root.join(path);
        remove(&path).map_err(CollectionError::io("remove", &path))?;
    }
    loop {
        let failed = |source| CollectionError::archive(archive)(source);
        match reader.next_member().map_err(failed)? {
            None => break,
            Some(Member::Hook { path, mut content }) => {
                let path = hooks.join(path.file_name());
                write(&path, &mut content, 0o755).map_err(CollectionError::io("write", &path))?;
            }
            Some(Member::Entry { entry, mut content }) => {
                let path = root.join(&entry.path);
                place(entry, &path, &mut content).map_err(CollectionError::io("write", &path))?;
            }
        }
    }
    let checked = reader.finish().map_err(CollectionError::archive(archive))?;
    Ok(checked.into_manifest())
}

fn place(entry: &FileEntry, path: &Path, content: &mut dyn io::Read) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match &entry.kind {
        FileKind::File(file) => {
            remove(path)?;
            write(path, content, file.mode.bits() & 0o777)
        }
        FileKind::Link { target } => {
            remove(path)?;
            symlink(target.as_str(), path)
        }
        FileKind::Directory { mode, .. } => {
            if !path.is_dir() {
                remove(path)?;
                fs::create_dir(path)?;
            }
            // the test must be able to write below it, and to remove it afterwards
            fs::set_permissions(path, Permissions::from_mode(mode.bits() & 0o777 | 0o700))
        }
    }
}

fn write(path: &Path, content: &mut dyn io::Read, mode: u32) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    io::copy(content, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// Removes a file, a symlink or an empty directory; a directory that is not empty stays.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}
