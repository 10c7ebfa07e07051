//! Issuing partial keys (SPEC §5.1, step 3), and remembering every one: a commitment gets one
//! grant ever, and an identity's epochs never repeat.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_format::authority::AuthorityNote;
use countersign_format::hash::Hash32;
use countersign_format::implicit_key::{ImplicitKeyError, PartialKey};
use countersign_format::issue::{Grant, OrdinaryKey, Request};
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::limits::MAX_NOTE;
use countersign_format::time::Timestamp;
use countersign_store::durable::{Access, is_temporary};
use serde::Serialize;

use super::change::server_keys;
use super::{Authority, AuthorityError, open_master};
use crate::history;
use crate::key_store::{Passphrases, SecretError};
use crate::role_dir::{self, RoleDirError};

/// Below `state/`: one file a grant, named after the SHA-256 of the commitment.
const GRANTS: &str = "grants";

/// What a request will be answered with, for a person to look at before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Who asks.
    pub id: KeyName,
    /// As what.
    pub role: Log,
    /// The epoch of the key.
    pub epoch: u32,
    /// False if this commitment had its grant before.
    pub new: bool,
    /// Epochs that the identity was granted and that neither the newest version nor the next lists:
    /// somebody asked under that name before.
    pub unlisted: Vec<u32>,
}

/// A grant, and whether it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The grant.
    pub grant: Grant,
    /// False if this commitment had its grant before: it is the same one.
    pub new: bool,
}

#[derive(Serialize)]
struct IssueDetails<'a> {
    id: &'a KeyName,
    epoch: u32,
    request: Hash32,
}

impl Authority {
    /// What [`Self::issue`] would answer. Nothing is written, and no key is needed.
    pub fn preview(&self, request: &[u8], now: Timestamp) -> Result<Preview, AuthorityError> {
        let parsed = read_request(request)?;
        let draft = self.draft(now)?;
        let (epoch, new) = match self.granted_before(&parsed)? {
            Some(grant) => (grant.epoch, false),
            None => (self.next_epoch(&parsed.id, parsed.role, draft.note())?, true),
        };
        let notes: Vec<_> = self.newest().into_iter().chain([draft.note()]).collect();
        let is_listed = |grant: &Grant| {
            let binding = Some(grant.partial_key().binding);
            let mut keys = notes.iter().copied().flat_map(server_keys);
            keys.any(|(_, key)| key.binding() == binding)
        };
        let mut unlisted: Vec<_> = self.grants()?;
        unlisted.retain(|it| it.id == parsed.id && it.epoch != epoch && !is_listed(it));
        let mut unlisted: Vec<u32> = unlisted.into_iter().map(|grant| grant.epoch).collect();
        unlisted.sort_unstable();
        Ok(Preview { id: parsed.id, role: parsed.role, epoch, new, unlisted })
    }

    /// Answers a request. The same commitment gets the same grant again: a second one would be of
    /// no use to an honest server.
    pub fn issue(
        &self,
        request: &[u8],
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let parsed = read_request(request)?;
        if let Some(grant) = self.granted_before(&parsed)? {
            return Ok(Issued { grant, new: false });
        }
        let draft = self.draft(now)?;
        let epoch = self.next_epoch(&parsed.id, parsed.role, draft.note())?;
        let partial = self.draw(&parsed, request, epoch, passphrases)?;
        let grant = Grant::new(parsed.role, &partial);
        // durable before anybody sees it: what is forgotten could be granted again
        let path = grant_path(&parsed.commitment.0);
        self.directory().write(&path, &grant.to_bytes(), Access::Private)?;
        let request = Hash32::of(request);
        let details = IssueDetails { id: &grant.id, epoch, request };
        history::record(self.directory(), now, "issue", &details)?;
        Ok(Issued { grant, new: true })
    }

    /// The grant that the commitment had before; refused where that was somebody else's.
    fn granted_before(&self, parsed: &Request) -> Result<Option<Grant>, AuthorityError> {
        let path = grant_path(&parsed.commitment.0);
        let Some(bytes) = self.directory().read(&path, MAX_NOTE)? else { return Ok(None) };
        let grant = Grant::parse(&bytes)?;
        if (&grant.id, grant.role) != (&parsed.id, parsed.role) {
            return Err(AuthorityError::CommitmentReused { id: grant.id, role: grant.role });
        }
        Ok(Some(grant))
    }

    /// Every grant that was ever issued.
    pub fn grants(&self) -> Result<Vec<Grant>, AuthorityError> {
        let path = self.directory().state().join(GRANTS);
        let failed = |source| RoleDirError::Io { action: "list", path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut grants = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if !is_temporary(&entry.file_name()) {
                grants.push(Grant::parse(&role_dir::read_file(&entry.path(), MAX_NOTE)?)?);
            }
        }
        Ok(grants)
    }

    /// One more than any epoch that the identity ever had, granted, listed in `note` or published.
    pub(super) fn next_epoch(
        &self,
        id: &KeyName,
        role: Log,
        note: &AuthorityNote,
    ) -> Result<u32, AuthorityError> {
        let granted = self.grants()?.into_iter().map(|grant| (grant.id, grant.role, grant.epoch));
        let listed = self.newest().into_iter().chain([note]).flat_map(server_keys);
        let listed = listed.map(|(role, key)| (key.id.clone(), role, key.epoch));
        let same: Vec<_> = granted.chain(listed).filter(|(known, ..)| known == id).collect();
        if let Some((id, role, _)) = same.iter().find(|(_, known, _)| *known != role) {
            return Err(AuthorityError::OtherRole { id: id.clone(), role: *role });
        }
        Ok(same.iter().map(|(.., epoch)| *epoch).max().unwrap_or(0) + 1)
    }

    /// Draws with fresh random bytes until a draw can be used, which the first one can but for an
    /// event of probability 2^-250.
    fn draw(
        &self,
        parsed: &Request,
        request: &[u8],
        epoch: u32,
        passphrases: &Passphrases,
    ) -> Result<PartialKey, AuthorityError> {
        let master = open_master(self.directory(), passphrases)?;
        if master.public() != self.config().kgc.0 {
            return Err(AuthorityError::OtherMaster(self.config().kgc));
        }
        loop {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(SecretError::Random)?;
            match master.grant(&parsed.id, epoch, &parsed.commitment.0, request, &random) {
                Err(ImplicitKeyError::DrawAgain) => {}
                granted => return granted.map_err(AuthorityError::Request),
            }
        }
    }
}

fn read_request(bytes: &[u8]) -> Result<Request, AuthorityError> {
    if OrdinaryKey::is_meant(bytes) {
        return Err(AuthorityError::OrdinaryKey);
    }
    Ok(Request::parse(bytes)?)
}

fn grant_path(commitment: &[u8; 32]) -> PathBuf {
    Path::new("state").join(GRANTS).join(format!("{}.json", Hash32::of(commitment)))
}
