//! The next version as a file for one holder of a key, and what comes back (SPEC §5.2).
//!
//! Each holder gets the same file and signs a copy of it, at the same time as the others, on a
//! machine that has nothing else of the authority. What comes back is put together line by line.

use countersign_format::authority::{AuthorityNote, fingerprint};
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{Chain, verify_own_signature};
use countersign_format::signature::{Signer as _, sign_note};
use countersign_format::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::publish::open_signer;
use super::{Authority, AuthorityError, Draft, Standing};
use crate::history;
use crate::key_store::{KeyLocation, Passphrases};

const TYPE: &str = "authority-request/v1";
/// Longest of these files: two notes, of which JSON writes each line break as two characters.
pub const MAX_REQUEST: usize = 4 * MAX_AUTHORITY_NOTE;

/// The next version with the signatures it has, and the published one that it follows.
#[derive(Debug)]
pub struct DraftRequest {
    current: Option<Published>,
    draft: Draft,
}

/// The published version, as it lies below `public/authority/`.
#[derive(Debug)]
struct Published {
    text: String,
    chain: Chain,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    next: String,
}

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Keys whose signatures are new.
    pub new: Vec<KeyName>,
    /// Keys whose signatures were there.
    pub known: Vec<KeyName>,
}

#[derive(Serialize)]
struct ImportDetails<'a> {
    version: u64,
    new: &'a [KeyName],
}

impl DraftRequest {
    /// Whether bytes say of themselves that they are such a file.
    pub fn is_one(bytes: &[u8]) -> bool {
        json::first_type(bytes).is_ok_and(|kind| kind == TYPE)
    }

    /// Reads the file called `file`. The published version in it must be signed by its own keys,
    /// and the next one must be complete and allowed to follow it.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, AuthorityError> {
        let File { current, next } =
            json::parse(bytes, TYPE).map_err(AuthorityError::RequestFile)?;
        let published = |text: String| {
            let chain = Chain::enroll(text.as_bytes(), file)?;
            Ok::<_, AuthorityError>(Published { text, chain })
        };
        let current = current.map(published).transpose()?;
        let draft = Draft::parse(next.as_bytes())?;
        draft.note().check().map_err(AuthorityError::Incomplete)?;
        if let Some(current) = &current {
            current.chain.check_successor(draft.note())?;
        }
        Ok(Self { current, draft })
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let current = self.current.as_ref().map(|published| published.text.clone());
        let next = String::from_utf8(self.draft.to_bytes()).expect("a note is UTF-8");
        json::print_pretty(TYPE, &File { current, next })
    }

    /// The published note that the next one follows.
    pub fn newest(&self) -> Option<&AuthorityNote> {
        self.current.as_ref().map(|current| &**current.chain.newest())
    }

    /// The SHA-256 of that note's text, for a holder to compare with what they know.
    pub fn fingerprint(&self) -> Option<Hash32> {
        self.current.as_ref().map(|current| current.chain.fingerprint())
    }

    /// The next version.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Adds the signature of the key at `location`, which one of the two versions lists.
    pub fn sign(
        &mut self,
        location: &KeyLocation,
        passphrases: &Passphrases,
    ) -> Result<KeyName, AuthorityError> {
        let signer = open_signer(self.newest(), &self.draft, location, passphrases)?;
        self.draft.add(sign_note(&signer, self.draft.text())?);
        Ok(signer.name().clone())
    }

    /// Who has signed and who is still to, by both versions' keys.
    pub fn standing(&self) -> Vec<Standing> {
        Standing::all(self.newest(), &self.draft)
    }
}

impl Authority {
    /// The next version as a file for those who are to sign it.
    pub fn export(&self) -> Result<DraftRequest, AuthorityError> {
        let draft = self.prepared()?.ok_or(AuthorityError::NothingPrepared)?;
        draft.note().check().map_err(AuthorityError::Incomplete)?;
        draft.check_number(self.newest())?;
        let current = match self.chain() {
            None => None,
            Some(chain) => {
                let bytes = self.published_file(chain.newest().version)?;
                let text = String::from_utf8(bytes).expect("an accepted note is UTF-8");
                Some(Published { text, chain: chain.clone() })
            }
        };
        Ok(DraftRequest { current, draft })
    }

    /// Takes the signatures that a holder brings back: in the file that [`Self::export`] wrote, or
    /// in a copy of `next`. They must be on the very text that is prepared, of keys that one of the
    /// two versions lists, and good; all of the file or nothing.
    pub fn import(
        &self,
        bytes: &[u8],
        file: &str,
        now: Timestamp,
    ) -> Result<(Merged, Draft), AuthorityError> {
        let brought = if DraftRequest::is_one(bytes) {
            DraftRequest::parse(bytes, file)?.draft
        } else {
            Draft::parse(bytes)
                .map_err(|error| AuthorityError::NothingSigned(file.to_owned(), Box::new(error)))?
        };
        let mut draft = self.prepared()?.ok_or(AuthorityError::NothingPrepared)?;
        let (found, expected) = (brought.note().version, draft.note().version);
        if found != expected {
            return Err(AuthorityError::OtherVersion { found, expected });
        }
        if brought.text() != draft.text() {
            return Err(AuthorityError::OtherDraft {
                found: fingerprint(brought.text()),
                expected: fingerprint(draft.text()),
            });
        }
        let mut merged = Merged::default();
        for line in brought.signatures() {
            let key = self.listed_key(line, &draft)?;
            let note = Note::new(draft.text().to_owned(), vec![line.clone()]);
            verify_own_signature(&note.to_bytes(), file, &key).map_err(|source| {
                let (name, file) = (key.name.clone(), file.to_owned());
                AuthorityError::BadSignature { name, file, source: Box::new(source) }
            })?;
            let is_known = draft.signatures().contains(line);
            if is_known { &mut merged.known } else { &mut merged.new }.push(key.name);
            draft.add(line.clone());
        }
        if !merged.new.is_empty() {
            self.save(&draft)?;
            let details = ImportDetails { version: draft.note().version, new: &merged.new };
            history::record(self.directory(), now, "import", &details)?;
        }
        Ok((merged, draft))
    }

    /// The authority's key that a line says it is of.
    fn listed_key(&self, line: &SignatureLine, draft: &Draft) -> Result<Vkey, AuthorityError> {
        let listed = self.newest().into_iter().chain([draft.note()]);
        let is_its = |key: &&Vkey| key.name == line.name && key.id(SignatureType::Note) == line.id;
        let found = listed.flat_map(|note| &note.authority.keys).find(is_its).cloned();
        found.ok_or_else(|| AuthorityError::ForeignLine(line.name.clone()))
    }
}
