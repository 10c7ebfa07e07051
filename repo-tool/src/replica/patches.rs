//! Copying patches: notes and archives, side by side.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_format::archive::{ArchiveError, ArchiveReader};
use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::entry::PatchEntry;
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::policy::{PatchContext, PolicyError, verify_first_patch, verify_patch};
use countersign_store::{Download, Get, Got, Sink as _, Source};
use countersign_terminal::{Task, Unit};
use tokio::task::JoinSet;

use super::{Replica, ReplicaError, Signatures};

/// How many patches are fetched side by side: enough to hide a server's answer time.
const AT_ONCE: usize = 4;
/// After so many bytes of archives, what came is made visible, so that a killed run keeps it.
const SYNC_AFTER: u64 = 256 * 1024 * 1024;

/// A patch whose files the copy is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Leaf index in the collection's log.
    pub index: u64,
    /// The entry as the log has it, newline included.
    pub bytes: Vec<u8>,
    /// What the entry says.
    pub entry: PatchEntry,
    /// Index of the entry of the distribution's log that first released it.
    pub released: u64,
    /// Whether the source must have it; the files of what was withdrawn may be gone.
    pub is_required: bool,
}

/// What patch notes are judged by.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The newest authority note.
    pub authority: AuthorityNote,
    /// The distribution.
    pub distribution: DistributionRole,
    /// Which signatures are asked for.
    pub signatures: Signatures,
}

/// The two files of a patch, verified.
struct Fetched {
    /// Where readers look for it, and where it came in.
    archive: (RepoPath, PathBuf),
    note: (RepoPath, Vec<u8>),
    size: u64,
}

/// Fetches the patches that the copy lacks, verifies each and stages it, and returns how many. A
/// download that was interrupted before is gone on with. Once what is staged is visible,
/// [`Replica::clear_incoming`] removes what it came in.
pub async fn fetch_patches(
    replica: &mut Replica,
    wanted: Vec<Wanted>,
    judge: Judge,
    progress: &countersign_terminal::Progress,
) -> Result<u64, ReplicaError> {
    let mut waiting = VecDeque::new();
    for patch in wanted {
        if !replica.holds(&patch.entry)? {
            waiting.push_back(patch);
        }
    }
    if waiting.is_empty() {
        return Ok(0);
    }
    let incoming = replica.incoming();
    fs::create_dir_all(&incoming).map_err(ReplicaError::local("make", &incoming))?;
    let total = waiting.iter().map(|patch| patch.entry.archive.size).sum();
    let task = Arc::new(progress.task("fetching patches", Some(total), Unit::Bytes));
    let judge = Arc::new(judge);
    let mut running = JoinSet::new();
    let mut landing = Landing::default();
    loop {
        while running.len() < AT_ONCE
            && let Some(patch) = waiting.pop_front()
        {
            let source = replica.source.clone();
            running.spawn(fetch(source, judge.clone(), patch, incoming.clone(), task.clone()));
        }
        let Some(done) = running.join_next().await else { break };
        if let Some(fetched) = done.expect("fetching does not panic")? {
            landing.add(replica, fetched)?;
        }
    }
    Ok(landing.patches)
}

/// What was fetched and is not visible yet.
#[derive(Default)]
struct Landing {
    patches: u64,
    staged: u64,
    partials: Vec<PathBuf>,
}

impl Landing {
    fn add(&mut self, replica: &mut Replica, fetched: Fetched) -> Result<(), ReplicaError> {
        let (path, partial) = fetched.archive;
        replica.writer.put_immutable_link(&path, &partial)?;
        let (path, note) = &fetched.note;
        replica.writer.put_immutable(path, note)?;
        self.patches += 1;
        self.staged += fetched.size;
        self.partials.push(partial);
        if self.staged >= SYNC_AFTER { self.sync(replica) } else { Ok(()) }
    }

    fn sync(&mut self, replica: &mut Replica) -> Result<(), ReplicaError> {
        replica.writer.sync()?;
        self.staged = 0;
        for partial in self.partials.drain(..) {
            fs::remove_file(&partial).map_err(ReplicaError::local("remove", &partial))?;
        }
        Ok(())
    }
}

impl Replica {
    /// Whether the copy has both files of a patch.
    pub fn holds(&self, entry: &PatchEntry) -> Result<bool, ReplicaError> {
        let archive = self.writer.size(&layout::archive(&entry.archive.sha256))?;
        let note = self.writer.size(&layout::patch_note(&entry.archive.sha256))?;
        Ok(archive.is_some() && note.is_some())
    }
}

/// Fetches and verifies one patch; none where it may be missing and is.
async fn fetch(
    source: Arc<Source>,
    judge: Arc<Judge>,
    wanted: Wanted,
    incoming: PathBuf,
    task: Arc<Task>,
) -> Result<Option<Fetched>, ReplicaError> {
    let path = layout::patch_note(&wanted.entry.archive.sha256);
    let missing = |path: &RepoPath| {
        if !wanted.is_required {
            return Ok(None);
        }
        let source_name = source.name().to_owned();
        Err(ReplicaError::Missing { source_name, path: path.clone() })
    };
    let note = match source.get(&path, &Get::up_to(MAX_NOTE as u64)).await? {
        Got::Whole { bytes, .. } | Got::Part { bytes, .. } => bytes,
        Got::NotFound | Got::NotModified => return missing(&path),
    };
    judge.check(&wanted, &path, &note)?;
    let archive = layout::archive(&wanted.entry.archive.sha256);
    let partial = incoming.join(wanted.entry.archive.sha256.to_string());
    let mut file = open_partial(&partial).map_err(ReplicaError::local("open", &partial))?;
    let size = wanted.entry.archive.size;
    let mut before = 0;
    let advance = |length: u64| {
        task.advance(length.saturating_sub(before));
        before = length;
    };
    if !source.download(&archive, &Download { size }, &mut file, advance).await? {
        return missing(&archive);
    }
    let announced = wanted.entry.announced();
    file.rewind().map_err(ReplicaError::local("read", &partial))?;
    let checked = tokio::task::spawn_blocking(move || {
        ArchiveReader::open(&file, &announced)?.finish()?;
        Ok::<_, ArchiveError>(())
    });
    match checked.await.expect("reading does not panic") {
        Ok(()) => Ok(Some(Fetched { archive: (archive, partial), note: (path, note), size })),
        Err(error) => {
            // what came is of no use to a later try
            remove(&partial).map_err(ReplicaError::local("remove", &partial))?;
            Err(ReplicaError::Archive { path: archive, source: error })
        }
    }
}

impl Judge {
    fn check(&self, wanted: &Wanted, path: &RepoPath, note: &[u8]) -> Result<(), PolicyError> {
        let context = PatchContext {
            file: path.as_str(),
            authority: &self.authority,
            entry: &wanted.bytes,
            index: wanted.index,
        };
        match self.signatures {
            Signatures::First => verify_first_patch(note, &context).map(drop),
            Signatures::Both => {
                verify_patch(note, &context, &self.distribution, wanted.released).map(drop)
            }
        }
    }
}

fn open_partial(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
