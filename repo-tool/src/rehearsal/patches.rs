//! Which released patches would lose their signatures.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::authority::{DistributionRole, LogRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, DistributionEntry, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::policy::{PatchContext, PolicyError, verify_patch};
use countersign_store::Source;
use countersign_store::follow::{FollowError, Held, LogReader};
use serde::Serialize;

use super::{Notes, RehearsalError, read, said};
use crate::decisions::Decisions;

/// The patches that are released to some ring and not revoked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PatchCount {
    /// How many there are.
    pub released: u64,
    /// Those that clients accept now and would not then.
    pub lost: Vec<LostPatch>,
}

/// A patch that clients would refuse.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LostPatch {
    /// Leaf index of its entry.
    pub index: u64,
    /// Its name, version, base and platform.
    pub patch: String,
    /// Why.
    pub why: String,
}

/// What the collection's log holds.
#[derive(Default)]
struct Collected {
    patches: BTreeMap<u64, Vec<u8>>,
    revoked: BTreeSet<u64>,
}

impl Collected {
    fn take(&mut self, index: u64, bytes: &[u8]) {
        match CollectionEntry::parse(bytes) {
            Ok(CollectionEntry::Patch(_)) => _ = self.patches.insert(index, bytes.to_vec()),
            Ok(CollectionEntry::Revoke(revoke)) => _ = self.revoked.insert(revoke.patch),
            _ => {}
        }
    }
}

/// Judges the notes of all patches whose signatures the change of authority could touch.
pub(super) async fn judge(
    source: &Source,
    notes: Notes<'_>,
    (now, after): (&DistributionRole, &DistributionRole),
    (collection, distribution): (&Checkpoint, Option<&Checkpoint>),
) -> Result<PatchCount, RehearsalError> {
    let Some(distribution) = distribution else { return Ok(PatchCount::default()) };
    let none = || Decisions::new(&collection.origin, collection.size);
    let take = |decisions: &mut Decisions, index, bytes: &[u8]| {
        if let Ok(entry) = DistributionEntry::parse(bytes) {
            decisions.take(index, &entry);
        }
    };
    let decisions = read_log((source, Log::Distribution), distribution, none, take).await?;
    let none = Collected::default;
    let collected = read_log((source, Log::Collection), collection, none, Collected::take).await?;
    let mut count = PatchCount::default();
    for (index, released) in decisions.released() {
        let Some(entry) = collected.patches.get(&index) else { continue };
        if !decisions.is_standing(index) || collected.revoked.contains(&index) {
            continue;
        }
        count.released += 1;
        let first = lessens(&notes.now.collection, &notes.after.collection, index);
        if !first && !lessens(&now.log, &after.log, released) {
            continue;
        }
        let patch = PatchEntry::parse(entry).expect("parsed above");
        let file = layout::patch_note(&patch.archive.sha256);
        // a missing file is for `verify` to find
        let Some(bytes) = read(source, &file, MAX_NOTE).await? else { continue };
        let refusal = |authority, role| {
            let context = PatchContext { file: file.as_str(), authority, entry, index };
            verify_patch(&bytes, &context, role, released).err()
        };
        let is_good_now = refusal(notes.now, now).is_none();
        if let Some(error) = refusal(notes.after, after).filter(|_| is_good_now) {
            count.lost.push(lost(index, &patch, &error));
        }
    }
    Ok(count)
}

/// What `take` makes of all entries of a log, beginning with `none`.
async fn read_log<T>(
    (source, log): (&Source, Log),
    head: &Checkpoint,
    none: impl Fn() -> T,
    take: impl Fn(&mut T, u64, &[u8]),
) -> Result<T, FollowError> {
    let read = async |with_packs| {
        let mut read = none();
        let mut take = |index: u64, bytes: &[u8], _: &Hash32| {
            take(&mut read, index, bytes);
            Ok(())
        };
        let reader = LogReader::new(source, log).packs(with_packs);
        reader.follow(&Held::default(), head, &mut take).await.map(|_| read)
    };
    match read(true).await {
        // packs are trusted for nothing, and say nothing against a log
        Err(error) if error.may_be_packs() => read(false).await,
        read => read,
    }
}

fn lost(index: u64, patch: &PatchEntry, error: &PolicyError) -> LostPatch {
    LostPatch { index, patch: patch.identity().to_string(), why: said(error) }
}

/// Whether fewer signatures could count at `index`, or more be asked for: where not, a note that was
/// good stays so, and need not be fetched to know it.
fn lessens(now: &LogRole, after: &LogRole, index: u64) -> bool {
    let counts = |role: &LogRole| -> BTreeSet<String> {
        let counting = role.keys.iter().filter(|key| key.until.is_none_or(|until| index < until));
        counting.map(|key| key.vkey.to_string()).collect()
    };
    after.threshold > now.threshold || !counts(now).is_subset(&counts(after))
}
