//! A server's keys: how a collection or distribution comes to its key and finds it again
//! (SPEC §5.1).
//!
//! Each key has a number in `keys/`: `server-1.pem` is the secret, made with the request;
//! `server-1.grant` is the authority's answer. Both together are the key pair. One secret takes one
//! grant ever, so the grant, once there, is never replaced; a new key begins with a new secret.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_format::authority::{LogRole, PointText};
use countersign_format::implicit_key::{ImplicitKeyError, ImplicitSigner, ServerSecret};
use countersign_format::issue::{Acceptance, Grant, IssueError, Request};
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::signature::SignError;
use countersign_store::durable::Access;
use countersign_terminal::{ExitStatus, Failure};

use crate::config::{self, ServerConfig};
use crate::key_store::{self, KeyStoreError, Passphrases, Secret, SecretError, SecretKind};
use crate::role_dir::{RoleDir, RoleDirError};

/// Where the request lies in the server's directory, for its person to take to the authority.
pub const REQUEST: &str = "request.json";

/// Why a server has no key.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The server's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// A key file.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The grant is no grant.
    #[error(transparent)]
    Message(#[from] IssueError),
    /// The grant is not an answer to this server's request.
    #[error("grant is for {found_id} as {found_role}, this server asked as {id} for {role}")]
    OtherRequest {
        /// This server.
        id: KeyName,
        /// What it asked for.
        role: Log,
        /// Whom the grant is for.
        found_id: KeyName,
        /// As what.
        found_role: Log,
    },
    /// The grant comes from another authority than the server was told of.
    #[error("grant is by the authority {found}, the server was told {told}")]
    OtherAuthority {
        /// P in the grant.
        found: PointText,
        /// P as the server was told.
        told: PointText,
    },
    /// The arithmetic does not agree.
    #[error("grant does not fit this server's secret")]
    Arithmetic(#[source] ImplicitKeyError),
    /// The secret took a grant before.
    #[error("{0} is there already, with another grant")]
    Granted(PathBuf),
    /// There is no secret without a grant.
    #[error("no request of {0} waits for a grant")]
    NothingAsked(KeyName),
    /// The acceptance could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The authority lists no key that this server has.
    #[error("the authority lists no key in use under {origin} that is in {keys}")]
    NotListed {
        /// The log.
        origin: KeyName,
        /// The server's key directory.
        keys: PathBuf,
    },
}

/// One of a server's keys, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NumberedKey {
    directory: PathBuf,
    number: u32,
}

/// Makes the directory of a new server with its first secret, and returns its request.
pub fn init(
    path: &Path,
    role: Log,
    config: &ServerConfig,
    passphrases: &Passphrases,
) -> Result<(RoleDir, Request), ServerError> {
    let mut request = None;
    let directory = RoleDir::create(path, |directory| {
        request = Some(ask(directory, role, &config.name, passphrases)?);
        let text = config::print(config);
        directory.write(Path::new("config.toml"), text.as_bytes(), Access::Public)?;
        Ok::<_, ServerError>(())
    })?;
    Ok((directory, request.expect("made along with the directory")))
}

/// Opens the directory of a server.
pub fn open(path: &Path, role: Log) -> Result<(RoleDir, ServerConfig), RoleDirError> {
    RoleDir::open(path, role.into())
}

/// Makes a further secret, for a key that is to replace the present one, and returns its request.
/// While a secret waits for its grant, that one's request again.
pub fn renew(
    directory: &RoleDir,
    id: &KeyName,
    role: Log,
    passphrases: &Passphrases,
) -> Result<Request, ServerError> {
    ask(directory, role, id, passphrases)
}

/// Takes the authority's grant: checks that it answers this server's request and comes from the
/// authority that the server was told of, makes the key pair and returns the signed acceptance.
/// The same grant may be taken again, with the same outcome.
pub fn accept(
    directory: &RoleDir,
    id: &KeyName,
    role: Log,
    grant: &[u8],
    told: PointText,
    passphrases: &Passphrases,
) -> Result<Note, ServerError> {
    let parsed = Grant::parse(grant)?;
    check_answer(id, role, &parsed, told)?;
    let key =
        NumberedKey::newest(directory)?.ok_or_else(|| ServerError::NothingAsked(id.clone()))?;
    let present = read_grant(directory, &key)?;
    if present.as_ref().is_some_and(|present| *present != parsed) {
        return Err(ServerError::Granted(key.grant_file()));
    }
    let signer = key.open(&parsed, passphrases)?;
    if present.is_none() {
        directory.write(&key.relative_grant_file(), grant, Access::Private)?;
    }
    Ok(Acceptance::sign(&parsed, &signer)?)
}

/// Opens the key pair with which this server signs now: its newest that the authority lists as in
/// use. Only that key's file is opened.
pub fn open_signer(
    directory: &RoleDir,
    listed: &LogRole,
    passphrases: &Passphrases,
) -> Result<ImplicitSigner, ServerError> {
    let (key, grant) = listed_keys(directory, listed)?.swap_remove(0);
    key.open(&grant, passphrases)
}

/// Opens all key pairs of this server that the authority lists as in use, the newest first: while a
/// key is being replaced, or where a threshold asks for several.
pub fn open_signers(
    directory: &RoleDir,
    listed: &LogRole,
    passphrases: &Passphrases,
) -> Result<Vec<ImplicitSigner>, ServerError> {
    let keys = listed_keys(directory, listed)?;
    keys.into_iter().map(|(key, grant)| key.open(&grant, passphrases)).collect()
}

/// The keys of this server that the authority lists as in use, the newest first; at least one.
fn listed_keys(
    directory: &RoleDir,
    listed: &LogRole,
) -> Result<Vec<(NumberedKey, Grant)>, ServerError> {
    let mut found = Vec::new();
    let mut key = NumberedKey::newest(directory)?;
    while let Some(candidate) = key {
        key = candidate.clone().before();
        if let Some(grant) = read_grant(directory, &candidate)? {
            let binding = grant.partial_key().binding;
            if listed.active().any(|active| active.binding().as_ref() == Some(&binding)) {
                found.push((candidate, grant));
            }
        }
    }
    if found.is_empty() {
        let (origin, keys) = (listed.origin.clone(), directory.keys());
        return Err(ServerError::NotListed { origin, keys });
    }
    Ok(found)
}

fn ask(
    directory: &RoleDir,
    role: Log,
    name: &KeyName,
    passphrases: &Passphrases,
) -> Result<Request, ServerError> {
    let newest = NumberedKey::newest(directory)?;
    let waiting = match &newest {
        Some(newest) if read_grant(directory, newest)?.is_none() => {
            newest.open_secret(passphrases)?
        }
        _ => {
            let number = newest.map_or(1, |newest| newest.number + 1);
            let key = NumberedKey { directory: directory.keys(), number };
            let secret = Secret::generate(SecretKind::Server)?;
            key_store::create(&key.secret_file(), &secret, passphrases)?;
            secret
        }
    };
    let commitment = PointText(ServerSecret::from_seed(*waiting.seed()).commitment());
    let request = Request { id: name.clone(), role, commitment };
    directory.write(Path::new(REQUEST), &request.to_bytes(), Access::Public)?;
    Ok(request)
}

fn check_answer(
    id: &KeyName,
    role: Log,
    grant: &Grant,
    told: PointText,
) -> Result<(), ServerError> {
    if grant.id != *id || grant.role != role {
        return Err(ServerError::OtherRequest {
            id: id.clone(),
            role,
            found_id: grant.id.clone(),
            found_role: grant.role,
        });
    }
    if grant.kgc != told {
        return Err(ServerError::OtherAuthority { found: grant.kgc, told });
    }
    Ok(())
}

fn read_grant(directory: &RoleDir, key: &NumberedKey) -> Result<Option<Grant>, ServerError> {
    let bytes = directory.read(&key.relative_grant_file(), MAX_NOTE)?;
    Ok(bytes.map(|bytes| Grant::parse(&bytes)).transpose()?)
}

impl NumberedKey {
    /// The key with the highest number.
    fn newest(directory: &RoleDir) -> Result<Option<Self>, ServerError> {
        let keys = directory.keys();
        let failed = |source| RoleDirError::Io { action: "list", path: keys.clone(), source };
        let mut newest = None;
        for entry in fs::read_dir(&keys).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("server-")?.strip_suffix(".pem")?.parse().ok());
            newest = newest.max(number);
        }
        Ok(newest.map(|number| Self { directory: keys, number }))
    }

    /// The key with the number below.
    fn before(self) -> Option<Self> {
        (self.number > 1).then(|| Self { number: self.number - 1, ..self })
    }

    fn secret_file(&self) -> PathBuf {
        self.directory.join(format!("server-{}.pem", self.number))
    }

    fn grant_file(&self) -> PathBuf {
        self.directory.join(format!("server-{}.grant", self.number))
    }

    fn relative_grant_file(&self) -> PathBuf {
        Path::new("keys").join(format!("server-{}.grant", self.number))
    }

    fn open(
        &self,
        grant: &Grant,
        passphrases: &Passphrases,
    ) -> Result<ImplicitSigner, ServerError> {
        let secret = self.open_secret(passphrases)?;
        ServerSecret::from_seed(*secret.seed())
            .accept(&grant.partial_key())
            .map_err(ServerError::Arithmetic)
    }

    fn open_secret(&self, passphrases: &Passphrases) -> Result<Secret, KeyStoreError> {
        let path = self.secret_file();
        key_store::open(&path, passphrases)?
            .expect_kind(SecretKind::Server)
            .map_err(|source| KeyStoreError::Secret { path, source })
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let hint = match &error {
            ServerError::OtherAuthority { .. } => Some(
                "ask the authority's people for its public point by another way than the grant came",
            ),
            ServerError::Granted(_) => Some("ask for a new key: renew"),
            ServerError::NothingAsked(_) => Some("make a request first: init or renew"),
            ServerError::NotListed { .. } => Some(
                "take the acceptance to the authority (authority admit, sign, publish) and fetch \
                 its new note",
            ),
            _ => None,
        };
        match error {
            ServerError::RoleDir(error) => error.into(),
            ServerError::KeyStore(error) => error.into(),
            error => Self::new(ExitStatus::Failed, error).maybe_hint(hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_format::authority::ServerKey;
    use countersign_format::implicit_key::MasterSecret;
    use countersign_format::signature::Signer as _;

    use super::*;
    use crate::key_store::NewPassphraseArgs;

    fn unencrypted() -> Passphrases {
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        Passphrases::for_new_keys(&arguments)
    }

    fn master() -> MasterSecret {
        MasterSecret::from_seed([3; 32])
    }

    fn kgc() -> PointText {
        PointText(master().public())
    }

    fn answer(request: &Request, epoch: u32) -> Grant {
        let bytes = request.to_bytes();
        let commitment = &request.commitment.0;
        let drawn = [u8::try_from(epoch).expect("small"); 32];
        let partial = master().grant(&request.id, epoch, commitment, &bytes, &drawn);
        Grant::new(request.role, &partial.expect("a partial key"))
    }

    struct Server {
        directory: RoleDir,
        config: ServerConfig,
        request: Request,
        _base: tempfile::TempDir,
    }

    impl Server {
        fn new() -> Self {
            let base = tempfile::tempdir().expect("a directory");
            let path = base.path().join("collection");
            let name = "example.org/collection".parse().expect("a name");
            let config = ServerConfig::new(Log::Collection, name);
            let (directory, request) =
                init(&path, Log::Collection, &config, &unencrypted()).expect("made");
            let (_, opened) = open(&path, Log::Collection).expect("opened");
            assert_eq!(config, opened);
            Self { directory, config, request, _base: base }
        }

        fn accept(&self, grant: &Grant) -> Result<ServerKey, ServerError> {
            let (bytes, role) = (grant.to_bytes(), Log::Collection);
            let note =
                accept(&self.directory, &self.config.name, role, &bytes, kgc(), &unencrypted())?;
            let acceptance = Acceptance::verify(&note.to_bytes(), "acceptance").expect("verified");
            Ok(acceptance.server_key())
        }

        fn listed(keys: Vec<ServerKey>) -> LogRole {
            let origin = "example.org/collection".parse().expect("a name");
            LogRole { origin, threshold: 1, max_age: 1, keys }
        }
    }

    #[test]
    fn a_server_comes_to_its_key_and_finds_it_again() {
        let server = Server::new();
        let on_disk = server.directory.read(Path::new(REQUEST), MAX_NOTE).expect("read");
        assert_eq!(on_disk, Some(server.request.to_bytes()));
        let grant = answer(&server.request, 1);
        let key = server.accept(&grant).expect("accepted");
        assert_eq!(server.accept(&grant).expect("accepted again"), key);
        let listed = Server::listed(vec![key.clone()]);
        let signer = open_signer(&server.directory, &listed, &unencrypted()).expect("a signer");
        assert_eq!(signer.public_key(), &key.vkey.key);
    }

    #[test]
    fn a_secret_takes_one_grant_ever() {
        let server = Server::new();
        server.accept(&answer(&server.request, 1)).expect("accepted");
        let second = server.accept(&answer(&server.request, 2));
        assert!(matches!(second, Err(ServerError::Granted(_))));
    }

    #[test]
    fn a_renewed_server_signs_with_the_key_that_is_listed() {
        let server = Server::new();
        let renew =
            || renew(&server.directory, &server.config.name, Log::Collection, &unencrypted());
        assert_eq!(renew().expect("the waiting request"), server.request);
        let mut old = server.accept(&answer(&server.request, 1)).expect("accepted");
        let request = renew().expect("a request");
        assert_ne!(request.commitment, server.request.commitment);
        let new = server.accept(&answer(&request, 2)).expect("accepted");

        let signer = |keys| {
            let listed = Server::listed(keys);
            open_signer(&server.directory, &listed, &unencrypted())
                .map(|signer| signer.public_key().clone())
        };
        assert_eq!(signer(vec![old.clone()]).expect("not listed yet"), old.vkey.key);
        assert_eq!(signer(vec![old.clone(), new.clone()]).expect("both"), new.vkey.key);
        old.until = Some(7);
        assert_eq!(signer(vec![old.clone(), new.clone()]).expect("retired"), new.vkey.key);
        assert!(matches!(signer(vec![old]), Err(ServerError::NotListed { .. })));
    }

    #[test]
    fn foreign_grants_are_refused() {
        let server = Server::new();
        let good = answer(&server.request, 1);
        let role = Grant { role: Log::Distribution, ..good.clone() };
        assert!(matches!(server.accept(&role), Err(ServerError::OtherRequest { .. })));
        let id = Grant { id: "example.org/x".parse().expect("a name"), ..good.clone() };
        assert!(matches!(server.accept(&id), Err(ServerError::OtherRequest { .. })));
        let authority = Grant { kgc: good.reconstruction, ..good.clone() };
        assert!(matches!(server.accept(&authority), Err(ServerError::OtherAuthority { .. })));
        let altered = Grant { epoch: 2, ..good.clone() };
        assert!(matches!(server.accept(&altered), Err(ServerError::Arithmetic(_))));
        // nothing of the above was kept
        assert!(server.accept(&good).is_ok());
    }
}
