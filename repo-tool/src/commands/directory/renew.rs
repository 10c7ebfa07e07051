//! `patchrepo directory renew`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::Vkey;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::open_locked;
use crate::key_store::{KeyLocation, NewPassphraseArgs, Passphrases};
use crate::role_dir;

/// Make a further key of the directory, which is to replace the present one
///
/// From the next version on the old key and the new one sign, so that readers go on whichever of
/// the two the authority lists. Remove the old key's file once the authority lists it no longer.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory renew /srv/directory -o directory.pub\n  \
    patchrepo directory renew /srv/directory --signer pkcs11:object=directory -o directory.pub")]
pub struct RenewArgs {
    /// The directory's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Write a copy of the public key to FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
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
        output.note(
            "Next: directory publish signs with both; let the authority list the key: authority \
             change --directory-key.",
        );
    }
}

/// Makes it and prints its public key.
pub fn run(arguments: &RenewArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, _lock) = open_locked(&arguments.directory, output)?;
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let key = directory.renew(arguments.signer.as_ref(), &passphrases)?;
    if let Some(file) = &arguments.output {
        role_dir::write_file(file, format!("{key}\n").as_bytes())?;
    }
    output.report(&Made { directory: arguments.directory.clone(), key });
    Ok(ExitStatus::Done)
}
