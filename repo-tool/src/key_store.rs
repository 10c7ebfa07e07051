//! Key files: one secret a file, in PEM, encrypted with a passphrase unless that is declined.
//!
//! In scope: making, writing and opening key files, and asking for passphrases. Out of scope: what
//! the keys are for.

mod file;
mod passphrase;
mod secret;

pub use file::{KeyStoreError, create, open};
pub use passphrase::{
    MAX_PASSPHRASE, NewPassphraseArgs, Passphrase, PassphraseArgs, PassphraseError, Passphrases,
};
pub use secret::{MAX_SCRYPT_MEMORY, SCRYPT_LOG_N, Secret, SecretError, SecretKind};
