//! `patchrepo key generate`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{ExitStatus, Failure, Output};

use super::KeyReport;
use crate::key_store::{self, KeyLocation, NewPassphraseArgs, Passphrases};
use crate::role_dir;

/// Make an ordinary Ed25519 key, in a file or in a token
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo key generate --signer file:alice.pem --name example.org/authority/alice -o alice.pub\n  \
    patchrepo key generate --signer pkcs11:object=authority --name example.org/alice\n\n\
    Prints the public key as other commands take it (--with-key, --add-key). A key in a token cannot\n\
    be taken out of it. A token's PIN is read where a passphrase is read.")]
pub struct GenerateArgs {
    /// Where the key is to live: file:PATH, pkcs11:…
    #[arg(long, value_name = "LOCATION")]
    signer: KeyLocation,
    /// The key's name
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// Write the public key to FILE too
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

/// Makes it and prints its public key.
pub fn run(arguments: GenerateArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let public = key_store::generate(&arguments.signer, &passphrases)?;
    let key = Vkey::server(arguments.name.clone(), public);
    if let Some(path) = &arguments.output {
        role_dir::write_file(path, format!("{key}\n").as_bytes())?;
    }
    output.report(&KeyReport { signer: arguments.signer, name: arguments.name, key });
    Ok(ExitStatus::Done)
}
