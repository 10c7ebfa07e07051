//! Patches that were taken in and are not published yet.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign_format::entry::{CollectionEntry, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_store::durable::{self, Access, FileSystems, TEMPORARY_PREFIX, Temporary};
use serde::{Deserialize, Serialize};

use super::CollectionError;
use crate::patch_selector::PatchSelector;
use crate::role_dir::{self, RoleDirError};
use crate::side_by_side::side_by_side;

const LIST_TYPE: &str = "drafts/v1";
const TYPE: &str = "draft/v1";
/// The file that says of all archives beside it what they are: a line with their number, and two lines
/// of each, which are the notes and the log entry to be, byte for byte. A draft is there where it is
/// listed and its archive is there.
const LIST: &str = "drafts";
const ARCHIVE: &str = ".patch";
/// Most bytes of the list: several hundred thousand drafts.
const MAX_LIST: usize = 256 * 1024 * 1024;

/// A patch that is not published yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Its archive's file, but for the ending.
    place: PathBuf,
    /// Its log entry to be.
    pub entry: PatchEntry,
    notes: Notes,
}

/// The first line of the list.
#[derive(Serialize, Deserialize)]
struct Header {
    drafts: usize,
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
    /// Takes patches in, all or none, beside those that are `waiting`: `staged` holds the archives.
    pub(super) fn create_all(
        staged: Vec<(&Staging, PatchEntry, Hash32)>,
        waiting: &[Self],
        incoming: &Path,
    ) -> Result<Vec<Self>, CollectionError> {
        let draft = |(staged, entry, tree)| {
            let notes = Notes { tree, failed: None };
            (staged, Self { place: place(incoming, &entry), entry, notes })
        };
        let drafts: Vec<(&Staging, Self)> = staged.into_iter().map(draft).collect();
        let new = drafts.iter().map(|(_, draft)| draft);
        let all: Vec<&Self> = waiting.iter().chain(new).collect();
        let text = list_text(incoming, &all, MAX_LIST)?;
        let write = |file: &mut File| file.write_all(&text);
        let list = Temporary::create(incoming, LIST.as_ref(), Access::Public, write)
            .map_err(CollectionError::io("write", &incoming.join(LIST)))?;
        let synced = FileSystems::of(incoming).and_then(|of| of.sync_bytes());
        synced.map_err(CollectionError::io("sync", incoming))?;
        // a power cut may leave archives without the list or the other way round: they are no drafts then
        for (staged, draft) in &drafts {
            let path = draft.archive();
            fs::rename(staged.archive(), &path).map_err(CollectionError::io("take in", &path))?;
            staged.is_taken.store(true, Ordering::Relaxed);
        }
        durable::name_all(vec![list]).map_err(CollectionError::io("take in below", incoming))?;
        Ok(drafts.into_iter().map(|(_, draft)| draft).collect())
    }

    /// The archive of a published or soon to be published `entry`, if it is still in its draft.
    pub(super) fn archive_of(incoming: &Path, entry: &PatchEntry) -> Option<PathBuf> {
        Some(with(&place(incoming, entry), ARCHIVE)).filter(|archive| archive.exists())
    }

    /// Removes the drafts of `entries` that were published or given up, as far as they are still there.
    pub(super) fn remove_of(
        incoming: &Path,
        entries: &[&PatchEntry],
    ) -> Result<(), CollectionError> {
        let gone: BTreeSet<PathBuf> = entries.iter().map(|entry| place(incoming, entry)).collect();
        let listed = read_list(incoming)?;
        let kept: Vec<&Self> = listed.iter().filter(|it| !gone.contains(&it.place)).collect();
        if kept.len() < listed.len() {
            write_list(incoming, &kept)?;
        }
        for path in gone.iter().map(|place| with(place, ARCHIVE)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(CollectionError::io("remove", &path))?,
            }
        }
        Ok(())
    }

    /// All drafts, by name and version.
    pub(super) fn all(incoming: &Path) -> Result<Vec<Self>, CollectionError> {
        let mut drafts = read_list(incoming)?;
        drafts.retain(|draft| draft.archive().exists());
        drafts.sort_by_cached_key(|draft| draft.entry.identity());
        Ok(drafts)
    }

    /// Removes what a killed `add`, `test` or `publish` left, and returns all drafts. Whoever does
    /// holds the role's lock.
    pub(super) fn clean(incoming: &Path) -> Result<Vec<Self>, CollectionError> {
        let drafts = Self::all(incoming)?;
        let kept: BTreeSet<PathBuf> = drafts.iter().map(Self::archive).collect();
        let failed = |source| RoleDirError::Io { action: "clean", path: incoming.into(), source };
        for found in fs::read_dir(incoming).map_err(failed)? {
            let found = found.map_err(failed)?;
            let path = found.path();
            if found.file_type().map_err(failed)?.is_dir() {
                if is_left_over(&path) {
                    fs::remove_dir_all(&path).map_err(failed)?;
                }
            } else if is_left_over(&path) || (is_archive(&path) && !kept.contains(&path)) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(drafts)
    }

    /// What is on disk of it now; none if it was published or given up since.
    pub(super) fn reload(&self) -> Result<Option<Self>, CollectionError> {
        let all = Self::all(self.incoming())?;
        Ok(all.into_iter().find(|draft| draft.place == self.place))
    }

    /// Names below `incoming` to prepare something under. What is there goes when it is dropped.
    pub(super) fn staging(incoming: &Path) -> Staging {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{}-staging-{number}", std::process::id());
        let (has_directory, is_taken) = (AtomicBool::new(false), AtomicBool::new(false));
        Staging { place: incoming.join(name), has_directory, is_taken }
    }

    /// The archive's file.
    pub fn archive(&self) -> PathBuf {
        with(&self.place, ARCHIVE)
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
        let mut all = read_list(self.incoming())?;
        all.iter_mut().filter(|it| it.place == self.place).for_each(|it| it.clone_from(self));
        write_list(self.incoming(), &all.iter().collect::<Vec<_>>())
    }

    fn incoming(&self) -> &Path {
        self.place.parent().expect("it lies below `incoming`")
    }

    fn parse(incoming: &Path, notes: &[u8], entry: &[u8]) -> Option<Self> {
        let (notes, entry) = (json::parse_line(notes, TYPE).ok()?, PatchEntry::parse(entry).ok()?);
        Some(Self { place: place(incoming, &entry), entry, notes })
    }
}

/// All that is listed, whether its archive is there or not.
fn read_list(incoming: &Path) -> Result<Vec<Draft>, CollectionError> {
    let path = incoming.join(LIST);
    let text = match role_dir::read_file(&path, MAX_LIST) {
        Err(RoleDirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        read => read?,
    };
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let header = lines.next().and_then(|line| json::parse_line(line, LIST_TYPE).ok());
    let lines: Vec<&[u8]> = lines.collect();
    let (pairs, rest) = lines.as_chunks();
    let is_whole = |header: Header| header.drafts == pairs.len() && rest.is_empty();
    let drafts = side_by_side(pairs, |[notes, entry]| Draft::parse(incoming, notes, entry));
    let drafts = drafts.into_iter().collect::<Option<_>>().filter(|_| header.is_some_and(is_whole));
    drafts.ok_or(CollectionError::DraftsDamaged(path))
}

fn write_list(incoming: &Path, drafts: &[&Draft]) -> Result<(), CollectionError> {
    let text = list_text(incoming, drafts, MAX_LIST)?;
    let written = match drafts {
        // that this is lost with the power does no harm: the archives are gone, or it is done again
        [] => durable::unlink(incoming, LIST.as_ref()).map(drop),
        _ => durable::write_atomic(incoming, LIST.as_ref(), &text, Access::Public),
    };
    written.map_err(CollectionError::io("write", &incoming.join(LIST)))
}

/// Refuses what could not be read back: nobody could give up a draft then.
fn list_text(incoming: &Path, drafts: &[&Draft], limit: usize) -> Result<Vec<u8>, CollectionError> {
    let mut text = json::print_line(LIST_TYPE, &Header { drafts: drafts.len() });
    for pair in side_by_side(drafts, |draft| {
        Ok::<_, CollectionError>([json::print_line(TYPE, &draft.notes), draft.entry_bytes()?])
    }) {
        text.extend(pair?.concat());
    }
    if text.len() > limit {
        return Err(RoleDirError::TooLong { path: incoming.join(LIST), limit }.into());
    }
    Ok(text)
}

/// Names that nothing is looked for under. All under them is removed when this is dropped, unless it
/// became a draft.
#[derive(Debug)]
pub(super) struct Staging {
    place: PathBuf,
    has_directory: AtomicBool,
    is_taken: AtomicBool,
}

impl Staging {
    /// A directory, which is made for the first who wants it.
    pub(super) fn directory(&self) -> Result<&Path, CollectionError> {
        self.has_directory.store(true, Ordering::Relaxed);
        match fs::create_dir(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(CollectionError::io("make", &self.place)(error))
            }
            _ => Ok(&self.place),
        }
    }

    /// Where the archive goes.
    pub(super) fn archive(&self) -> PathBuf {
        with(&self.place, ARCHIVE)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next `add`
        if *self.has_directory.get_mut() {
            let _ = fs::remove_dir_all(&self.place);
        }
        if !*self.is_taken.get_mut() {
            let _ = fs::remove_file(self.archive());
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

/// Whether it has the name of a draft's archive.
fn is_archive(path: &Path) -> bool {
    let name = file_name(path);
    !durable::is_temporary(name) && name.as_encoded_bytes().ends_with(ARCHIVE.as_bytes())
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

    /// A draft below `incoming`, beside those that wait.
    fn draft(incoming: &Path, version: &str) -> Draft {
        let entry = PatchSpec::full("acme", version, &Payload::new()).entry;
        let staging = Draft::staging(incoming);
        fs::write(staging.archive(), "an archive").expect("written");
        let waiting = Draft::clean(incoming).expect("cleaned");
        let staged = vec![(&staging, entry, Hash32::of(b"tree"))];
        Draft::create_all(staged, &waiting, incoming).expect("taken in").remove(0)
    }

    fn names(incoming: &Path) -> usize {
        fs::read_dir(incoming).expect("listed").count()
    }

    #[test]
    fn what_killed_ones_left_goes_and_drafts_stay() {
        let place = tempfile::tempdir().expect("a directory");
        let incoming = place.path();
        let kept = draft(incoming, "1.0.0");
        let half = draft(incoming, "3.0.0");
        let running = Draft::staging(incoming);
        fs::write(running.archive(), "").expect("written");
        running.directory().expect("made");
        let gone = format!("{TEMPORARY_PREFIX}{}-staging-0", u32::MAX);
        fs::create_dir(incoming.join(&gone)).expect("made");
        // the last is of one who was killed while a draft was taken in or removed
        for name in [format!("{gone}.patch"), "acme-2.0.0-0.patch".into()] {
            fs::write(incoming.join(name), "").expect("written");
        }
        // after a power cut, of two changes the second alone may have been done
        fs::remove_file(half.archive()).expect("removed");
        assert_eq!(Draft::all(incoming).expect("read"), std::slice::from_ref(&kept));
        assert_eq!(half.reload().expect("looked at"), None);
        assert_eq!(Draft::clean(incoming).expect("cleaned"), std::slice::from_ref(&kept));
        assert_eq!(names(incoming), 4, "the draft, the list, two of who still runs");
        drop(running);
        let next = draft(incoming, "4.0.0");
        assert_eq!(Draft::all(incoming).expect("read"), [kept.clone(), next.clone()]);
        Draft::remove_of(incoming, &[&kept.entry, &half.entry]).expect("removed");
        assert_eq!(Draft::all(incoming).expect("read"), std::slice::from_ref(&next));
        for _ in 0..2 {
            Draft::remove_of(incoming, &[&next.entry]).expect("removed, or nothing to remove");
            assert_eq!((names(incoming), next.reload().expect("looked at")), (0, None));
        }
    }

    #[test]
    fn what_is_said_of_drafts_is_read_back_or_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let other = draft(place.path(), "2.0.0");
        let mut draft = draft(place.path(), "1.0.0");
        draft.set_failed(Some(Hash32::of(b"evidence"))).expect("kept");
        assert_eq!(draft.reload().expect("read").as_ref(), Some(&draft));
        assert_eq!(other.reload().expect("read").as_ref(), Some(&other));
        let list = place.path().join(LIST);
        let text = fs::read(&list).expect("text");
        for size in 0..text.len() {
            fs::write(&list, &text[..size]).expect("written");
            let refused = draft.reload();
            assert!(
                matches!(refused, Err(CollectionError::DraftsDamaged(_))),
                "{size}: {refused:?}"
            );
        }
        // what could not be read is not written
        let list = |limit| list_text(place.path(), &[&other, &draft], limit);
        assert_eq!(list(text.len()).expect("it fits").len(), text.len());
        let refused = list(text.len() - 1);
        assert!(matches!(refused, Err(CollectionError::RoleDir(RoleDirError::TooLong { .. }))));
    }
}
