//! Beginning the log anew, adopting what is published, giving up what was begun.

use std::collections::BTreeSet;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, PatchEntry};
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::empty_root;
use countersign_format::policy::{PatchContext, PolicyError, Refusal, verify_first_patch};
use countersign_format::time::Timestamp;
use countersign_store::Sink as _;

use super::{Publication, Session};
use crate::catalogue::Patch;
use crate::collection::{Collection, CollectionError};
use crate::known_authority::forget_announced;
use crate::publish::{Beginning, Publisher, Which, begin_anew, leave, leave_patch, leave_record};
use crate::round::Gathered;
use crate::watch::watch;

impl Session<'_> {
    /// Begins the log under the origin that the authority gave it, with the first `keep` entries of
    /// the one that is left, to the byte, and with what revoked them later (SPEC §5.2, new origin).
    /// An interrupted run is completed, with what that one kept. Returns with what it began.
    pub fn restart(
        &mut self,
        keep: u64,
        now: Timestamp,
    ) -> Result<(Beginning, Publication), CollectionError> {
        let Collection { directory, config } = self.collection;
        let (role, log) = (&self.note().collection, Log::Collection);
        let (origin, state, public) = (&role.origin, directory.state(), directory.public());
        let empty = Checkpoint { origin: origin.clone(), size: 0, root: empty_root() };
        watch(directory, config, log, role, &empty)?;
        let repeat = |kept: &[Vec<u8>], left: &[Vec<u8>]| {
            let repeated = revoked_since(kept, left);
            self.check_kept(kept, &revoked(kept.iter().chain(&repeated)))?;
            Ok::<_, CollectionError>(repeated)
        };
        let begun = begin_anew(&public, &state, log, origin, (keep, now), repeat)?;
        Gathered::clear(directory)?;
        let is_kept = |patch: &Patch| {
            let entry = usize::try_from(patch.index).ok().and_then(|it| begun.entries.get(it));
            let entry = entry.and_then(|bytes| PatchEntry::parse(bytes).ok());
            entry.is_some_and(|entry| entry.archive.sha256 == patch.entry.archive.sha256)
        };
        for patch in self.collection.published()?.iter().filter(|patch| !is_kept(patch)) {
            leave_patch(&public, &state, log, &patch.entry.archive.sha256)?;
        }
        forget_announced(directory)?;
        leave_record(&state, log, origin)?;
        leave(&public, &state, log, origin, Which::Public)?;
        let publication = self.append(now, |_, _| Ok(Vec::new()))?;
        Ok((begun, publication))
    }

    /// Refuses to keep a patch of whose signatures none counts, unless it is revoked: the keys at
    /// hand would sign it anew, and it may be a thief's.
    pub(super) fn check_kept(
        &self,
        kept: &[Vec<u8>],
        revoked: &BTreeSet<u64>,
    ) -> Result<(), CollectionError> {
        let writer = self.writer();
        for (index, bytes) in (0..).zip(kept).filter(|(index, _)| !revoked.contains(index)) {
            let Ok(entry) = PatchEntry::parse(bytes) else { continue };
            let path = layout::patch_note(&entry.archive.sha256);
            let (file, authority) = (path.as_str(), self.note());
            let context = PatchContext { file, authority, entry: bytes, index };
            let note = writer.read(&path, MAX_NOTE as u64)?.unwrap_or_default();
            if let Err(source) = verify_first_patch(&note, &context)
                && !is_short_of_some(&source)
            {
                let (identity, source) = (Box::new(entry.identity()), Box::new(source));
                return Err(CollectionError::KeptUnsigned { index, identity, source });
            }
        }
        Ok(())
    }

    /// Gives up a publication that has begun and waits for signatures, or was interrupted. What it
    /// was to publish waits again. Returns how many entries it had.
    pub fn discard_round(&self) -> Result<usize, CollectionError> {
        let mut writer = self.writer();
        let mut publisher = self.open(&mut writer)?;
        let round = self.round(&publisher)?;
        let gathered = Gathered::load(&self.collection.directory, Log::Collection)?;
        round.check_unsigned(&gathered)?;
        let given_up = publisher.abandon()?;
        Gathered::clear(&self.collection.directory)?;
        Ok(given_up)
    }

    /// Takes the published head for the newest, since a person says so.
    pub fn adopt_public_head(&self) -> Result<(), CollectionError> {
        let state = self.collection.directory.state();
        Publisher::adopt(&self.writer(), &state, Log::Collection, &self.note().collection)?;
        Ok(())
    }
}

/// Whether no more is wrong with a note than that further keys must sign it.
fn is_short_of_some(error: &PolicyError) -> bool {
    let Refusal::TooFew(shortfalls) = &error.refusal else { return false };
    shortfalls.iter().all(|shortfall| shortfall.found > 0)
}

/// Which patch an entry revokes, if it is a revocation.
fn revokes(bytes: &[u8]) -> Option<u64> {
    match CollectionEntry::parse(bytes) {
        Ok(CollectionEntry::Revoke(revoke)) => Some(revoke.patch),
        _ => None,
    }
}

fn revoked<'e>(entries: impl IntoIterator<Item = &'e Vec<u8>>) -> BTreeSet<u64> {
    entries.into_iter().filter_map(|bytes| revokes(bytes)).collect()
}

/// The revocations, behind the entries that are kept, of patches that are: a patch is revoked for good.
fn revoked_since(kept: &[Vec<u8>], left: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut revoked = revoked(kept);
    let is_patch = |index: u64| {
        let entry = usize::try_from(index).ok().and_then(|index| kept.get(index));
        entry.is_some_and(|bytes| PatchEntry::parse(bytes).is_ok())
    };
    let mut is_new =
        |bytes: &[u8]| revokes(bytes).is_some_and(|patch| is_patch(patch) && revoked.insert(patch));
    left.iter().filter(|bytes| is_new(bytes)).cloned().collect()
}
