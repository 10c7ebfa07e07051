//! A key that the server has and does not sign with, since the note that lists it is not here.

use std::path::PathBuf;

use countersign_format::authority::AuthorityNote;

use super::{NumberedKey, ServerError, read_grant};
use crate::role_dir::RoleDir;

/// A key that a server accepted, and that no note that it knows of lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its epoch.
    pub epoch: u32,
    /// The grant that it is made of.
    pub grant: PathBuf,
}

/// The newest key that this server accepted, if it is newer than all that `newest` lists, in use or
/// retired: another one signs until the note is here that lists it. No key is opened.
pub fn newer_unlisted(
    directory: &RoleDir,
    newest: &AuthorityNote,
) -> Result<Option<Unlisted>, ServerError> {
    let roles = newest.distributions.iter().map(|distribution| &distribution.log);
    let roles: Vec<_> = roles.chain([&newest.collection]).collect();
    let listed = || roles.iter().flat_map(|role| &role.keys);
    let mut key = NumberedKey::newest(directory)?;
    while let Some(candidate) = key {
        if let Some(elsewhere) = candidate.elsewhere()? {
            if listed().any(|key| key.vkey == elsewhere.key) {
                return Ok(None);
            }
        } else if let Some(grant) = read_grant(directory, &candidate)? {
            let binding = Some(grant.partial_key().binding);
            let is_listed = listed().any(|key| key.binding() == binding);
            let unlisted = Unlisted { epoch: grant.epoch, grant: candidate.grant_file() };
            return Ok((!is_listed).then_some(unlisted));
        }
        key = candidate.before();
    }
    Ok(None)
}
