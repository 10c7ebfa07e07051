//! The checks that do not depend on each other and are done side by side: patches and packs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::available_parallelism;

use countersign_format::archive::ArchiveReader;
use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::entry::PatchEntry;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::pack::{MAX_PACK_LEVEL, pack_span};
use countersign_format::policy::{PatchContext, verify_first_patch, verify_patch};
use countersign_terminal::{Progress, Unit};
use tokio::task::JoinSet;

use super::finding::{Finding, FindingKind, Findings, describe};
use super::reader::Reader;
use crate::tree::{Pack, Tree};

/// One check.
pub(super) enum Job {
    Patch(PatchJob),
    Pack(Pack),
}

/// A patch's note and archive.
pub(super) struct PatchJob {
    /// Leaf index in the collection's log.
    pub(super) index: u64,
    /// The entry, newline included.
    pub(super) entry: Vec<u8>,
    /// Index of the entry of the distribution's log that first released it.
    pub(super) released: u64,
    /// Whether its files must be there; those of what was withdrawn may be gone.
    pub(super) is_standing: bool,
}

/// What signatures on patches are judged by.
pub(super) struct Judge {
    pub(super) authority: AuthorityNote,
    pub(super) distribution: DistributionRole,
    pub(super) is_first: bool,
}

/// What the checks came to.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) patches: u64,
    pub(super) archive_bytes: u64,
    pub(super) packs: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) seen: Vec<RepoPath>,
}

/// The packs that a log may have: in a directory those that are there, else all that might be.
pub(super) fn packs(reader: &Reader, tree: &Tree) -> Vec<Pack> {
    let mut packs = Vec::new();
    for level in 0..=MAX_PACK_LEVEL {
        let count = tree.size() / pack_span(level);
        packs.extend((0..count).map(|index| tree.pack(level, index)));
    }
    packs.extend((tree.size() > 0).then(|| tree.tail_pack()));
    if let Some(root) = reader.root() {
        packs.retain(|pack| root.join(&pack.path).exists());
    }
    packs
}

/// Checks at once of what comes over a network: they wait for the server, not for a processor.
const FETCHED_AT_ONCE: usize = 16;

/// Does all checks: of files as many at once as there are processors.
pub(super) async fn run(
    reader: &Arc<Reader>,
    judge: Judge,
    jobs: Vec<Job>,
    progress: &Progress,
) -> Summary {
    let judge = Arc::new(judge);
    let task = progress.task("checking patches", Some(jobs.len() as u64), Unit::Items);
    let processors = available_parallelism().map_or(1, usize::from);
    let at_once = if reader.root().is_some() { processors } else { FETCHED_AT_ONCE };
    let mut waiting = VecDeque::from(jobs);
    let mut running = JoinSet::new();
    let mut summary = Summary::default();
    loop {
        while running.len() < at_once
            && let Some(job) = waiting.pop_front()
        {
            running.spawn(one(reader.clone(), judge.clone(), job));
        }
        let Some(done) = running.join_next().await else { return summary };
        summary.add(done.expect("a check does not panic"));
        task.advance(1);
    }
}

impl Job {
    /// Whether it checks the same files.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Patch(left), Self::Patch(right)) => left.index == right.index,
            (Self::Pack(left), Self::Pack(right)) => left.path == right.path,
            _ => false,
        }
    }
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.patches += other.patches;
        self.archive_bytes += other.archive_bytes;
        self.packs += other.packs;
        self.findings.extend(other.findings);
        self.seen.extend(other.seen);
    }
}

async fn one(reader: Arc<Reader>, judge: Arc<Judge>, job: Job) -> Summary {
    let mut summary = Summary::default();
    let mut findings = Findings::default();
    match job {
        Job::Patch(patch) => judge.patch(&reader, &patch, &mut summary, &mut findings).await,
        Job::Pack(pack) => {
            if check_pack(&reader, &pack, &mut findings).await {
                summary.packs = 1;
            }
            summary.seen.push(pack.path);
        }
    }
    summary.findings = findings.into_vec();
    summary
}

impl Judge {
    async fn patch(
        &self,
        reader: &Reader,
        job: &PatchJob,
        summary: &mut Summary,
        findings: &mut Findings,
    ) {
        let Ok(entry) = PatchEntry::parse(&job.entry) else { return };
        self.note(reader, job, &entry, findings).await;
        let path = layout::archive(&entry.archive.sha256);
        match reader.open(&path, entry.archive.size).await {
            Ok(Some(file)) => {
                let announced = entry.announced();
                let read = tokio::task::spawn_blocking(move || {
                    ArchiveReader::open(file, &announced)?.finish().map(drop)
                });
                match read.await.expect("reading does not panic") {
                    Ok(()) => summary.archive_bytes += entry.archive.size,
                    Err(error) => {
                        let message = format!("layer 2 (archive): {}", describe(&error));
                        findings.add(&path, FindingKind::Damaged, message);
                    }
                }
            }
            Ok(None) => missing(&path, &entry, job.is_standing, findings),
            Err(error) => findings.get(&path, &error),
        }
        summary.patches += 1;
        let note = layout::patch_note(&entry.archive.sha256);
        summary.seen.extend([path, note]);
    }

    async fn note(
        &self,
        reader: &Reader,
        job: &PatchJob,
        entry: &PatchEntry,
        findings: &mut Findings,
    ) {
        let path = layout::patch_note(&entry.archive.sha256);
        let bytes = match reader.read(&path, MAX_NOTE as u64).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return missing(&path, entry, job.is_standing, findings),
            Err(error) => return findings.get(&path, &error),
        };
        let context = PatchContext {
            file: path.as_str(),
            authority: &self.authority,
            entry: &job.entry,
            index: job.index,
        };
        let verified = if self.is_first {
            verify_first_patch(&bytes, &context).map(drop)
        } else {
            verify_patch(&bytes, &context, &self.distribution, job.released).map(drop)
        };
        if let Err(error) = verified {
            findings.policy(&error);
        }
        if let Ok(note) = Note::parse(&bytes, MAX_NOTE) {
            self.strangers(&path, &note, findings);
        }
    }

    fn strangers(&self, path: &RepoPath, note: &Note, findings: &mut Findings) {
        let first = &self.authority.collection.keys;
        let second = &self.distribution.log.keys;
        findings.strangers(path, note, |name, id| {
            first.iter().any(|key| key.id == *name && key.vkey.id(SignatureType::Note) == id)
                || (!self.is_first
                    && second.iter().any(|key| {
                        key.id == *name && key.vkey.id(SignatureType::Countersignature) == id
                    }))
        });
    }
}

fn missing(path: &RepoPath, entry: &PatchEntry, is_standing: bool, findings: &mut Findings) {
    let identity = entry.identity();
    if is_standing {
        findings.add(path, FindingKind::Missing, format!("the file of {identity} is not there"));
    } else {
        let message = format!("the file of {identity}, which was withdrawn, is not there");
        findings.add(path, FindingKind::Remark, message);
    }
}

/// Whether the pack is there and holds the entries that it should.
pub(super) async fn check_pack(reader: &Reader, pack: &Pack, findings: &mut Findings) -> bool {
    let bytes = match reader.read(&pack.path, pack.limit()).await {
        Ok(Some(bytes)) => bytes,
        // a repository without packs works too
        Ok(None) => return false,
        Err(error) => {
            findings.get(&pack.path, &error);
            return false;
        }
    };
    let judged = pack.clone();
    let is_in = tokio::task::spawn_blocking(move || judged.is_in(&bytes));
    let message = match is_in.await.expect("inflating does not panic") {
        Ok(true) => return true,
        Ok(false) => "its entries are not those of the signed tree".to_owned(),
        Err(error) => describe(&error),
    };
    findings.add(&pack.path, FindingKind::Damaged, message);
    false
}
