//! Publishing a log: the collection's and the distribution's (SPEC §2, §4).
//!
//! In scope: appending entries to the log below a public directory, signing its head, and all that
//! keeps a server from ever signing two trees of one size. Out of scope: what the entries say.
//!
//! A publication goes like this. What one step wrote is durable before the next begins:
//!
//! 1. under names that nobody reads: archives and notes that the entries speak of (the caller's
//!    work), new tiles, bundles and packs, `state/<log>-head` with the head that is about to be
//!    signed, and the journal with the exact entries and the time: one `syncfs` for all;
//! 2. `state/<log>-pending`: the journal gets its name, and from here on the publication is
//!    completed, by this run or the next;
//! 3. all the others get theirs: one `syncfs` for all;
//! 4. `<log>/checkpoint`;
//! 5. what follows from the publication (the caller's work); the journal goes.
//!
//! Killed anywhere, readers see the old head or the new one, and the next run completes what the
//! journal says, with the same bytes: Ed25519 is deterministic. Whoever publishes holds the role's
//! lock.

use std::path::Path;

use countersign_format::authority::{LogRole, ServerKey};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_ENTRY, MAX_NOTE, MAX_TREE_SIZE, TILE_WIDTH};
use countersign_format::merkle::{Frontier, empty_root, leaf_hash};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::verify_own_signature;
use countersign_format::signature::{self, Signer};
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::crash::crash_point;

mod copy;
mod entries;
mod error;
mod growth;
mod head;
mod journal;
mod left;
mod nodes;
mod packs;
mod superseded;
#[cfg(test)]
mod tests;

pub use copy::{
    LogCopy, copy_files, forget_superseded, note_superseded, refresh_copy, remove_superseded,
};
pub use entries::{EntryReader, read_entries, read_entries_from, read_entry, root_at};
pub use error::PublishError;
pub use head::{HeadRecord, SignedHead, is_old};
pub use journal::Batch;
pub use left::{Beginning, Which, begin_anew, leave, leave_patch, leave_record, left_copies};
pub use nodes::TreeNodes;

use growth::Tail;
use journal::Journal;
use superseded::Superseded;

/// The width of full tiles, bundles and packs, as paths take it.
const FULL: u16 = 256;
const _: () = assert!(FULL as usize == TILE_WIDTH, "tiles of another width");

/// The one writer of a log.
pub struct Publisher<'a> {
    sink: &'a mut dyn Sink,
    log: Log,
    record: HeadRecord,
    journal: Journal,
    superseded: Superseded,
    tail: Tail,
    /// The head that readers see; that of the empty log before the first.
    published: Checkpoint,
    pending: Option<Batch>,
    /// How much of what is pending is in the journal.
    kept: Kept,
    gathered: Option<Gathered>,
}

/// How much of what is pending is in the journal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kept {
    /// Nothing: it ends with this process.
    No,
    /// The entries, which wait for signatures of others and may be given up.
    Waiting,
    /// The entries, whose head may have been signed.
    Sealed,
}

/// What others have signed of the head that is signed next, and the moment of signing it.
#[derive(Debug)]
struct Gathered {
    lines: Vec<SignatureLine>,
    now: Timestamp,
}

/// What a refresh came to, besides the new timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refreshed {
    /// When the head was signed.
    pub time: Timestamp,
    /// Packs that were missing and were made.
    pub packs: usize,
    /// Superseded files that were removed.
    pub removed: usize,
}

/// What a person may say to a refresh that nothing else can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Assurances {
    /// The clock was ahead when the newest signature was made: an earlier time is right.
    pub clock_was_wrong: bool,
}

impl<'a> Publisher<'a> {
    /// Opens the log called `origin` below the public directory `sink`, with the role's own state
    /// in the directory `state`. Refuses a log that is not the one that was signed here last, as
    /// after one of the two was restored from a backup.
    pub fn open(
        sink: &'a mut dyn Sink,
        state: &Path,
        log: Log,
        origin: &KeyName,
    ) -> Result<Self, PublishError> {
        let record = HeadRecord::open(state, &record_name(log))?;
        let journal = Journal::new(state, format!("{log}-pending"));
        let (pending, is_sealed) = journal.read()?.unzip();
        let kept = match is_sealed {
            None => Kept::No,
            Some(false) => Kept::Waiting,
            Some(true) => Kept::Sealed,
        };
        let published = read_checkpoint(sink, log)?.map(|(_, checkpoint)| checkpoint);
        let recorded = record.newest().map(|head| &head.origin);
        for found in published.iter().map(|head| &head.origin).chain(recorded) {
            if found != origin {
                let (expected, found) = (origin.clone(), found.clone());
                return Err(PublishError::Origin { expected, found });
            }
        }
        check_record(log, published.as_ref(), &record, pending.as_ref())?;
        let empty = Checkpoint { origin: origin.clone(), size: 0, root: empty_root() };
        let published = published.unwrap_or(empty);
        if let Some(batch) = &pending {
            let is_done = batch.new_size() == published.size;
            if batch.base != published && !is_done {
                let (path, base) = (journal.path(), batch.base.size);
                return Err(PublishError::JournalElsewhere { path, base });
            }
        }
        let tail = Tail::load(sink, log, &published)?;
        let superseded = Superseded::new(state, format!("{log}-superseded"));
        Ok(Self {
            sink,
            log,
            record,
            journal,
            superseded,
            tail,
            published,
            pending,
            kept,
            gathered: None,
        })
    }

    /// Takes the published head for the newest that was ever signed, since a person says so: for a
    /// record that was lost or restored from a backup. One of the keys of `role` must have signed it
    /// that is in use, or was retired later than there, and what is recorded must lead to it: what is
    /// published may be somebody else's work. The next head is signed no earlier than this one was by keys
    /// in use.
    pub fn adopt(
        sink: &dyn Sink,
        state: &Path,
        log: Log,
        role: &LogRole,
    ) -> Result<SignedHead, PublishError> {
        let path = layout::checkpoint(log);
        let (bytes, checkpoint) =
            read_checkpoint(sink, log)?.ok_or_else(|| PublishError::Missing(path.clone()))?;
        let mut record = HeadRecord::open(state, &record_name(log))?;
        if let Some(signed) = record.newest() {
            check_grown(sink, log, &checkpoint, signed)?;
        }
        let may_be_its = |key: &&ServerKey| key.until.is_none_or(|until| checkpoint.size <= until);
        let mut refusal = None;
        for key in role.keys.iter().filter(may_be_its) {
            match verify_own_signature(&bytes, path.as_str(), &key.vkey) {
                Ok(_) => {
                    let shown = record.time_shown(&path, &bytes, role)?;
                    let head = SignedHead::new(&checkpoint, shown);
                    record.replace(&head)?;
                    return Ok(head);
                }
                Err(error) => refusal = Some(Box::new(error)),
            }
        }
        Err(PublishError::Unsigned { path, source: refusal })
    }

    /// Entries that readers see.
    pub fn size(&self) -> u64 {
        self.published.size
    }

    /// The head that readers see; that of the empty log before the first publication.
    pub fn head(&self) -> &Checkpoint {
        &self.published
    }

    /// An entry that readers see.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, PublishError> {
        growth::entry(self.sink, self.log, self.published.size, index)
    }

    /// Entries that are pending and that readers do not see yet.
    pub fn unseen(&self) -> &[Vec<u8>] {
        self.unseen_batch().map_or(&[], |batch| &batch.entries)
    }

    /// What is pending; none where an interrupted run had shown the head already.
    fn unseen_batch(&self) -> Option<&Batch> {
        self.pending.as_ref().filter(|batch| batch.base == self.published)
    }

    /// The head that [`Self::commit`] would sign; none where nothing is pending, or was done.
    pub fn next_head(&self) -> Option<Checkpoint> {
        let batch = self.unseen_batch()?;
        let mut tail = self.tail.clone();
        tail.append(&batch.entries);
        let origin = batch.base.origin.clone();
        Some(Checkpoint { origin, size: tail.size(), root: tail.root() })
    }

    /// The published head with its signatures.
    pub fn published_note(&self) -> Result<Option<Note>, PublishError> {
        let path = layout::checkpoint(self.log);
        let read = read_checkpoint(self.sink, self.log)?;
        read.map(|(bytes, _)| Note::parse(&bytes, MAX_NOTE))
            .transpose()
            .map_err(|source| PublishError::Note { path, source })
    }

    /// Puts `lines`, which others signed and which were verified, on the head that is signed next.
    /// They took their time, so it is signed at `now` and not at the moment of the journal.
    pub fn with_others(&mut self, lines: Vec<SignatureLine>, now: Timestamp) {
        self.gathered = (!lines.is_empty()).then_some(Gathered { lines, now });
    }

    /// When the head was signed last, if ever.
    pub fn signed(&self) -> Option<Timestamp> {
        self.record.newest().map(|head| head.time)
    }

    /// The public directory.
    pub fn sink(&mut self) -> &mut dyn Sink {
        self.sink
    }

    /// What a publication is about to append, or had begun to when it was interrupted: then the
    /// caller does its own steps over again, before and after [`Self::commit`].
    pub fn pending(&self) -> Option<&Batch> {
        self.pending.as_ref()
    }

    /// Begins a publication of `entries`, to be signed at `now`. It ends with this process before
    /// [`Self::keep`] or [`Self::commit`]. Nothing happens without entries.
    pub fn prepare(&mut self, entries: Vec<Vec<u8>>, now: Timestamp) -> Result<(), PublishError> {
        if let Some(batch) = &self.pending {
            return Err(PublishError::Pending(batch.entries.len()));
        }
        if entries.is_empty() {
            return Ok(());
        }
        if let Some(long) = entries.iter().find(|entry| entry.len() > MAX_ENTRY) {
            return Err(PublishError::EntryTooLong(long.len()));
        }
        let time = self.record.time(now)?;
        let batch = Batch { base: self.published.clone(), time, entries };
        if batch.new_size() > MAX_TREE_SIZE {
            return Err(PublishError::TooLarge);
        }
        self.pending = Some(batch);
        Ok(())
    }

    /// Keeps what is pending in the journal, where it waits for signatures of others: it is for a
    /// later run to complete, unless it is given up.
    pub fn keep(&mut self) -> Result<(), PublishError> {
        if let Some(batch) = &self.pending
            && self.kept == Kept::No
        {
            self.journal.write(batch)?;
            self.kept = Kept::Waiting;
            crash_point("publish.journal");
        }
        Ok(())
    }

    /// Publishes what is pending, along with what the sink has staged: tiles, bundles and packs,
    /// then the head with the signatures of `signers`. Nothing happens if that was done before the
    /// interruption.
    pub fn commit(&mut self, signers: &[&dyn Signer]) -> Result<(), PublishError> {
        self.commit_after(Vec::new(), signers)
    }

    /// As [`Self::commit`], and writes the files `before`, which change, just before the head.
    pub fn commit_after(
        &mut self,
        before: Vec<(RepoPath, Vec<u8>)>,
        signers: &[&dyn Signer],
    ) -> Result<(), PublishError> {
        let Some(batch) = self.unseen_batch().cloned() else {
            return Ok(self.sink.put_heads(&before)?);
        };
        let time = match &self.gathered {
            Some(gathered) => self.record.time(gathered.now)?.max(batch.time),
            // a candidate may have been signed since
            None => self.signed().map_or(batch.time, |signed| signed.max(batch.time)),
        };
        // the moment at which an interrupted run's work is completed is not known here
        let shown = match &self.gathered {
            Some(gathered) => Some(gathered.now),
            None => Some(time).filter(|_| self.kept == Kept::No),
        };
        let (next, tail) = self.stage_growth(&batch, time)?;
        let note = self.signed_note(&next, signers)?;
        self.seal(&batch)?;
        self.superseded.note(batch.base.size, next.size, shown)?;
        self.show(before, &next, &note)?;
        self.tail = tail;
        Ok(())
    }

    /// Makes the bytes of all that is staged durable, then the journal: from here on the publication
    /// is completed, by this run or the next.
    fn seal(&mut self, batch: &Batch) -> Result<(), PublishError> {
        crash_point("publish.staged");
        if self.kept == Kept::Sealed {
            return Ok(());
        }
        let journal = self.journal.prepare(batch)?;
        self.sink.flush(std::slice::from_ref(&journal))?;
        crash_point("publish.flushed");
        self.journal.name(journal)?;
        self.kept = Kept::Sealed;
        crash_point("publish.sealed");
        Ok(())
    }

    /// Puts the head that is signed next where witnesses read it and nobody else: signed at `now`,
    /// after the files that it needs. What readers see stays as it is.
    pub fn put_candidate(
        &mut self,
        signers: &[&dyn Signer],
        now: Timestamp,
        assurances: Assurances,
    ) -> Result<(), PublishError> {
        self.keep()?;
        self.record.assure(now, assurances)?;
        let time = self.record.time(now)?;
        let next = match self.unseen_batch().cloned() {
            Some(batch) => self.stage_growth(&batch, time.max(batch.time))?.0,
            None => SignedHead::new(&self.published, time),
        };
        let note = self.signed_note(&next, signers)?;
        self.sink.put_mutable(&layout::candidate(self.log), &note.to_bytes())?;
        crash_point("publish.candidate");
        Ok(())
    }

    /// Stages the new tiles, bundles and packs, and returns the head that they lead to.
    fn stage_growth(
        &mut self,
        batch: &Batch,
        time: Timestamp,
    ) -> Result<(SignedHead, Tail), PublishError> {
        let mut tail = self.tail.clone();
        let growth = tail.append(&batch.entries);
        let (origin, size, root) = (batch.base.origin.clone(), tail.size(), tail.root());
        let next = SignedHead { origin, size, root, time };
        self.record.check(&next)?;
        for tile in &growth.tiles {
            let path = layout::tile(self.log, tile.level, tile.index, tile.width);
            self.sink.put_immutable(&path, &tile.bytes)?;
        }
        for bundle in &growth.bundles {
            self.sink.put_immutable(&bundle.path(self.log), &bundle.bytes)?;
        }
        packs::add_new(self.sink, self.log, &growth.bundles, next.size)?;
        Ok((next, tail))
    }

    /// Gives up what is pending, whatever of it was staged. Refused once its head may have been
    /// signed: then it is part of the log for ever, and completing it is all that is left.
    pub fn abandon(&mut self) -> Result<usize, PublishError> {
        let Some(batch) = self.pending.clone() else { return Ok(0) };
        let signed = self.record.newest().map_or(0, |head| head.size);
        let is_signed = self.kept == Kept::Sealed || signed > batch.base.size;
        if batch.base != self.published || is_signed {
            return Err(PublishError::Signed { size: batch.new_size() });
        }
        // what readers never saw would be in the way of other files of the same size
        let growth = self.tail.clone().append(&batch.entries);
        for tile in &growth.tiles {
            self.sink.remove(&layout::tile(self.log, tile.level, tile.index, tile.width))?;
        }
        for bundle in &growth.bundles {
            self.sink.remove(&bundle.path(self.log))?;
            if bundle.is_full() {
                self.sink.remove(&layout::pack(self.log, 0, bundle.index()))?;
            }
        }
        self.sink.remove(&layout::tail_pack(self.log, batch.new_size()))?;
        self.sink.sync()?;
        crash_point("publish.abandoned");
        self.finish()?;
        Ok(batch.entries.len())
    }

    /// Ends the publication after the caller's own last step.
    pub fn finish(&mut self) -> Result<(), PublishError> {
        if self.pending.take().is_some() && self.kept != Kept::No {
            self.journal.remove()?;
            self.kept = Kept::No;
            crash_point("publish.finished");
        }
        Ok(())
    }

    /// Signs the published head anew at `now`, writes it after the files `before`, makes the packs
    /// that are missing and removes what was superseded. The log itself stays as it is.
    pub fn refresh(
        &mut self,
        before: Vec<(RepoPath, Vec<u8>)>,
        signers: &[&dyn Signer],
        now: Timestamp,
        assurances: Assurances,
    ) -> Result<Refreshed, PublishError> {
        let time = self.sign_anew(before, signers, now, assurances)?;
        let packs = packs::add_missing(self.sink, self.log, self.published.size)?;
        self.sink.sync()?;
        let removed = self.superseded.remove(self.sink, self.log, self.published.size, now)?;
        Ok(Refreshed { time, packs, removed })
    }

    /// Signs the published head anew at `now`, writes it after the files `before`, and returns the
    /// time that is signed.
    pub fn sign_anew(
        &mut self,
        before: Vec<(RepoPath, Vec<u8>)>,
        signers: &[&dyn Signer],
        now: Timestamp,
        assurances: Assurances,
    ) -> Result<Timestamp, PublishError> {
        if let Some(batch) = &self.pending {
            return Err(PublishError::Pending(batch.entries.len()));
        }
        self.record.assure(now, assurances)?;
        let time = self.record.time(now)?;
        let next = SignedHead::new(&self.published, time);
        let note = self.signed_note(&next, signers)?;
        self.show(before, &next, &note)?;
        Ok(time)
    }

    /// Makes all that is staged visible, the record of `next` with it, then the files `before`, and
    /// then its checkpoint.
    fn show(
        &mut self,
        mut before: Vec<(RepoPath, Vec<u8>)>,
        next: &SignedHead,
        note: &Note,
    ) -> Result<(), PublishError> {
        before.push((layout::checkpoint(self.log), note.to_bytes()));
        self.sink.put_heads(&before)?;
        crash_point("publish.checkpoint");
        self.published = next.checkpoint();
        drop_candidate(self.sink, self.log)
    }

    /// The head `next` with the signatures of `signers` and what others signed. That it was signed
    /// is staged, so it is recorded before any checkpoint is written.
    fn signed_note(
        &mut self,
        next: &SignedHead,
        signers: &[&dyn Signer],
    ) -> Result<Note, PublishError> {
        let note = sign_checkpoint(&next.checkpoint(), next.time, signers)?;
        let others = self.gathered.take().map(|gathered| gathered.lines).unwrap_or_default();
        self.record.put_along(next, self.sink)?;
        crash_point("publish.head");
        Ok(note.with(others))
    }
}

impl std::fmt::Debug for Publisher<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Publisher")
            .field("log", &self.log)
            .field("published", &self.published)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

/// Takes away a head that waited for its witnesses, once it is published.
pub fn drop_candidate(sink: &mut dyn Sink, log: Log) -> Result<(), PublishError> {
    let path = layout::candidate(log);
    if sink.size(&path)?.is_some() {
        sink.remove(&path)?;
    }
    Ok(())
}

/// A checkpoint with each signer's note signature and, at `time`, timestamped signature.
pub fn sign_checkpoint(
    checkpoint: &Checkpoint,
    time: Timestamp,
    signers: &[&dyn Signer],
) -> Result<Note, PublishError> {
    let text = checkpoint.to_string();
    let mut lines = Vec::new();
    for signer in signers {
        lines.push(signature::sign_note(*signer, &text)?);
    }
    for signer in signers {
        lines.push(signature::cosign(*signer, &text, time)?);
    }
    Ok(Note::new(text, lines))
}

fn record_name(log: Log) -> String {
    format!("{log}-head")
}

/// The head below a public directory, whoever signed it; `None` if there is none.
pub fn read_head(sink: &dyn Sink, log: Log) -> Result<Option<Checkpoint>, PublishError> {
    Ok(read_checkpoint(sink, log)?.map(|(_, checkpoint)| checkpoint))
}

/// The published checkpoint as bytes and as what its text says.
pub fn read_checkpoint(
    sink: &dyn Sink,
    log: Log,
) -> Result<Option<(Vec<u8>, Checkpoint)>, PublishError> {
    let path = layout::checkpoint(log);
    let Some(bytes) = sink.read(&path, MAX_NOTE as u64)? else { return Ok(None) };
    let note = Note::parse(&bytes, MAX_NOTE)
        .map_err(|source| PublishError::Note { path: path.clone(), source })?;
    let checkpoint = Checkpoint::parse(note.text())
        .map_err(|source| PublishError::Checkpoint { path, source })?;
    Ok(Some((bytes, checkpoint)))
}

/// Checks that the published tree goes on from the one that was `signed` here.
fn check_grown(
    sink: &dyn Sink,
    log: Log,
    published: &Checkpoint,
    signed: &SignedHead,
) -> Result<(), PublishError> {
    let path = layout::checkpoint(log);
    if signed.origin != published.origin {
        let (expected, found) = (published.origin.clone(), signed.origin.clone());
        return Err(PublishError::Origin { expected, found });
    }
    if signed.size > published.size {
        let (public, signed) = (published.size, signed.size);
        return Err(PublishError::PublicOlder { path, public, signed });
    }
    // every entry is looked at: tiles could say one thing of the end and another of the middle
    let (mut frontier, mut earlier) = (Frontier::empty(), empty_root());
    read_entries(sink, log, published.size, |_, entry| {
        frontier.push(leaf_hash(entry));
        if frontier.size() == signed.size {
            earlier = frontier.root();
        }
    })?;
    if frontier.root() != published.root {
        return Err(PublishError::Root(path));
    }
    if earlier == signed.root {
        Ok(())
    } else {
        Err(PublishError::OtherTree { path, size: signed.size })
    }
}

/// Checks that what is published is what was signed here last, or the head before it if a
/// publication was interrupted between the two.
///
/// The record holds the root, so this says more than the checkpoint's own signatures would: those
/// are on every head that was ever published.
fn check_record(
    log: Log,
    published: Option<&Checkpoint>,
    record: &HeadRecord,
    pending: Option<&Batch>,
) -> Result<(), PublishError> {
    let path = layout::checkpoint(log);
    let (public, root) = published.map_or((0, empty_root()), |head| (head.size, head.root));
    let Some(signed) = record.newest() else {
        return match published {
            None => Ok(()),
            Some(_) => {
                Err(PublishError::RecordMissing { path, size: public, record: record.path() })
            }
        };
    };
    if public > signed.size {
        let (signed, record) = (signed.size, record.path());
        return Err(PublishError::RecordOlder { path, public, signed, record });
    }
    if public == signed.size {
        return if root == signed.root {
            Ok(())
        } else {
            Err(PublishError::OtherTree { path, size: public })
        };
    }
    let is_between = |batch: &&Batch| {
        batch.base.size == public && batch.base.root == root && batch.new_size() == signed.size
    };
    match pending.filter(is_between) {
        Some(_) => Ok(()),
        None => Err(PublishError::PublicOlder { path, public, signed: signed.size }),
    }
}
