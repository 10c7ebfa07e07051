//! Writes what is to be put in place into staging.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use countersign_format::manifest::{FileKind, FileMeta, LinkTarget};
use countersign_store::crash::step;
use rustix::fs::{Mode, XattrFlags};

use super::{Area, Spot};
use crate::object::{self, Found};

/// A regular file that is being written into staging.
#[derive(Debug)]
pub struct StagedWriter<'m> {
    file: File,
    meta: &'m FileMeta,
    owner: Option<(u32, u32)>,
}

impl<'m> StagedWriter<'m> {
    /// Makes the file, empty. Nobody else gets into the working area, so it may have its mode from
    /// the start, unless that keeps its extended attributes from being set.
    pub fn create(
        directory: impl AsFd,
        name: &str,
        meta: &'m FileMeta,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Self> {
        let is_plain = meta.xattrs.is_empty();
        let mode = if is_plain { meta.mode.bits() } else { object::OWNER_ONLY };
        let file = step("transaction.stage", || object::create_file(directory, name, mode))?;
        Ok(Self { file, meta, owner })
    }

    /// Writes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        step("transaction.write", || self.file.write_all(bytes))
    }

    /// Sets owner, extended attributes and mode where they are not yet what they are to be, and
    /// returns what the file is.
    pub fn finish(self) -> io::Result<Found> {
        let found = object::look_at(&self.file)?;
        let is_owner = self.owner.is_none_or(|owner| owner == (found.uid, found.gid));
        if is_owner && found.mode == self.meta.mode.bits() && self.meta.xattrs.is_empty() {
            return Ok(found);
        }
        finish_file(&self.file, self.meta, self.owner)?;
        object::look_at(&self.file)
    }
}

/// The mode comes last: a user without privilege cannot set attributes of a read-only file. The
/// owner comes first: a new one clears capabilities.
fn finish_file(file: &File, meta: &FileMeta, owner: Option<(u32, u32)>) -> io::Result<()> {
    object::set_owner(file, owner)?;
    for (attribute, value) in meta.xattrs.iter() {
        // capabilities are root's to give, like owners
        if owner.is_none() && attribute.starts_with("security.") {
            continue;
        }
        rustix::fs::fsetxattr(file, attribute.as_str(), value, XattrFlags::empty())?;
    }
    object::set_metadata(file, None, meta.mode.bits())
}

/// Gives a staged file or directory to another owner, and it the attributes and the mode again that
/// a new owner clears.
pub fn give_away(area: &Area, spot: &Spot, kind: &FileKind, owner: (u32, u32)) -> io::Result<()> {
    let (staging, name) = (spot.open_directory(area.staging())?, spot.file_name());
    step("transaction.give-away", || match kind {
        FileKind::File(meta) => {
            finish_file(&object::open_file(staging, &*name)?, meta, Some(owner))
        }
        FileKind::Directory { mode, .. } => {
            let directory = object::open_directory(staging, &*name)?;
            object::set_metadata(directory, Some(owner), mode.bits())
        }
        // symlinks are root's
        FileKind::Link { .. } => Ok(()),
    })
}

/// Makes a directory in staging, unless it was made for what is in it.
pub fn make_staged_directory(
    area: &Area,
    spot: &Spot,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let (staging, name) = (spot.make_directory(area.staging())?, spot.file_name());
    step("transaction.stage", || {
        match rustix::fs::mkdirat(&staging, &*name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        object::set_metadata(object::open_directory(&staging, &*name)?, owner, mode)
    })
}

/// Makes a symlink in staging.
pub fn make_staged_link(
    area: &Area,
    spot: &Spot,
    target: &LinkTarget,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let (staging, name) = (spot.make_directory(area.staging())?, spot.file_name());
    step("transaction.stage", || {
        rustix::fs::symlinkat(target.as_str(), &staging, &*name)?;
        owner.map_or(Ok(()), |owner| object::set_link_owner(&staging, &*name, owner))
    })
}
