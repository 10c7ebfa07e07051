//! Following a log: from the head that a reader holds to a new one (SPEC §4.3, §4.4).
//!
//! Only the entries between are fetched, by the cheapest cover of packs and bundles, and folded
//! into the held frontier; the root that comes out is compared with the signed one. No hash tile is
//! read. Nothing fetched counts before the roots are equal: whoever takes the entries must be able
//! to drop them again.

use std::error::Error;
use std::io::Cursor;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::layout::{Log, RepoPath};
use countersign_format::limits::{MAX_FOLLOWED, MAX_FOLLOWED_BYTES, TILE_WIDTH};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::pack::{PackError, PackReader};
use countersign_format::tile::{TileError, parse_entries};

use crate::error::GetError;
use crate::source::Source;

mod ask;
mod cover;
mod memory;
mod queue;
mod tail;

use ask::Piece;
use cover::Step;
pub use memory::Memory;
use queue::Queue;

const WIDTH: u64 = TILE_WIDTH as u64;
/// How many entries go by between two looks at what else has come.
const LOOK_EVERY: u64 = 1024;

/// What a reader holds of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// The right edge of the tree.
    pub frontier: Frontier,
    /// Bytes of the unfinished bundle that are held, lengths included: where to read on.
    pub tail: u64,
}

/// Why a log could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A file could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A file that the signed head promises is not there.
    #[error("{path} is not at {source_name}, though its {log} log has {size} entries")]
    Missing {
        /// The source's name.
        source_name: String,
        /// The file.
        path: RepoPath,
        /// The log.
        log: Log,
        /// The size that the head says.
        size: u64,
    },
    /// A bundle is not what its place says.
    #[error("{path} is malformed")]
    Bundle {
        /// The file.
        path: RepoPath,
        /// What is wrong.
        #[source]
        source: TileError,
    },
    /// The head is smaller than what is held.
    #[error("the {log} log has {found} entries, {held} were seen before")]
    Smaller {
        /// The log.
        log: Log,
        /// Entries that are held.
        held: u64,
        /// Entries of the head.
        found: u64,
    },
    /// The head lies further ahead than is read at once. Nothing was asked for.
    #[error(
        "the {log} log has {found} entries, {held} are held, and {MAX_FOLLOWED} are read at most"
    )]
    TooFar {
        /// The log.
        log: Log,
        /// Entries that are held.
        held: u64,
        /// Entries of the head.
        found: u64,
    },
    /// The entries up to the head have more bytes than are read at once.
    #[error("the new entries of the {log} log have more than {MAX_FOLLOWED_BYTES} bytes")]
    TooMuch {
        /// The log.
        log: Log,
    },
    /// The entries do not lead to the signed root: a fork, or a server that alters entries.
    #[error("the entries of the {log} log up to {size} lead to root {found}, signed is {expected}")]
    Root {
        /// The log.
        log: Log,
        /// The size that the head says.
        size: u64,
        /// The signed root.
        expected: Hash32,
        /// The root that the entries make.
        found: Hash32,
        /// Whether some came from packs, which are trusted for nothing: bundles may lead to the root.
        with_packs: bool,
    },
    /// Whoever takes the entries gave up.
    #[error("entry could not be taken")]
    Taker(#[source] Box<dyn Error + Send + Sync>),
}

/// Takes the entries one by one: leaf index, the entry's bytes, and the hash of its leaf.
pub type Taker<'a> =
    dyn FnMut(u64, &[u8], &Hash32) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// Takes the packs that were read: path, and the bytes as they came.
pub type PackKeeper<'a> =
    dyn FnMut(RepoPath, Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// How a log is read.
#[derive(Clone, Debug)]
pub struct LogReader<'s> {
    source: &'s Source,
    log: Log,
    memory: Memory,
    with_packs: bool,
}

impl<'s> LogReader<'s> {
    /// Reads `log` at `source`, with packs.
    pub fn new(source: &'s Source, log: Log) -> Self {
        Self { source, log, memory: Memory::default(), with_packs: true }
    }

    /// Takes no more memory for files than is left of this, which others take from too.
    #[must_use]
    pub fn sharing(self, memory: &Memory) -> Self {
        Self { memory: memory.clone(), ..self }
    }

    /// Reads packs only if `with_packs`: bundles are what a log has in any case.
    #[must_use]
    pub fn packs(self, with_packs: bool) -> Self {
        Self { with_packs, ..self }
    }

    /// Goes from what is held to `head`, handing every entry in between to `take` in order, with the
    /// hash of its leaf, and to `keep`, for those who copy a repository, the packs of which every entry
    /// was handed out: each holds entries of the signed tree, and no others, if this succeeds. One that
    /// begins with entries that are held is not handed out, since nobody compared those. Returns what
    /// is held then. On an error all that was handed out must be dropped.
    pub async fn follow_keeping(
        &self,
        from: &Held,
        head: &Checkpoint,
        take: &mut Taker<'_>,
        keep: &mut PackKeeper<'_>,
    ) -> Result<Held, FollowError> {
        let (log, before, size) = (self.log, from.frontier.size(), head.size);
        if size < before {
            return Err(FollowError::Smaller { log, held: before, found: size });
        }
        if size - before > MAX_FOLLOWED {
            return Err(FollowError::TooFar { log, held: before, found: size });
        }
        let (place, memory) = ((self.source, log), self.memory.clone());
        let queue = Queue::new(place, (from, size), self.with_packs, memory);
        let (left, with_packs) = (MAX_FOLLOWED_BYTES, false);
        let mut follower = Follower { log, held: from.clone(), left, with_packs, take, keep };
        follower.read(queue).await?;
        let (found, with_packs) = (follower.held.frontier.root(), follower.with_packs);
        if found != head.root {
            let expected = head.root;
            return Err(FollowError::Root { log, size, expected, found, with_packs });
        }
        Ok(follower.held)
    }

    /// As [`Self::follow_keeping`], and keeps no packs.
    pub async fn follow(
        &self,
        from: &Held,
        head: &Checkpoint,
        take: &mut Taker<'_>,
    ) -> Result<Held, FollowError> {
        self.follow_keeping(from, head, take, &mut |_, _| Ok(())).await
    }
}

impl FollowError {
    /// Whether packs may be why the entries do not lead to the signed root. Then the same is to be
    /// read from bundles before anything is said of the log: nothing vouches for a pack, and its
    /// parts may be of two that a server had at different times.
    pub fn may_be_packs(&self) -> bool {
        matches!(self, Self::Root { with_packs: true, .. })
    }
}

struct Follower<'t, 'k, 'a> {
    log: Log,
    held: Held,
    /// Bytes of entries that may still be taken.
    left: u64,
    /// Whether entries of packs were folded.
    with_packs: bool,
    take: &'a mut Taker<'t>,
    keep: &'a mut PackKeeper<'k>,
}

impl Follower<'_, '_, '_> {
    /// Reads all files, in order.
    async fn read(&mut self, mut queue: Queue<'_>) -> Result<(), FollowError> {
        while let Some((step, piece, _share)) = queue.next().await? {
            match piece {
                Piece::Entries(entries) => {
                    self.with_packs = true;
                    entries.iter().try_for_each(|entry| self.fold(entry))?;
                }
                Piece::Bundle(bytes) => self.bundle(&step, &bytes)?,
                Piece::Pack(bytes) => {
                    self.with_packs = true;
                    match self.pack(&step, bytes, &mut queue).await? {
                        Ok(bytes) if step.is_whole() => {
                            (self.keep)(step.path(self.log), bytes).map_err(FollowError::Taker)?;
                        }
                        Ok(_) => {}
                        // a log can do without
                        Err(_) => queue.instead(&self.held, step.entries.end),
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a pack and gives it back. One that turns out to be malformed leaves it at the entries
    /// before.
    async fn pack(
        &mut self,
        step: &Step,
        bytes: Vec<u8>,
        queue: &mut Queue<'_>,
    ) -> Result<Result<Vec<u8>, PackError>, FollowError> {
        let (first, count) = step.span();
        let mut reader = match PackReader::new(Cursor::new(bytes), count) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let mut at = first;
        loop {
            match reader.read() {
                // what is held of the pack's first bundle is in the pack once more
                Ok(Some(entry)) if at >= step.entries.start => self.fold(entry)?,
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Ok(reader.into_inner().into_inner())),
                Err(error) => return Ok(Err(error)),
            }
            at += 1;
            if at.is_multiple_of(LOOK_EVERY) {
                queue.look().await;
            }
        }
    }

    fn bundle(&mut self, step: &Step, bytes: &[u8]) -> Result<(), FollowError> {
        let count = usize::try_from(step.entries.end - step.entries.start).expect("at most 256");
        let entries = parse_entries(bytes, count)
            .map_err(|source| FollowError::Bundle { path: step.path(self.log), source })?;
        entries.into_iter().try_for_each(|entry| self.fold(entry))
    }

    fn fold(&mut self, entry: &[u8]) -> Result<(), FollowError> {
        let index = self.held.frontier.size();
        let left = self.left.checked_sub(entry.len() as u64);
        self.left = left.ok_or(FollowError::TooMuch { log: self.log })?;
        let leaf = leaf_hash(entry);
        (self.take)(index, entry, &leaf).map_err(FollowError::Taker)?;
        self.held.frontier.push(leaf);
        let is_finished = self.held.frontier.size().is_multiple_of(WIDTH);
        self.held.tail = if is_finished { 0 } else { self.held.tail + 2 + entry.len() as u64 };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
