//! A mirror: a keyless copy of a distribution's repository, verified as it arrives (SPEC §2).
//!
//! What a mirror serves is byte for byte what the distribution signed, so it holds no key and can
//! do no worse than refuse service. It asks for what a client asks for, and so both signatures on
//! both layers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::entry::IndexRange;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::merkle::Frontier;
use countersign_format::policy::Clock;
use countersign_format::text::DistributionName;
use countersign_store::authority::{Anchor, AuthorityError, PassedOver, Walk};
use countersign_store::crash::crash_point;
use countersign_store::mirrors::{Passed, chain};
use countersign_store::{
    DirectoryWriter, HttpOptions, Location, Mirrors, Sink as _, Source, Statistics,
};
use countersign_terminal::{Progress, Unit};

use crate::directory_copy::{self, Carried, carry};
use crate::index;
use crate::publish::{EntryReader, PublishError, note_superseded, remove_superseded, root_at};
use crate::replica::{
    Head, Judge, NoSource, Replica, ReplicaError, Signatures, Wanted, copy_log, fetch_patches,
};
use crate::tree::Tree;

mod released;
mod roots;

use released::Released;
use roots::Roots;

/// How old the held directory may be before it is asked for again (SPEC §6).
const DIRECTORY_AGE: Duration = Duration::from_secs(86_400);

/// What a mirror trusts.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// What the chain of authority notes begins with.
    pub anchor: Anchor,
    /// Which distribution's repository it is, where the authority lists several.
    pub distribution: Option<DistributionName>,
    /// The time.
    pub clock: Clock,
    /// Whether to look for the files of every released patch, rather than for what is new.
    pub repairs: bool,
}

/// What a mirror came to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// The newest authority version.
    pub authority: u64,
    /// Authority versions that cannot be accepted.
    pub passed_over: Vec<PassedOver>,
    /// The logs, the collection's first.
    pub logs: Vec<SyncedLog>,
    /// Patches that were fetched.
    pub patches: u64,
    /// Packs of the source that hold something else than they should, and were left out.
    pub bad_packs: Vec<RepoPath>,
    /// Why the source's directory was not taken, if so.
    pub directory_refused: Option<String>,
    /// The source that it was copied from.
    pub source: String,
    /// Sources that failed before, each with the reason.
    pub failed: Vec<Passed>,
    /// What was asked of all sources.
    pub statistics: Statistics,
}

/// A log's growth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncedLog {
    /// Which log.
    pub log: Log,
    /// Entries before.
    pub before: u64,
    /// Entries now.
    pub size: u64,
    /// Whether not even the signatures' times changed.
    pub is_unchanged: bool,
}

/// Where the mirror below `root` finds its repository besides the place that it is told: the URLs
/// of the directory that it holds, in their order, but those in `not`, which are its own. None
/// where it holds no chain yet, or no directory that is to be followed.
pub async fn other_places(
    root: &Path,
    options: &MirrorOptions,
    not: &[Location],
) -> Result<Vec<Location>, ReplicaError> {
    let held = Source::open(&Location::Directory(root.to_owned()), &HttpOptions::default());
    let walk = match Walk::begin(&held, &options.anchor).await {
        Err(AuthorityError::NotFound { .. }) => return Ok(Vec::new()),
        begun => begun?.finish(&held).await?,
    };
    let authority = walk.chain().newest();
    let directory = directory_copy::held(&DirectoryWriter::new(root), authority)?;
    let Some(directory) = directory.filter(|note| options.clock.now() < note.expires) else {
        return Ok(Vec::new());
    };
    let Ok(distribution) = choose(authority, options.distribution.as_ref()) else {
        return Ok(Vec::new());
    };
    let urls = directory.urls(&distribution.name).iter();
    let places = urls.filter_map(|one| one.url.parse().ok());
    Ok(places.filter(|place| !not.contains(place)).collect())
}

/// Brings the mirror below `root`, which is there, up to what the first of `sources` has that serves
/// it well. Whoever calls this holds the mirror's lock.
pub async fn sync(
    sources: &Mirrors,
    root: &Path,
    options: &MirrorOptions,
    progress: &Progress,
) -> Result<Synced, NoSource> {
    let from =
        async |source: &Arc<Source>| match sync_from(source, root, options, true, progress).await {
            // packs are trusted for nothing, and say nothing against a log
            Err(error) if error.may_be_packs() => {
                sync_from(source, root, options, false, progress).await
            }
            synced => synced,
        };
    let (mut synced, _) = sources.try_each(from).await?;
    synced.failed = sources.failures();
    synced.statistics = sources.statistics();
    Ok(synced)
}

async fn sync_from(
    source: &Arc<Source>,
    root: &Path,
    options: &MirrorOptions,
    with_packs: bool,
    progress: &Progress,
) -> Result<Synced, ReplicaError> {
    let mut replica = Replica::open(root, Arc::clone(source))?.packs(with_packs);
    let walk = replica.copy_authority(&options.anchor, options.clock).await?;
    let authority = walk.chain().newest();
    let distribution = choose(authority, options.distribution.as_ref())?;
    let (clock, repairs) = (options.clock, options.repairs);
    let mut mirror = Mirror { replica, authority, distribution, clock, repairs };
    let directory_refused = mirror.directory().await?;
    // this order: no decision is then about a patch that the other head does not have yet
    let decided = mirror.head(Log::Distribution).await?;
    let collected = mirror.head(Log::Collection).await?;
    let mut synced = Synced {
        authority: authority.version,
        passed_over: walk.passed_over().to_vec(),
        logs: vec![SyncedLog::new(&collected), SyncedLog::new(&decided)],
        patches: 0,
        bad_packs: Vec::new(),
        directory_refused,
        source: source.name().to_owned(),
        failed: Vec::new(),
        statistics: Statistics::default(),
    };
    if decided.is_held && collected.is_held && !options.repairs {
        mirror.replica.remember(&[&collected, &decided]);
    } else {
        mirror.copy(&collected, &decided, &mut synced, progress).await?;
    }
    mirror.replica.clear_incoming()?;
    mirror.replica.close();
    Ok(synced)
}

/// The distribution of this name, or the only one.
fn choose<'a>(
    authority: &'a AuthorityNote,
    name: Option<&DistributionName>,
) -> Result<&'a DistributionRole, ReplicaError> {
    let found = match (name, authority.distributions.as_slice()) {
        (Some(name), _) => authority.distribution(name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| ReplicaError::Distribution {
        version: authority.version,
        name: name.map(ToString::to_string),
    })
}

impl SyncedLog {
    fn new(head: &Head) -> Self {
        Self {
            log: head.log,
            before: head.held.size,
            size: head.signed.checkpoint.size,
            is_unchanged: head.is_held,
        }
    }
}

struct Mirror<'a> {
    replica: Replica,
    authority: &'a AuthorityNote,
    distribution: &'a DistributionRole,
    clock: Clock,
    repairs: bool,
}

impl Mirror<'_> {
    async fn head(&mut self, log: Log) -> Result<Head, ReplicaError> {
        let Self { replica, authority, distribution, clock, .. } = self;
        replica.fetch_head(log, authority, distribution, Signatures::Both, *clock).await
    }

    /// Copies what both heads promise, then the heads.
    async fn copy(
        &mut self,
        collected: &Head,
        decided: &Head,
        synced: &mut Synced,
        progress: &Progress,
    ) -> Result<(), ReplicaError> {
        let total: u64 = synced.logs.iter().map(|log| log.size - log.before).sum();
        let task = progress.task("reading the logs", Some(total), Unit::Items);
        let (mut released, bad) = self.decisions(collected, decided, &task).await?;
        synced.bad_packs.extend(bad);
        let (wanted, bad) = self.patches(collected, &mut released, &task).await?;
        synced.bad_packs.extend(bad);
        drop(task);
        let judge = Judge {
            authority: self.authority.clone(),
            distribution: self.distribution.clone(),
            signatures: Signatures::Both,
        };
        synced.patches = fetch_patches(&mut self.replica, wanted, judge, progress).await?;
        crash_point("mirror.staged");
        self.replica.put_heads(&[collected, decided])?;
        crash_point("mirror.heads");
        self.tidy(&[collected, decided])?;
        // where it cannot be written, the next run reads the log
        let _ = released.keep(&decided.signed.checkpoint);
        self.replica.remember(&[collected, decided]);
        Ok(())
    }

    /// Removes what no reader wants any more of earlier heads, and remembers what the new ones leave
    /// behind.
    fn tidy(&mut self, heads: &[&Head]) -> Result<(), ReplicaError> {
        let now = self.clock.now();
        for head in heads.iter().filter(|head| !head.is_held) {
            let (log, old, new) = (head.log, head.held.size, head.signed.checkpoint.size);
            let state = self.replica.index_folder().to_owned();
            // what cannot be remembered stays for nothing
            let _ = note_superseded(log, (old, new), (&state, now));
            let removed = remove_superseded(self.replica.writer(), log, new, (&state, now));
            removed.map_err(|error| self.unusable(error))?;
        }
        Ok(self.replica.writer().sync()?)
    }

    /// Copies the distribution's log and returns what it says, old and new.
    async fn decisions(
        &mut self,
        collected: &Head,
        decided: &Head,
        task: &countersign_terminal::Task,
    ) -> Result<(Released, Vec<RepoPath>), ReplicaError> {
        let (origin, held) = (&collected.signed.checkpoint.origin, decided.held.size);
        let released = Released::held(&mut self.replica, origin, held);
        let mut released = released.map_err(|error| self.unusable(error))?;
        let mut visit = |index: u64, bytes: &[u8]| {
            task.advance(1);
            released.take(index, bytes);
        };
        let bad = copy_log(&mut self.replica, decided, &mut visit).await?;
        if self.repairs {
            released.all_anew(collected.held.size);
        }
        Ok((released.finish().map_err(|error| self.unusable(error))?, bad))
    }

    /// Copies the collection's log and returns the patches that are released and not held. Checks
    /// the trees that decisions speak of on the way.
    async fn patches(
        &mut self,
        collected: &Head,
        released: &mut Released,
        task: &countersign_terminal::Task,
    ) -> Result<(Vec<Wanted>, Vec<RepoPath>), ReplicaError> {
        let mut wanted = self.held_patches(collected.held.size, released)?;
        let named = released.named(collected.held.size).map_err(|error| self.unusable(error))?;
        let mut roots = Roots::new(self.held_frontier(collected)?, named);
        self.earlier_roots(collected.held.size, &mut roots)?;
        let mut refused = None;
        let mut visit = |index: u64, bytes: &[u8]| {
            task.advance(1);
            match released.wanted(index, bytes) {
                Ok(patch) => wanted.extend(patch),
                Err(error) => refused = refused.take().or(Some(error)),
            }
            roots.push(bytes);
        };
        let bad = copy_log(&mut self.replica, collected, &mut visit).await?;
        roots.check(&self.replica)?;
        refused.map_or(Ok((wanted, bad)), |error| Err(self.unusable(error)))
    }

    /// The patches among the entries that are held which a new decision releases, and whose files
    /// are not held. All others were looked at when their decision was new.
    fn held_patches(
        &mut self,
        held: u64,
        released: &mut Released,
    ) -> Result<Vec<Wanted>, ReplicaError> {
        let mut wanted = Vec::new();
        let files = self.replica.writer().reader();
        let mut entries = EntryReader::new(files, Log::Collection, held);
        for index in released.new_below(held).into_iter().flat_map(IndexRange::indexes) {
            let found = entries.read(index).and_then(|bytes| released.wanted(index, &bytes));
            if let Some(patch) = found.map_err(|error| self.unusable(error))?
                && !self.replica.holds(&patch.entry)?
            {
                wanted.push(patch);
            }
        }
        Ok(wanted)
    }

    /// What is wrong with the copy, or with the index of it, which is then made anew.
    fn unusable(&self, source: PublishError) -> ReplicaError {
        let root = self.replica.root().to_owned();
        if let PublishError::Index { .. } = source {
            // what cannot be removed is found unusable again
            let _ = index::forget(self.replica.index_folder());
            return ReplicaError::Index { root, source };
        }
        ReplicaError::Held { root, source }
    }

    fn held_frontier(&mut self, collected: &Head) -> Result<Frontier, ReplicaError> {
        let held = Tree::load(self.replica.writer(), Log::Collection, collected.held.size);
        Ok(held.map_err(|error| self.unusable(error))?.frontier())
    }

    /// Compares the roots that new decisions name of trees smaller than the held one. Old decisions
    /// were looked at when they were new.
    fn earlier_roots(&mut self, held: u64, roots: &mut Roots) -> Result<(), ReplicaError> {
        for size in roots.earlier() {
            let found = root_at(self.replica.writer(), Log::Collection, held, size);
            roots.compare(size, found.map_err(|error| self.unusable(error))?);
        }
        Ok(())
    }

    /// Copies the directory where the held one is missing or a day old.
    async fn directory(&mut self) -> Result<Option<String>, ReplicaError> {
        let file = self.replica.root().join(layout::directory());
        let age = file
            .metadata()
            .and_then(|held| held.modified())
            .ok()
            .map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
        if self.authority.directory.keys.is_empty() || age.is_some_and(|age| age < DIRECTORY_AGE) {
            return Ok(None);
        }
        let source = Arc::clone(self.replica.source());
        match carry(&source, self.replica.writer(), self.authority, self.clock).await? {
            Carried::Same | Carried::Taken(_) => Ok(None),
            Carried::Refused(why) => Ok(Some(chain(&why))),
        }
    }
}
