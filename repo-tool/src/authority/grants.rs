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
    /// Answers a request. The same commitment gets the same grant again: a second one would be of
    /// no use to an honest server.
    pub fn issue(
        &self,
        request: &[u8],
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        if OrdinaryKey::is_meant(request) {
            return Err(AuthorityError::OrdinaryKey);
        }
        let parsed = Request::parse(request)?;
        let path = grant_path(&parsed.commitment.0);
        if let Some(bytes) = self.directory().read(&path, MAX_NOTE)? {
            let grant = Grant::parse(&bytes)?;
            if (&grant.id, grant.role) != (&parsed.id, parsed.role) {
                return Err(AuthorityError::CommitmentReused { id: grant.id, role: grant.role });
            }
            return Ok(Issued { grant, new: false });
        }
        let draft = self.draft(now)?;
        let epoch = self.next_epoch(&parsed.id, parsed.role, draft.note())?;
        let partial = self.draw(&parsed, request, epoch, passphrases)?;
        let grant = Grant::new(parsed.role, &partial);
        // durable before anybody sees it: what is forgotten could be granted again
        self.directory().write(&path, &grant.to_bytes(), Access::Private)?;
        let request = Hash32::of(request);
        let details = IssueDetails { id: &grant.id, epoch, request };
        history::record(self.directory(), now, "issue", &details)?;
        Ok(Issued { grant, new: true })
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

fn grant_path(commitment: &[u8; 32]) -> PathBuf {
    Path::new("state").join(GRANTS).join(format!("{}.json", Hash32::of(commitment)))
}
