//! Leaving a log whose origin was given up, as after a fork (SPEC §5.3, new origin): its files are
//! set aside in `state/left/`, and a new log begins in its place with the entries that are kept.
//!
//! Every step is durable before the next and can be done over again; the new log's journal comes
//! first, so that from then on the next run knows what is kept.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log};
use countersign_format::merkle::empty_root;
use countersign_format::time::Timestamp;
use countersign_store::crash::{crash_point, step};
use countersign_store::{DirectoryWriter, durable};

use super::journal::{Batch, Journal};
use super::{HeadRecord, PublishError, read_entries, read_head, record_name};

/// Below a role's state: a folder for each origin that was left.
const LEFT: &str = "left";

/// Which files of a log are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// What readers see.
    Public,
    /// A distribution's own copy of the collection's log.
    Copy,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Copy => "copy",
        }
    }
}

/// With what a log begins anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// How many entries of the log that was left are kept. Where an interrupted run wrote the
    /// journal, how many entries that has.
    pub kept: u64,
    /// The kept entries, and what of those behind them is said again.
    pub entries: Vec<Vec<u8>>,
}

impl Beginning {
    /// What of the entries behind the kept ones is said again; nothing is known of that where an
    /// interrupted run wrote the journal.
    pub fn repeated(&self) -> &[Vec<u8>] {
        let kept = usize::try_from(self.kept).unwrap_or(usize::MAX);
        self.entries.get(kept..).unwrap_or_default()
    }
}

/// Journals that the log called `origin` begins with the first `keep` entries of the log that lies
/// below the public directory under another name, and then with what `repeat` makes of the kept ones
/// and of those behind them. An interrupted run's journal stands.
pub fn begin_anew<E: From<PublishError>>(
    public: &Path,
    state: &Path,
    log: Log,
    origin: &KeyName,
    (keep, now): (u64, Timestamp),
    repeat: impl FnOnce(&[Vec<u8>], &[Vec<u8>]) -> Result<Vec<Vec<u8>>, E>,
) -> Result<Beginning, E> {
    let journal = Journal::new(state, format!("{log}-pending"));
    let begun = journal.read()?.map(|(batch, _)| batch).filter(|it| it.base.origin == *origin);
    let sink = DirectoryWriter::new(public);
    let head = read_head(&sink, log)?;
    let head = match (begun, head) {
        // all of the new log's that was ever published is in the journal, until that is completed
        (Some(batch), _) if batch.base.size == 0 => {
            return Ok(Beginning { kept: batch.entries.len() as u64, entries: batch.entries });
        }
        (_, Some(head)) if head.origin != *origin => head,
        _ => return Err(PublishError::NotLeft(origin.clone()).into()),
    };
    if keep > head.size {
        return Err(PublishError::KeepsTooMany { keep, size: head.size }.into());
    }
    if keep == 0 {
        return Err(PublishError::KeepsNothing.into());
    }
    let mut entries = Vec::new();
    read_entries(&sink, log, head.size, |_, entry| entries.push(entry.to_vec()))?;
    let behind = entries.split_off(usize::try_from(keep).expect("they are in memory"));
    let repeated = repeat(&entries, &behind)?;
    entries.extend(repeated);
    let base = Checkpoint { origin: origin.clone(), size: 0, root: empty_root() };
    let batch = Batch { base, time: now, entries };
    journal.write(&batch)?;
    crash_point("restart.journal");
    Ok(Beginning { kept: keep, entries: batch.entries })
}

/// Sets aside the files of `log` below `root` if they are of another log than the one called
/// `origin`. Returns the origin that was left.
pub fn leave(
    root: &Path,
    state: &Path,
    log: Log,
    origin: &KeyName,
    place: Which,
) -> Result<Option<KeyName>, PublishError> {
    let head = read_head(&DirectoryWriter::new(root), log)?;
    let Some(old) = head.map(|head| head.origin).filter(|found| found != origin) else {
        return Ok(None);
    };
    let folder = folder(state, &old).join(place.name());
    set_aside(&root.join(log.as_str()), &folder)?;
    crash_point("restart.log");
    Ok(Some(old))
}

/// Sets aside archive and note of a patch of the log below `public` that the new one does not keep,
/// so that the same archive can be taken in again. Nothing happens once the old log is gone.
pub fn leave_patch(
    public: &Path,
    state: &Path,
    log: Log,
    archive: &Hash32,
) -> Result<(), PublishError> {
    let Some(head) = read_head(&DirectoryWriter::new(public), log)? else { return Ok(()) };
    for path in [layout::patch_note(archive), layout::archive(archive)] {
        let (file, below) = (public.join(&path), path.as_ref() as &Path);
        let place = folder(state, &head.origin).join(Which::Public.name()).join(below);
        if file.exists() {
            set_aside(&file, parent(&place))?;
        }
    }
    Ok(())
}

/// Sets aside what is remembered of a log that was signed under another name than `origin`: the
/// newest head, and what was superseded.
pub fn leave_record(state: &Path, log: Log, origin: &KeyName) -> Result<(), PublishError> {
    let record = HeadRecord::open(state, &record_name(log))?;
    let Some(old) = record.newest().map(|head| &head.origin).filter(|found| *found != origin)
    else {
        return Ok(());
    };
    let superseded = format!("{log}-superseded");
    let failed = failed("remove", &state.join(&superseded));
    durable::remove(state, superseded.as_ref()).map_err(failed)?;
    set_aside(&record.path(), &folder(state, old))?;
    crash_point("restart.record");
    Ok(())
}

/// The directories with the copies of logs that were left.
pub fn left_copies(state: &Path) -> Result<Vec<PathBuf>, PublishError> {
    let folder = state.join(LEFT);
    let names = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(failed("list", &folder))?,
    };
    let mut copies = Vec::new();
    for name in names {
        let copy = name.map_err(failed("list", &folder))?.path().join(Which::Copy.name());
        if copy.is_dir() {
            copies.push(copy);
        }
    }
    Ok(copies)
}

/// Where a log that was left lies. No key name contains a `+`, so no two share a folder.
fn folder(state: &Path, origin: &KeyName) -> PathBuf {
    state.join(LEFT).join(origin.as_str().replace('/', "+"))
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a path of this module has a parent")
}

fn set_aside(from: &Path, folder: &Path) -> Result<(), PublishError> {
    let moved = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let name = from.file_name().expect("a path of this module has a name");
        step("left.rename", || fs::rename(from, folder.join(name)))?;
        let named = |directory: &&Path| !directory.as_os_str().is_empty();
        for directory in folder.ancestors().take(6).chain(from.parent()).filter(named) {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    moved().map_err(failed("set aside", from))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError + use<> {
    let path = path.to_owned();
    move |source| PublishError::State { action, path, source }
}
