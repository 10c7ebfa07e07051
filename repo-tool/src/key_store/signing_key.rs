//! A key that signs, wherever it lives.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use countersign_format::implicit_key::{ImplicitKeyError, ImplicitSigner, ServerSecret};
use countersign_format::issue::{Grant, IssueError};
use countersign_format::key::{KeyName, PublicKey, Vkey};
use countersign_format::limits::MAX_NOTE;
use countersign_format::signature::{SeedSigner, SignError, Signer};
use countersign_terminal::{ExitStatus, Failure};

use super::command::CommandSigner;
use super::token::TokenSigner;
use super::{
    CommandError, KeyLocation, KeyStoreError, MODULE_VARIABLE, Passphrases, Secret, SecretError,
    SecretKind, TokenError,
};
use crate::role_dir::{self, RoleDirError};

/// A key that signs under its name, wherever it lives. What it signs is verified by whoever asked
/// for it (`countersign_format::signature`), since a token or a command may err.
pub struct SigningKey {
    name: KeyName,
    public: PublicKey,
    signer: Kept,
}

/// Where a key is kept that signs.
enum Kept {
    /// In memory: it signs on several threads at once.
    Here(Box<dyn Signer + Send + Sync>),
    /// By a token or a command, which is asked for one signature after the other.
    Elsewhere(Mutex<Box<dyn Signer + Send>>),
}

/// A key that was found at its location and has no name yet: which one it is listed under is for
/// others to say.
pub struct FoundKey {
    location: KeyLocation,
    holder: Holder,
}

enum Holder {
    Seed { secret: Secret, public: PublicKey },
    Implicit(ImplicitSigner),
    Token(TokenSigner),
    Command(CommandSigner),
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyStoreError),
    /// The grant beside a server's secret.
    #[error(transparent)]
    Read(#[from] RoleDirError),
    /// A server's secret has no grant beside it, so it is no key yet.
    #[error("{0} is a server's secret without its grant and cannot sign yet")]
    NotGranted(PathBuf),
    /// The grant is malformed.
    #[error("{path} is no grant")]
    Grant {
        /// The grant.
        path: PathBuf,
        /// What is wrong.
        source: Box<IssueError>,
    },
    /// Secret and grant do not belong together.
    #[error("the grant {path} does not fit the secret beside it")]
    Arithmetic {
        /// The grant.
        path: PathBuf,
        /// What is wrong.
        source: ImplicitKeyError,
    },
    /// Its token.
    #[error("cannot use {location}")]
    Token {
        /// Where.
        location: Box<KeyLocation>,
        /// What is wrong.
        source: Box<TokenError>,
    },
    /// Its command.
    #[error("cannot use {location}")]
    Command {
        /// Where.
        location: Box<KeyLocation>,
        /// What is wrong.
        source: Box<CommandError>,
    },
    /// The program would inherit what the passphrase is read from.
    #[error("{location} would inherit the descriptor {descriptor} of the passphrase")]
    Inherits {
        /// Where.
        location: Box<KeyLocation>,
        /// The number.
        descriptor: u32,
    },
    /// There is another key than was expected.
    #[error("{location} holds another key than {expected}")]
    OtherKey {
        /// Where.
        location: Box<KeyLocation>,
        /// The key that was expected.
        expected: Box<Vkey>,
    },
    /// Keys behind a command are made by the operator's own means.
    #[error("a key behind a command cannot be made from here")]
    CannotMake,
}

impl FoundKey {
    /// Opens the key at `location`. A command is asked for its public key; where that is known,
    /// [`SigningKey::open`] is meant.
    pub fn open(
        location: &KeyLocation,
        passphrases: &Passphrases,
    ) -> Result<Self, SigningKeyError> {
        Self::open_known(location, None, passphrases)
    }

    fn open_known(
        location: &KeyLocation,
        known: Option<&PublicKey>,
        passphrases: &Passphrases,
    ) -> Result<Self, SigningKeyError> {
        let at = || Box::new(location.clone());
        let holder = match location {
            KeyLocation::File(path) => open_file(path, passphrases)?,
            KeyLocation::Token(uri) => TokenSigner::open(uri, passphrases)
                .map(Holder::Token)
                .map_err(|source| SigningKeyError::token(location, source))?,
            KeyLocation::Command(line) => {
                if let Some(descriptor) = passphrases.inherited() {
                    return Err(SigningKeyError::Inherits { location: at(), descriptor });
                }
                CommandSigner::open(line, known).map(Holder::Command).map_err(|source| {
                    SigningKeyError::Command { location: at(), source: Box::new(source) }
                })?
            }
        };
        Ok(Self { location: location.clone(), holder })
    }

    /// Its public key.
    pub fn public_key(&self) -> &PublicKey {
        match &self.holder {
            Holder::Seed { public, .. } => public,
            Holder::Implicit(signer) => signer.public_key(),
            Holder::Token(signer) => signer.public_key(),
            Holder::Command(signer) => signer.public_key(),
        }
    }

    /// The key under the name that it signs with.
    pub fn named(self, name: &KeyName) -> SigningKey {
        let public = self.public_key().clone();
        let elsewhere = |signer: Box<dyn Signer + Send>| Kept::Elsewhere(Mutex::new(signer));
        let signer = match self.holder {
            Holder::Seed { secret, .. } => {
                Kept::Here(Box::new(SeedSigner::new(name.clone(), secret.seed())))
            }
            Holder::Implicit(signer) => Kept::Here(Box::new(signer)),
            Holder::Token(signer) => elsewhere(Box::new(signer.named(name))),
            Holder::Command(signer) => elsewhere(Box::new(signer.named(name))),
        };
        SigningKey { name: name.clone(), public, signer }
    }
}

impl SigningKey {
    /// Opens the key at `location`, which must be `vkey`.
    pub fn open(
        location: &KeyLocation,
        vkey: &Vkey,
        passphrases: &Passphrases,
    ) -> Result<Self, SigningKeyError> {
        let found = FoundKey::open_known(location, Some(&vkey.key), passphrases)?;
        if *found.public_key() != vkey.key {
            let (location, expected) = (Box::new(found.location), Box::new(vkey.clone()));
            return Err(SigningKeyError::OtherKey { location, expected });
        }
        Ok(found.named(&vkey.name))
    }

    /// Its public key as text.
    pub fn vkey(&self) -> Vkey {
        Vkey::server(self.name.clone(), self.public_key().clone())
    }
}

impl From<ImplicitSigner> for SigningKey {
    fn from(signer: ImplicitSigner) -> Self {
        let (name, public) = (signer.name().clone(), signer.public_key().clone());
        Self { name, public, signer: Kept::Here(Box::new(signer)) }
    }
}

impl Signer for SigningKey {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        match &self.signer {
            Kept::Here(signer) => signer.sign(message),
            Kept::Elsewhere(signer) => {
                signer.lock().unwrap_or_else(PoisonError::into_inner).sign(message)
            }
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SigningKey({})", self.name)
    }
}

/// Makes an ordinary Ed25519 key at `location` and returns its public key.
pub fn generate(
    location: &KeyLocation,
    passphrases: &Passphrases,
) -> Result<PublicKey, SigningKeyError> {
    match location {
        KeyLocation::File(path) => {
            let unusable = |source| KeyStoreError::Secret { path: path.clone(), source };
            let secret = Secret::generate(SecretKind::Ed25519).map_err(unusable)?;
            super::create(path, &secret, passphrases)?;
            Ok(public_key(&secret))
        }
        KeyLocation::Token(uri) => TokenSigner::generate(uri, passphrases)
            .map_err(|source| SigningKeyError::token(location, source)),
        KeyLocation::Command(_) => Err(SigningKeyError::CannotMake),
    }
}

/// A key file, or a server's secret with the grant beside it.
fn open_file(path: &Path, passphrases: &Passphrases) -> Result<Holder, SigningKeyError> {
    let secret = super::open(path, passphrases)?;
    match secret.kind() {
        SecretKind::Ed25519 => {
            let public = public_key(&secret);
            Ok(Holder::Seed { secret, public })
        }
        SecretKind::Server => {
            let grant = path.with_extension("grant");
            let bytes = match role_dir::read_file(&grant, MAX_NOTE) {
                Err(RoleDirError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    return Err(SigningKeyError::NotGranted(path.to_owned()));
                }
                read => read?,
            };
            let parsed = Grant::parse(&bytes).map_err(|error| SigningKeyError::Grant {
                path: grant.clone(),
                source: Box::new(error),
            })?;
            ServerSecret::from_seed(*secret.seed())
                .accept(&parsed.partial_key())
                .map(Holder::Implicit)
                .map_err(|source| SigningKeyError::Arithmetic { path: grant, source })
        }
        SecretKind::AuthorityMaster => {
            let (expected, found) = (SecretKind::Ed25519, secret.kind());
            let source = SecretError::Kind { expected, found };
            Err(KeyStoreError::Secret { path: path.to_owned(), source }.into())
        }
    }
}

fn public_key(secret: &Secret) -> PublicKey {
    let unnamed: KeyName = "key".parse().expect("a plain word");
    SeedSigner::new(unnamed, secret.seed()).public_key().clone()
}

impl SigningKeyError {
    fn token(location: &KeyLocation, source: TokenError) -> Self {
        Self::Token { location: Box::new(location.clone()), source: Box::new(source) }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotGranted(_) => "let the authority answer the request: accept".into(),
            Self::Token { source, .. } => return token_hint(source),
            Self::Command { .. } => "what the command must do is in docs/reference.md".into(),
            Self::Inherits { .. } => "give --passphrase-file FILE instead".into(),
            Self::CannotMake => {
                "make it with the signer's own tools, then: patchrepo key show --signer".into()
            }
            _ => return None,
        })
    }
}

fn token_hint(error: &TokenError) -> Option<String> {
    use super::PassphraseError as P;
    Some(match error {
        TokenError::NoModule => {
            format!("add ?module-path=/path/of/the/library.so to the URI, or set {MODULE_VARIABLE}")
        }
        TokenError::Tokens { .. } => {
            "is the token there? say which one with token= or serial=".into()
        }
        TokenError::Keys(0) => "make the key in the token: patchrepo key generate".into(),
        TokenError::Keys(_) => "say which key with id=".into(),
        TokenError::Failed { action: "be logged in to", .. } => {
            "nothing was tried twice: tokens lock after a few wrong PINs".into()
        }
        TokenError::Passphrase(P::NoTerminal { .. }) => {
            "give --passphrase-file FILE, or pin-source=file:FILE in the URI".into()
        }
        _ => return None,
    })
}

impl From<SigningKeyError> for Failure {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::File(error) => error.into(),
            SigningKeyError::Read(error) => error.into(),
            error => {
                let (hint, exit) = (
                    error.hint(),
                    match error {
                        SigningKeyError::Inherits { .. } => ExitStatus::Usage,
                        _ => ExitStatus::Failed,
                    },
                );
                Self::new(exit, error).maybe_hint(hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_store::PassphraseArgs;

    #[test]
    fn no_program_inherits_what_the_passphrase_is_read_from() {
        let directory = tempfile::tempdir().expect("a directory");
        let started = directory.path().join("started");
        let location: KeyLocation =
            format!("exec:/usr/bin/touch {}", started.display()).parse().expect("a location");
        let open = |number| {
            let source = PassphraseArgs { passphrase_fd: number, ..PassphraseArgs::default() };
            let opened = FoundKey::open(&location, &Passphrases::new(&source));
            (opened.err().expect("it is no signer"), started.exists())
        };
        let (refused, is_started) = open(Some(7));
        assert!(matches!(refused, SigningKeyError::Inherits { descriptor: 7, .. }), "{refused}");
        assert!(!is_started);
        // a program's standard input is what it is to sign
        for number in [None, Some(0)] {
            assert!(matches!(open(number), (SigningKeyError::Command { .. }, true)));
            std::fs::remove_file(&started).expect("removed");
        }
    }
}
