//! What a file is, for people: notes, checkpoints, archives, proofs, tiles, and who signed them.
//!
//! In scope: telling files apart by what is in them, and checking each signature line on its own
//! where its key is known. Out of scope: whether signatures suffice, which
//! [`countersign_format::policy`] decides where a repository is read.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use countersign_format::archive::{ArchiveError, ArchiveReader, Checked};
use countersign_format::authority::AuthorityNote;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::directory::DirectoryNote;
use countersign_format::entry::{CollectionEntry, DistributionEntry, PatchEntry};
use countersign_format::issue::{Acceptance, Grant, Request};
use countersign_format::layout::Place;
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_BUNDLE, MAX_PACK};
use countersign_format::note::Note;
use countersign_format::proof::Proof;
use serde::Serialize;

mod describe;
mod signatures;
#[cfg(test)]
mod tests;

pub use describe::Field;
pub use signatures::{KnownKeys, SignatureShown, Verdict};

/// Largest file that is read into memory: a pack. Archives are streamed.
pub const MAX_INSPECTED: u64 = MAX_PACK;
/// What a zstd frame begins with (RFC 8878 §3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file and what it is.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// What it is, in words.
    pub kind: &'static str,
    /// What it says.
    pub fields: Vec<Field>,
    /// Its signature lines.
    pub signatures: Vec<SignatureShown>,
}

/// Why a file was not shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It could not be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// It is longer than any file of a repository but archives.
    #[error("it is longer than {MAX_INSPECTED} bytes")]
    TooLong,
    /// It begins like an archive or a pack, and is neither.
    #[error("it is neither a pack nor an archive that a client would unpack")]
    Archive(#[source] ArchiveError),
    /// It is nothing that a repository has.
    #[error("it is no note, checkpoint, archive, proof, tile, entry bundle or pack")]
    Unknown,
}

/// Finds out what an open file is. `place` is where a repository would have it, if its path says
/// so: tiles and bundles cannot always be told apart by their bytes.
pub fn inspect_file(
    file: &mut File,
    place: Option<Place>,
    keys: &KnownKeys,
) -> Result<Inspected, InspectError> {
    let mut start = Vec::new();
    (&mut *file).take(ZSTD.len() as u64).read_to_end(&mut start)?;
    file.rewind()?;
    if start != ZSTD {
        return inspect(&read(file)?, place, keys);
    }
    let error = match archive(file) {
        Ok(checked) => return Ok(describe::archive(&checked)),
        Err(error) => error,
    };
    file.rewind()?;
    describe::pack(&read(file)?).ok_or(InspectError::Archive(error))
}

/// Finds out what a file in memory is.
pub fn inspect(
    bytes: &[u8],
    place: Option<Place>,
    keys: &KnownKeys,
) -> Result<Inspected, InspectError> {
    match place {
        Some(Place::Tile { .. }) => {
            return describe::tile(bytes).ok_or(InspectError::Unknown);
        }
        Some(Place::Bundle { .. }) => {
            return describe::bundle(bytes).ok_or(InspectError::Unknown);
        }
        _ => {}
    }
    if bytes.starts_with(&ZSTD) {
        return in_memory_frame(bytes);
    }
    if let Ok(proof) = Proof::parse(bytes) {
        return Ok(describe::proof(&proof, keys));
    }
    if let Ok(note) = Note::parse(bytes, MAX_AUTHORITY_NOTE) {
        return Ok(of_note(&note, bytes, keys));
    }
    let unsigned = of_text(bytes).or_else(|| describe::bundle(bytes));
    unsigned.or_else(|| describe::tile(bytes)).ok_or(InspectError::Unknown)
}

fn in_memory_frame(bytes: &[u8]) -> Result<Inspected, InspectError> {
    let error = match ArchiveReader::open_unannounced(bytes).and_then(ArchiveReader::finish) {
        Ok(checked) => return Ok(describe::archive(&checked)),
        Err(error) => error,
    };
    describe::pack(bytes).ok_or(InspectError::Archive(error))
}

fn of_note(note: &Note, bytes: &[u8], keys: &KnownKeys) -> Inspected {
    let text = note.text();
    if let Ok(entry) = PatchEntry::parse(text.as_bytes()) {
        describe::patch_note(&entry, note, keys)
    } else if let Ok(authority) = AuthorityNote::parse(text) {
        describe::authority(&authority, note, bytes, keys)
    } else if let Ok(directory) = DirectoryNote::parse(text) {
        describe::directory(&directory, note, keys)
    } else if let Ok(checkpoint) = Checkpoint::parse(text) {
        describe::checkpoint(&checkpoint, note, keys)
    } else if let Ok(acceptance) = Acceptance::verify(bytes, "acceptance") {
        describe::acceptance(&acceptance, note)
    } else {
        describe::other(note, keys)
    }
}

/// Texts without signatures: the messages of key issue, and entries of logs.
fn of_text(bytes: &[u8]) -> Option<Inspected> {
    if let Ok(request) = Request::parse(bytes) {
        return Some(describe::request(&request));
    }
    if let Ok(grant) = Grant::parse(bytes) {
        return Some(describe::grant(&grant));
    }
    let is_entry = CollectionEntry::parse(bytes).is_ok() || DistributionEntry::parse(bytes).is_ok();
    is_entry.then(|| describe::entry(bytes))
}

fn archive(file: &File) -> Result<Checked, ArchiveError> {
    ArchiveReader::open_unannounced(file)?.finish()
}

fn read(file: &File) -> Result<Vec<u8>, InspectError> {
    let mut bytes = Vec::new();
    file.take(MAX_INSPECTED + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INSPECTED {
        return Err(InspectError::TooLong);
    }
    Ok(bytes)
}

const _: () = assert!(MAX_BUNDLE as u64 <= MAX_INSPECTED, "bundles are read into memory");
