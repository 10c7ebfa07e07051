//! Up to which version the server's own log names the authority's notes: `state/announced`. Where that
//! is lost, the published log says it.

use std::path::Path;

use countersign_format::entry::{CollectionEntry, DistributionEntry};
use countersign_format::layout::Log;
use countersign_store::DirectoryWriter;
use countersign_store::durable::{self, Access};

use super::{KnownAuthorityError, MAX_TEXT};
use crate::publish::{read_entries, read_head};
use crate::role_dir::{RoleDir, RoleDirError};

const ANNOUNCED: &str = "state/announced";

/// Remembers that the server's log names the notes up to `version`.
pub fn mark_announced(directory: &RoleDir, version: u64) -> Result<(), KnownAuthorityError> {
    if read_announced(directory)? < version {
        let text = format!("{version}\n");
        directory.write(Path::new(ANNOUNCED), text.as_bytes(), Access::Private)?;
    }
    Ok(())
}

/// Reads what the published log of a server names, if nothing else says so: after a loss of `state/`
/// it would name every note once more, and an older note than a named one would do.
pub(super) fn recall_announced(directory: &RoleDir, log: Log) -> Result<(), KnownAuthorityError> {
    if directory.read(Path::new(ANNOUNCED), MAX_TEXT)?.is_some() {
        return Ok(());
    }
    let public = DirectoryWriter::new(&directory.public());
    let mut newest = 0;
    let mut read = || {
        let Some(head) = read_head(&public, log)? else { return Ok(()) };
        read_entries(&public, log, head.size, |_, entry| {
            newest = newest.max(named(log, entry).unwrap_or_default());
        })
    };
    read().map_err(|error| KnownAuthorityError::Log(Box::new(error)))?;
    mark_announced(directory, newest)
}

/// The version of the authority note that an entry names, if it is such an entry.
fn named(log: Log, entry: &[u8]) -> Option<u64> {
    match log {
        Log::Collection => match CollectionEntry::parse(entry).ok()? {
            CollectionEntry::Authority(reference) => Some(reference.version),
            _ => None,
        },
        Log::Distribution => match DistributionEntry::parse(entry).ok()? {
            DistributionEntry::Authority(reference) => Some(reference.version),
            _ => None,
        },
    }
}

/// Forgets up to which version the server's log names the notes, since it begins anew.
pub fn forget_announced(directory: &RoleDir) -> Result<(), KnownAuthorityError> {
    let path = directory.path().join(ANNOUNCED);
    durable::remove(directory.path(), Path::new(ANNOUNCED))
        .map_err(|source| RoleDirError::Io { action: "remove", path, source }.into())
}

pub(super) fn read_announced(directory: &RoleDir) -> Result<u64, KnownAuthorityError> {
    let damaged = || KnownAuthorityError::Damaged(ANNOUNCED);
    let text = directory.read(Path::new(ANNOUNCED), MAX_TEXT)?;
    let parse = |text: Vec<u8>| String::from_utf8(text).ok()?.trim_end().parse().ok();
    text.map_or(Ok(0), |text| parse(text).ok_or_else(damaged))
}
