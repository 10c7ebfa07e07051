//! Where keys live and how they sign: key files, tokens, commands.
//!
//! A key file is one secret in PEM, encrypted with a passphrase unless that is declined. A key in a
//! token (PKCS #11) or behind a command never comes into this process; whatever answers for it is
//! verified. In scope: making, writing and opening keys, and asking for passphrases and PINs. Out of
//! scope: what the keys are for.

mod command;
mod file;
mod location;
mod passphrase;
mod process;
mod secret;
mod signing_key;
mod token;
mod uri;

pub use command::{COMMAND_PATIENCE, CommandError, MAX_ANSWER};
pub use file::{KeyStoreError, create, open};
pub use location::{CommandLine, KeyLocation, LocationError, MAX_LOCATION};
pub use passphrase::{
    MAX_PASSPHRASE, NewPassphraseArgs, Passphrase, PassphraseArgs, PassphraseError, Passphrases,
};
pub use secret::{MAX_SCRYPT_MEMORY, SCRYPT_LOG_N, Secret, SecretError, SecretKind};
pub use signing_key::{FoundKey, SigningKey, SigningKeyError, generate};
pub use token::{MODULE_VARIABLE, TokenError};
pub use uri::{TokenUri, TokenUriError};
