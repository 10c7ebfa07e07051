//! `patchrepo key show`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{ExitStatus, Failure, Output};

use super::KeyReport;
use crate::key_store::{FoundKey, KeyLocation, PassphraseArgs, Passphrases};
use crate::role_dir;

/// Show the public key of a key, wherever it lives
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo key show --signer exec:/usr/local/bin/hsm-sign --name example.org/authority/alice\n  \
    patchrepo key show --signer file:alice.pem --name example.org/authority/alice -o alice.pub")]
pub struct ShowArgs {
    /// Where the key lives: file:PATH, pkcs11:…, exec:COMMAND
    #[arg(long, value_name = "LOCATION")]
    signer: KeyLocation,
    /// The key's name
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// Write the public key to FILE too
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Shows it.
pub fn run(arguments: ShowArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::new(&arguments.passphrase);
    let found = FoundKey::open(&arguments.signer, &passphrases)?;
    let key = Vkey::server(arguments.name.clone(), found.public_key().clone());
    if let Some(path) = &arguments.output {
        role_dir::write_file(path, format!("{key}\n").as_bytes())?;
    }
    output.report(&KeyReport { signer: arguments.signer, name: arguments.name, key });
    Ok(ExitStatus::Done)
}
