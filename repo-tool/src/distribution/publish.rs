//! Publishing: countersigned notes, the collection's log with the second signature, the
//! distribution's own log.
//!
//! The order is the one that readers rely on (SPEC §2): the journal with the exact entries; archives
//! and notes; the collection's new tiles, bundles and packs; its checkpoint; the distribution's own
//! new files; its checkpoint. Killed anywhere, readers accept what is there and the next run
//! completes it.

use std::fs::File;

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{DistributionEntry, EntryError, PatchEntry, TreeHead};
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    Clock, FirstVerified, PatchContext, PatchNote, check_unexpired, collection_lines,
    verify_first_patch, verify_patch,
};
use countersign_format::signature::{Signer, countersign};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink, durable};

use super::collection_head::HeldHead;
use super::{Decisions, Distribution, DistributionError, archive};
use crate::key_store::{Passphrases, SigningKey};
use crate::known_authority::{KnownAuthority, mark_announced};
use crate::publish::{
    Assurances, PublishError, Publisher, SignedHead, is_old, read_entry, refresh_copy,
};
use crate::server;
use crate::watch::{Unwatched, watch};

/// A distribution that is about to publish: it knows its authority and has opened its keys. Whoever
/// publishes holds the role's lock.
#[derive(Debug)]
pub struct Session<'a> {
    distribution: &'a Distribution,
    known: KnownAuthority,
    signers: Vec<SigningKey>,
    now: Timestamp,
    unwatched: Vec<Unwatched>,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Publication {
    /// Patches whose notes carry the second signature from now on, with their indexes.
    pub countersigned: Vec<(u64, PatchEntry)>,
    /// What the log says from now on; what an interrupted run had begun to say is among it.
    pub entries: Vec<DistributionEntry>,
    /// Entries of the collection's log that are published now.
    pub collection: u64,
    /// Entries of the distribution's log now.
    pub distribution: u64,
    /// When the heads were signed.
    pub time: Option<Timestamp>,
}

/// What a refresh came to, besides the new timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refreshed {
    /// When the heads were signed.
    pub time: Timestamp,
    /// Packs that were missing and were made.
    pub packs: usize,
    /// Superseded files that were removed.
    pub removed: usize,
}

impl Distribution {
    /// Learns what the authority published and opens the keys with which the distribution signs at
    /// `now`.
    pub fn session(
        &self,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Session<'_>, DistributionError> {
        let known = KnownAuthority::learn(&self.directory, &self.config)?;
        let authority = known.chain().newest();
        let file = layout::authority(authority.version);
        check_unexpired(authority, file.as_str(), Clock::local(now))?;
        let listed = &self.role(authority)?.log;
        let signers = server::open_signers(&self.directory, listed, passphrases)?;
        if signers.len() < listed.threshold as usize {
            let (origin, needed, found) = (listed.origin.clone(), listed.threshold, signers.len());
            return Err(DistributionError::TooFewKeys { origin, needed, found });
        }
        Ok(Session { distribution: self, known, signers, now, unwatched: Vec::new() })
    }
}

impl Session<'_> {
    /// What the distribution knows of its authority.
    pub fn authority(&self) -> &KnownAuthority {
        &self.known
    }

    /// Places of the configuration's `published_at` that could not be looked at.
    pub fn unwatched(&self) -> &[Unwatched] {
        &self.unwatched
    }

    /// Publishes what was decided, after what an interrupted run left to be completed, along with
    /// the collection's log as it was fetched last.
    pub fn publish(&mut self) -> Result<Publication, DistributionError> {
        let head = self.held_head()?;
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        let mut publication = Publication::default();
        self.complete(&mut publisher, &head, &mut publication)?;
        let unwatched = self.watch(publisher.head())?;
        let entries = self.new_entries(&head)?;
        publisher.prepare(entries, self.now)?;
        if publisher.pending().is_some() {
            self.complete(&mut publisher, &head, &mut publication)?;
        } else {
            self.publish_collection(&head, publisher.sink(), Assurances::default())?;
            publisher.sign_anew(&self.signers(), self.now, Assurances::default())?;
        }
        publication.collection = head.checkpoint.size;
        publication.distribution = publisher.size();
        publication.time = publisher.signed();
        self.unwatched = unwatched;
        Ok(publication)
    }

    /// Whether there is anything for [`Self::refresh`] to do at `now`: more of the collection's log
    /// than is published, or a head as old as [`is_old`] says.
    pub fn is_due(
        &self,
        now: Timestamp,
        older_than: Option<u64>,
    ) -> Result<bool, DistributionError> {
        let mut writer = self.distribution.public_sink();
        let publisher = self.open(&mut writer)?;
        let max_age = self.role()?.log.max_age;
        let own =
            publisher.pending().is_some() || is_old(publisher.signed(), now, max_age, older_than);
        let held = self.held_head()?;
        let cosigned = HeldHead::cosigned(self.distribution)?;
        let is_behind = cosigned.as_ref().map(SignedHead::checkpoint) != Some(held.checkpoint);
        let signed = cosigned.map(|head| head.time);
        Ok(own || is_behind || is_old(signed, now, max_age, older_than))
    }

    /// Signs both heads anew, the collection's as it was fetched last; makes missing packs and
    /// tidies up.
    pub fn refresh(&mut self, assurances: Assurances) -> Result<Refreshed, DistributionError> {
        let head = self.held_head()?;
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        if let Some(batch) = publisher.pending() {
            return Err(PublishError::Pending(batch.entries.len()).into());
        }
        let unwatched = self.watch(publisher.head())?;
        self.publish_collection(&head, publisher.sink(), assurances)?;
        let own = publisher.refresh(&self.signers(), self.now, assurances)?;
        let state = self.distribution.directory.state();
        let size = head.checkpoint.size;
        let place = (state.as_path(), self.now);
        let (packs, removed) = refresh_copy(publisher.sink(), Log::Collection, size, place)?;
        for folder in [self.distribution.directory.public(), self.distribution.copy()] {
            durable::clean_temporaries(&folder)
                .map_err(DistributionError::io("remove temporaries below", &folder))?;
        }
        self.unwatched = unwatched;
        Ok(Refreshed { time: own.time, packs: own.packs + packs, removed: own.removed + removed })
    }

    /// Takes the published heads for the newest, since a person says so.
    pub fn adopt_public_heads(&self) -> Result<(), DistributionError> {
        let state = self.distribution.directory.state();
        let keys: Vec<_> = self.role()?.log.keys.iter().map(|key| key.vkey.clone()).collect();
        Publisher::adopt(&self.distribution.public_sink(), &state, Log::Distribution, &keys)?;
        self.held_head()?.adopt(self.distribution)
    }

    /// Does all that the journal says, whatever of it was done before.
    fn complete(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        publication: &mut Publication,
    ) -> Result<(), DistributionError> {
        let Some(batch) = publisher.pending().cloned() else { return Ok(()) };
        let parse = |(index, bytes)| Ok((index, DistributionEntry::parse(bytes)?));
        let entries: Vec<(u64, DistributionEntry)> =
            batch.indexed().map(parse).collect::<Result<_, EntryError>>()?;
        for (entry, content) in &entries {
            if let DistributionEntry::Release(release) = content {
                for patch in release.patches.iter().flat_map(|range| range.indexes()) {
                    let signed = self.put_patch(publisher.sink(), head, patch, *entry)?;
                    publication.countersigned.extend(signed.map(|entry| (patch, entry)));
                }
            }
        }
        publisher.sink().sync()?;
        crash_point("distribution.patches");
        self.publish_collection(head, publisher.sink(), Assurances::default())?;
        publisher.commit(&self.signers())?;
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        self.mark(&entries)?;
        crash_point("distribution.marked");
        publisher.finish()?;
        publication.entries.extend(entries);
        Ok(())
    }

    /// The note of a patch as the collection signed it, verified.
    fn first_signed(
        &self,
        head: &HeldHead,
        index: u64,
    ) -> Result<FirstVerified<PatchNote>, DistributionError> {
        let copy = self.distribution.copy_sink();
        let bytes = read_entry(&copy, Log::Collection, head.checkpoint.size, index)?;
        let path = layout::patch_note(&PatchEntry::parse(&bytes)?.archive.sha256);
        let note = copy.read(&path, MAX_NOTE as u64)?;
        let note = note.ok_or_else(|| PublishError::Missing(path.clone()))?;
        Ok(verify_first_patch(&note, &self.context(path.as_str(), &bytes, index))?)
    }

    /// Puts archive and countersigned note where readers look for them; they look once the entry
    /// with the index `released` says so. Returns the patch if its note was countersigned now.
    fn put_patch(
        &self,
        public: &mut dyn Sink,
        head: &HeldHead,
        index: u64,
        released: u64,
    ) -> Result<Option<PatchEntry>, DistributionError> {
        let verified = self.first_signed(head, index)?;
        self.put_archive(public, &verified.entry)?;
        let path = layout::patch_note(&verified.entry.archive.sha256);
        let context = self.context(path.as_str(), verified.note.text().as_bytes(), index);
        let role = self.role()?;
        let present = public.read(&path, MAX_NOTE as u64)?;
        if let Some(present) = &present
            && verify_patch(present, &context, role, released).is_ok()
        {
            return Ok(None);
        }
        let note = self.countersign(&verified.note)?.to_bytes();
        // what readers would refuse is not published
        verify_patch(&note, &context, role, released)?;
        if present.is_some() {
            // its signature was made with a key that was retired since
            public.put_mutable(&path, &note)?;
        } else {
            public.put_immutable(&path, &note)?;
        }
        Ok(Some(verified.entry.clone()))
    }

    fn context<'c>(&'c self, file: &'c str, entry: &'c [u8], index: u64) -> PatchContext<'c> {
        PatchContext { file, authority: self.note(), entry, index }
    }

    fn put_archive(
        &self,
        public: &mut dyn Sink,
        entry: &PatchEntry,
    ) -> Result<(), DistributionError> {
        let path = layout::archive(&entry.archive.sha256);
        if public.size(&path)? == Some(entry.archive.size) {
            return Ok(());
        }
        let held = self.distribution.copy().join(&path);
        let mut file = File::open(&held).map_err(DistributionError::io("read", &held))?;
        archive::check(&mut file, &held, entry)?;
        public.put_immutable_file(&path, &mut file)?;
        Ok(())
    }

    /// The note with the collection's lines and, over exactly those, ours.
    fn countersign(&self, note: &Note) -> Result<Note, DistributionError> {
        let first: Vec<SignatureLine> =
            collection_lines(note, self.note()).into_iter().cloned().collect();
        let first_note = Note::new(note.text().to_owned(), first.clone());
        let mut second = Vec::new();
        for signer in &self.signers {
            second.push(countersign(signer, &first_note, &first)?);
        }
        Ok(first_note.with(second))
    }

    fn publish_collection(
        &self,
        head: &HeldHead,
        public: &mut dyn Sink,
        assurances: Assurances,
    ) -> Result<Timestamp, DistributionError> {
        head.publish(self.distribution, public, &self.signers(), (self.now, assurances))
    }

    fn watch(&self, ours: &Checkpoint) -> Result<Vec<Unwatched>, DistributionError> {
        let Distribution { directory, config } = self.distribution;
        Ok(watch(directory, config, Log::Distribution, &self.role()?.log, ours)?)
    }

    /// What the log is to say next: authority notes that it does not name, then the decisions. A
    /// release whose first signature no longer suffices is found here, before anything is begun.
    fn new_entries(&self, head: &HeldHead) -> Result<Vec<Vec<u8>>, DistributionError> {
        let directory = &self.distribution.directory;
        let unannounced = self.known.unannounced(directory)?;
        let mut entries: Vec<_> =
            unannounced.into_iter().map(DistributionEntry::Authority).collect();
        let checkpoint = head.checkpoint.clone();
        let of =
            TreeHead { origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root };
        let decisions = Decisions::read(directory)?;
        for patch in decisions.released() {
            self.first_signed(head, patch)?;
        }
        entries.extend(decisions.entries(&of));
        Ok(entries.iter().map(DistributionEntry::to_bytes).collect::<Result<_, _>>()?)
    }

    /// Remembers what was published.
    fn mark(&self, entries: &[DistributionEntry]) -> Result<(), DistributionError> {
        let directory = &self.distribution.directory;
        for entry in entries {
            if let DistributionEntry::Authority(reference) = entry {
                mark_announced(directory, reference.version)?;
            }
        }
        let mut decisions = Decisions::read(directory)?;
        decisions.drop_published(entries);
        decisions.write(directory)
    }

    fn held_head(&self) -> Result<HeldHead, DistributionError> {
        HeldHead::read(self.distribution, self.note(), self.role()?, Clock::local(self.now))
    }

    fn note(&self) -> &AuthorityNote {
        self.known.chain().newest()
    }

    fn role(&self) -> Result<&DistributionRole, DistributionError> {
        self.distribution.role(self.note())
    }

    fn signers(&self) -> Vec<&dyn Signer> {
        self.signers.iter().map(|signer| signer as &dyn Signer).collect()
    }

    fn open<'s>(
        &self,
        writer: &'s mut DirectoryWriter,
    ) -> Result<Publisher<'s>, DistributionError> {
        let state = self.distribution.directory.state();
        Ok(Publisher::open(writer, &state, Log::Distribution, &self.role()?.log.origin)?)
    }
}
