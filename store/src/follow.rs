//! Following a log: from the head that a reader holds to a new one (SPEC §4.3, §4.4).
//!
//! Only the entries between are fetched, by the cheapest cover of packs and bundles, and folded
//! into the held frontier; the root that comes out is compared with the signed one. No hash tile is
//! read. Nothing fetched counts before the roots are equal: whoever takes the entries must be able
//! to drop them again.

use std::error::Error;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{
    MAX_BUNDLE, MAX_ENTRY, MAX_FOLLOWED, MAX_FOLLOWED_BYTES, MAX_PACK, TILE_WIDTH,
};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::pack::{MAX_PACK_LEVEL, PackError, for_each_entry, pack_span};
use countersign_format::tile::{TileError, parse_entries};

use crate::error::GetError;
use crate::source::{Get, Got, Source};

const WIDTH: u64 = TILE_WIDTH as u64;
/// How many times smaller an entry is in a pack than in a bundle, about: 77 against 450 bytes in a
/// first update of 100,000 entries. Decides between a range of a bundle and a whole pack.
const PACK_GAIN: u64 = 6;

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
    /// A pack is not what its place says.
    #[error("{path} is malformed")]
    Pack {
        /// The file.
        path: RepoPath,
        /// What is wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
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
    },
    /// Whoever takes the entries gave up.
    #[error("entry could not be taken")]
    Taker(#[source] Box<dyn Error + Send + Sync>),
}

/// Takes the entries one by one: leaf index, and the entry's bytes.
pub type Taker<'a> = dyn FnMut(u64, &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// As [`Taker`], with the hash of the entry's leaf.
pub type HashTaker<'a> =
    dyn FnMut(u64, &[u8], &Hash32) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// Takes the packs that were read: path, and the bytes as they came.
pub type PackKeeper<'a> = dyn FnMut(RepoPath, Vec<u8>) + 'a;

/// Goes from what is held to `head`, handing every entry in between to `take` in order, and returns what
/// is held then. On an error all that was handed out must be dropped.
pub async fn follow(
    source: &Source,
    log: Log,
    from: &Held,
    head: &Checkpoint,
    take: &mut Taker<'_>,
) -> Result<Held, FollowError> {
    follow_keeping(source, log, from, head, take, &mut |_, _| ()).await
}

/// As [`follow`], and hands out the hash of each entry's leaf with it.
pub async fn follow_hashed(
    source: &Source,
    log: Log,
    from: &Held,
    head: &Checkpoint,
    take: &mut HashTaker<'_>,
) -> Result<Held, FollowError> {
    follow_all(source, log, from, head, take, &mut |_, _| ()).await
}

/// As [`follow`], and hands out the packs on the way, for those who copy a repository. Each holds
/// entries of the signed tree if this succeeds.
pub async fn follow_keeping(
    source: &Source,
    log: Log,
    from: &Held,
    head: &Checkpoint,
    take: &mut Taker<'_>,
    keep: &mut PackKeeper<'_>,
) -> Result<Held, FollowError> {
    let mut take = |index: u64, entry: &[u8], _: &Hash32| take(index, entry);
    follow_all(source, log, from, head, &mut take, keep).await
}

async fn follow_all(
    source: &Source,
    log: Log,
    from: &Held,
    head: &Checkpoint,
    take: &mut HashTaker<'_>,
    keep: &mut PackKeeper<'_>,
) -> Result<Held, FollowError> {
    let (before, size) = (from.frontier.size(), head.size);
    if size < before {
        return Err(FollowError::Smaller { log, held: before, found: size });
    }
    if size - before > MAX_FOLLOWED {
        return Err(FollowError::TooFar { log, held: before, found: size });
    }
    let left = MAX_FOLLOWED_BYTES;
    let mut follower = Follower { source, log, size, held: from.clone(), left, take, keep };
    while follower.held.frontier.size() < size {
        follower.advance().await?;
    }
    let found = follower.held.frontier.root();
    if found != head.root {
        return Err(FollowError::Root { log, size, expected: head.root, found });
    }
    Ok(follower.held)
}

/// The next file to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The pack `(level, index)`, holding `width` entries or, where that is 256, its full span.
    Pack { level: u8, index: u64, width: u16 },
    /// The bundle `index` of `width` entries, from the held part on.
    Bundle { index: u64, width: u16 },
}

/// The files worth trying for a reader that holds `have` of `want` entries, the cheapest first. The
/// last is always a bundle, which a log cannot be without.
fn steps(have: u64, want: u64) -> Vec<Step> {
    let (index, held) = (have / WIDTH, have % WIDTH);
    let wide = (want - index * WIDTH).min(WIDTH);
    let width = u16::try_from(wide).expect("at most 256");
    let mut steps = Vec::new();
    if held == 0 {
        let fits =
            |level: &u8| have.is_multiple_of(pack_span(*level)) && have + pack_span(*level) <= want;
        let packs = (0..=MAX_PACK_LEVEL).rev().filter(fits);
        steps.extend(packs.map(|level| Step::Pack {
            level,
            index: have / pack_span(level),
            width: 256,
        }));
    }
    let is_new = steps.is_empty();
    if is_new && (wide - held) * PACK_GAIN > wide && wide - held > 1 {
        steps.push(Step::Pack { level: 0, index, width });
    }
    steps.push(Step::Bundle { index, width });
    steps
}

struct Follower<'a, 't, 'k> {
    source: &'a Source,
    log: Log,
    size: u64,
    held: Held,
    /// Bytes of entries that may still be taken.
    left: u64,
    take: &'a mut HashTaker<'t>,
    keep: &'a mut PackKeeper<'k>,
}

impl Follower<'_, '_, '_> {
    /// Reads the next file that is there.
    async fn advance(&mut self) -> Result<(), FollowError> {
        for step in steps(self.held.frontier.size(), self.size) {
            let is_taken = match step {
                Step::Pack { level, index, width } => self.pack(level, index, width).await?,
                Step::Bundle { index, width } => self.bundle(index, width).await?,
            };
            if is_taken {
                return Ok(());
            }
        }
        unreachable!("a bundle is there or an error")
    }

    async fn pack(&mut self, level: u8, index: u64, width: u16) -> Result<bool, FollowError> {
        let path = layout::pack(self.log, level, index, width);
        let entries = if width == 256 { pack_span(level) } else { u64::from(width) };
        let limit = MAX_PACK.min(entries * (MAX_ENTRY as u64 + 2) + 1024);
        let Got::Whole { bytes, .. } = self.source.get(&path, &Get::up_to(limit)).await? else {
            return Ok(false);
        };
        let start = if width == 256 { index * pack_span(level) } else { index * WIDTH };
        // what is held of the pack's first bundle is in the pack once more
        let mut known = self.held.frontier.size() - start;
        let taken = for_each_entry(&bytes, entries, |entry| {
            if known > 0 {
                known -= 1;
                return Ok(());
            }
            self.fold(entry)
        });
        match taken {
            Ok(()) => {
                (self.keep)(path, bytes);
                Ok(true)
            }
            Err(PackError::Taker(error)) => Err(error),
            Err(error) => Err(FollowError::Pack { path, source: error.to_string().into() }),
        }
    }

    async fn bundle(&mut self, index: u64, width: u16) -> Result<bool, FollowError> {
        let path = layout::bundle(self.log, index, width);
        let held = self.held.frontier.size() % WIDTH;
        let mut request = Get::up_to(MAX_BUNDLE as u64);
        if held > 0 {
            request = request.range(self.held.tail, None);
        }
        let tail = usize::try_from(self.held.tail).expect("a bundle fits in memory");
        let bytes = match self.source.get(&path, &request).await? {
            Got::Part { bytes, .. } => bytes,
            Got::Whole { bytes, .. } if held == 0 => bytes,
            Got::Whole { mut bytes, .. } => bytes.split_off(tail.min(bytes.len())),
            Got::NotFound | Got::NotModified => {
                let source_name = self.source.name().to_owned();
                let (log, size) = (self.log, self.size);
                return Err(FollowError::Missing { source_name, path, log, size });
            }
        };
        let count = usize::from(width) - usize::try_from(held).expect("below 256");
        let entries =
            parse_entries(&bytes, count).map_err(|source| FollowError::Bundle { path, source })?;
        for entry in entries {
            self.fold(entry)?;
        }
        Ok(true)
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
