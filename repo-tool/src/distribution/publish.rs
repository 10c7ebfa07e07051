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
use countersign_format::merkle::empty_root;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    Clock, FirstVerified, PatchContext, PatchNote, Role, check_unexpired, collection_lines,
    verify_first_patch, verify_patch,
};
use countersign_format::signature::{Signer, countersign};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink, durable};

use super::authority::behind;
use super::collection_head::HeldHead;
use super::notes::Notes;
use super::standing::withdrawn_since;
use super::{Decisions, Distribution, DistributionError};
use crate::key_store::{Passphrases, SigningKey};
use crate::known_authority::{KnownAuthority, forget_announced, mark_announced};
use crate::publish::{
    Assurances, Batch, Beginning, PublishError, Publisher, SignedHead, Which, begin_anew,
    drop_candidate, is_old, leave, leave_record, read_entry, refresh_copy,
};
use crate::round::{Gathered, Item, Quorum, Round};
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

    /// Whether there is anything for [`Self::refresh`] to do at `now`: more of the collection's log
    /// than is published, a head as old as [`is_old`] says, or lines of witnesses as old as that
    /// where newer ones are at hand, or none that count. No key is needed.
    pub fn is_due(
        &self,
        now: Timestamp,
        older_than: Option<u64>,
    ) -> Result<bool, DistributionError> {
        self.check_authority()?;
        let mut writer = self.distribution.public_sink();
        let publisher = self.open(&mut writer)?;
        let max_age = self.role()?.log.max_age;
        let own = publisher.pending().is_some()
            || self.known.is_waiting()
            || is_old(publisher.signed(), now, max_age, older_than);
        let held = self.held_head()?;
        let cosigned = HeldHead::cosigned(self.distribution)?;
        let is_behind =
            cosigned.as_ref().map(SignedHead::checkpoint).as_ref() != Some(&held.checkpoint);
        let signed = cosigned.map(|head| head.time);
        if own || is_behind || is_old(signed, now, max_age, older_than) {
            return Ok(true);
        }
        self.are_witnesses_due(&publisher, &held, older_than)
    }

    fn are_witnesses_due(
        &self,
        publisher: &Publisher<'_>,
        held: &HeldHead,
        older_than: Option<u64>,
    ) -> Result<bool, DistributionError> {
        let round = self.round(publisher, held)?;
        let gathered = self.gathered(publisher, held, &round)?;
        let served = self.published_heads(publisher)?;
        Ok(round.quorums.iter().filter(|quorum| quorum.is_asked_for()).any(|quorum| {
            let now = quorum.time(&quorum.lines_on(&served), self.now);
            let then = quorum.time(&gathered.witnesses(quorum), self.now);
            now.is_none() || (then > now && is_old(now, self.now, quorum.max_age(), older_than))
        }))
    }

    /// Both heads that readers see, as far as there are any.
    fn published_heads(&self, publisher: &Publisher<'_>) -> Result<Vec<Note>, DistributionError> {
        let cosigned = layout::checkpoint(Log::Collection);
        let cosigned = self.distribution.public_sink().read(&cosigned, MAX_NOTE as u64)?;
        let cosigned = cosigned.and_then(|bytes| Note::parse(&bytes, MAX_NOTE).ok());
        Ok(publisher.published_note()?.into_iter().chain(cosigned).collect())
    }

    /// Signs both heads anew, the collection's as it was fetched last; makes missing packs and
    /// tidies up.
    pub fn refresh(&mut self, assurances: Assurances) -> Result<Refreshed, DistributionError> {
        let head = self.held_head()?;
        self.leave_collection()?;
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        if let Some(batch) = publisher.pending() {
            return Err(PublishError::Pending(batch.entries.len()).into());
        }
        let unwatched = self.watch(publisher.head())?;
        let collection = self.heads_anew(&mut publisher, &head, assurances)?;
        let own = publisher.refresh(collection, &self.signers(), self.now, assurances)?;
        drop_candidate(publisher.sink(), Log::Collection)?;
        Gathered::clear(&self.distribution.directory)?;
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
        let (sink, role) = (self.distribution.public_sink(), &self.role()?.log);
        Publisher::adopt(&sink, &state, Log::Distribution, role)?;
        self.held_head()?.adopt(self.distribution, role)
    }

    /// Begins the distribution's own log under the origin that the authority gave it, with the first
    /// `keep` entries of the one that is left, to the byte, and with what withdrew patches of them
    /// later (SPEC §5.2, new origin). An interrupted run is completed, with what that one kept.
    /// Returns with what it began.
    pub fn restart(&mut self, keep: u64) -> Result<(Beginning, Publication), DistributionError> {
        let Distribution { directory, .. } = self.distribution;
        let (origin, log) = (self.role()?.log.origin.clone(), Log::Distribution);
        let (state, public) = (directory.state(), directory.public());
        self.held_head()?;
        self.watch(&Checkpoint { origin: origin.clone(), size: 0, root: empty_root() })?;
        let repeat = |kept: &[Vec<u8>], left: &[Vec<u8>]| {
            let withdrawn = withdrawn_since(kept, left);
            let bytes = withdrawn.iter().map(DistributionEntry::to_bytes);
            Ok::<_, DistributionError>(bytes.collect::<Result<_, _>>()?)
        };
        let begun = begin_anew(&public, &state, log, &origin, (keep, self.now), repeat)?;
        Gathered::clear(directory)?;
        forget_announced(directory)?;
        leave_record(&state, log, &origin)?;
        leave(&public, &state, log, &origin, Which::Public)?;
        let publication = self.publish()?;
        Ok((begun, publication))
    }

    /// Gives up a publication that has begun and waits for signatures, or was interrupted. What was
    /// decided waits again. Returns how many entries it had.
    pub fn discard_round(&self) -> Result<usize, DistributionError> {
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        let head = self.held_head()?;
        let round = self.round(&publisher, &head)?;
        let directory = &self.distribution.directory;
        round.check_unsigned(&Gathered::load(directory, Log::Distribution)?)?;
        let given_up = publisher.abandon()?;
        Gathered::clear(directory)?;
        Ok(given_up)
    }

    /// Sets aside the published copy of a collection's log whose origin was left.
    fn leave_collection(&self) -> Result<(), DistributionError> {
        let directory = &self.distribution.directory;
        let (state, origin) = (directory.state(), &self.note().collection.origin);
        leave_record(&state, Log::Collection, origin)?;
        leave(&directory.public(), &state, Log::Collection, origin, Which::Public)?;
        Ok(())
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

    /// Whether the keys at hand suffice, and no witness is waited for.
    fn signs_alone(&self) -> Result<bool, DistributionError> {
        let threshold = self.role()?.log.threshold as usize;
        Ok(self.signers.len() >= threshold && self.note().witnesses.quorum == 0)
    }

    /// Gathers what others signed of both heads, which are signed anew, stages the collection's and
    /// returns what is to be written before the distribution's own.
    fn heads_anew(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        assurances: Assurances,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, DistributionError> {
        let gathered = self.gather(publisher, head)?;
        self.await_witnesses(publisher, head, &gathered, assurances)?;
        let collection = self.stage_collection(head, &gathered, publisher.sink(), assurances)?;
        publisher.with_others(self.others(&gathered, publisher.head(), true)?, self.now);
        Ok(collection)
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

    /// What is to be signed: of a publication that is pending, and both heads.
    pub(super) fn round(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
    ) -> Result<Round, DistributionError> {
        self.round_with(publisher, head, true)
    }

    /// As [`Self::round`]; without the patches where nobody is waited for, since they are signed
    /// when they are published.
    fn round_with(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
        patches: bool,
    ) -> Result<Round, DistributionError> {
        let mut items = Vec::new();
        let next = publisher.next_head();
        let pending = publisher.pending().filter(|_| next.is_some());
        if let Some(batch) = pending.filter(|_| patches) {
            for (entry, content) in parse(batch)? {
                if let Some(release) = release_of(&content, head) {
                    for patch in release.patches.iter().flat_map(|range| range.indexes()) {
                        items.extend(self.to_countersign(head, patch, entry)?);
                    }
                }
            }
        }
        let own = next.unwrap_or_else(|| publisher.head().clone());
        items.push(Item::head(&head.checkpoint, false));
        items.push(Item::head(&own, true));
        let (role, note) = (self.role()?, self.note());
        let quorums = vec![
            Quorum::new(&head.checkpoint, false, &note.witnesses, &note.collection),
            Quorum::new(&own, true, &note.witnesses, &role.log),
        ];
        Ok(Round {
            role: Role::Distribution(role.name.clone()),
            log: Log::Distribution,
            keys: role.log.clone(),
            begun: pending.map(|batch| batch.time),
            items,
            quorums,
        })
    }

    /// What is to be countersigned of a patch; nothing if its published note is good.
    fn to_countersign(
        &self,
        head: &HeldHead,
        index: u64,
        released: u64,
    ) -> Result<Option<Item>, DistributionError> {
        let verified = self.first_signed(head, index)?;
        let path = layout::patch_note(&verified.entry.archive.sha256);
        let text = verified.note.text();
        let context = self.context(path.as_str(), text.as_bytes(), index);
        let present = self.distribution.public_sink().read(&path, MAX_NOTE as u64)?;
        let role = self.role()?;
        if present.is_some_and(|note| verify_patch(&note, &context, role, released).is_ok()) {
            return Ok(None);
        }
        let first = self.first_lines(&verified.note);
        Ok(Some(Item::countersignature(text.to_owned(), index, &first)))
    }

    /// Signs patches with the keys at hand, and refuses to go on before others have done theirs.
    fn gather(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
    ) -> Result<Gathered<'_>, DistributionError> {
        let round = self.round_with(publisher, head, !self.signs_alone()?)?;
        let mut gathered = self.gathered(publisher, head, &round)?;
        gathered.sign(&round, &self.signers)?;
        let own: Vec<_> = self.signers.iter().map(SigningKey::vkey).collect();
        round.check(&gathered, &own, self.now)?;
        Ok(gathered)
    }

    /// What was gathered, along with what stands on the published heads.
    pub(super) fn gathered(
        &self,
        publisher: &Publisher<'_>,
        head: &HeldHead,
        round: &Round,
    ) -> Result<Gathered<'_>, DistributionError> {
        let mut gathered = Gathered::load(&self.distribution.directory, Log::Distribution)?;
        for note in self.published_heads(publisher)? {
            round.items.iter().for_each(|item| gathered.add_published(item, &note));
        }
        gathered.add_cosigned(&round.quorums, &head.fetched, self.now);
        Ok(gathered)
    }

    /// What others than the keys at hand signed of a head.
    fn others(
        &self,
        gathered: &Gathered<'_>,
        head: &Checkpoint,
        own: bool,
    ) -> Result<Vec<SignatureLine>, DistributionError> {
        let role = &self.role()?.log;
        let mut lines = gathered.others(&Item::head(head, own), &self.signers, role);
        let log = if own { role } else { &self.note().collection };
        let quorum = Quorum::new(head, own, &self.note().witnesses, log);
        lines.extend(gathered.cosigned(&quorum, self.now));
        Ok(lines)
    }

    /// Goes on once a quorum of witnesses has cosigned both heads. Until then the heads are put
    /// where witnesses read them, and readers see what they saw before.
    fn await_witnesses(
        &self,
        publisher: &mut Publisher<'_>,
        head: &HeldHead,
        gathered: &Gathered<'_>,
        assurances: Assurances,
    ) -> Result<(), DistributionError> {
        let round = self.round_with(publisher, head, false)?;
        let Err(waiting) = round.check_witnesses(gathered, self.now) else { return Ok(()) };
        let signing = (self.signers(), self.others(gathered, &head.checkpoint, false)?);
        let when = (self.now, assurances);
        // witnesses judge the candidates by it
        publisher.sink().put_heads(&self.known.waiting(&self.distribution.directory)?)?;
        head.put_candidate(self.distribution, publisher.sink(), &signing, when)?;
        let own = publisher.next_head().unwrap_or_else(|| publisher.head().clone());
        publisher.with_others(self.others(gathered, &own, true)?, self.now);
        publisher.put_candidate(&self.signers(), self.now, assurances)?;
        Err(waiting.into())
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
