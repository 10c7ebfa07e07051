//! All roles on one machine, for a lab or a small shop: an authority, a collection and a
//! distribution with their keys issued, admitted and published.
//!
//! One machine with all keys is one machine to break into: the point of two signatures is lost
//! until the roles are moved apart, which each one's directory can be.

use std::path::Path;

use countersign_format::hash::Hash32;
use countersign_format::key::{KeyError, KeyName};
use countersign_format::layout::Log;
use countersign_format::time::Timestamp;
use countersign_terminal::Failure;

use crate::authority::{Admission, Authority, AuthorityError, NewAuthority};
use crate::config::{ServerConfig, Span};
use crate::key_store::Passphrases;
use crate::known_authority::{KnownAuthority, KnownAuthorityError};
use crate::role_dir::{RoleDir, RoleDirError, create_whole};
use crate::server::{self, ServerError};

/// Where a server finds the authority's notes, seen from its own directory.
const AUTHORITY: &str = "../authority/public";
/// Where the collection finds its log as the distribution serves it, seen from its own directory.
const DISTRIBUTION: &str = "../distribution/public";
/// Where the distribution finds what the collection publishes, seen from its own directory.
const COLLECTION: &str = "../collection/public";
/// For how long the authority's versions are valid.
const VALID_FOR: Span = Span(365 * 86_400);

/// Why the roles were not set up.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The directories.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The collection or the distribution.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A role's name would be too long.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// The servers could not learn of the authority note.
    #[error(transparent)]
    Known(#[from] KnownAuthorityError),
}

/// Makes the directories of all roles below `path`, whole or not at all, and returns the SHA-256 of
/// the authority note, with which clients are enrolled.
pub fn init(
    path: &Path,
    name: &KeyName,
    passphrases: &Passphrases,
    now: Timestamp,
) -> Result<Hash32, LabError> {
    let mut fingerprint = None;
    create_whole(path, |staging| {
        fingerprint = Some(fill(staging, name, passphrases, now)?);
        Ok::<_, LabError>(())
    })?;
    Ok(fingerprint.expect("made along with the directory"))
}

fn fill(
    path: &Path,
    name: &KeyName,
    passphrases: &Passphrases,
    now: Timestamp,
) -> Result<Hash32, LabError> {
    let new = NewAuthority {
        name: role_name(name, "authority")?,
        keys: 1,
        foreign: Vec::new(),
        threshold: 1,
        valid_for: VALID_FOR,
    };
    let mut authority = Authority::init(&path.join("authority"), &new, passphrases, now)?;
    let mut servers = Vec::new();
    for role in Log::BOTH {
        let id = role_name(name, role.as_str())?;
        servers.push(join(&authority, &path.join(role.as_str()), role, &id, passphrases, now)?);
    }
    for key in authority.own_keys() {
        authority.sign(&key, passphrases, now)?;
    }
    let chain = authority.publish(now)?;
    for (role, (directory, config)) in Log::BOTH.into_iter().zip(&servers) {
        KnownAuthority::learn(directory, config, role)?.show(directory)?;
    }
    Ok(chain.fingerprint())
}

/// Makes a server, and lets the authority issue and admit its key.
fn join(
    authority: &Authority,
    path: &Path,
    role: Log,
    id: &KeyName,
    passphrases: &Passphrases,
    now: Timestamp,
) -> Result<(RoleDir, ServerConfig), LabError> {
    let kgc = authority.config().kgc;
    let config = ServerConfig {
        kgc: Some(kgc),
        authority: Some(AUTHORITY.parse().expect("a path")),
        ..ServerConfig::new(role, id.clone())
    };
    let config = match role {
        Log::Collection => {
            ServerConfig { published_at: vec![DISTRIBUTION.parse().expect("a path")], ..config }
        }
        Log::Distribution => {
            ServerConfig { collection: Some(COLLECTION.parse().expect("a path")), ..config }
        }
    };
    let (directory, request) = server::init(path, role, &config, None, passphrases)?;
    let grant = authority.issue(&request.to_bytes(), passphrases, now)?.grant.to_bytes();
    let acceptance = server::accept(&directory, id, role, &grant, kgc, passphrases)?;
    authority.admit(&acceptance.to_bytes(), "acceptance", &Admission::default(), now)?;
    Ok((directory, config))
}

fn role_name(name: &KeyName, role: &str) -> Result<KeyName, KeyError> {
    format!("{name}/{role}").parse()
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        match error {
            LabError::RoleDir(error) => error.into(),
            LabError::Authority(error) => error.into(),
            LabError::Server(error) => error.into(),
            LabError::Name(error) => Self::usage(error),
            LabError::Known(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_format::policy::Chain;
    use countersign_format::signature::Signer as _;

    use super::*;
    use crate::key_store::{NewPassphraseArgs, PassphraseArgs};

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().expect("a time")
    }

    #[test]
    fn both_servers_hold_the_keys_that_the_note_lists() {
        let base = tempfile::tempdir().expect("a directory");
        let typed = base.path().join("passphrase");
        std::fs::write(&typed, "correct horse\n").expect("written");
        let source = PassphraseArgs { passphrase_file: Some(typed), passphrase_fd: None };
        let arguments = NewPassphraseArgs { source, no_passphrase: false };
        let passphrases = Passphrases::for_new_keys(&arguments);
        let path = base.path().join("repo");
        let name: KeyName = "example.org".parse().expect("a name");
        let fingerprint = init(&path, &name, &passphrases, now()).expect("made");

        for role in Log::BOTH {
            let folder = path.join(role.as_str());
            let bytes = std::fs::read(folder.join("public/authority/1")).expect("the note");
            let chain = Chain::enroll(&bytes, "authority/1").expect("accepted");
            assert_eq!(chain.fingerprint(), fingerprint);
            let note = chain.newest();
            let listed = note.log_role(role, &note.distributions[0]);
            let directory = server::open(&folder, role).expect("opened").0;
            let signers = server::open_signers(&directory, listed, &passphrases).expect("signers");
            assert_eq!(signers[0].public_key(), &listed.keys[0].vkey.key);
            let pem = std::fs::read_to_string(folder.join("keys/server-1.pem")).expect("the key");
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        }
    }

    #[test]
    fn a_name_that_is_too_long_leaves_nothing() {
        let base = tempfile::tempdir().expect("a directory");
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        let passphrases = Passphrases::for_new_keys(&arguments);
        // room for "/authority", none for "/distribution"
        let name: KeyName = "a".repeat(243).parse().expect("a name");
        let made = init(&base.path().join("repo"), &name, &passphrases, now());
        assert!(matches!(made, Err(LabError::Name(_))));
        assert_eq!(std::fs::read_dir(base.path()).expect("listed").count(), 0);
    }
}
