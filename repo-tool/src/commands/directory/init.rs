//! `patchrepo directory init`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{ExitStatus, Failure, Output, Report, parse_duration};
use serde::Serialize;

use crate::config::Span;
use crate::directory::Directory;
use crate::key_store::{KeyLocation, NewPassphraseArgs, Passphrases};

/// Make a directory of servers, and its key
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory init /srv/directory --name patches.example.org/directory\n  \
    patchrepo directory init directory --name patches.example.org/directory --signer file:key.pem")]
pub struct InitArgs {
    /// The directory's directory, to be made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The directory's name: a URL without scheme, or an address; never changes
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// For how long each version is valid
    #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse_duration)]
    valid_for: Duration,
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
        output.note("Next: let the authority list the key: authority change --directory-key.");
    }
}

/// Makes it and prints its public key.
pub fn run(arguments: &InitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let span = Span(arguments.valid_for.as_secs());
    let InitArgs { directory, name, signer, .. } = arguments;
    let (_, key) = Directory::init(directory, name, span, signer.as_ref(), &passphrases)?;
    output.report(&Made { directory: arguments.directory.clone(), key });
    Ok(ExitStatus::Done)
}
