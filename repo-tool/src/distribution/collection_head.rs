//! The second signature on the index: the collection's log, as far as it was fetched, with the
//! distribution's timestamped signature on its head (SPEC §4).
//!
//! What was cosigned is recorded before it is signed, as for a server's own log: whatever is lost
//! or restored from a backup, two trees that contradict each other are never cosigned here.

use countersign_format::authority::{AuthorityNote, DistributionRole, LogRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{CheckpointContext, Clock, verify_first_checkpoint};
use countersign_format::signature::{Signer, cosign};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use countersign_store::{DirectoryWriter, Sink};

use super::{Distribution, DistributionError, times};
use crate::publish::{
    Assurances, HeadRecord, LogCopy, PublishError, SignedHead, copy_files, note_superseded,
    read_checkpoint, read_head, root_at,
};

const LOG: Log = Log::Collection;
/// The record of the newest head that was cosigned, in `state/`.
const RECORD: &str = "collection-head";

/// The head that was fetched last, verified anew.
#[derive(Debug)]
pub(super) struct HeldHead {
    pub(super) checkpoint: Checkpoint,
    /// As the collection signed it: lines of others are left out.
    pub(super) note: Note,
    /// As it was fetched, with the lines of witnesses, if there are any.
    pub(super) fetched: Note,
}

impl HeldHead {
    /// Reads the head of the private copy and verifies its signatures as of now.
    pub(super) fn read(
        distribution: &Distribution,
        authority: &AuthorityNote,
        role: &DistributionRole,
        clock: Clock,
    ) -> Result<Self, DistributionError> {
        let mut sink = distribution.copy_sink();
        let copy = LogCopy::open(&mut sink, LOG, &authority.collection.origin)?;
        let note = copy.note().ok_or(DistributionError::NothingSynced)?.clone();
        let file = layout::checkpoint(LOG);
        let context = CheckpointContext {
            file: file.as_str(),
            log: LOG,
            authority,
            distribution: role,
            clock,
            newest: &times::read(&distribution.directory)?,
        };
        let signed = verify_first_checkpoint(&note.to_bytes(), &context)?;
        let keys: Vec<Vkey> =
            authority.collection.keys.iter().map(|key| key.vkey.clone()).collect();
        let is_theirs = |line: &&SignatureLine| {
            keys.iter().any(|key| {
                key.name == line.name
                    && [SignatureType::Note, SignatureType::Cosignature]
                        .iter()
                        .any(|kind| key.id(*kind) == line.id)
            })
        };
        let lines = note.signatures().iter().filter(is_theirs).cloned().collect();
        let only = Note::new(note.text().to_owned(), lines);
        Ok(Self { checkpoint: signed.checkpoint.clone(), note: only, fetched: note })
    }

    /// The newest head that was cosigned here, if any was.
    pub(super) fn cosigned(
        distribution: &Distribution,
    ) -> Result<Option<SignedHead>, DistributionError> {
        let record = HeadRecord::open(&distribution.directory.state(), RECORD)?;
        Ok(record.newest().cloned())
    }

    /// Stages below `public` what it gained, along with the record that it was signed at `now` by
    /// `signers`, and returns the checkpoint with their signatures and what `others` signed: it is
    /// to be written once all that is visible.
    pub(super) fn stage(
        &self,
        distribution: &Distribution,
        public: &mut dyn Sink,
        signing: &(Vec<&dyn Signer>, Vec<SignatureLine>),
        (now, assurances): (Timestamp, Assurances),
    ) -> Result<(RepoPath, Vec<u8>), DistributionError> {
        let state = distribution.directory.state();
        let old = read_head(public, LOG)?.map_or(0, |head| head.size);
        let note = self.sign(distribution, public, signing, (now, assurances))?;
        note_superseded(LOG, (old, self.checkpoint.size), (&state, now))?;
        Ok((layout::checkpoint(LOG), note.to_bytes()))
    }

    /// Puts it where witnesses read it and nobody else, after the files that it needs. What readers
    /// see stays as it is.
    pub(super) fn put_candidate(
        &self,
        distribution: &Distribution,
        public: &mut dyn Sink,
        signing: &(Vec<&dyn Signer>, Vec<SignatureLine>),
        when: (Timestamp, Assurances),
    ) -> Result<(), DistributionError> {
        let note = self.sign(distribution, public, signing, when)?;
        public.put_mutable(&layout::candidate(LOG), &note.to_bytes())?;
        crash_point("distribution.collection-candidate");
        Ok(())
    }

    /// The head with its signatures. The new tiles, bundles and packs are staged, and the record.
    fn sign(
        &self,
        distribution: &Distribution,
        public: &mut dyn Sink,
        (signers, others): &(Vec<&dyn Signer>, Vec<SignatureLine>),
        (now, assurances): (Timestamp, Assurances),
    ) -> Result<Note, DistributionError> {
        let copy = distribution.copy_sink();
        let mut record = HeadRecord::open(&distribution.directory.state(), RECORD)?;
        let published = read_head(public, LOG)?;
        self.check(&copy, published.as_ref(), &record)?;
        record.assure(now, assurances)?;
        let time = record.time(now)?;
        let next = SignedHead::new(&self.checkpoint, time);
        record.check(&next)?;
        let mut lines = Vec::new();
        for signer in signers {
            lines.push(cosign(*signer, self.note.text(), time)?);
        }
        let old = published.map_or(0, |head| head.size);
        copy_files(&copy, public, LOG, (old, self.checkpoint.size))?;
        record.put_along(&next, public)?;
        crash_point("distribution.collection-head");
        Ok(self.note.clone().with(lines).with(others.iter().cloned()))
    }

    /// Takes the published head for the newest that was ever cosigned, since a person says so. What
    /// is recorded of this log must lead to the held head all the same. `role` has the keys that
    /// cosigned it.
    pub(super) fn adopt(
        &self,
        distribution: &Distribution,
        role: &LogRole,
    ) -> Result<(), DistributionError> {
        let Some((bytes, published)) = read_checkpoint(&distribution.public_sink(), LOG)? else {
            return Ok(());
        };
        let copy = distribution.copy_sink();
        self.check_tree(&copy, &published)?;
        let mut record = HeadRecord::open(&distribution.directory.state(), RECORD)?;
        let newest = record.newest().filter(|signed| signed.origin == published.origin);
        if let Some(signed) = newest {
            self.check_tree(&copy, &signed.checkpoint())?;
            if signed.size > published.size {
                return Ok(());
            }
        }
        let time = record.time_shown(&layout::checkpoint(LOG), &bytes, role)?;
        Ok(record.replace(&SignedHead::new(&published, time))?)
    }

    /// Checks that this head's tree goes on from what is published and from what was cosigned.
    fn check(
        &self,
        copy: &DirectoryWriter,
        published: Option<&Checkpoint>,
        record: &HeadRecord,
    ) -> Result<(), DistributionError> {
        let path = layout::checkpoint(LOG);
        match (published, record.newest()) {
            (None, _) => {}
            (Some(public), None) => {
                let (size, record) = (public.size, record.path());
                return Err(PublishError::RecordMissing { path, size, record }.into());
            }
            (Some(public), Some(signed)) if public.size > signed.size => {
                let (public, signed, record) = (public.size, signed.size, record.path());
                return Err(PublishError::RecordOlder { path, public, signed, record }.into());
            }
            (Some(public), Some(_)) => self.check_tree(copy, public)?,
        }
        match record.newest() {
            Some(signed) => self.check_tree(copy, &signed.checkpoint()),
            None => Ok(()),
        }
    }

    fn check_tree(
        &self,
        copy: &DirectoryWriter,
        earlier: &Checkpoint,
    ) -> Result<(), DistributionError> {
        let size = earlier.size;
        if size > self.checkpoint.size {
            return Err(PublishError::Fork { next: self.checkpoint.size, signed: size }.into());
        }
        if root_at(copy, LOG, self.checkpoint.size, size)? == earlier.root {
            Ok(())
        } else {
            Err(DistributionError::OtherTree { size })
        }
    }
}
