//! The next version of the authority note, while it is prepared and signed: the file `next`.
//!
//! It is a note whose signature block may still be empty, so that it can be carried to the holders
//! of keys, read there with `cat`, and signed one by one.

use std::path::Path;

use countersign_format::authority::{AuthorityNote, fingerprint};
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::{Note, NoteError, SignatureLine};
use countersign_format::policy::verify_own_signature;
use countersign_store::durable::{self, Access};

use super::AuthorityError;
use crate::role_dir::{RoleDir, RoleDirError};

const FILE: &str = "next";
const TYPE: &str = "authority/v1";

/// The next version with the signatures it has so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    note: AuthorityNote,
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Draft {
    /// A version that nobody has signed.
    pub(super) fn unsigned(note: AuthorityNote) -> Self {
        Self { text: note.to_text(), note, signatures: Vec::new() }
    }

    /// What it says. It may be incomplete until it is signed.
    pub fn note(&self) -> &AuthorityNote {
        &self.note
    }

    /// What is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of what is signed: once it is published, the note's fingerprint.
    pub fn fingerprint(&self) -> Hash32 {
        fingerprint(&self.text)
    }

    /// The signatures so far; nothing is verified here.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Whether the line of a key verifies; `None` without one.
    pub fn is_signed_by(&self, vkey: &Vkey) -> Option<bool> {
        let id = vkey.id(SignatureType::Note);
        let is_its = |line: &&SignatureLine| line.name == vkey.name && line.id == id;
        let line = self.signatures.iter().find(is_its)?;
        let note = Note::new(self.text.clone(), vec![line.clone()]);
        Some(verify_own_signature(&note.to_bytes(), FILE, vkey).is_ok())
    }

    /// Refuses a version other than the one after `newest`.
    pub(super) fn check_number(
        &self,
        newest: Option<&AuthorityNote>,
    ) -> Result<(), AuthorityError> {
        let (found, expected) = (self.note.version, newest.map_or(0, |note| note.version) + 1);
        if found == expected { Ok(()) } else { Err(AuthorityError::Number { found, expected }) }
    }

    /// Changes what it says. Signatures on another text are worth nothing, so they go.
    pub(super) fn edit<T>(&mut self, change: impl FnOnce(&mut AuthorityNote) -> T) -> T {
        let outcome = change(&mut self.note);
        let text = self.note.to_text();
        if text != self.text {
            self.signatures.clear();
            self.text = text;
        }
        outcome
    }

    /// Adds a signature line, in place of an earlier one of the same key.
    pub(super) fn add(&mut self, line: SignatureLine) {
        self.signatures.retain(|other| (&other.name, other.id) != (&line.name, line.id));
        self.signatures.push(line);
    }

    /// The note, as it would be published.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Note::new(self.text.clone(), self.signatures.clone()).to_bytes()
    }

    pub(super) fn load(directory: &RoleDir) -> Result<Option<Self>, AuthorityError> {
        let Some(bytes) = directory.read(Path::new(FILE), MAX_AUTHORITY_NOTE)? else {
            return Ok(None);
        };
        Self::parse(&bytes).map(Some)
    }

    /// Reads the file `next`, wherever it was signed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, AuthorityError> {
        let (text, signatures) = match Note::parse(bytes, MAX_AUTHORITY_NOTE) {
            Ok(note) => (note.text().to_owned(), note.signatures().to_vec()),
            Err(NoteError::NoSignatures) => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len() - 1]).into_owned();
                (text, Vec::new())
            }
            Err(error) => return Err(AuthorityError::Draft(error)),
        };
        // not `AuthorityNote::parse`: a draft may lack what a note must have
        let note = json::parse(text.as_bytes(), TYPE).map_err(AuthorityError::DraftText)?;
        Ok(Self { note, text, signatures })
    }

    pub(super) fn save(&self, directory: &RoleDir) -> Result<(), RoleDirError> {
        directory.write(Path::new(FILE), &self.to_bytes(), Access::Public)
    }

    pub(super) fn remove(directory: &RoleDir) -> Result<(), RoleDirError> {
        durable::remove(directory.path(), Path::new(FILE)).map_err(|source| RoleDirError::Io {
            action: "remove",
            path: directory.path().join(FILE),
            source,
        })
    }
}
