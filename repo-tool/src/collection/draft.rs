//! Patches that were taken in and are not published yet.

use std::ffi::OsStr;
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
const ARCHIVE: &str = ".patch";
const TEXT: &str = ".draft";
/// Longest first line: two hashes.
const MAX_NOTES: usize = 4096;

/// A patch that is not published yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Its files, but for their endings: the archive, and what is said of it in two lines, which are
    /// the notes and the log entry to be, byte for byte. It is there where both are.
    place: PathBuf,
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
    /// Takes patches in, all of them or, after an error, some: `staged` holds the archives.
    pub(super) fn create_all(
        staged: Vec<(&Staging, PatchEntry, Hash32)>,
        incoming: &Path,
    ) -> Result<Vec<Self>, CollectionError> {
        let draft = |(staged, entry, tree)| {
            let notes = Notes { tree, failed: None };
            (staged, Self { place: place(incoming, &entry), entry, notes })
        };
        let drafts: Vec<(&Staging, Self)> = staged.into_iter().map(draft).collect();
        let write = |(staged, draft): &(&Staging, Self)| {
            let path = staged.text();
            fs::write(&path, draft.text()?).map_err(CollectionError::io("write", &path))
        };
        side_by_side(&drafts, write).into_iter().collect::<Result<(), _>>()?;
        let synced = FileSystems::of(incoming).and_then(|of| of.sync_bytes());
        synced.map_err(CollectionError::io("sync", incoming))?;
        for (staged, draft) in &drafts {
            let path = draft.path(TEXT);
            // a power cut may leave either without the other, which is then no draft
            fs::rename(staged.archive(), draft.archive())
                .and_then(|()| fs::rename(staged.text(), &path))
                .map_err(CollectionError::io("take in", &path))?;
        }
        let named = File::open(incoming).and_then(|incoming| incoming.sync_all());
        named.map_err(CollectionError::io("take in below", incoming))?;
        Ok(drafts.into_iter().map(|(_, draft)| draft).collect())
    }

    /// The archive of a published or soon to be published `entry`, if it is still in its draft.
    pub(super) fn archive_of(incoming: &Path, entry: &PatchEntry) -> Option<PathBuf> {
        Some(with(&place(incoming, entry), ARCHIVE)).filter(|archive| archive.exists())
    }

    /// Removes the drafts of `entries` that were published, as far as they are still there.
    pub(super) fn remove_of(
        incoming: &Path,
        entries: &[&PatchEntry],
    ) -> Result<(), CollectionError> {
        let removed = side_by_side(entries, |entry| remove(&place(incoming, entry)));
        removed.into_iter().collect()
    }

    /// All drafts, by name and version.
    pub(super) fn all(incoming: &Path) -> Result<Vec<Self>, CollectionError> {
        let failed = |source| RoleDirError::Io { action: "list", path: incoming.into(), source };
        let mut places = Vec::new();
        for found in fs::read_dir(incoming).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            places.extend(draft_at(&path).filter(|_| !is_orphan(&path)));
        }
        let drafts = side_by_side(&places, |place| Self::load(place.clone()));
        let mut drafts: Vec<Self> = drafts.into_iter().collect::<Result<_, _>>()?;
        drafts.sort_by_cached_key(|draft| draft.entry.identity());
        Ok(drafts)
    }

    /// Removes what a killed `add`, `test` or `publish` left. Whoever does holds the role's lock.
    pub(super) fn clean(incoming: &Path) -> Result<(), CollectionError> {
        let failed = |source| RoleDirError::Io { action: "clean", path: incoming.into(), source };
        for found in fs::read_dir(incoming).map_err(failed)? {
            let found = found.map_err(failed)?;
            let path = found.path();
            if found.file_type().map_err(failed)?.is_dir() {
                if is_left_over(&path) {
                    fs::remove_dir_all(&path).map_err(failed)?;
                }
            } else if is_left_over(&path) || is_orphan(&path) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What is on disk of it now; none if it was published or given up since.
    pub(super) fn reload(&self) -> Result<Option<Self>, CollectionError> {
        if [TEXT, ARCHIVE].iter().all(|ending| self.path(ending).exists()) {
            Self::load(self.place.clone()).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Names below `incoming` to prepare something under. What is there goes when it is dropped.
    pub(super) fn staging(incoming: &Path) -> Staging {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{}-staging-{number}", std::process::id());
        Staging(incoming.join(name))
    }

    /// The archive's file.
    pub fn archive(&self) -> PathBuf {
        self.path(ARCHIVE)
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
        let path = self.path(TEXT);
        let incoming = path.parent().expect("it lies below `incoming`");
        durable::write_atomic(incoming, file_name(&path).as_ref(), &self.text()?, Access::Public)
            .map_err(CollectionError::io("write", &path))
    }

    /// What is said of the archive.
    fn text(&self) -> Result<Vec<u8>, CollectionError> {
        let mut text = json::print_line(TYPE, &self.notes);
        text.extend(self.entry_bytes()?);
        Ok(text)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), CollectionError> {
        remove(&self.place)
    }

    fn path(&self, ending: &str) -> PathBuf {
        with(&self.place, ending)
    }

    fn load(place: PathBuf) -> Result<Self, CollectionError> {
        let path = with(&place, TEXT);
        let text = role_dir::read_file(&path, MAX_NOTES + MAX_ENTRY)?;
        let read = || {
            let end = text.iter().position(|byte| *byte == b'\n')? + 1;
            let (notes, entry) = text.split_at(end);
            Some((PatchEntry::parse(entry).ok()?, json::parse(notes, TYPE).ok()?))
        };
        let (entry, notes) = read().ok_or(CollectionError::Damaged(path))?;
        Ok(Self { place, entry, notes })
    }
}

/// Removes a draft, if it is there.
fn remove(place: &Path) -> Result<(), CollectionError> {
    for ending in [TEXT, ARCHIVE] {
        let path = with(place, ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(CollectionError::io("remove", &path))?,
        }
    }
    Ok(())
}

/// Names that nothing is looked for under. All under them is removed when this is dropped, unless it
/// became a draft.
#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    /// A directory, which is made for the first who wants it.
    pub(super) fn directory(&self) -> Result<&Path, CollectionError> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(&self.0),
            made => made.map(|()| self.0.as_path()).map_err(CollectionError::io("make", &self.0)),
        }
    }

    /// Where the archive goes.
    pub(super) fn archive(&self) -> PathBuf {
        with(&self.0, ARCHIVE)
    }

    fn text(&self) -> PathBuf {
        with(&self.0, TEXT)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next `add`
        let _ = fs::remove_dir_all(&self.0);
        for path in [self.archive(), self.text()] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether somebody staged it who does not run any more.
fn is_left_over(path: &Path) -> bool {
    let name = file_name(path);
    let owner = name.to_string_lossy();
    let owner = owner.strip_prefix(TEMPORARY_PREFIX).and_then(|rest| rest.split('-').next());
    let runs = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    durable::is_temporary(name) && !owner.and_then(|pid| pid.parse().ok()).is_some_and(runs)
}

/// Whether it is the archive of no draft, or what was said of an archive that is not there.
fn is_orphan(path: &Path) -> bool {
    let Some(name) = file_name(path).to_str().filter(|name| !durable::is_temporary(name.as_ref()))
    else {
        return false;
    };
    [(ARCHIVE, TEXT), (TEXT, ARCHIVE)].iter().any(|(ending, other)| {
        let name = name.strip_suffix(ending);
        name.is_some_and(|name| !with(&path.with_file_name(name), other).exists())
    })
}

/// The draft that a file says is there.
fn draft_at(path: &Path) -> Option<PathBuf> {
    let name = file_name(path).to_str()?.strip_suffix(TEXT)?;
    (!durable::is_temporary(name.as_ref())).then(|| path.with_file_name(name))
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn place(incoming: &Path, entry: &PatchEntry) -> PathBuf {
    let hash = entry.archive.sha256.to_string();
    incoming.join(format!("{}-{}-{}", entry.name, entry.version, &hash[..16]))
}

fn with(place: &Path, ending: &str) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use countersign_fixtures::{PatchSpec, Payload};

    use super::*;

    /// A draft below `incoming`.
    fn draft(incoming: &Path, version: &str) -> Draft {
        let entry = PatchSpec::full("acme", version, &Payload::new()).entry;
        let staging = Draft::staging(incoming);
        fs::write(staging.archive(), "an archive").expect("written");
        let drafts = Draft::create_all(vec![(&staging, entry, Hash32::of(b"tree"))], incoming);
        drafts.expect("taken in").remove(0)
    }

    fn names(incoming: &Path) -> usize {
        fs::read_dir(incoming).expect("listed").count()
    }

    #[test]
    fn what_killed_ones_left_goes_and_drafts_stay() {
        let place = tempfile::tempdir().expect("a directory");
        let incoming = place.path();
        let kept = draft(incoming, "1.0.0");
        let running = Draft::staging(incoming);
        fs::write(running.archive(), "").expect("written");
        running.directory().expect("made");
        let gone = format!("{TEMPORARY_PREFIX}{}-staging-0", u32::MAX);
        fs::create_dir(incoming.join(&gone)).expect("made");
        // the last are of those who were killed while a draft was taken in or removed; after a power
        // cut, of two renames or removals the second alone may have been done
        let halves = ["acme-2.0.0-0.patch".into(), "acme-3.0.0-0.draft".into()];
        for name in [format!("{gone}.patch"), format!("{gone}.draft")].into_iter().chain(halves) {
            fs::write(incoming.join(name), "").expect("written");
        }
        assert_eq!(Draft::all(incoming).expect("read"), std::slice::from_ref(&kept));
        let half = Draft { place: incoming.join("acme-3.0.0-0"), ..kept.clone() };
        assert_eq!(half.reload().expect("looked at"), None);
        Draft::clean(incoming).expect("cleaned");
        assert_eq!(names(incoming), 4, "two of the draft, two of who still runs");
        assert_eq!(Draft::all(incoming).expect("read"), std::slice::from_ref(&kept));
        drop(running);
        kept.remove().expect("removed");
        kept.remove().expect("nothing to remove");
        assert_eq!((names(incoming), kept.reload().expect("looked at")), (0, None));
    }

    #[test]
    fn what_is_said_of_a_draft_is_read_back_or_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let mut draft = draft(place.path(), "1.0.0");
        draft.set_failed(Some(Hash32::of(b"evidence"))).expect("kept");
        assert_eq!(draft.reload().expect("read").as_ref(), Some(&draft));
        let text = draft.text().expect("text");
        for size in 0..text.len() {
            fs::write(draft.path(TEXT), &text[..size]).expect("written");
            let refused = draft.reload();
            assert!(matches!(refused, Err(CollectionError::Damaged(_))), "{size}: {refused:?}");
        }
    }
}
