//! Notes that the server learned of and does not show its readers yet: `state/learned/`.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink as _, WriteError};

use super::{KnownAuthority, KnownAuthorityError};
use crate::role_dir::{RoleDir, RoleDirError};

/// Notes that readers do not see yet, as a repository has them.
const LEARNED: &str = "state/learned";

impl KnownAuthority {
    /// Whether there is a note that readers do not see yet.
    pub fn is_waiting(&self) -> bool {
        self.shown < self.chain().newest().version
    }

    /// The newest version that readers see; 0 where they see none.
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// The notes that readers do not see yet, in the order in which they are to be written to the
    /// public directory. From then on readers judge all that they are served by the newest.
    pub fn waiting(&self, directory: &RoleDir) -> Result<Vec<(RepoPath, Vec<u8>)>, WriteError> {
        let public = directory.public();
        let (learned, shown) =
            (DirectoryWriter::new(&learned(directory)), DirectoryWriter::new(&public));
        let mut waiting = Vec::new();
        for version in 1..=self.chain().newest().version {
            let path = layout::authority(version);
            let Some(bytes) = learned.read(&path, MAX_AUTHORITY_NOTE as u64)? else { continue };
            match shown.read(&path, MAX_AUTHORITY_NOTE as u64)? {
                None => waiting.push((path, bytes)),
                Some(shown) if shown == bytes => {}
                Some(_) => return Err(WriteError::Conflict(public.join(&path))),
            }
        }
        Ok(waiting)
    }

    /// Shows readers the notes that they do not see yet.
    pub fn show(&mut self, directory: &RoleDir) -> Result<(), KnownAuthorityError> {
        let waiting = self.waiting(directory)?;
        DirectoryWriter::new(&directory.public()).put_heads(&waiting)?;
        crash_point("authority.shown");
        drop_shown(directory)?;
        self.look_what_is_shown(directory)
    }

    pub(super) fn look_what_is_shown(
        &mut self,
        directory: &RoleDir,
    ) -> Result<(), KnownAuthorityError> {
        let public = DirectoryWriter::new(&directory.public());
        self.shown = 0;
        for version in (1..=self.chain().newest().version).rev() {
            if public.size(&layout::authority(version))?.is_some() {
                self.shown = version;
                break;
            }
        }
        Ok(())
    }
}

/// A note that the server holds, shown or not.
pub fn held_note(directory: &RoleDir, version: u64) -> Result<Option<Vec<u8>>, WriteError> {
    let path = layout::authority(version);
    for folder in [directory.public(), learned(directory)] {
        let held = DirectoryWriter::new(&folder).read(&path, MAX_AUTHORITY_NOTE as u64)?;
        if held.is_some() {
            return Ok(held);
        }
    }
    Ok(None)
}

/// Removes what was learned and is shown by now.
pub(super) fn drop_shown(directory: &RoleDir) -> Result<(), KnownAuthorityError> {
    let folder = learned(directory);
    let notes = folder.join("authority");
    let failed = |source| RoleDirError::Io { action: "list", path: notes.clone(), source };
    let found = match fs::read_dir(&notes) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    let (public, mut writer) =
        (DirectoryWriter::new(&directory.public()), DirectoryWriter::new(&folder));
    for file in found {
        let name = file.map_err(failed)?.file_name();
        let Some(version) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let path = layout::authority(version);
        if public.size(&path)?.is_some() {
            writer.remove(&path)?;
        }
    }
    Ok(writer.sync()?)
}

pub(super) fn learned(directory: &RoleDir) -> PathBuf {
    directory.path().join(LEARNED)
}

pub(super) fn learned_writer(directory: &RoleDir) -> Result<DirectoryWriter, KnownAuthorityError> {
    let path = learned(directory);
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.map_err(|source| {
            let path = path.clone();
            RoleDirError::Io { action: "make", path, source }
        })?,
    }
    Ok(DirectoryWriter::new(&path))
}
