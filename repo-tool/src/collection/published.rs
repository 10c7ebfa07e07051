//! The index of what is published: one small file a patch.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_store::durable::{self, Access};
use serde::{Deserialize, Serialize};

use super::CollectionError;
use crate::patch_selector::PatchSelector;
use crate::publish::PublishError;
use crate::role_dir::RoleDir;

const TYPE: &str = "published/v1";
/// Below the collection's directory.
const FOLDER: &str = "state/published";
/// Largest of the files: a few short members.
const MAX_FILE: usize = 8 * 1024;

/// A published patch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Published {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// What must be installed for an incremental patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Requirement>,
    /// The machines that it is for.
    pub platform: Platform,
    /// Leaf index of its entry.
    pub index: u64,
    /// SHA-256 of its archive.
    pub archive: Hash32,
    /// Hash of the tree that it leads to.
    pub tree: Hash32,
    /// Leaf index of the entry that revokes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

impl Published {
    pub(super) fn new(entry: &PatchEntry, index: u64, tree: Hash32) -> Self {
        Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            base: entry.base.clone(),
            platform: entry.platform.clone(),
            index,
            archive: entry.archive.sha256,
            tree,
            revoked: None,
        }
    }

    fn path(&self) -> PathBuf {
        let folder = folder(&self.name, &self.version);
        folder.join(file_name(self.base.as_ref(), &self.platform))
    }

    /// Writes the file, durably.
    pub(super) fn save(&self, directory: &RoleDir) -> Result<(), CollectionError> {
        let bytes = json::print_line(TYPE, self);
        Ok(directory.write(&self.path(), &bytes, Access::Public)?)
    }
}

/// Forgets what a log said that is not among the first entries of the one that begins anew, and hands
/// each patch to `leave` before. What revokes a patch is learnt again from those.
pub(super) fn keep_only(
    directory: &RoleDir,
    entries: &[Vec<u8>],
    leave: impl Fn(&Published) -> Result<(), PublishError>,
) -> Result<(), CollectionError> {
    let is_kept = |patch: &Published| {
        let entry = usize::try_from(patch.index).ok().and_then(|index| entries.get(index));
        let entry = entry.and_then(|bytes| PatchEntry::parse(bytes).ok());
        entry.is_some_and(|entry| entry.archive.sha256 == patch.archive)
    };
    for mut patch in all(directory)? {
        if !is_kept(&patch) {
            leave(&patch)?;
            let path = patch.path();
            durable::remove(directory.path(), &path)
                .map_err(CollectionError::io("remove", &directory.path().join(&path)))?;
        } else if patch.revoked.take().is_some() {
            patch.save(directory)?;
        }
    }
    Ok(())
}

/// The published patch of the identity that `entry` has.
pub(super) fn get(
    directory: &RoleDir,
    entry: &PatchEntry,
) -> Result<Option<Published>, CollectionError> {
    let folder = folder(&entry.name, &entry.version);
    load(directory, &folder.join(file_name(entry.base.as_ref(), &entry.platform)))
}

/// The published patches that a person means.
pub(super) fn find(
    directory: &RoleDir,
    selector: &PatchSelector,
) -> Result<Vec<Published>, CollectionError> {
    let mut found = Vec::new();
    for file in list(directory, &folder(&selector.name, &selector.version))? {
        found.extend(load(directory, &file)?);
    }
    found.retain(|patch| selector.admits(&patch.platform, patch.base.as_ref()));
    found.sort_by_key(|patch| patch.index);
    Ok(found)
}

/// All published patches, in the log's order.
pub(super) fn all(directory: &RoleDir) -> Result<Vec<Published>, CollectionError> {
    let mut found = Vec::new();
    for name in list(directory, Path::new(FOLDER))? {
        found.extend(below(directory, &name)?);
    }
    found.sort_by_key(|patch| patch.index);
    Ok(found)
}

/// All published patches of one component.
pub(super) fn of(directory: &RoleDir, name: &PatchName) -> Result<Vec<Published>, CollectionError> {
    below(directory, &Path::new(FOLDER).join(name.as_str()))
}

fn below(directory: &RoleDir, name: &Path) -> Result<Vec<Published>, CollectionError> {
    let mut found = Vec::new();
    for version in list(directory, name)? {
        for file in list(directory, &version)? {
            found.extend(load(directory, &file)?);
        }
    }
    Ok(found)
}

fn load(directory: &RoleDir, path: &Path) -> Result<Option<Published>, CollectionError> {
    let Some(bytes) = directory.read(path, MAX_FILE)? else { return Ok(None) };
    let damaged = |_| CollectionError::Damaged(directory.path().join(path));
    json::parse(&bytes, TYPE).map(Some).map_err(damaged)
}

/// What is in a folder below the collection's directory; nothing if there is no folder.
fn list(directory: &RoleDir, folder: &Path) -> Result<Vec<PathBuf>, CollectionError> {
    let path = directory.path().join(folder);
    let names = || -> io::Result<Vec<OsString>> {
        fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    let names = match names() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(CollectionError::io("list", &path))?,
    };
    let whole = names.iter().filter(|name| !durable::is_temporary(name));
    Ok(whole.map(|name| folder.join(name)).collect())
}

fn folder(name: &PatchName, version: &PatchVersion) -> PathBuf {
    Path::new(FOLDER).join(name.as_str()).join(version.to_string())
}

/// Base and platform, as a file name.
fn file_name(base: Option<&Requirement>, platform: &Platform) -> String {
    let text = base.map(ToString::to_string).unwrap_or_default();
    let hash = Hash32::of_parts(&[platform.as_str().as_bytes(), b"\n", text.as_bytes()]);
    format!("{}.json", &hash.to_string()[..16])
}
