//! Layer 2: patch notes (SPEC §3.2).

use crate::authority::{AuthorityNote, DistributionRole, LogRole};
use crate::entry::PatchEntry;
use crate::key::SignatureType;
use crate::limits::MAX_NOTE;
use crate::note::{Note, SignatureLine};

use super::{
    Candidate, Counted, FirstVerified, Form, Layer, PolicyError, Refusal, Requirement, Role,
    Verified, decide,
};

/// What a patch note is judged by.
#[derive(Clone, Copy, Debug)]
pub struct PatchContext<'a> {
    /// The file's name, for messages.
    pub file: &'a str,
    /// The newest authority note.
    pub authority: &'a AuthorityNote,
    /// The entry of the collection's log, newline included.
    pub entry: &'a [u8],
    /// Leaf index of that entry.
    pub index: u64,
}

/// A patch note with the signatures that counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchNote {
    /// What the note says of the patch.
    pub entry: PatchEntry,
    /// Leaf index in the collection's log.
    pub index: u64,
    /// The note.
    pub note: Note,
    /// The signatures that counted.
    pub counted: Vec<Counted>,
}

/// Verifies a patch note for a client or a mirror of `distribution`: its text is the log's entry,
/// signed by a threshold of collection keys that are valid at that index and countersigned, over
/// exactly those lines, by a threshold of distribution keys. `released` is the index of the entry of
/// the distribution's log that first released the patch.
pub fn verify_patch(
    bytes: &[u8],
    context: &PatchContext<'_>,
    distribution: &DistributionRole,
    released: u64,
) -> Result<Verified<PatchNote>, PolicyError> {
    let judge = || {
        let note = Note::parse(bytes, MAX_NOTE)?;
        let countersigned = Requirement {
            role: Role::Distribution(distribution.name.clone()),
            form: Form::Countersignature(collection_lines(&note, context.authority)),
            threshold: distribution.log.threshold,
            candidates: candidates(&distribution.log, released),
        };
        let counted = match decide(&note, &[context.first(), countersigned]) {
            // a countersignature cannot verify where a first signature is gone: that is to be said
            Err(bad @ Refusal::BadSignature { role: Role::Distribution(_), .. }) => {
                return Err(decide(&note, &[context.first()]).err().unwrap_or(bad));
            }
            decided => decided?,
        };
        context.note(note.clone(), counted)
    };
    judge().map(Verified).map_err(PolicyError::at(context.file, Layer::Archive))
}

/// Verifies a patch note for a distribution: the collection's signatures only.
pub fn verify_first_patch(
    bytes: &[u8],
    context: &PatchContext<'_>,
) -> Result<FirstVerified<PatchNote>, PolicyError> {
    let judge = || {
        let note = Note::parse(bytes, MAX_NOTE)?;
        let counted = decide(&note, &[context.first()])?;
        context.note(note, counted)
    };
    judge().map(FirstVerified).map_err(PolicyError::at(context.file, Layer::Archive))
}

/// The collection's lines on a note, in their order: what a countersignature covers. A line is the
/// collection's when its name and ID are those of a key that the authority lists for it.
pub fn collection_lines<'n>(note: &'n Note, authority: &AuthorityNote) -> Vec<&'n SignatureLine> {
    let is_listed = |line: &&SignatureLine| {
        authority
            .collection
            .keys
            .iter()
            .any(|key| key.id == line.name && key.vkey.id(SignatureType::Note) == line.id)
    };
    note.signatures().iter().filter(is_listed).collect()
}

impl<'a> PatchContext<'a> {
    fn first(&self) -> Requirement<'a> {
        let collection = &self.authority.collection;
        Requirement {
            role: Role::Collection,
            form: Form::Note,
            threshold: collection.threshold,
            candidates: candidates(collection, self.index),
        }
    }

    fn note(&self, note: Note, counted: Vec<Counted>) -> Result<PatchNote, Refusal> {
        if note.text().as_bytes() != self.entry {
            return Err(Refusal::OtherEntry { index: self.index });
        }
        let entry = PatchEntry::parse(self.entry)?;
        Ok(PatchNote { entry, index: self.index, note, counted })
    }
}

/// All keys of a role; a retired one counts for indexes below its `until`.
fn candidates(role: &LogRole, index: u64) -> Vec<Candidate<'_>> {
    let retired = |until: Option<u64>| until.filter(|until| index >= *until);
    role.keys
        .iter()
        .map(|key| Candidate { name: &key.id, key: &key.vkey.key, retired: retired(key.until) })
        .collect()
}
