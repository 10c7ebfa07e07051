//! `patchrepo witness init`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use crate::key_store::{KeyLocation, NewPassphraseArgs, Passphrases};
use crate::witness::Witness;

/// Make a witness, and its key
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo witness init /srv/witness --name witness.example.net\n  \
    patchrepo witness init /srv/witness --name witness.example.net --signer pkcs11:object=key")]
pub struct InitArgs {
    /// The witness's directory, to be made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The witness's name: a URL without scheme; never changes
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// Where a key lives that is there: file:PATH, pkcs11:…, exec:COMMAND
    #[arg(long, value_name = "LOCATION")]
    signer: Option<KeyLocation>,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

#[derive(Serialize)]
struct Made {
    directory: PathBuf,
    key: Vkey,
}

impl Report for Made {
    fn print(&self, output: &Output) {
        output.print_field("key", &self.key);
        output.note("Next: let the authority list the key: authority change --witness.");
    }
}

/// Makes it and prints its public key.
pub fn run(arguments: &InitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let (directory, signer) = (&arguments.directory, arguments.signer.as_ref());
    let (_, key) = Witness::init(directory, &arguments.name, signer, &passphrases)?;
    output.report(&Made { directory: directory.clone(), key });
    Ok(ExitStatus::Done)
}
