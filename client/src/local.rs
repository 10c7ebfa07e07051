//! Patches from files that somebody brought: the archive, its note beside it, and where the held log
//! does not have it a proof of inclusion. They pass the same gates as patches by name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use countersign_format::entry::{EntryError, PatchEntry};
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::{MerkleError, leaf_hash, verify_inclusion};
use countersign_format::note::{Note, NoteError};
use countersign_format::policy::{PatchContext, PolicyError, verify_patch};
use countersign_format::proof::{MAX_PROOF, Proof, ProofError};

use crate::catalogue::{Catalogue, Gate, KnownSource, Offer};
use crate::db::index::IndexedPatch;
use crate::db::{Database, DatabaseError};
use crate::download::Obtained;
use crate::trust::TrustError;

/// What an archive's name ends with.
pub const PATCH_ENDING: &str = "patch";
/// What its note's name ends with.
pub const NOTE_ENDING: &str = "note";
/// What the name of its proof of inclusion ends with.
pub const PROOF_ENDING: &str = "tlog-proof";

/// A patch from files.
#[derive(Debug)]
pub struct LocalPatch {
    /// The patch, as this machine sees it.
    pub offer: Offer,
    /// Its verified note and its archive.
    pub obtained: Obtained,
}

/// Why a patch from files is refused.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The note is no note.
    #[error("{} is no note", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
    /// The note's text is no patch.
    #[error("the text of {} is no patch", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EntryError,
    },
    /// No held log has the patch, and there is no proof beside it.
    #[error("no log held here has the patch of {}, and {} is not there", note.display(), proof.display())]
    NotInLog {
        /// The note.
        note: PathBuf,
        /// Where a proof would be.
        proof: PathBuf,
    },
    /// The proof cannot be read.
    #[error("{} is no proof", path.display())]
    Proof {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ProofError,
    },
    /// The proof does not show that the patch is in the log.
    #[error("{} does not prove that the patch is in the collection's log", path.display())]
    Inclusion {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MerkleError,
    },
    /// The proof is about a log of no configured source.
    #[error("{} is about {origin}, the log of no source of this machine", path.display())]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// The log.
        origin: String,
    },
    /// The proof is about an entry within what is held, which is not that patch.
    #[error("the held log has no patch at entry {index}, of which {} speaks", path.display())]
    PassedOver {
        /// The file.
        path: PathBuf,
        /// The entry.
        index: u64,
    },
    /// A signature does not suffice.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// What the state holds cannot be trusted, or the proof's checkpoint.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl LocalPatch {
    /// Reads the patch at `path`, with its note and if need be its proof beside it, and verifies
    /// its note. The archive is opened; it is verified while it is unpacked.
    pub fn read(
        path: &Path,
        database: &Database,
        catalogue: &Catalogue,
    ) -> Result<Self, LocalError> {
        let note_path = path.with_extension(NOTE_ENDING);
        let bytes = read(&note_path, MAX_NOTE)?;
        let note = Note::parse(&bytes, MAX_NOTE)
            .map_err(|source| LocalError::Note { path: note_path.clone(), source })?;
        let text = note.text().as_bytes();
        let entry = PatchEntry::parse(text)
            .map_err(|source| LocalError::Entry { path: note_path.clone(), source })?;
        let held = catalogue.offers_of_archive(database, &entry.archive.sha256)?.into_iter().next();
        let (offer, released) = match held {
            Some(offer) => {
                // one that was never released has no countersignature that could count
                let released = catalogue.sources()[offer.source].first_release(offer.patch.leaf);
                (offer, released.unwrap_or(u64::MAX))
            }
            // only keys that are not retired count where the entry of the release is not known
            None => match prove(path, text, entry, catalogue) {
                Ok(offer) => (offer, u64::MAX),
                Err(error) => {
                    return Err(unsigned(&note_path, &bytes, text, catalogue).unwrap_or(error));
                }
            },
        };
        let known = &catalogue.sources()[offer.source];
        let file = note_path.display().to_string();
        let context = PatchContext {
            file: &file,
            authority: known.trust.authority(),
            entry: &offer.patch.bytes,
            index: offer.patch.leaf,
        };
        let note = verify_patch(&bytes, &context, known.trust.distribution()?, released)?;
        let archive = File::open(path).map_err(file_error(path))?;
        Ok(Self { offer, obtained: Obtained { note, archive } })
    }
}

/// What is wrong with the signatures on the note of a patch that is in no log. It says more about a
/// forged patch than that it is not in the log.
fn unsigned(path: &Path, note: &[u8], text: &[u8], catalogue: &Catalogue) -> Option<LocalError> {
    let file = path.display().to_string();
    let judge = |known: &KnownSource| {
        let authority = known.trust.authority();
        let context = PatchContext { file: &file, authority, entry: text, index: u64::MAX };
        verify_patch(note, &context, known.trust.distribution().ok()?, u64::MAX).err()
    };
    let refusals: Option<Vec<PolicyError>> = catalogue.sources().iter().map(judge).collect();
    refusals?.into_iter().next().map(LocalError::Policy)
}

/// Takes a patch that the held log does not have by the proof beside it. Its countersignature, which
/// a distribution makes when it releases a patch, stands for the release.
fn prove(
    path: &Path,
    text: &[u8],
    entry: PatchEntry,
    catalogue: &Catalogue,
) -> Result<Offer, LocalError> {
    let proof_path = path.with_extension(PROOF_ENDING);
    let bytes = match read(&proof_path, MAX_PROOF) {
        Err(LocalError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let note = path.with_extension(NOTE_ENDING);
            return Err(LocalError::NotInLog { note, proof: proof_path });
        }
        bytes => bytes?,
    };
    let proof = Proof::parse(&bytes)
        .map_err(|source| LocalError::Proof { path: proof_path.clone(), source })?;
    let origin = proof.checkpoint.text().lines().next().unwrap_or_default();
    let is_of = |known: &KnownSource| known.trust.authority().collection.origin.as_str() == origin;
    let Some(source) = catalogue.sources().iter().position(is_of) else {
        return Err(LocalError::OtherLog { path: proof_path, origin: origin.to_owned() });
    };
    let known = &catalogue.sources()[source];
    let head = &known.heads.collection;
    let signed = known.trust.verify_head(head, &proof.checkpoint.to_bytes(), known.clock)?;
    let checkpoint = &signed.checkpoint;
    verify_inclusion(
        leaf_hash(text),
        proof.index,
        checkpoint.size,
        &proof.hashes,
        &checkpoint.root,
    )
    .map_err(|source| LocalError::Inclusion { path: proof_path.clone(), source })?;
    if proof.index < head.size() {
        return Err(LocalError::PassedOver { path: proof_path, index: proof.index });
    }
    let platform = entry.platform.clone();
    let gate = if catalogue.fits(&entry) { Gate::Open } else { Gate::Platform(platform) };
    let indexed = IndexedPatch { leaf: proof.index, entry, bytes: text.to_vec() };
    Ok(Offer { source, patch: indexed, gate })
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LocalError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(file_error(path))?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(file_error(path))?;
    Ok(bytes)
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    move |source| LocalError::File { path: path.to_owned(), source }
}
