//! Unpacking a patch for a test: files, modes and symlinks below a directory of the test's own,
//! without owners, extended attributes and set-id bits.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use countersign_format::archive::{ArchiveReader, Member};
use countersign_format::delta::DeltaReader;
use countersign_format::manifest::{Delta, FileEntry, FileKind, Manifest};
use countersign_format::relpath::RelPath;

use super::CollectionError;

/// Unpacks `archive` over what is in `root`, and its hooks into `hooks`. Where an incremental patch
/// does not go on from what is there, files that come as changes to others are left out.
pub(super) fn unpack(
    archive: &Path,
    root: &Path,
    hooks: &Path,
) -> Result<Manifest, CollectionError> {
    let file = File::open(archive).map_err(CollectionError::io("read", archive))?;
    let failed = |source| CollectionError::archive(archive)(source);
    let mut reader = ArchiveReader::open_unannounced(BufReader::new(file)).map_err(failed)?;
    // they may go away or be replaced before they are needed
    let bases = Bases::set_aside(reader.manifest(), root)
        .map_err(CollectionError::io("set aside what is changed in", root))?;
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
            Some(Member::Entry { entry, delta: None, mut content }) => {
                let path = root.join(&entry.path);
                place(entry, &path, &mut content).map_err(CollectionError::io("write", &path))?;
            }
            Some(Member::Entry { entry, delta: Some(delta), content }) => {
                let path = root.join(&entry.path);
                bases
                    .place(entry, delta, &path, content)
                    .map_err(CollectionError::io("make", &path))?;
            }
        }
    }
    let checked = reader.finish().map_err(CollectionError::archive(archive))?;
    Ok(checked.into_manifest())
}

/// Second names for the files that an archive has changes to.
struct Bases {
    directory: PathBuf,
    names: BTreeMap<RelPath, String>,
}

impl Bases {
    /// Those that are there, beside `root`.
    fn set_aside(manifest: &Manifest, root: &Path) -> io::Result<Self> {
        let directory = root.with_extension("bases");
        let mut bases = Self { directory, names: BTreeMap::new() };
        let Some(deltas) = &manifest.deltas else { return Ok(bases) };
        fs::create_dir(&bases.directory)?;
        for (number, path) in deltas.base_paths().into_iter().enumerate() {
            let (base, name) = (root.join(path), number.to_string());
            if fs::symlink_metadata(&base).is_ok_and(|found| found.is_file()) {
                fs::hard_link(&base, bases.directory.join(&name))?;
                bases.names.insert(path.clone(), name);
            }
        }
        Ok(bases)
    }

    /// Makes a file of its base, if that is there.
    fn place(
        &self,
        entry: &FileEntry,
        delta: &Delta,
        path: &Path,
        content: impl io::Read,
    ) -> io::Result<()> {
        let name = self.names.get(delta.base(&entry.path));
        let (Some(name), Some(meta)) = (name, entry.as_file()) else { return remove(path) };
        let base = File::open(self.directory.join(name))?;
        let size = base.metadata()?.len();
        let read = |to: &mut [u8], at: u64| base.read_exact_at(to, at);
        place(entry, path, &mut DeltaReader::new(content, read, size, &entry.path, meta))
    }
}

impl Drop for Bases {
    fn drop(&mut self) {
        // it goes with the directory of the test anyway
        let _ = fs::remove_dir_all(&self.directory);
    }
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
