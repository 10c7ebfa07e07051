//! A copy of a log that another server signs: what a distribution holds of the collection's, and
//! what it publishes of it (SPEC §2, §4.3).
//!
//! Tiles and bundles of the copy are made here, from the entries that led to the signed root; none
//! is taken over from the other server.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, MAX_NOTE, TILE_WIDTH};
use countersign_format::merkle::empty_root;
use countersign_format::note::Note;
use countersign_format::tile::{TILE_HEIGHT, tile_levels, tile_width};
use countersign_format::time::Timestamp;
use countersign_store::follow::{FollowError, Held, LogReader};
use countersign_store::{Sink, Source, WriteError, durable};

use super::growth::{Bundle, Tail};
use super::superseded::Superseded;
use super::{FULL, PublishError, packs, read_checkpoint};

const WIDTH: u64 = TILE_WIDTH as u64;

/// The one writer of a copy of a log.
pub struct LogCopy<'a> {
    sink: &'a mut dyn Sink,
    log: Log,
    tail: Tail,
    head: Checkpoint,
    note: Option<Note>,
}

impl<'a> LogCopy<'a> {
    /// Opens the copy of the log called `origin` below the directory `sink`.
    pub fn open(sink: &'a mut dyn Sink, log: Log, origin: &KeyName) -> Result<Self, PublishError> {
        let signed = read_checkpoint(sink, log)?;
        let empty = Checkpoint { origin: origin.clone(), size: 0, root: empty_root() };
        let head = signed.as_ref().map_or(empty, |(_, head)| head.clone());
        if head.origin != *origin {
            return Err(PublishError::Origin { expected: origin.clone(), found: head.origin });
        }
        let note = signed.map(|(bytes, _)| Note::parse(&bytes, MAX_NOTE).expect("parsed before"));
        let tail = Tail::load(sink, log, &head)?;
        Ok(Self { sink, log, tail, head, note })
    }

    /// The head that is held; that of the empty log before the first.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The head as it was signed, if one is held.
    pub fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// The directory.
    pub fn sink(&mut self) -> &mut dyn Sink {
        self.sink
    }

    /// Goes on to `head`: reads the entries between, hands each to `observe`, stages tiles and
    /// bundles, and compares the roots. Nothing is held before [`Self::commit`], and after an error
    /// all that the sink has staged must be dropped.
    pub async fn follow(
        &mut self,
        source: &Source,
        head: &Checkpoint,
        with_packs: bool,
        observe: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(), FollowError> {
        self.read(source, head, with_packs, observe, None).await
    }

    /// As [`Self::follow`], and stages the packs on the way that were read whole. Returns their paths.
    pub async fn follow_keeping(
        &mut self,
        source: &Source,
        head: &Checkpoint,
        with_packs: bool,
        observe: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<BTreeSet<RepoPath>, FollowError> {
        let mut packs = BTreeSet::new();
        self.read(source, head, with_packs, observe, Some(&mut packs)).await?;
        Ok(packs)
    }

    async fn read(
        &mut self,
        source: &Source,
        head: &Checkpoint,
        with_packs: bool,
        observe: &mut dyn FnMut(u64, &[u8]),
        mut packs: Option<&mut BTreeSet<RepoPath>>,
    ) -> Result<(), FollowError> {
        let frontier = self.tail.edge.frontier();
        let from = Held { frontier, tail: self.tail.bundle.len() as u64 };
        let (log, tail) = (self.log, self.tail.clone());
        let (waiting, unfinished) = (Vec::new(), BTreeMap::new());
        let stage = RefCell::new(Stage { sink: self.sink, log, tail, waiting, unfinished });
        let mut take = |index: u64, entry: &[u8], _: &Hash32| {
            observe(index, entry);
            stage.borrow_mut().take(entry).map_err(Into::into)
        };
        // each as it comes: all of a log's are far more than fits in memory
        let mut keep = |path: RepoPath, bytes: Vec<u8>| {
            let Some(packs) = &mut packs else { return Ok(()) };
            packs.insert(path.clone());
            stage.borrow_mut().put_pack(&path, &bytes).map_err(Into::into)
        };
        let reader = LogReader::new(source, log).packs(with_packs);
        reader.follow_keeping(&from, head, &mut take, &mut keep).await?;
        let finished = stage.into_inner().finish();
        self.tail = finished.map_err(|error| FollowError::Taker(error.into()))?;
        self.head = head.clone();
        Ok(())
    }

    /// Makes durable what [`Self::follow`] staged, then the head itself, as it was signed.
    pub fn commit(&mut self, note: &Note) -> Result<(), PublishError> {
        self.sink.put_mutable(&layout::checkpoint(self.log), &note.to_bytes())?;
        self.note = Some(note.clone());
        Ok(())
    }

    /// Removes the partial tiles and bundles of the head of `old` entries, which nobody but the
    /// holder of the copy reads.
    pub fn tidy(&mut self, old: u64) -> Result<(), PublishError> {
        let new = self.head.size;
        for level in 0..tile_levels(old) {
            let index = (old >> (TILE_HEIGHT * u32::from(level))) / WIDTH;
            let width = tile_width(old, level, index);
            if width > 0 && width != tile_width(new, level, index) {
                self.sink.remove(&layout::tile(self.log, level, index, width))?;
                if level == 0 {
                    self.sink.remove(&layout::bundle(self.log, index, width))?;
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for LogCopy<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogCopy")
            .field("log", &self.log)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Entries on their way into the copy, a bundle at a time.
struct Stage<'s> {
    sink: &'s mut dyn Sink,
    log: Log,
    tail: Tail,
    waiting: Vec<Vec<u8>>,
    /// The newest tile at each place that is not full: staged at the end only.
    unfinished: BTreeMap<(u8, u64), (u16, Vec<u8>)>,
}

impl Stage<'_> {
    fn take(&mut self, entry: &[u8]) -> Result<(), PublishError> {
        self.waiting.push(entry.to_vec());
        let size = self.tail.size() + self.waiting.len() as u64;
        if size.is_multiple_of(WIDTH) { self.append() } else { Ok(()) }
    }

    /// A pack's bytes depend on the compressor: one that is there stays.
    fn put_pack(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), WriteError> {
        if self.sink.size(path)?.is_none() {
            self.sink.put_immutable(path, bytes)?;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), PublishError> {
        let growth = self.tail.append(&std::mem::take(&mut self.waiting));
        for tile in growth.tiles {
            if tile.width == FULL {
                self.unfinished.remove(&(tile.level, tile.index));
                let path = layout::tile(self.log, tile.level, tile.index, FULL);
                self.sink.put_immutable(&path, &tile.bytes)?;
            } else {
                self.unfinished.insert((tile.level, tile.index), (tile.width, tile.bytes));
            }
        }
        for bundle in growth.bundles {
            self.sink.put_immutable(&bundle.path(self.log), &bundle.bytes)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tail, PublishError> {
        self.append()?;
        for ((level, index), (width, bytes)) in self.unfinished {
            self.sink.put_immutable(&layout::tile(self.log, level, index, width), &bytes)?;
        }
        Ok(self.tail)
    }
}

/// Stages in `to` what a log gained in `from` between `old` and `new` entries, and the packs that come
/// with it. The work grows with what was gained, not with the log. What readers of the old head
/// want stays.
pub fn copy_files(
    from: &dyn Sink,
    to: &mut dyn Sink,
    log: Log,
    (old, new): (u64, u64),
) -> Result<(), PublishError> {
    let mut bundles = Vec::new();
    for level in 0..tile_levels(new) {
        let first = (old >> (TILE_HEIGHT * u32::from(level))) / WIDTH;
        let places = (first..).map(|index| (index, tile_width(new, level, index)));
        for (index, width) in places.take_while(|(_, width)| *width > 0) {
            if tile_width(old, level, index) == width {
                continue;
            }
            let path = layout::tile(log, level, index, width);
            let bytes = read(from, &path, TILE_WIDTH * 32)?;
            to.put_immutable(&path, &bytes)?;
            if level == 0 {
                let path = layout::bundle(log, index, width);
                let bundle = Bundle::new(index, width, read(from, &path, MAX_BUNDLE)?);
                to.put_immutable(&path, &bundle.bytes)?;
                bundles.push(bundle);
            }
        }
    }
    packs::add_new(to, log, &bundles, new)
}

/// Remembers in `state` what the head of `new` entries, which is about to be shown, supersedes at `now`.
pub fn note_superseded(
    log: Log,
    (old, new): (u64, u64),
    (state, now): (&Path, Timestamp),
) -> Result<(), PublishError> {
    Superseded::new(state, superseded_name(log)).note(old, new, Some(now))
}

/// Makes the packs that the copy of a log of `size` entries lacks, and removes what was superseded
/// long enough before `now`. Returns how many of both.
pub fn refresh_copy(
    sink: &mut dyn Sink,
    log: Log,
    size: u64,
    (state, now): (&Path, Timestamp),
) -> Result<(usize, usize), PublishError> {
    let added = packs::add_missing(sink, log, size)?;
    sink.sync()?;
    Ok((added, remove_superseded(sink, log, size, (state, now))?))
}

/// Removes what was superseded long enough before `now`, and returns how many files: nothing that the
/// head of `size` entries needs, which readers see.
pub fn remove_superseded(
    sink: &mut dyn Sink,
    log: Log,
    size: u64,
    (state, now): (&Path, Timestamp),
) -> Result<usize, PublishError> {
    Superseded::new(state, superseded_name(log)).remove(sink, log, size, now)
}

/// Forgets what is remembered in `state` of a log that begins anew.
pub fn forget_superseded(state: &Path, log: Log) -> io::Result<()> {
    durable::remove(state, superseded_name(log).as_ref())
}

fn superseded_name(log: Log) -> String {
    format!("{log}-superseded")
}

fn read(sink: &dyn Sink, path: &RepoPath, limit: usize) -> Result<Vec<u8>, PublishError> {
    sink.read(path, limit as u64)?.ok_or_else(|| PublishError::Missing(path.clone()))
}
