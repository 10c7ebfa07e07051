//! Publishing: patch notes with the first signature, the log, its head.

use countersign_format::authority::AuthorityNote;
use countersign_format::entry::{CollectionEntry, PatchEntry, Revoke};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{PatchContext, verify_first_patch};
use countersign_format::signature::{Signer, sign_note};
use countersign_format::text::Line;
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink};

use super::{Collection, CollectionError, Draft};
use crate::catalogue::Patch;
use crate::key_store::{Passphrases, SigningKey};
use crate::known_authority::{KnownAuthority, mark_announced};
use crate::patch_selector::PatchSelector;
use crate::publish::{Assurances, Batch, Publisher, Refreshed, is_old};
use crate::round::{Gathered, Item};
use crate::server;
use crate::side_by_side::in_turn;
use crate::watch::{Unwatched, watch};

mod gather;
mod restart;

/// A collection that is about to publish: it knows its authority and has opened its key. Whoever
/// publishes holds the role's lock.
#[derive(Debug)]
pub struct Session<'a> {
    collection: &'a Collection,
    authority: KnownAuthority,
    signers: Vec<SigningKey>,
    unwatched: Vec<Unwatched>,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Publication {
    /// The patches, with their indexes; those of an interrupted run among them.
    pub patches: Vec<(u64, PatchEntry)>,
    /// Versions of the authority that the log names from now on.
    pub authority: Vec<u64>,
    /// Patches that are revoked from now on, by index.
    pub revoked: Vec<u64>,
    /// Entries of the log now.
    pub size: u64,
}

/// Which patches are revoked, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// The patches.
    pub patches: PatchSelector,
    /// Why, for people.
    pub reason: Line,
}

/// An entry of the journal.
struct Pending<'a> {
    index: u64,
    bytes: &'a [u8],
    entry: CollectionEntry,
}

/// A patch's note on its way to where readers look for it.
struct PutNote {
    path: RepoPath,
    bytes: Vec<u8>,
    /// Whether another one is there that does not count.
    replaces: bool,
}

impl Pending<'_> {
    fn patch(&self) -> Option<&PatchEntry> {
        if let CollectionEntry::Patch(patch) = &self.entry { Some(patch) } else { None }
    }
}

impl Collection {
    /// Learns what the authority published and opens the key with which the collection signs.
    pub fn session(&self, passphrases: &Passphrases) -> Result<Session<'_>, CollectionError> {
        let mut session = self.session_without_keys()?;
        session.open_keys(passphrases)?;
        Ok(session)
    }

    /// Learns what the authority published, for what needs no key: looking at a round of signatures,
    /// or whether anything is due.
    pub fn session_without_keys(&self) -> Result<Session<'_>, CollectionError> {
        let mut authority = KnownAuthority::learn(&self.directory, &self.config, Log::Collection)?;
        // its readers are distributions, which judge it by the newest note wherever they find that
        authority.show(&self.directory)?;
        Ok(Session { collection: self, authority, signers: Vec::new(), unwatched: Vec::new() })
    }
}

impl Session<'_> {
    /// Opens the keys with which the collection signs.
    pub fn open_keys(&mut self, passphrases: &Passphrases) -> Result<(), CollectionError> {
        let listed = &self.note().collection;
        let directory = &self.collection.directory;
        let mut signers = server::open_signers(directory, listed, passphrases)?;
        // the newest key signs; more of them only where as many must
        signers.truncate(listed.threshold.max(1) as usize);
        self.signers = signers;
        Ok(())
    }

    /// What the collection knows of its authority.
    pub fn authority(&self) -> &KnownAuthority {
        &self.authority
    }

    /// Places of the configuration's `published_at` that could not be looked at.
    pub fn unwatched(&self) -> &[Unwatched] {
        &self.unwatched
    }

    /// Publishes `drafts`, after what an interrupted run left to be completed, and along with the
    /// authority notes that the log does not name yet.
    pub fn publish(
        &mut self,
        drafts: &[Draft],
        now: Timestamp,
    ) -> Result<Publication, CollectionError> {
        if let Some(draft) = drafts.iter().find(|draft| draft.failed().is_some()) {
            return Err(CollectionError::TestFailed(draft.entry.identity()));
        }
        self.append(now, |_, done| {
            // what the interrupted run published is done
            let is_done = |draft: &&Draft| done.patches.iter().any(|(_, it)| *it == draft.entry);
            drafts.iter().filter(|draft| !is_done(draft)).map(Draft::entry_bytes).collect()
        })
    }

    /// Revokes published patches: they are never installed again.
    pub fn revoke(
        &mut self,
        revocation: &Revocation,
        now: Timestamp,
    ) -> Result<Publication, CollectionError> {
        let Revocation { patches, reason } = revocation;
        self.append(now, |collection, _| {
            let meant = collection.select_published(patches)?;
            if meant.is_empty() {
                return Err(CollectionError::NotPublished(patches.clone()));
            }
            let revoke = |patch: &Patch| {
                let revoke = Revoke { patch: patch.index, reason: reason.clone() };
                CollectionEntry::Revoke(revoke).to_bytes()
            };
            let entries: Vec<_> = meant
                .iter()
                .filter(|patch| patch.revoked_by.is_none())
                .map(revoke)
                .collect::<Result<_, _>>()?;
            if entries.is_empty() {
                return Err(CollectionError::Revoked(patches.clone()));
            }
            Ok(entries)
        })
    }

    /// Whether there is anything for [`Self::refresh`] to do at `now`: something left or new to be
    /// published, or a head as old as [`is_old`] says. No key is needed.
    pub fn is_due(&self, now: Timestamp, older_than: Option<u64>) -> Result<bool, CollectionError> {
        let mut writer = self.writer();
        let publisher = self.open(&mut writer)?;
        let max_age = self.note().collection.max_age;
        Ok(publisher.pending().is_some()
            || !self.authority.unannounced(&self.collection.directory)?.is_empty()
            || is_old(publisher.signed(), now, max_age, older_than))
    }

    /// Signs the head anew, after publishing what an interrupted run left and what the authority
    /// said since; makes missing packs and tidies up.
    pub fn refresh(
        &mut self,
        now: Timestamp,
        assurances: Assurances,
    ) -> Result<(Publication, Refreshed), CollectionError> {
        let publication = self.append(now, |_, _| Ok(Vec::new()))?;
        let mut writer = self.writer();
        let mut publisher = self.open(&mut writer)?;
        let gathered = self.gather(&publisher, now)?;
        publisher.with_others(self.others(&gathered, publisher.head()), now);
        let refreshed = publisher.refresh(Vec::new(), &self.signers(), now, assurances)?;
        Gathered::clear(&self.collection.directory)?;
        self.collection.clean()?;
        Ok((publication, refreshed))
    }

    fn append(
        &mut self,
        now: Timestamp,
        entries: impl FnOnce(&Collection, &Publication) -> Result<Vec<Vec<u8>>, CollectionError>,
    ) -> Result<Publication, CollectionError> {
        let mut writer = self.writer();
        let mut publisher = self.open(&mut writer)?;
        let mut publication = Publication::default();
        if publisher.pending().is_some() {
            self.complete(&mut publisher, &mut publication, now)?;
        }
        let (directory, config) = (&self.collection.directory, &self.collection.config);
        let role = &self.note().collection;
        self.unwatched = watch(directory, config, Log::Collection, role, publisher.head())?;
        let mut all = Vec::new();
        for reference in self.authority.unannounced(&self.collection.directory)? {
            all.push(CollectionEntry::Authority(reference).to_bytes()?);
        }
        all.extend(entries(self.collection, &publication)?);
        publisher.prepare(all, now)?;
        self.complete(&mut publisher, &mut publication, now)?;
        publication.size = publisher.size();
        Ok(publication)
    }

    /// Does all that the journal says, whatever of it was done before.
    fn complete(
        &self,
        publisher: &mut Publisher<'_>,
        publication: &mut Publication,
        now: Timestamp,
    ) -> Result<(), CollectionError> {
        let Some(batch) = publisher.pending().cloned() else { return Ok(()) };
        let entries = parse(&batch)?;
        if !self.signs_alone() {
            // what others signed is of no use without what they signed
            publisher.keep()?;
        }
        // nothing is published before all that must sign have signed
        let gathered = self.gather(publisher, now)?;
        let patches: Vec<_> =
            entries.iter().filter_map(|pending| Some((pending.patch()?, pending))).collect();
        let sign = |(patch, pending): &(&PatchEntry, &Pending<'_>)| {
            self.note_of(patch, pending, &gathered)
        };
        in_turn(&patches, sign, |(patch, _), note| self.put_patch(publisher.sink(), patch, &note))?;
        crash_point("publish.patches");
        if let Some(next) = publisher.next_head() {
            publisher.with_others(self.others(&gathered, &next), now);
        }
        publisher.commit(&self.signers())?;
        let patches: Vec<&PatchEntry> = patches.into_iter().map(|(patch, _)| patch).collect();
        Draft::remove_of(&self.collection.directory.incoming(), &patches)?;
        for Pending { index, entry, .. } in entries {
            self.mark(index, entry, publication)?;
        }
        crash_point("publish.marked");
        Gathered::clear(&self.collection.directory)?;
        crash_point("publish.cleaned");
        Ok(publisher.finish()?)
    }

    /// The note of a patch: the one that is there if it is good, or else signed with the keys at hand.
    fn note_of(
        &self,
        patch: &PatchEntry,
        pending: &Pending<'_>,
        gathered: &Gathered<'_>,
    ) -> Result<PutNote, CollectionError> {
        let file = layout::patch_note(&patch.archive.sha256);
        let present = self.writer().read(&file, MAX_NOTE as u64)?;
        let is_there = present.is_some();
        if let Some(bytes) = present
            && self.is_good(&bytes, file.as_str(), pending)
        {
            return Ok(PutNote { path: file, bytes, replaces: false });
        }
        let text = std::str::from_utf8(pending.bytes).expect("an entry that was parsed").to_owned();
        let mut lines = gathered.lines(&Item::patch(text.clone(), pending.index));
        if lines.is_empty() {
            // nobody else is to sign
            for signer in &self.signers {
                lines.push(sign_note(signer, &text)?);
            }
        }
        Ok(PutNote { path: file, bytes: Note::new(text, lines).to_bytes(), replaces: is_there })
    }

    /// Puts archive and note where readers look for them. Nobody looks before the log says so.
    fn put_patch(
        &self,
        sink: &mut dyn Sink,
        patch: &PatchEntry,
        note: &PutNote,
    ) -> Result<(), CollectionError> {
        let archive = layout::archive(&patch.archive.sha256);
        match Draft::archive_of(&self.collection.directory.incoming(), patch) {
            Some(draft) => {
                sink.put_immutable_link(&archive, &draft)?;
            }
            // the interrupted run came as far as removing the draft
            None if sink.size(&archive)? == Some(patch.archive.size) => {}
            None => {
                let missing = self.collection.directory.public().join(&archive);
                return Err(CollectionError::Damaged(missing));
            }
        }
        if note.replaces {
            // signed before an interruption, with a key that was retired since
            sink.put_mutable(&note.path, &note.bytes)?;
        }
        sink.put_immutable(&note.path, &note.bytes)?;
        Ok(())
    }

    /// Whether a note that is there counts.
    fn is_good(&self, note: &[u8], file: &str, pending: &Pending<'_>) -> bool {
        let (authority, entry, index) = (self.note(), pending.bytes, pending.index);
        verify_first_patch(note, &PatchContext { file, authority, entry, index }).is_ok()
    }

    /// Says what was published, and remembers which authority notes were named.
    fn mark(
        &self,
        index: u64,
        entry: CollectionEntry,
        publication: &mut Publication,
    ) -> Result<(), CollectionError> {
        match entry {
            CollectionEntry::Patch(patch) => publication.patches.push((index, *patch)),
            CollectionEntry::Revoke(revoke) => publication.revoked.push(revoke.patch),
            CollectionEntry::Authority(reference) => {
                mark_announced(&self.collection.directory, reference.version)?;
                publication.authority.push(reference.version);
            }
        }
        Ok(())
    }

    fn signers(&self) -> Vec<&dyn Signer> {
        self.signers.iter().map(|signer| signer as &dyn Signer).collect()
    }

    pub(super) fn note(&self) -> &AuthorityNote {
        self.authority.chain().newest()
    }

    pub(super) fn writer(&self) -> DirectoryWriter {
        DirectoryWriter::new(&self.collection.directory.public())
    }

    pub(super) fn open<'s>(
        &self,
        writer: &'s mut DirectoryWriter,
    ) -> Result<Publisher<'s>, CollectionError> {
        let state = self.collection.directory.state();
        Ok(Publisher::open(writer, &state, Log::Collection, &self.note().collection.origin)?)
    }
}

/// The entries of the journal, with their indexes.
fn parse(batch: &Batch) -> Result<Vec<Pending<'_>>, CollectionError> {
    let parse =
        |(index, bytes)| Ok(Pending { index, bytes, entry: CollectionEntry::parse(bytes)? });
    batch.indexed().map(parse).collect()
}
