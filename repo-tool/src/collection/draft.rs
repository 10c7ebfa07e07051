//! Patches that were taken in and are not published yet.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_format::entry::{CollectionEntry, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::limits::MAX_ENTRY;
use countersign_store::durable::{self, Access, FileSystems, TEMPORARY_PREFIX};
use serde::{Deserialize, Serialize};

use super::CollectionError;
use crate::patch_selector::PatchSelector;
use crate::role_dir::{self, RoleDirError};
use crate::side_by_side::side_by_side;

const TYPE: &str = "draft/v1";
const ARCHIVE: &str = "archive.patch";
const ENTRY: &str = "entry.json";
const NOTES: &str = "draft.json";
/// Largest `draft.json`: two hashes.
const MAX_NOTES: usize = 4096;

/// A patch that is not published yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    directory: PathBuf,
    /// Its log entry to be.
    pub entry: PatchEntry,
    notes: Notes,
}

/// What only the collection needs to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Notes {
    /// The tree that the patch leads to.
    tree: Hash32,
    /// The evidence of the last test, if that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Hash32>,
}

impl Draft {
    /// Takes patches in, all of them or, after an error, some: `staged` are directories below
    /// `incoming` that hold the archives, and become the drafts'.
    pub(super) fn create_all(
        staged: Vec<(&Path, PatchEntry, Hash32)>,
        incoming: &Path,
    ) -> Result<Vec<Self>, CollectionError> {
        let draft = |(staged, entry, tree)| {
            let notes = Notes { tree, failed: None };
            (staged, Self { directory: directory(incoming, &entry), entry, notes })
        };
        let drafts: Vec<(&Path, Self)> = staged.into_iter().map(draft).collect();
        let write = |(staged, draft): &(&Path, Self)| {
            for (name, bytes) in draft.files()? {
                let path = staged.join(name);
                fs::write(&path, bytes).map_err(CollectionError::io("write", &path))?;
            }
            Ok::<_, CollectionError>(())
        };
        side_by_side(&drafts, write).into_iter().collect::<Result<(), _>>()?;
        let synced = FileSystems::of(incoming).and_then(|of| of.sync_bytes());
        synced.map_err(CollectionError::io("sync", incoming))?;
        for (staged, draft) in &drafts {
            let failed = CollectionError::io("take in", &draft.directory);
            fs::rename(staged, &draft.directory).map_err(failed)?;
        }
        let named = File::open(incoming).and_then(|incoming| incoming.sync_all());
        named.map_err(CollectionError::io("take in below", incoming))?;
        Ok(drafts.into_iter().map(|(_, draft)| draft).collect())
    }

    /// The archive of a published or soon to be published `entry`, if its draft is still there.
    pub(super) fn archive_of(incoming: &Path, entry: &PatchEntry) -> Option<PathBuf> {
        let directory = directory(incoming, entry);
        directory.join(ENTRY).exists().then(|| directory.join(ARCHIVE))
    }

    /// Removes the drafts of `entries` that were published, as far as they are still there.
    pub(super) fn remove_of(
        incoming: &Path,
        entries: &[&PatchEntry],
    ) -> Result<(), CollectionError> {
        let removed = side_by_side(entries, |entry| remove(&directory(incoming, entry)));
        removed.into_iter().collect()
    }

    /// All drafts, by name and version.
    pub(super) fn all(incoming: &Path) -> Result<Vec<Self>, CollectionError> {
        let failed = |source| RoleDirError::Io { action: "list", path: incoming.into(), source };
        let mut drafts = Vec::new();
        for found in fs::read_dir(incoming).map_err(failed)? {
            let directory = found.map_err(failed)?.path();
            let is_ours = !durable::is_temporary(directory.file_name().unwrap_or_default())
                && directory.join(ENTRY).exists();
            if is_ours {
                drafts.push(Self::load(directory)?);
            }
        }
        drafts.sort_by_cached_key(|draft| draft.entry.identity());
        Ok(drafts)
    }

    /// Removes what a killed `add` or `test` left.
    pub(super) fn clean(incoming: &Path) -> Result<(), CollectionError> {
        let failed = |source| RoleDirError::Io { action: "clean", path: incoming.into(), source };
        for found in fs::read_dir(incoming).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            if is_left_over(&path) {
                fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What is on disk of it now; none if it was published or given up since.
    pub(super) fn reload(&self) -> Result<Option<Self>, CollectionError> {
        if self.directory.join(ENTRY).exists() {
            Self::load(self.directory.clone()).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A new directory below `incoming` to prepare something in. Removed when it is dropped.
    pub(super) fn staging(incoming: &Path) -> Result<Staging, CollectionError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id());
        let path = incoming.join(name);
        fs::create_dir(&path).map_err(CollectionError::io("make", &path))?;
        Ok(Staging(path))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The archive's file.
    pub fn archive(&self) -> PathBuf {
        self.directory.join(ARCHIVE)
    }

    /// The hash of the tree that the patch leads to.
    pub fn tree(&self) -> Hash32 {
        self.notes.tree
    }

    /// The evidence of its last test, if that failed.
    pub fn failed(&self) -> Option<Hash32> {
        self.notes.failed
    }

    /// Whether a person means it by `selector`.
    pub fn is_meant(&self, selector: &PatchSelector) -> bool {
        let PatchEntry { name, version, platform, base, .. } = &self.entry;
        *name == selector.name
            && *version == selector.version
            && selector.admits(platform, base.as_ref())
    }

    /// The entry as it goes into the log, and as every reader accepts it.
    pub fn entry_bytes(&self) -> Result<Vec<u8>, CollectionError> {
        let bytes = CollectionEntry::Patch(Box::new(self.entry.clone())).to_bytes()?;
        PatchEntry::parse(&bytes)?;
        Ok(bytes)
    }

    /// Keeps the outcome of a test.
    pub(super) fn set_failed(&mut self, evidence: Option<Hash32>) -> Result<(), CollectionError> {
        self.notes.failed = evidence;
        self.save()
    }

    /// Writes what may have changed.
    pub(super) fn save(&self) -> Result<(), CollectionError> {
        let write = |name: &str, bytes: &[u8]| {
            durable::write_atomic(&self.directory, name.as_ref(), bytes, Access::Public)
                .map_err(CollectionError::io("write", &self.directory.join(name)))
        };
        self.files()?.iter().try_for_each(|(name, bytes)| write(name, bytes))
    }

    /// What may change, by name.
    fn files(&self) -> Result<[(&'static str, Vec<u8>); 2], CollectionError> {
        Ok([(NOTES, json::print_line(TYPE, &self.notes)), (ENTRY, self.entry_bytes()?)])
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), CollectionError> {
        remove(&self.directory)
    }

    fn load(directory: PathBuf) -> Result<Self, CollectionError> {
        let entry = role_dir::read_file(&directory.join(ENTRY), MAX_ENTRY)?;
        let damaged = |file: &str| CollectionError::Damaged(directory.join(file));
        let entry = PatchEntry::parse(&entry).map_err(|_| damaged(ENTRY))?;
        let notes = role_dir::read_file(&directory.join(NOTES), MAX_NOTES)?;
        let notes = json::parse(&notes, TYPE).map_err(|_| damaged(NOTES))?;
        Ok(Self { directory, entry, notes })
    }
}

/// Removes a draft's directory, if it is there.
fn remove(directory: &Path) -> Result<(), CollectionError> {
    // first under a name that nothing is looked for under, so that no half of it is ever found
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let gone = directory.with_file_name(format!("{TEMPORARY_PREFIX}{name}"));
    let remove = || {
        fs::rename(directory, &gone)?;
        for name in [ARCHIVE, ENTRY, NOTES] {
            // what cannot be removed so is found below
            let _ = fs::remove_file(gone.join(name));
        }
        match fs::remove_dir(&gone) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                fs::remove_dir_all(&gone)
            }
            removed => removed,
        }
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(CollectionError::io("remove", directory)),
    }
}

/// A directory that is removed when this is dropped, unless it became a draft.
#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the archive goes.
    pub(super) fn archive(&self) -> PathBuf {
        self.0.join(ARCHIVE)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next `add`
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether it is a directory that somebody staged in who does not run any more.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let owner = name.to_string_lossy();
    let owner = owner.strip_prefix(TEMPORARY_PREFIX).and_then(|rest| rest.split('-').next());
    let runs = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    durable::is_temporary(name) && !owner.and_then(|pid| pid.parse().ok()).is_some_and(runs)
}

fn directory(incoming: &Path, entry: &PatchEntry) -> PathBuf {
    let hash = entry.archive.sha256.to_string();
    incoming.join(format!("{}-{}-{}", entry.name, entry.version, &hash[..16]))
}
