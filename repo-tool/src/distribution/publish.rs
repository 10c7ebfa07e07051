//! Publishing: countersigned notes, the collection's log with the second signature, the
//! distribution's own log.
//!
//! The order is the one that readers rely on (SPEC §2), and each step is durable before the next:
//! the bytes of all that is new; the journal with the exact entries; archives, notes, tiles, bundles
//! and packs of both logs, and the records of both heads; the collection's checkpoint; the
//! distribution's. Killed anywhere, readers accept what is there and the next run completes it.

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{DistributionEntry, EntryError, PatchEntry, Release, TreeHead};
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    Clock, FirstVerified, PatchContext, PatchNote, check_unexpired, collection_lines,
    verify_first_patch,
};
use countersign_format::signature::{Signer, countersign};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink};

use super::authority::behind;
use super::collection_head::HeldHead;
use super::notes::Notes;
use super::{Decisions, Distribution, DistributionError};
use crate::key_store::{Passphrases, SigningKey};
use crate::known_authority::{KnownAuthority, mark_announced};
use crate::publish::{Assurances, Batch, PublishError, Publisher, drop_candidate, read_entry};
use crate::round::{Gathered, Item};
use crate::server;
use crate::watch::{Unwatched, watch};

mod gather;
mod refresh;
mod restart;

pub use refresh::Refreshed;

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

impl Distribution {
    /// Learns what the authority published and opens the keys with which the distribution signs at
    /// `now`.
    pub fn session(
        &self,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Session<'_>, DistributionError> {
        let mut session = self.session_without_keys(now)?;
        session.open_keys(passphrases)?;
        Ok(session)
    }

    /// Learns what the authority published, for what needs no key: looking at a round of signatures,
    /// or whether anything is due.
    pub fn session_without_keys(&self, now: Timestamp) -> Result<Session<'_>, DistributionError> {
        let mut known = KnownAuthority::learn(&self.directory, &self.config, Log::Distribution)?;
        self.show_authority(&mut known, now)?;
        Ok(Session { distribution: self, known, signers: Vec::new(), now, unwatched: Vec::new() })
    }
}

impl Session<'_> {
    /// Opens the keys with which the distribution signs, if the authority may still be followed.
    pub fn open_keys(&mut self, passphrases: &Passphrases) -> Result<(), DistributionError> {
        self.check_authority()?;
        let listed = &self.role()?.log;
        let directory = &self.distribution.directory;
        self.signers = server::open_signers(directory, listed, passphrases)?;
        Ok(())
    }

    fn check_authority(&self) -> Result<(), DistributionError> {
        let authority = self.known.chain().newest();
        let file = layout::authority(authority.version);
        Ok(check_unexpired(authority, file.as_str(), Clock::local(self.now))?)
    }

    /// What the distribution knows of its authority.
    pub fn authority(&self) -> &KnownAuthority {
        &self.known
    }

    /// The origin of the distribution's own log, as the authority has it.
    pub fn origin(&self) -> Result<&KeyName, DistributionError> {
        Ok(&self.role()?.log.origin)
    }

    /// Places of the configuration's `published_at` that could not be looked at.
    pub fn unwatched(&self) -> &[Unwatched] {
        &self.unwatched
    }

    /// Publishes what was decided, after what an interrupted run left to be completed, along with
    /// the collection's log as it was fetched last.
    pub fn publish(&mut self) -> Result<Publication, DistributionError> {
        let head = self.held_head()?;
        self.leave_collection()?;
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
            let assurances = Assurances::default();
            let collection = self.heads_anew(&mut publisher, &head, assurances)?;
            publisher.sign_anew(collection, &self.signers(), self.now, assurances)?;
            drop_candidate(publisher.sink(), Log::Collection)?;
            Gathered::clear(&self.distribution.directory)?;
        }
        publication.collection = head.checkpoint.size;
        publication.distribution = publisher.size();
        publication.time = publisher.signed();
        self.unwatched = unwatched;
        Ok(publication)
    }

    /// Does all that the journal says, whatever of it was done before.
    fn complete(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        publication: &mut Publication,
    ) -> Result<(), DistributionError> {
        let Some(batch) = publisher.pending().cloned() else { return Ok(()) };
        let entries = parse(&batch)?;
        if !self.signs_alone()? {
            // what others signed is of no use without what they signed
            publisher.keep()?;
        }
        // nothing is published before all that must sign have signed
        let gathered = self.gather(publisher, head)?;
        let released = entries.iter().flat_map(|(entry, content)| {
            let ranges = release_of(content, head).into_iter().flat_map(|it| &it.patches);
            ranges.flat_map(|range| range.indexes()).map(|patch| (patch, *entry))
        });
        let notes =
            Notes { distribution: self.distribution, authority: self.note(), role: self.role()? };
        let countersign = |verified: &PatchNote| self.countersigned(verified, &gathered);
        let signed = notes.put(publisher.sink(), head, released.collect(), countersign)?;
        publication.countersigned.extend(signed);
        crash_point("distribution.patches");
        self.await_witnesses(publisher, head, &gathered, Assurances::default())?;
        let collection =
            self.stage_collection(head, &gathered, publisher.sink(), Assurances::default())?;
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        let directory = &self.distribution.directory;
        // once the journal says it, nothing needs to remember that it was decided
        Decisions::put_published(directory, &entries, publisher.sink())?;
        if let Some(next) = publisher.next_head() {
            publisher.with_others(self.others(&gathered, &next, true)?, self.now);
        }
        publisher.commit_after(collection, &self.signers())?;
        drop_candidate(publisher.sink(), Log::Collection)?;
        self.mark(&entries)?;
        crash_point("distribution.marked");
        Gathered::clear(directory)?;
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

    fn context<'c>(&'c self, file: &'c str, entry: &'c [u8], index: u64) -> PatchContext<'c> {
        PatchContext { file, authority: self.note(), entry, index }
    }

    /// The note with the collection's lines and, over exactly those, the distribution's.
    fn countersigned(
        &self,
        verified: &PatchNote,
        gathered: &Gathered<'_>,
    ) -> Result<Note, DistributionError> {
        let first = self.first_lines(&verified.note);
        let first_note = Note::new(verified.note.text().to_owned(), first.clone());
        let item = Item::countersignature(first_note.text().to_owned(), verified.index, &first);
        let mut second = gathered.lines(&item);
        if second.is_empty() {
            // nobody else is to sign, or not any more since a key was retired
            for signer in &self.signers {
                second.push(countersign(signer, &first_note, &first)?);
            }
        }
        Ok(first_note.with(second))
    }

    /// The collection's lines on a note: what is countersigned.
    fn first_lines(&self, note: &Note) -> Vec<SignatureLine> {
        collection_lines(note, self.note()).into_iter().cloned().collect()
    }

    /// Stages what the collection's log gained. Returns what is to be written before the
    /// distribution's own head: the authority notes that clients do not see yet, which both heads
    /// satisfy, and the collection's checkpoint.
    fn stage_collection(
        &self,
        head: &HeldHead,
        gathered: &Gathered<'_>,
        public: &mut dyn Sink,
        assurances: Assurances,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, DistributionError> {
        let others = self.others(gathered, &head.checkpoint, false)?;
        let signing = (self.signers(), others);
        let head = head.stage(self.distribution, public, &signing, (self.now, assurances))?;
        let mut changed = self.known.waiting(&self.distribution.directory)?;
        changed.push(head);
        Ok(changed)
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
        // where nobody else is to sign, nothing is begun before notes are looked at anyway
        let waits = !self.signs_alone()?;
        for patch in decisions.released().into_iter().filter(|_| waits) {
            self.first_signed(head, patch)?;
        }
        entries.extend(decisions.entries(&of));
        Ok(entries.iter().map(DistributionEntry::to_bytes).collect::<Result<_, _>>()?)
    }

    /// Remembers which authority notes were named.
    fn mark(&self, entries: &[DistributionEntry]) -> Result<(), DistributionError> {
        for entry in entries {
            if let DistributionEntry::Authority(reference) = entry {
                mark_announced(&self.distribution.directory, reference.version)?;
            }
        }
        Ok(())
    }

    pub(super) fn held_head(&self) -> Result<HeldHead, DistributionError> {
        let clock = Clock::local(self.now);
        HeldHead::read(self.distribution, self.note(), self.role()?, clock).map_err(|error| {
            match error {
                DistributionError::Policy(error) => behind(&self.known, error),
                error => error,
            }
        })
    }

    pub(super) fn note(&self) -> &AuthorityNote {
        self.known.chain().newest()
    }

    pub(super) fn role(&self) -> Result<&DistributionRole, DistributionError> {
        self.distribution.role(self.note())
    }

    fn signers(&self) -> Vec<&dyn Signer> {
        self.signers.iter().map(|signer| signer as &dyn Signer).collect()
    }

    pub(super) fn open<'s>(
        &self,
        writer: &'s mut DirectoryWriter,
    ) -> Result<Publisher<'s>, DistributionError> {
        let state = self.distribution.directory.state();
        Ok(Publisher::open(writer, &state, Log::Distribution, &self.role()?.log.origin)?)
    }
}

/// What an entry releases of the log with the head `head`; nothing of a log that was left.
fn release_of<'e>(entry: &'e DistributionEntry, head: &HeldHead) -> Option<&'e Release> {
    match entry {
        DistributionEntry::Release(release) if release.of.origin == head.checkpoint.origin => {
            Some(release)
        }
        _ => None,
    }
}

/// The entries of the journal, with their indexes.
fn parse(batch: &Batch) -> Result<Vec<(u64, DistributionEntry)>, EntryError> {
    batch.indexed().map(|(index, bytes)| Ok((index, DistributionEntry::parse(bytes)?))).collect()
}
