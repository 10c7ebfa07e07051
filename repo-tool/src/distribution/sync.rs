//! Fetching from the collection: what is new, verified by the first signature on both layers.
//!
//! Killed anywhere, the next run goes on:
//!
//! 1. new authority notes, durably; clients see them once what they are served satisfies the newest;
//! 2. the collection's checkpoint and the entries up to it, checked against each other;
//! 3. note and archive of each new patch, staged once it is verified; durable whenever
//!    [`patches::MAX_STAGED`] bytes have come together;
//! 4. what a revocation means for waiting decisions;
//! 5. notes and archives, tiles and bundles, the signers' times, durable together;
//! 6. the checkpoint: only now anything counts as held.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use countersign_format::authority::{AuthorityNote, DistributionRole, fingerprint};
use countersign_format::entry::{AuthorityReference, PatchEntry};
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use countersign_format::note::Note;
use countersign_format::policy::{
    CheckpointContext, Clock, FirstVerified, SignedCheckpoint, SignerTimes, check_unexpired,
    verify_first_checkpoint,
};
use countersign_format::text::Line;
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::follow::FollowError;
use countersign_store::{Get, Got, HttpOptions, Location, Source, durable};

use super::authority::behind;
use super::{Decisions, Distribution, DistributionError, Patch, times};
use crate::blocking::block_on;
use crate::catalogue::{Catalogue, Meaning, PassedOver};
use crate::config::{Place, ServerConfig};
use crate::known_authority::{KnownAuthority, held_note};
use crate::publish::{LogCopy, Which, leave, read_head};

mod patches;

/// What came from the collection.
#[derive(Debug, Default)]
pub struct Synced {
    /// Entries that were held before.
    pub before: u64,
    /// Entries that are held now.
    pub size: u64,
    /// The new patches, in the log's order.
    pub patches: Vec<NewPatch>,
    /// The new revocations.
    pub revoked: Vec<Revocation>,
    /// New entries that mean nothing.
    pub passed_over: Vec<PassedOver>,
    /// The log that was held until now, if the authority gave it up for a new one.
    pub left: Option<KeyName>,
}

/// A patch that is new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPatch {
    /// Leaf index of its entry.
    pub index: u64,
    /// Its entry.
    pub entry: PatchEntry,
    /// The collection's keys whose signatures on its note counted. None where it was revoked by
    /// the same head, so that nothing of it was fetched.
    pub signed_by: Vec<KeyName>,
}

/// A patch that was revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Leaf index of the patch's entry.
    pub index: u64,
    /// The patch.
    pub entry: PatchEntry,
    /// Why.
    pub reason: Line,
}

/// Who is told how far a fetch is: the patch in hand, and how many bytes of its archive there are.
pub type Progress<'p> = dyn FnMut(&PatchEntry, u64) + 'p;

impl Distribution {
    /// Where the collection is: what a person says, or else the configuration.
    pub fn collection_place(&self, from: Option<&Place>) -> Result<Location, DistributionError> {
        let place = from.or(self.config.collection.as_ref());
        let config = || DistributionError::NoCollection(self.directory.config());
        Ok(place.ok_or_else(config)?.resolve(self.directory.path()))
    }

    /// Learns of new authority notes: from the authority where the configuration says where it is,
    /// and from the collection at `place`. Clients see them once what they are served satisfies the
    /// newest.
    pub fn learn(
        &self,
        place: &Location,
        now: Timestamp,
    ) -> Result<KnownAuthority, DistributionError> {
        let mut config = ServerConfig { ..self.config.clone() };
        config.authority.get_or_insert_with(|| {
            Place::of_argument(&place.to_string()).expect("a location is a place")
        });
        let mut known = KnownAuthority::learn(&self.directory, &config, Log::Distribution)?;
        known.learn_from(&self.directory, place)?;
        self.show_authority(&mut known, now)?;
        Ok(known)
    }

    /// Fetches what is new from the collection at `place`. On an error all is as before, but for
    /// what is not fetched again: what came of archives that are not small, and what was verified and
    /// made durable on the way. Whoever does holds the lock.
    pub fn sync(
        &self,
        known: &KnownAuthority,
        place: &Location,
        now: Timestamp,
        progress: &mut Progress<'_>,
    ) -> Result<Synced, DistributionError> {
        let authority = known.chain().newest();
        let clock = Clock::local(now);
        check_unexpired(authority, layout::authority(authority.version).as_str(), clock)?;
        let role = self.role(authority)?;
        let source = Source::open(place, &HttpOptions::default());
        let times = times::read(&self.directory)?;
        let fetch = Fetch { distribution: self, source, known, authority, role, clock, times };
        block_on(fetch.run(progress))
    }
}

/// One run.
struct Fetch<'a> {
    distribution: &'a Distribution,
    source: Source,
    known: &'a KnownAuthority,
    authority: &'a AuthorityNote,
    role: &'a DistributionRole,
    clock: Clock,
    times: SignerTimes,
}

impl Fetch<'_> {
    async fn run(self, progress: &mut Progress<'_>) -> Result<Synced, DistributionError> {
        let signed = self.checkpoint().await?;
        let origin = &self.authority.collection.origin;
        let left = self.leave(origin)?;
        let mut sink = self.distribution.copy_sink();
        let mut copy = LogCopy::open(&mut sink, Log::Collection, origin)?;
        let before = copy.head().size;
        let entries = match self.entries(&mut copy, &signed, true).await {
            Err(DistributionError::Follow(error)) if error.may_be_packs() => {
                copy.sink().discard();
                self.entries(&mut copy, &signed, false).await
            }
            read => read,
        }?;
        let size = signed.checkpoint.size;
        let mut synced = Synced { before, size, left, ..Synced::default() };
        self.understand(&entries, &mut synced)?;
        let revoked: BTreeSet<u64> =
            synced.revoked.iter().map(|revocation| revocation.index).collect();
        let due: Vec<usize> = (0..synced.patches.len())
            .filter(|at| !revoked.contains(&synced.patches[*at].index))
            .collect();
        let patches: Vec<_> = due.iter().map(|at| &synced.patches[*at]).collect();
        let signed_by = self.patches(copy.sink(), &patches, (before, &entries), progress).await?;
        for (at, signed_by) in due.into_iter().zip(signed_by) {
            synced.patches[at].signed_by = signed_by;
        }
        Decisions::drop_revoked(&self.distribution.directory, &revoked)?;
        crash_point("sync.entries");
        times::put_along(&self.distribution.directory, self.times, &signed.counted, copy.sink())?;
        crash_point("sync.times");
        copy.commit(&signed.note)?;
        crash_point("sync.checkpoint");
        copy.tidy(before)?;
        clean(self.distribution)?;
        Ok(synced)
    }

    /// Sets aside the copy of a log that the authority gave up for the one called `origin`. What was
    /// decided of it and waits means nothing in the new one.
    fn leave(&self, origin: &KeyName) -> Result<Option<KeyName>, DistributionError> {
        let Distribution { directory, .. } = self.distribution;
        let (log, copy) = (Log::Collection, self.distribution.copy());
        if read_head(&self.distribution.copy_sink(), log)?.is_none_or(|held| held.origin == *origin)
        {
            return Ok(None);
        }
        Decisions::default().write(directory)?;
        Ok(leave(&copy, &directory.state(), log, origin, Which::Copy)?)
    }

    async fn checkpoint(&self) -> Result<FirstVerified<SignedCheckpoint>, DistributionError> {
        let path = layout::checkpoint(Log::Collection);
        let bytes = self.get(&path, MAX_NOTE).await?;
        let context = CheckpointContext {
            file: path.as_str(),
            log: Log::Collection,
            authority: self.authority,
            distribution: self.role,
            clock: self.clock,
            newest: &self.times,
        };
        verify_first_checkpoint(&bytes, &context).map_err(|error| behind(self.known, error))
    }

    /// The entries that are new, which lead from the held head to the signed one.
    async fn entries(
        &self,
        copy: &mut LogCopy<'_>,
        signed: &SignedCheckpoint,
        with_packs: bool,
    ) -> Result<Vec<Vec<u8>>, DistributionError> {
        let mut entries = Vec::new();
        let mut keep = |_, entry: &[u8]| entries.push(entry.to_vec());
        match copy.follow(&self.source, &signed.checkpoint, with_packs, &mut keep).await {
            Ok(()) => Ok(entries),
            Err(error) => {
                let contradicts =
                    matches!(error, FollowError::Root { .. } | FollowError::Smaller { .. });
                if contradicts && !error.may_be_packs() {
                    self.keep_evidence(copy.note(), &signed.note)?;
                }
                Err(error.into())
            }
        }
    }

    /// What the new entries mean.
    fn understand(
        &self,
        entries: &[Vec<u8>],
        synced: &mut Synced,
    ) -> Result<(), DistributionError> {
        if entries.is_empty() {
            return Ok(());
        }
        let index = self.distribution.patch_index()?;
        let known = index.known();
        let mut catalogue = Catalogue::above(&known);
        for (index, bytes) in (synced.before..).zip(entries) {
            match catalogue.add(index, bytes)? {
                Meaning::Authority(reference) => self.check_reference(index, &reference)?,
                Meaning::Revoke { patch, reason } => {
                    let (index, entry) = (patch.index, patch.entry);
                    synced.revoked.push(Revocation { index, entry, reason });
                }
                Meaning::Patch | Meaning::Nothing => {}
            }
        }
        let patch = |patch: &Patch| {
            let (index, entry) = (patch.index, patch.entry.clone());
            NewPatch { index, entry, signed_by: Vec::new() }
        };
        synced.patches = catalogue.patches().map(patch).collect();
        synced.passed_over = catalogue.passed_over().to_vec();
        Ok(())
    }

    /// Checks that the authority note that an entry names is held: else somebody hides it.
    fn check_reference(
        &self,
        index: u64,
        reference: &AuthorityReference,
    ) -> Result<(), DistributionError> {
        let held = held_note(&self.distribution.directory, reference.version)?;
        let note = held.and_then(|bytes| Note::parse(&bytes, MAX_AUTHORITY_NOTE).ok());
        if note.is_some_and(|note| fingerprint(note.text()) == reference.sha256) {
            return Ok(());
        }
        Err(DistributionError::OtherAuthority { index, version: reference.version })
    }

    async fn get(&self, path: &RepoPath, limit: usize) -> Result<Vec<u8>, DistributionError> {
        match self.source.get(path, &Get::up_to(limit as u64)).await? {
            Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(bytes),
            Got::NotFound | Got::NotModified => Err(self.not_there(path)),
        }
    }

    fn not_there(&self, path: &RepoPath) -> DistributionError {
        let place = self.source.name().to_owned();
        DistributionError::NotThere { place, path: path.clone() }
    }

    /// Keeps two heads that contradict each other, both signed by the collection.
    fn keep_evidence(&self, held: Option<&Note>, found: &Note) -> Result<(), DistributionError> {
        let directory = &self.distribution.directory;
        let folder = Path::new("evidence").join(self.clock.local.to_string());
        for (name, note) in [("held", held), ("found", Some(found))] {
            if let Some(note) = note {
                let file = folder.join(format!("collection-checkpoint-{name}"));
                directory.write(&file, &note.to_bytes(), durable::Access::Public)?;
            }
        }
        Ok(())
    }
}

/// Removes what earlier runs left that were killed.
fn clean(distribution: &Distribution) -> Result<(), DistributionError> {
    let incoming = distribution.directory.incoming();
    let failed = || DistributionError::io("clean", &incoming);
    for found in fs::read_dir(&incoming).map_err(failed())? {
        let path = found.map_err(failed())?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            fs::remove_file(&path).map_err(DistributionError::io("remove", &path))?;
        }
    }
    Ok(())
}
