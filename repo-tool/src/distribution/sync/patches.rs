//! Notes and archives of new patches: fetched one after the other, looked at on all processors.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use countersign_format::authority::AuthorityNote;
use countersign_format::entry::PatchEntry;
use countersign_format::key::KeyName;
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::policy::{PatchContext, verify_first_patch};
use countersign_store::crash::crash_point;
use countersign_store::{Download, Sink};

use super::{Fetch, NewPatch, Progress};
use crate::distribution::{DistributionError, archive};
use crate::side_by_side::in_turn;

/// Patches that are fetched before they are looked at: each is an open file.
const AT_ONCE: usize = 64;
/// Archives of at most so many bytes are kept in memory until they are staged.
const SMALL: u64 = 64 * 1024;
/// Bytes of archives that are fetched before they are looked at, unless a single one has more.
const MAX_AT_ONCE: u64 = 16 * 1024 * 1024;
/// Archives of so many bytes may have to be fetched once more after a run that was killed: a sync
/// for each would take longer than fetching them.
pub(super) const MAX_STAGED: u64 = 64 * 1024 * 1024;

/// A patch on its way.
struct Coming<'e> {
    index: u64,
    entry: &'e PatchEntry,
    /// Its entry as the log has it.
    bytes: &'e [u8],
    /// Its note, and where that is to be.
    note: Vec<u8>,
    path: RepoPath,
    /// What is held under the note's name.
    held: Held,
    /// The archive as it came, unless it is held.
    archive: Option<Arrived>,
}

/// An archive as it came.
enum Arrived {
    /// A small one, which is in no file yet.
    Whole(Vec<u8>),
    /// What it was downloaded to, at this path.
    Part(PathBuf, File),
}

/// What is held under a note's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// The note: an interrupted run fetched it.
    It,
    /// That of a log that was left, which says something else of the same archive.
    Another,
}

/// How many of some patches are fetched at once.
fn portion_of(patches: &[&NewPatch]) -> usize {
    portion(patches.iter().map(|patch| patch.entry.archive.size)).min(patches.len())
}

/// How many of the archives with these sizes are fetched at once.
fn portion(sizes: impl Iterator<Item = u64>) -> usize {
    let mut total = 0;
    let fits = |size: &u64| {
        total += size;
        total <= MAX_AT_ONCE
    };
    sizes.take(AT_ONCE).take_while(fits).count().max(1)
}

impl Fetch<'_> {
    /// Fetches and verifies notes and archives of patches, unless an interrupted run did, and stages
    /// them. `entries` are those of the log from an index on. Returns whose signatures counted on each
    /// note.
    pub(super) async fn patches(
        &self,
        sink: &mut dyn Sink,
        patches: &[&NewPatch],
        (from, entries): (u64, &[Vec<u8>]),
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Vec<KeyName>>, DistributionError> {
        let (mut signed, mut staged) = (Vec::new(), 0);
        let (mut arrived, mut rest) = (Vec::new(), patches);
        loop {
            let portion;
            (portion, rest) = rest.split_at(portion_of(rest));
            let mut coming = Vec::new();
            for patch in portion {
                let place = usize::try_from(patch.index - from).expect("held in memory");
                coming.push(self.note(sink, patch, &entries[place]).await?);
            }
            signed.extend(self.look_at(sink, &arrived, &coming)?);
            staged += arrived.iter().map(|it| it.entry.archive.size).sum::<u64>();
            if staged >= MAX_STAGED {
                sink.sync()?;
                staged = 0;
            }
            if coming.is_empty() {
                return Ok(signed);
            }
            // nothing is asked for that nobody signed
            for coming in &mut coming {
                let path = layout::archive(&coming.entry.archive.sha256);
                if sink.size(&path)? != Some(coming.entry.archive.size) {
                    coming.archive = Some(self.archive(&path, coming.entry, progress).await?);
                }
            }
            arrived = coming;
        }
    }

    /// Stages what has `arrived`, once it is verified, and verifies the notes of what is `coming`
    /// meanwhile. Returns whose signatures counted on those.
    fn look_at(
        &self,
        sink: &mut dyn Sink,
        arrived: &[Coming<'_>],
        coming: &[Coming<'_>],
    ) -> Result<Vec<Vec<KeyName>>, DistributionError> {
        let all: Vec<_> = arrived.iter().chain(coming).enumerate().collect();
        let has_arrived = |at: usize| at < arrived.len();
        let verify = |(at, patch): &(usize, &Coming<'_>)| {
            if has_arrived(*at) {
                patch.check().map(|()| Vec::new())
            } else {
                patch.signed_by(self.authority)
            }
        };
        let mut signed = Vec::new();
        in_turn(&all, verify, |(at, patch), signed_by| {
            if has_arrived(*at) {
                patch.land(sink)?;
                crash_point("sync.patch");
            } else {
                signed.push(signed_by);
            }
            Ok(())
        })?;
        Ok(signed)
    }

    /// The note of a patch: the one that is held, or else the collection's.
    async fn note<'e>(
        &self,
        sink: &dyn Sink,
        new: &'e NewPatch,
        bytes: &'e [u8],
    ) -> Result<Coming<'e>, DistributionError> {
        let (index, entry) = (new.index, &new.entry);
        let path = layout::patch_note(&entry.archive.sha256);
        let (note, held) = match sink.read(&path, MAX_NOTE as u64)? {
            Some(note) => (note, Held::It),
            None => (self.get(&path, MAX_NOTE).await?, Held::Nothing),
        };
        let mut coming = Coming { index, entry, bytes, note, path, held, archive: None };
        if held == Held::It && coming.signed_by(self.authority).is_err() {
            coming.note = self.get(&coming.path, MAX_NOTE).await?;
            coming.held = Held::Another;
        }
        Ok(coming)
    }

    /// Fetches an archive; one that is not small goes on where an interrupted run ended.
    async fn archive(
        &self,
        path: &RepoPath,
        entry: &PatchEntry,
        progress: &mut Progress<'_>,
    ) -> Result<Arrived, DistributionError> {
        if entry.archive.size <= SMALL {
            let bytes = self.get(path, usize::try_from(SMALL).expect("it fits in memory")).await?;
            progress(entry, bytes.len() as u64);
            return Ok(Arrived::Whole(bytes));
        }
        let incoming = self.distribution.directory.incoming();
        let part = incoming.join(format!("{}.part", entry.archive.sha256));
        let open = OpenOptions::new().read(true).append(true).create(true).open(&part);
        let mut file = open.map_err(DistributionError::io("open", &part))?;
        let request = Download { size: entry.archive.size };
        let told = |bytes| progress(entry, bytes);
        if !self.source.download(path, &request, &mut file, told).await? {
            return Err(self.not_there(path));
        }
        Ok(Arrived::Part(part, file))
    }
}

impl Coming<'_> {
    /// Verifies the note. Returns whose signatures counted.
    fn signed_by(&self, authority: &AuthorityNote) -> Result<Vec<KeyName>, DistributionError> {
        let (file, entry, index) = (self.path.as_str(), self.bytes, self.index);
        let context = PatchContext { file, authority, entry, index };
        let verified = verify_first_patch(&self.note, &context)?;
        Ok(verified.counted.iter().map(|signature| signature.name.clone()).collect())
    }

    /// Verifies the archive as it came.
    fn check(&self) -> Result<(), DistributionError> {
        match &self.archive {
            None => Ok(()),
            Some(Arrived::Whole(bytes)) => archive::check(bytes.as_slice(), self.entry),
            Some(Arrived::Part(part, file)) => {
                let checked = archive::check_file(file, part, self.entry);
                if checked.is_err() {
                    // another try shall not go on from the wrong bytes
                    fs::remove_file(part).map_err(DistributionError::io("remove", part))?;
                }
                checked
            }
        }
    }

    /// Stages both files.
    fn land(&self, sink: &mut dyn Sink) -> Result<(), DistributionError> {
        let archive = layout::archive(&self.entry.archive.sha256);
        match &self.archive {
            None => {}
            Some(Arrived::Whole(bytes)) => drop(sink.put_immutable(&archive, bytes)?),
            // what it came in is removed in the end: until then the next run finds it whole
            Some(Arrived::Part(part, _)) => drop(sink.put_immutable_link(&archive, part)?),
        }
        match self.held {
            Held::It => {}
            Held::Another => sink.put_mutable(&self.path, &self.note)?,
            Held::Nothing => drop(sink.put_immutable(&self.path, &self.note)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_bounded_and_never_empty() {
        assert_eq!(portion([MAX_AT_ONCE + 1, 1].into_iter()), 1);
        assert_eq!(portion([MAX_AT_ONCE, 1].into_iter()), 1);
        assert_eq!(portion([1, MAX_AT_ONCE - 1, 1].into_iter()), 2);
        assert_eq!(portion(std::iter::repeat_n(1, 1000)), AT_ONCE);
        assert_eq!(portion([7].into_iter()), 1);
    }
}
