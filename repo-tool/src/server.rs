//! A server's keys: how a collection or distribution comes to its key and finds it again
//! (SPEC §5.1).
//!
//! Each key has a number in `keys/`: `server-1.pem` is the secret, made with the request;
//! `server-1.grant` is the authority's answer. Both together are the key pair. One secret takes one
//! grant ever, so the grant, once there, is never replaced; a new key begins with a new secret.
//!
//! A key that lives elsewhere and is no implicit one, such as one born in hardware, has its location
//! and its public key in `server-1.toml` instead, and nothing secret.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use countersign_format::authority::{LogRole, PointText};
use countersign_format::implicit_key::{ImplicitKeyError, ImplicitSigner, ServerSecret};
use countersign_format::issue::{Acceptance, Grant, IssueError, OrdinaryKey, Request};
use countersign_format::key::{KeyName, Vkey};
use countersign_format::layout::Log;
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::signature::SignError;
use countersign_store::durable::Access;
use countersign_terminal::{ExitStatus, Failure};

use serde::{Deserialize, Serialize};

use crate::config::{self, ConfigError, ServerConfig};
use crate::key_store::{
    self, FoundKey, KeyLocation, KeyStoreError, Passphrases, Secret, SecretError, SecretKind,
    SigningKey, SigningKeyError,
};
use crate::role_dir::{RoleDir, RoleDirError};

pub use unlisted::{Unlisted, newer_unlisted};

mod unlisted;

/// Where the request lies in the server's directory, for its person to take to the authority.
pub const REQUEST: &str = "request.json";

/// What a server asks the authority for, as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A partial key, to make an implicit key of.
    PartialKey(Request),
    /// To list an ordinary key, which signed that it is there.
    OrdinaryKey(Note),
}

/// `server-N.toml`: a key that lives elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Elsewhere {
    /// Where.
    pub(crate) signer: KeyLocation,
    /// Which key it is.
    pub(crate) key: Vkey,
}

/// Why a server has no key.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The server's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// A key file.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A key that signs.
    #[error(transparent)]
    SigningKey(Box<SigningKeyError>),
    /// What says where a key lives.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An ordinary key takes no grant.
    #[error("{0} is an ordinary key, which takes no grant")]
    Ordinary(PathBuf),
    /// The key is this server's already.
    #[error("{0} is that key already")]
    KnownKey(PathBuf),
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
    #[error(
        "grant's epoch, reconstruction and partial_key make no key with this server's newest secret"
    )]
    Arithmetic(#[source] ImplicitKeyError),
    /// The secret took a grant before.
    #[error("the grant is of epoch {found}; {file} is there already, of epoch {held}")]
    Granted {
        /// The grant that is there.
        file: PathBuf,
        /// Its epoch.
        held: u32,
        /// The other one's epoch.
        found: u32,
    },
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
    /// A listed key does not open, and a newer one is not listed.
    #[error("{newer} is newer, and no authority note that is here lists it; the listed key fails")]
    NewerNotListed {
        /// The newest key's file.
        newer: PathBuf,
        /// What the listed key came to.
        source: Box<ServerError>,
    },
}

/// One of a server's keys, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NumberedKey {
    directory: PathBuf,
    number: u32,
}

impl Asked {
    /// The file that goes to the authority.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::PartialKey(request) => request.to_bytes(),
            Self::OrdinaryKey(note) => note.to_bytes(),
        }
    }
}

/// Makes the directory of a new server with its first secret, or for the key at `signer`, and
/// returns its request.
pub fn init(
    path: &Path,
    role: Log,
    config: &ServerConfig,
    signer: Option<&KeyLocation>,
    passphrases: &Passphrases,
) -> Result<(RoleDir, Asked), ServerError> {
    let mut request = None;
    let directory = RoleDir::create(path, |directory| {
        request = Some(ask_for(directory, role, &config.name, signer, passphrases)?);
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
/// While a secret waits for its grant, that one's request again. With `signer`, the key there is
/// the further one.
pub fn renew(
    directory: &RoleDir,
    id: &KeyName,
    role: Log,
    signer: Option<&KeyLocation>,
    passphrases: &Passphrases,
) -> Result<Asked, ServerError> {
    ask_for(directory, role, id, signer, passphrases)
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
    if key.elsewhere()?.is_some() {
        return Err(ServerError::Ordinary(key.elsewhere_file()));
    }
    let present = read_grant(directory, &key)?;
    if let Some(other) = present.as_ref().filter(|present| **present != parsed) {
        let (file, held, found) = (key.grant_file(), other.epoch, parsed.epoch);
        return Err(ServerError::Granted { file, held, found });
    }
    let signer = key.open(&parsed, passphrases)?;
    if present.is_none() {
        directory.write(&key.relative_grant_file(), grant, Access::Private)?;
    }
    Ok(Acceptance::sign(&parsed, &signer)?)
}

/// Opens all keys of this server that the authority lists as in use, the newest first: while a key
/// is being replaced, or where a threshold asks for several. An error where there is none.
pub fn open_signers(
    directory: &RoleDir,
    listed: &LogRole,
    passphrases: &Passphrases,
) -> Result<Vec<SigningKey>, ServerError> {
    let keys = listed_keys(directory, listed)?;
    if keys.is_empty() {
        let (origin, keys) = (listed.origin.clone(), directory.keys());
        return Err(ServerError::NotListed { origin, keys });
    }
    let opened: Result<_, _> = keys.iter().map(|key| key.open(passphrases)).collect();
    opened.map_err(|error| match newer_than(directory, &keys[0]) {
        // a key that was made on another day has another passphrase
        Some(newer) => ServerError::NewerNotListed { newer, source: Box::new(error) },
        None => error,
    })
}

/// The newest granted key, if it is newer than `listed`, the newest that is listed.
fn newer_than(directory: &RoleDir, listed: &ListedKey) -> Option<PathBuf> {
    let ListedKey::Granted(listed, _) = listed else { return None };
    let newest = NumberedKey::newest(directory).ok()??;
    let is_granted = read_grant(directory, &newest).ok()?.is_some();
    (newest.number > listed.number && is_granted).then(|| newest.secret_file())
}

/// The public keys of this server that the authority lists as in use, the newest first. No key is
/// opened.
pub fn own_keys(directory: &RoleDir, listed: &LogRole) -> Result<Vec<Vkey>, ServerError> {
    let keys = listed_keys(directory, listed)?;
    let vkey = |key: &ListedKey| match key {
        ListedKey::Elsewhere(elsewhere) => Some(elsewhere.key.clone()),
        ListedKey::Granted(_, grant) => {
            let binding = Some(grant.partial_key().binding);
            listed.active().find(|active| active.binding() == binding).map(|key| key.vkey.clone())
        }
    };
    Ok(keys.iter().filter_map(vkey).collect())
}

/// A key that the authority lists as in use.
enum ListedKey {
    Granted(NumberedKey, Grant),
    Elsewhere(Elsewhere),
}

impl ListedKey {
    fn open(&self, passphrases: &Passphrases) -> Result<SigningKey, ServerError> {
        match self {
            Self::Granted(key, grant) => Ok(key.open(grant, passphrases)?.into()),
            Self::Elsewhere(Elsewhere { signer, key }) => {
                Ok(SigningKey::open(signer, key, passphrases)?)
            }
        }
    }
}

/// The keys of this server that the authority lists as in use, the newest first.
fn listed_keys(directory: &RoleDir, listed: &LogRole) -> Result<Vec<ListedKey>, ServerError> {
    let mut found = Vec::new();
    let mut key = NumberedKey::newest(directory)?;
    while let Some(candidate) = key {
        key = candidate.clone().before();
        if let Some(elsewhere) = candidate.elsewhere()? {
            if listed.active().any(|active| active.vkey == elsewhere.key) {
                found.push(ListedKey::Elsewhere(elsewhere));
            }
        } else if let Some(grant) = read_grant(directory, &candidate)? {
            let binding = grant.partial_key().binding;
            if listed.active().any(|active| active.binding().as_ref() == Some(&binding)) {
                found.push(ListedKey::Granted(candidate, grant));
            }
        }
    }
    Ok(found)
}

fn ask_for(
    directory: &RoleDir,
    role: Log,
    name: &KeyName,
    signer: Option<&KeyLocation>,
    passphrases: &Passphrases,
) -> Result<Asked, ServerError> {
    let asked = match signer {
        None => Asked::PartialKey(ask(directory, role, name, passphrases)?),
        Some(location) => {
            Asked::OrdinaryKey(ask_to_list(directory, role, name, location, passphrases)?)
        }
    };
    directory.write(Path::new(REQUEST), &asked.to_bytes(), Access::Public)?;
    Ok(asked)
}

/// Remembers where the key lives, and lets it sign that it is there.
fn ask_to_list(
    directory: &RoleDir,
    role: Log,
    name: &KeyName,
    location: &KeyLocation,
    passphrases: &Passphrases,
) -> Result<Note, ServerError> {
    let signer = FoundKey::open(location, passphrases)?.named(name);
    let elsewhere = Elsewhere { signer: location.clone().absolute(), key: signer.vkey() };
    let note = OrdinaryKey::sign(role, &signer)?;
    let newest = NumberedKey::newest(directory)?;
    let mut key = newest.clone();
    while let Some(known) = key {
        match known.elsewhere()? {
            Some(same) if same == elsewhere => return Ok(note),
            Some(same) if same.key == elsewhere.key => {
                return Err(ServerError::KnownKey(known.elsewhere_file()));
            }
            _ => key = known.before(),
        }
    }
    let number = newest.map_or(1, |newest| newest.number + 1);
    let path = Path::new("keys").join(format!("server-{number}.toml"));
    directory.write(&path, config::print(&elsewhere).as_bytes(), Access::Private)?;
    Ok(note)
}

fn ask(
    directory: &RoleDir,
    role: Log,
    name: &KeyName,
    passphrases: &Passphrases,
) -> Result<Request, ServerError> {
    let newest = NumberedKey::newest(directory)?;
    let waits = match &newest {
        Some(key) => key.elsewhere()?.is_none() && read_grant(directory, key)?.is_none(),
        None => false,
    };
    let waiting = match newest {
        Some(newest) if waits => newest.open_secret(passphrases)?,
        newest => {
            let number = newest.map_or(1, |newest| newest.number + 1);
            let key = NumberedKey { directory: directory.keys(), number };
            let secret = Secret::generate(SecretKind::Server)?;
            key_store::create(&key.secret_file(), &secret, passphrases)?;
            secret
        }
    };
    let commitment = PointText(ServerSecret::from_seed(*waiting.seed()).commitment());
    Ok(Request { id: name.clone(), role, commitment })
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
            let number = name.to_str().and_then(|name| {
                let (number, ending) = name.strip_prefix("server-")?.split_once('.')?;
                ["pem", "toml"].contains(&ending).then(|| number.parse().ok())?
            });
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

    fn elsewhere_file(&self) -> PathBuf {
        self.directory.join(format!("server-{}.toml", self.number))
    }

    /// Where the key lives, if it is none of the server's own.
    fn elsewhere(&self) -> Result<Option<Elsewhere>, ServerError> {
        match config::read(&self.elsewhere_file()) {
            Ok(elsewhere) => Ok(Some(elsewhere)),
            Err(ConfigError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
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

impl From<SigningKeyError> for ServerError {
    fn from(error: SigningKeyError) -> Self {
        Self::SigningKey(Box::new(error))
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let hint = match &error {
            ServerError::OtherAuthority { .. } => Some(
                "ask the authority's people for its public point by another way than the grant came",
            ),
            ServerError::Arithmetic(_) => Some(
                "the grant answers another request or was changed on its way: bring the newest \
                 request.json to the authority again",
            ),
            ServerError::Granted { held, found, .. } if found < held => {
                Some("that is an older grant: look for the file of the newest")
            }
            ServerError::Granted { .. } => Some(
                "a secret takes one grant ever: if you asked for no further key, find out who did; \
                 to have another, begin with renew",
            ),
            ServerError::Ordinary(_) => {
                Some("the authority lists it by its own word: authority admit --ordinary-key")
            }
            ServerError::NothingAsked(_) => Some("make a request first: init or renew"),
            ServerError::NotListed { .. } => Some(
                "take the acceptance to the authority (authority admit, sign, publish) and fetch \
                 its new note",
            ),
            ServerError::NewerNotListed { .. } => Some(
                "if the authority lists the newer key by now, bring its new note here first; else \
                 the passphrase must be the older key's",
            ),
            _ => None,
        };
        match error {
            ServerError::RoleDir(error) => error.into(),
            ServerError::KeyStore(error) => error.into(),
            ServerError::SigningKey(error) => (*error).into(),
            ServerError::Config(error) => error.into(),
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
                init(&path, Log::Collection, &config, None, &unencrypted()).expect("made");
            let Asked::PartialKey(request) = request else { panic!("asked for a partial key") };
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
        let signers = open_signers(&server.directory, &listed, &unencrypted()).expect("a signer");
        assert_eq!(signers[0].public_key(), &key.vkey.key);
    }

    #[test]
    fn a_secret_takes_one_grant_ever() {
        let server = Server::new();
        server.accept(&answer(&server.request, 1)).expect("accepted");
        let second = server.accept(&answer(&server.request, 2));
        assert!(matches!(second, Err(ServerError::Granted { held: 1, found: 2, .. })));
    }

    #[test]
    fn a_renewed_server_signs_with_the_key_that_is_listed() {
        let server = Server::new();
        let renew = || {
            let (name, role) = (&server.config.name, Log::Collection);
            match renew(&server.directory, name, role, None, &unencrypted()).expect("asked") {
                Asked::PartialKey(request) => request,
                Asked::OrdinaryKey(_) => panic!("asked for a partial key"),
            }
        };
        assert_eq!(renew(), server.request);
        let mut old = server.accept(&answer(&server.request, 1)).expect("accepted");
        let request = renew();
        assert_ne!(request.commitment, server.request.commitment);
        let new = server.accept(&answer(&request, 2)).expect("accepted");

        let signer = |keys| {
            let listed = Server::listed(keys);
            open_signers(&server.directory, &listed, &unencrypted())
                .map(|signers| signers[0].public_key().clone())
        };
        assert_eq!(signer(vec![old.clone()]).expect("not listed yet"), old.vkey.key);
        assert_eq!(signer(vec![old.clone(), new.clone()]).expect("both"), new.vkey.key);
        old.until = Some(7);
        assert_eq!(signer(vec![old.clone(), new.clone()]).expect("retired"), new.vkey.key);
        assert!(matches!(signer(vec![old]), Err(ServerError::NotListed { .. })));
    }

    #[test]
    fn an_accepted_key_that_no_note_lists_is_known() {
        let server = Server::new();
        let mut note = countersign_fixtures::RepositoryBuilder::new().build().authority;
        let mut unlisted = |keys: &[&ServerKey]| {
            note.collection.keys = keys.iter().copied().cloned().collect();
            let found = newer_unlisted(&server.directory, &note).expect("read");
            found.map(|unlisted| unlisted.epoch)
        };
        assert_eq!(unlisted(&[]), None, "asked for, and not granted");
        let mut old = server.accept(&answer(&server.request, 1)).expect("accepted");
        assert_eq!(unlisted(&[]), Some(1));
        assert_eq!(unlisted(&[&old]), None);
        let (name, role) = (&server.config.name, Log::Collection);
        let asked = renew(&server.directory, name, role, None, &unencrypted()).expect("asked");
        let Asked::PartialKey(request) = asked else { panic!("asked for a partial key") };
        assert_eq!(unlisted(&[&old]), None, "the newer one is not granted");
        let new = server.accept(&answer(&request, 2)).expect("accepted");
        assert_eq!(unlisted(&[&old]), Some(2));
        old.until = Some(7);
        assert_eq!(unlisted(&[&old, &new]), None);
        old.until = None;
        let retired = ServerKey { until: Some(9), ..new };
        assert_eq!(unlisted(&[&old, &retired]), None, "its note is here");
    }

    #[test]
    fn a_listed_key_that_fails_is_named_along_with_the_newer_one() {
        let server = Server::new();
        let old = server.accept(&answer(&server.request, 1)).expect("accepted");
        let (name, role) = (&server.config.name, Log::Collection);
        let asked = renew(&server.directory, name, role, None, &unencrypted()).expect("asked");
        let Asked::PartialKey(request) = asked else { panic!("asked for a partial key") };
        let secret = server.directory.keys().join("server-1.pem");
        fs::write(&secret, "damaged").expect("written");
        let listed = Server::listed(vec![old]);
        let refused = || open_signers(&server.directory, &listed, &unencrypted());
        assert!(matches!(refused(), Err(ServerError::KeyStore(_))), "nothing newer was granted");
        server.accept(&answer(&request, 2)).expect("accepted");
        let Err(ServerError::NewerNotListed { newer, source }) = refused() else {
            panic!("{:?}", refused());
        };
        assert!(newer.ends_with("server-2.pem"), "{newer:?}");
        assert!(matches!(*source, ServerError::KeyStore(_)), "{source:?}");
    }

    #[test]
    fn an_ordinary_key_is_found_where_it_lives() {
        let server = Server::new();
        let base = tempfile::tempdir().expect("a directory");
        let location = KeyLocation::File(base.path().join("ordinary.pem"));
        let public = key_store::generate(&location, &unencrypted()).expect("made");
        let (name, role) = (&server.config.name, Log::Collection);
        let renew = || {
            let asked = renew(&server.directory, name, role, Some(&location), &unencrypted());
            let Asked::OrdinaryKey(note) = asked.expect("asked") else { panic!("an ordinary key") };
            OrdinaryKey::verify(&note.to_bytes(), "request").expect("verified")
        };
        let asked = renew();
        assert_eq!(renew(), asked, "the same key is not numbered twice");
        let key = asked.server_key(4);
        assert_eq!(key.vkey.key, public);
        let open = |keys| {
            open_signers(&server.directory, &Server::listed(keys), &unencrypted())
                .map(|signers| signers.iter().map(SigningKey::vkey).collect::<Vec<_>>())
        };
        assert_eq!(open(vec![key.clone()]).expect("listed"), std::slice::from_ref(&key.vkey));
        let taken = server.accept(&answer(&server.request, 1));
        assert!(matches!(taken, Err(ServerError::Ordinary(_))), "a grant is for an older secret");

        // the record names its key: another one at that place is not taken for it
        fs::remove_file(location.file().expect("a file")).expect("removed");
        key_store::generate(&location, &unencrypted()).expect("made");
        let error = open(vec![key]).expect_err("another key");
        let ServerError::SigningKey(error) = error else { panic!("{error}") };
        assert!(matches!(*error, SigningKeyError::OtherKey { .. }));
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
        let replayed = answer(&Server::new().request, 1);
        assert!(matches!(server.accept(&replayed), Err(ServerError::Arithmetic(_))));
        // nothing of the above was kept
        assert!(server.accept(&good).is_ok());
    }

    #[test]
    fn every_changed_byte_of_request_or_grant_is_noticed_by_the_server() {
        let server = Server::new();
        let (name, role) = (&server.config.name, Log::Collection);
        let take =
            |grant: &[u8]| accept(&server.directory, name, role, grant, kgc(), &unencrypted());
        let good = answer(&server.request, 1).to_bytes();
        for place in 0..good.len() {
            for change in [0x01, 0x02, 0x10, 0x20, 0x29, 0x80] {
                let mut changed = good.clone();
                changed[place] ^= change;
                assert!(take(&changed).is_err(), "byte {place} of the grant ^ {change:#x}");
            }
            assert!(take(&good[..place]).is_err(), "a grant of {place} bytes");
        }
        let request = server.request.to_bytes();
        for place in 0..request.len() {
            let mut changed = request.clone();
            changed[place] ^= 0x01;
            if let Ok(parsed) = Request::parse(&changed) {
                let commitment = &parsed.commitment.0;
                let granted = master().grant(&parsed.id, 1, commitment, &changed, &[1; 32]);
                if let Ok(partial) = granted {
                    let grant = Grant::new(parsed.role, &partial).to_bytes();
                    assert!(take(&grant).is_err(), "byte {place} of the request");
                }
            }
        }
        assert!(take(&good).is_ok());
    }
}
