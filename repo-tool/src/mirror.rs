//! A mirror: a keyless copy of a distribution's repository, verified as it arrives (SPEC §2).
//!
//! What a mirror serves is byte for byte what the distribution signed, so it holds no key and can
//! do no worse than refuse service. It asks for what a client asks for, and so both signatures on
//! both layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::entry::{CollectionEntry, DistributionEntry, PatchEntry, TreeHead};
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::policy::Clock;
use countersign_format::text::DistributionName;
use countersign_store::authority::{Anchor, AuthorityError, PassedOver, Walk};
use countersign_store::crash::crash_point;
use countersign_store::mirrors::{Passed, chain};
use countersign_store::{
    DirectoryWriter, HttpOptions, Location, Mirrors, Sink as _, Source, Statistics,
};
use countersign_terminal::{Progress, Unit};

use crate::decisions::Decisions;
use crate::directory_copy::{self, Carried, carry};
use crate::publish::{read_entries, root_at};
use crate::replica::{
    Fork, Head, Judge, NoSource, Replica, ReplicaError, Signatures, Wanted, copy_log,
    fetch_patches, held_entries,
};
use crate::tree::{Tree, WIDTH};

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
    let from = async |source: &Arc<Source>| sync_from(source, root, options, progress).await;
    let (mut synced, _) = sources.try_each(from).await?;
    synced.failed = sources.failures();
    synced.statistics = sources.statistics();
    Ok(synced)
}

async fn sync_from(
    source: &Arc<Source>,
    root: &Path,
    options: &MirrorOptions,
    progress: &Progress,
) -> Result<Synced, ReplicaError> {
    let mut replica = Replica::open(root, Arc::clone(source))?;
    let walk = replica.copy_authority(&options.anchor, options.clock).await?;
    let authority = walk.chain().newest();
    let distribution = choose(authority, options.distribution.as_ref())?;
    let mut mirror = Mirror { replica, authority, distribution, clock: options.clock };
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
    if decided.is_held && collected.is_held {
        mirror.replica.clear_incoming()?;
    } else {
        mirror.copy(&collected, &decided, &mut synced, progress).await?;
    }
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
}

impl Mirror<'_> {
    async fn head(&mut self, log: Log) -> Result<Head, ReplicaError> {
        let Self { replica, authority, distribution, clock } = self;
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
        let (decisions, bad) = self.decisions(collected, decided, &task).await?;
        synced.bad_packs.extend(bad);
        let (wanted, bad) = self.patches(collected, decided, &decisions, &task).await?;
        synced.bad_packs.extend(bad);
        drop(task);
        let judge = Judge {
            authority: self.authority.clone(),
            distribution: self.distribution.clone(),
            signatures: Signatures::Both,
        };
        synced.patches = fetch_patches(&mut self.replica, wanted, judge, progress).await?;
        crash_point("mirror.staged");
        self.replica.writer().sync()?;
        crash_point("mirror.files");
        self.replica.put_head(collected)?;
        crash_point("mirror.collection");
        self.replica.put_head(decided)?;
        crash_point("mirror.distribution");
        Ok(())
    }

    /// Copies the distribution's log and returns all its decisions, old and new.
    async fn decisions(
        &mut self,
        collected: &Head,
        decided: &Head,
        task: &countersign_terminal::Task,
    ) -> Result<(Decisions, Vec<RepoPath>), ReplicaError> {
        let collection = &collected.signed.checkpoint;
        let mut decisions = Decisions::new(&collection.origin, collection.size);
        let mut take = |index: u64, bytes: &[u8]| {
            if let Ok(entry) = DistributionEntry::parse(bytes) {
                decisions.take(index, &entry);
            }
        };
        let held = decided.held.size;
        let root = self.replica.root().to_owned();
        read_entries(self.replica.writer(), Log::Distribution, held, &mut take)
            .map_err(|source| ReplicaError::Held { root, source })?;
        let mut visit = |index: u64, bytes: &[u8]| {
            task.advance(1);
            take(index, bytes);
        };
        let bad = copy_log(&mut self.replica, decided, &mut visit).await?;
        Ok((decisions, bad))
    }

    /// Copies the collection's log and returns the patches that are released. Checks the trees that
    /// decisions speak of on the way.
    async fn patches(
        &mut self,
        collected: &Head,
        decided: &Head,
        decisions: &Decisions,
        task: &countersign_terminal::Task,
    ) -> Result<(Vec<Wanted>, Vec<RepoPath>), ReplicaError> {
        let mut wanted = self.held_patches(collected.held.size, decisions)?;
        let mut roots = Roots::new(self.held_frontier(collected)?, decisions);
        self.earlier_roots(collected, decided, decisions, &mut roots)?;
        let mut visit = |index: u64, bytes: &[u8]| {
            task.advance(1);
            wanted.extend(wanted_patch(index, bytes, decisions));
            roots.push(bytes);
        };
        let bad = copy_log(&mut self.replica, collected, &mut visit).await?;
        roots.check(&self.replica)?;
        Ok((wanted, bad))
    }

    /// The patches among the entries that are held, and whose files are not.
    fn held_patches(
        &mut self,
        held: u64,
        decisions: &Decisions,
    ) -> Result<Vec<Wanted>, ReplicaError> {
        let mut wanted = Vec::new();
        let mut bundle = (u64::MAX, Vec::new());
        for (patch, _) in decisions.released().take_while(|(patch, _)| *patch < held) {
            if bundle.0 != patch / WIDTH {
                let writer = self.replica.writer();
                bundle =
                    (patch / WIDTH, held_entries(writer, Log::Collection, patch / WIDTH, held)?);
            }
            let place = usize::try_from(patch % WIDTH).expect("below 256");
            let found = bundle.1.get(place).and_then(|bytes| wanted_patch(patch, bytes, decisions));
            if let Some(patch) = found
                && !self.replica.holds(&patch.entry)?
            {
                wanted.push(patch);
            }
        }
        Ok(wanted)
    }

    fn held_frontier(&mut self, collected: &Head) -> Result<Frontier, ReplicaError> {
        let root = self.replica.root().to_owned();
        let held = Tree::load(self.replica.writer(), Log::Collection, collected.held.size);
        Ok(held.map_err(|source| ReplicaError::Held { root, source })?.frontier())
    }

    /// Compares the roots that new decisions name of trees smaller than the held one. Old decisions
    /// were looked at when they were new.
    fn earlier_roots(
        &mut self,
        collected: &Head,
        decided: &Head,
        decisions: &Decisions,
        roots: &mut Roots,
    ) -> Result<(), ReplicaError> {
        let held = collected.held.size;
        let is_new_on_old = |(index, of): &&(u64, TreeHead)| {
            *index >= decided.held.size && of.size < held && of.origin == *decisions.origin()
        };
        let sizes: BTreeSet<u64> =
            decisions.heads().iter().filter(is_new_on_old).map(|(_, of)| of.size).collect();
        if sizes.is_empty() {
            return Ok(());
        }
        let root = self.replica.root().to_owned();
        let damaged = |source| ReplicaError::Held { root: root.clone(), source };
        let writer = self.replica.writer();
        for size in sizes {
            let found = root_at(writer, Log::Collection, held, size).map_err(damaged)?;
            roots.compare(size, found);
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

/// The patch that an entry is, if it was released.
fn wanted_patch(index: u64, bytes: &[u8], decisions: &Decisions) -> Option<Wanted> {
    let released = decisions.first_release(index)?;
    let Ok(CollectionEntry::Patch(entry)) = CollectionEntry::parse(bytes) else { return None };
    let entry: PatchEntry = *entry;
    let is_required = decisions.is_standing(index);
    Some(Wanted { index, bytes: bytes.to_vec(), entry, released, is_required })
}

/// The roots that decisions name, against those that the entries make.
struct Roots {
    frontier: Frontier,
    /// What decisions say of each size.
    named: BTreeMap<u64, BTreeSet<Hash32>>,
    /// The first contradiction: size, root that is named, root that the entries make.
    contradiction: Option<(u64, Hash32, Hash32)>,
}

impl Roots {
    /// Roots at `frontier` and beyond are compared as entries are pushed.
    fn new(frontier: Frontier, decisions: &Decisions) -> Self {
        let mut named: BTreeMap<u64, BTreeSet<Hash32>> = BTreeMap::new();
        for (_, of) in decisions.heads() {
            if of.origin == *decisions.origin() {
                named.entry(of.size).or_default().insert(of.root);
            }
        }
        let mut roots = Self { frontier, named, contradiction: None };
        roots.compare(roots.frontier.size(), roots.frontier.root());
        roots
    }

    fn push(&mut self, entry: &[u8]) {
        self.frontier.push(leaf_hash(entry));
        if self.named.contains_key(&self.frontier.size()) {
            self.compare(self.frontier.size(), self.frontier.root());
        }
    }

    fn compare(&mut self, size: u64, found: Hash32) {
        let named = self.named.get(&size).into_iter().flatten().find(|named| **named != found);
        if let Some(named) = named {
            self.contradiction.get_or_insert((size, *named, found));
        }
    }

    fn check(&self, replica: &Replica) -> Result<(), ReplicaError> {
        let Some((size, named, found)) = self.contradiction else { return Ok(()) };
        Err(ReplicaError::Fork(Box::new(Fork {
            source_name: replica.source().name().to_owned(),
            log: Log::Collection,
            size,
            found,
            named,
            other: "a decision of the distribution's log".to_owned(),
        })))
    }
}
