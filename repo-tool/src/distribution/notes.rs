//! The second signature on patches: archives and countersigned notes, put where readers look for
//! them. Looking at them goes on on all processors; keys sign one thing after the other.

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::entry::PatchEntry;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{
    FirstVerified, PatchContext, PatchNote, verify_first_patch, verify_patch,
};
use countersign_store::Sink;

use super::collection_head::HeldHead;
use super::{Distribution, DistributionError, archive};
use crate::publish::{EntryReader, PublishError};
use crate::side_by_side::in_turn;

/// What notes are judged by.
pub(super) struct Notes<'n> {
    pub(super) distribution: &'n Distribution,
    pub(super) authority: &'n AuthorityNote,
    pub(super) role: &'n DistributionRole,
}

/// A patch that is released.
struct Wanted {
    index: u64,
    /// The entry of the distribution's log that releases it.
    released: u64,
    /// Its own entry.
    bytes: Vec<u8>,
}

/// What is to be done for it.
struct Checked {
    verified: FirstVerified<PatchNote>,
    path: RepoPath,
    has_archive: bool,
    has_note: bool,
    /// Whether the note that is there is good.
    is_done: bool,
}

impl Notes<'_> {
    /// Puts archive and countersigned note of each patch, given along with the entry that releases
    /// it, where readers look for them; they look once that entry is published. Returns the patches
    /// whose notes were countersigned now.
    pub(super) fn put(
        &self,
        public: &mut dyn Sink,
        head: &HeldHead,
        released: Vec<(u64, u64)>,
        countersign: impl Fn(&PatchNote) -> Result<Note, DistributionError> + Sync,
    ) -> Result<Vec<(u64, PatchEntry)>, DistributionError> {
        let copy = self.distribution.copy_sink();
        let mut entries = EntryReader::new(copy, Log::Collection, head.checkpoint.size);
        let mut wanted = Vec::new();
        for (index, released) in released {
            wanted.push(Wanted { index, released, bytes: entries.read(index)? });
        }
        let (mut countersigned, mut replaced) = (Vec::new(), Vec::new());
        let make = |wanted: &Wanted| {
            let checked = self.check(wanted)?;
            if checked.is_done {
                return Ok((checked, None));
            }
            let note = countersign(&checked.verified)?.to_bytes();
            // what readers would refuse is not published
            self.judge(wanted, &checked.path, &note)?;
            Ok((checked, Some(note)))
        };
        in_turn(&wanted, make, |wanted, (checked, note)| {
            let entry = checked.verified.entry.clone();
            if !checked.has_archive {
                let archive = layout::archive(&entry.archive.sha256);
                public.put_immutable_link(&archive, &self.distribution.copy().join(&archive))?;
            }
            match note {
                None => return Ok(()),
                // its signature was made with a key that was retired since
                Some(note) if checked.has_note => replaced.push((checked.path, note)),
                Some(note) => drop(public.put_immutable(&checked.path, &note)?),
            }
            countersigned.push((wanted.index, entry));
            Ok::<_, DistributionError>(())
        })?;
        if !replaced.is_empty() {
            public.put_heads(&replaced)?;
        }
        Ok(countersigned)
    }

    /// Verifies the first signature, and that the archive that is held is what it was.
    fn check(&self, wanted: &Wanted) -> Result<Checked, DistributionError> {
        let (copy, public) = (self.distribution.copy_sink(), self.distribution.public_sink());
        let entry = PatchEntry::parse(&wanted.bytes)?;
        let path = layout::patch_note(&entry.archive.sha256);
        let first = copy.read(&path, MAX_NOTE as u64)?;
        let first = first.ok_or_else(|| PublishError::Missing(path.clone()))?;
        let verified = verify_first_patch(&first, &self.context(wanted, &path))?;
        let archive = layout::archive(&entry.archive.sha256);
        let has_archive = public.size(&archive)? == Some(entry.archive.size);
        if !has_archive {
            archive::check_hash(&self.distribution.copy().join(&archive), &entry)?;
        }
        let present = public.read(&path, MAX_NOTE as u64)?;
        let is_done =
            present.as_ref().is_some_and(|present| self.judge(wanted, &path, present).is_ok());
        Ok(Checked { verified, path, has_archive, has_note: present.is_some(), is_done })
    }

    /// Judges a note as readers do.
    fn judge(
        &self,
        wanted: &Wanted,
        path: &RepoPath,
        note: &[u8],
    ) -> Result<(), DistributionError> {
        let context = self.context(wanted, path);
        verify_patch(note, &context, self.role, wanted.released)?;
        Ok(())
    }

    fn context<'c>(&'c self, wanted: &'c Wanted, path: &'c RepoPath) -> PatchContext<'c> {
        let (authority, entry) = (self.authority, wanted.bytes.as_slice());
        PatchContext { file: path.as_str(), authority, entry, index: wanted.index }
    }
}
