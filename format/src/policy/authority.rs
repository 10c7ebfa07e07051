//! The chain of authority notes (SPEC §5.2).

use std::collections::BTreeSet;

use crate::authority::{AuthorityNote, LogRole, ServerKey, fingerprint};
use crate::hash::Hash32;
use crate::key::{KeyName, PublicKey, Vkey};
use crate::limits::MAX_AUTHORITY_NOTE;
use crate::note::Note;
use crate::text::DistributionName;

use super::{Candidate, Form, Layer, PolicyError, Requirement, Role, Verified, decide};

/// The authority notes from the enrolled one up to the newest accepted one: what a reader trusts.
#[derive(Clone, Debug)]
pub struct Chain {
    newest: Verified<AuthorityNote>,
    fingerprint: Hash32,
    past: Past,
}

/// What may not come back.
#[derive(Clone, Debug, Default)]
struct Past {
    /// Origins that were left.
    left: BTreeSet<KeyName>,
    /// Server keys that were retired, under whatever origin.
    retired: BTreeSet<PublicKey>,
}

/// Why an authority note may not follow the ones before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The version in the note is not the one in its file's name.
    #[error("the note says version {found}, its file's name says {expected}")]
    FileVersion {
        /// By the file's name.
        expected: u64,
        /// By the note.
        found: u64,
    },
    /// The version is not above the accepted one.
    #[error("version {found} does not follow version {accepted}")]
    Order {
        /// The newest accepted version.
        accepted: u64,
        /// The note's version.
        found: u64,
    },
    /// The authority's name changed.
    #[error("the authority's name changed from {from} to {to}")]
    Name {
        /// Before.
        from: KeyName,
        /// In this note.
        to: KeyName,
    },
    /// A key that was listed under an origin is gone or altered.
    #[error("the key of {id}, epoch {epoch}, is no longer listed under {origin} as it was")]
    Dropped {
        /// The key's identity.
        id: KeyName,
        /// Its epoch.
        epoch: u32,
        /// The log's name.
        origin: KeyName,
    },
    /// A retired key came back, or its end was put off.
    #[error("the key of {id}, epoch {epoch}, was retired at {until} and is listed beyond that")]
    Revived {
        /// The key's identity.
        id: KeyName,
        /// Its epoch.
        epoch: u32,
        /// The index it was retired at.
        until: u64,
    },
    /// A retired key is in use again, under another origin or in another role.
    #[error("the key {0} was retired and is listed as one in use")]
    KeyReturned(String),
    /// An origin that was left came back.
    #[error("the origin {0} was left and may not come back")]
    OriginReturned(KeyName),
}

impl Chain {
    /// Begins a chain with the enrolled note, which was had out of band: its own threshold signs it.
    pub fn enroll(bytes: &[u8], file: &str) -> Result<Self, PolicyError> {
        let judge = || {
            let note = Note::parse(bytes, MAX_AUTHORITY_NOTE)?;
            let authority = AuthorityNote::parse(note.text())?;
            decide(&note, &[signed_by(&authority)])?;
            let fingerprint = fingerprint(note.text());
            let past = Past::default().after(&authority);
            Ok(Self { newest: Verified(authority), fingerprint, past })
        };
        judge().map_err(PolicyError::at(file, Layer::Authority))
    }

    /// The chain with `bytes`, found as version `version`, after its newest note: signed by the
    /// threshold of that note's keys and by its own threshold of its own.
    pub fn follow(&self, bytes: &[u8], file: &str, version: u64) -> Result<Self, PolicyError> {
        let judge = || {
            let note = Note::parse(bytes, MAX_AUTHORITY_NOTE)?;
            // before anything of a text is looked at that nobody may have signed
            decide(&note, &[signed_by(&self.newest)])?;
            let authority = AuthorityNote::parse(note.text())?;
            if authority.version != version {
                let found = authority.version;
                return Err(ChainError::FileVersion { expected: version, found }.into());
            }
            decide(&note, &[signed_by(&authority)])?;
            let past = self.past_after(&authority)?;
            let fingerprint = fingerprint(note.text());
            Ok(Self { newest: Verified(authority), fingerprint, past })
        };
        judge().map_err(PolicyError::at(file, Layer::Authority))
    }

    /// Checks what a note may change, before anyone signs it.
    pub fn check_successor(&self, next: &AuthorityNote) -> Result<(), ChainError> {
        self.past_after(next).map(|_| ())
    }

    /// The newest accepted note.
    pub fn newest(&self) -> &Verified<AuthorityNote> {
        &self.newest
    }

    /// The SHA-256 of the newest accepted note's text.
    pub fn fingerprint(&self) -> Hash32 {
        self.fingerprint
    }

    /// Checks all that may not change, and returns what is past once `next` stands.
    fn past_after(&self, next: &AuthorityNote) -> Result<Past, ChainError> {
        let newest = &*self.newest;
        if next.version <= newest.version {
            return Err(ChainError::Order { accepted: newest.version, found: next.version });
        }
        if next.name != newest.name {
            return Err(ChainError::Name { from: newest.name.clone(), to: next.name.clone() });
        }
        let mut past = self.past.clone();
        for before in log_roles(newest) {
            let same = |(holder, role): &(Holder<'_>, &LogRole)| {
                *holder == before.0 && role.origin == before.1.origin
            };
            match log_roles(next).find(same) {
                Some((_, after)) => keeps_keys(before.1, after)?,
                None => _ = past.left.insert(before.1.origin.clone()),
            }
        }
        if let Some((_, role)) = log_roles(next).find(|(_, role)| past.left.contains(&role.origin))
        {
            return Err(ChainError::OriginReturned(role.origin.clone()));
        }
        if let Some(key) = keys_in_use(next).find(|vkey| past.retired.contains(&vkey.key)) {
            return Err(ChainError::KeyReturned(key.to_string()));
        }
        Ok(past.after(next))
    }
}

impl Past {
    /// With the keys that `note` retires.
    fn after(mut self, note: &AuthorityNote) -> Self {
        let keys = log_roles(note).flat_map(|(_, role)| &role.keys);
        let retired = keys.filter(|key| key.until.is_some());
        self.retired.extend(retired.map(|key| key.vkey.key.clone()));
        self
    }
}

/// Every key of a note whose signatures count for something new.
fn keys_in_use(note: &AuthorityNote) -> impl Iterator<Item = &Vkey> {
    let servers = log_roles(note).flat_map(|(_, role)| role.active()).map(|key| &key.vkey);
    let others = note.authority.keys.iter().chain(&note.witnesses.keys);
    servers.chain(others).chain(&note.directory.keys)
}

/// Who holds a log: a distribution by its name, or the collection.
type Holder<'a> = Option<&'a DistributionName>;

fn log_roles(note: &AuthorityNote) -> impl Iterator<Item = (Holder<'_>, &LogRole)> {
    let distributions = note.distributions.iter();
    distributions.map(|role| (Some(&role.name), &role.log)).chain([(None, &note.collection)])
}

/// A key once listed under an origin stays listed, and a retired one stays retired.
fn keeps_keys(before: &LogRole, after: &LogRole) -> Result<(), ChainError> {
    for key in &before.keys {
        let same = |other: &&ServerKey| other.id == key.id && other.epoch == key.epoch;
        let kept = after.keys.iter().find(same).filter(|other| other.vkey == key.vkey);
        let Some(kept) = kept else {
            return Err(ChainError::Dropped {
                id: key.id.clone(),
                epoch: key.epoch,
                origin: before.origin.clone(),
            });
        };
        if let Some(until) = key.until
            && kept.until.is_none_or(|later| later > until)
        {
            return Err(ChainError::Revived { id: key.id.clone(), epoch: key.epoch, until });
        }
    }
    Ok(())
}

fn signed_by(note: &AuthorityNote) -> Requirement<'_> {
    Requirement {
        role: Role::Authority { version: note.version },
        form: Form::Note,
        threshold: note.authority.threshold,
        candidates: note
            .authority
            .keys
            .iter()
            .map(|vkey| Candidate { name: &vkey.name, key: &vkey.key, retired: None })
            .collect(),
    }
}
