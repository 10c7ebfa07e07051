//! Writes what is to be put in place into staging.

use std::fs::File;
use std::io::{self, Read, Write as _};

use countersign_format::manifest::{FileKind, FileMeta, LinkTarget};
use countersign_store::crash::step;
use rustix::fs::{Mode, XattrFlags};

use super::{Area, name};
use crate::object;

/// Bytes written at a time.
const CHUNK: usize = 128 * 1024;

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
pub fn give_away(area: &Area, slot: u64, kind: &FileKind, owner: (u32, u32)) -> io::Result<()> {
    let (staging, name) = (area.staging(), name(slot));
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
