//! `patchrepo init`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::words::to_words;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::now;
use crate::key_store::{NewPassphraseArgs, Passphrases};
use crate::lab;

/// Set up all roles on one machine, for a lab or a small shop
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo init repo --name patches.example.org\n  \
    patchrepo init repo --name 192.0.2.10 --no-passphrase\n\n\
    Makes repo/authority, repo/collection and repo/distribution, and their keys. A web server serves\n\
    repo/distribution/public. Move the roles to machines of their own before it matters: whoever\n\
    holds both servers' keys can sign anything.")]
pub struct InitArgs {
    /// The directory to be made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The repository's name: a host name or an address; never changes
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

#[derive(Serialize)]
struct Made {
    authority: PathBuf,
    collection: PathBuf,
    distribution: PathBuf,
    sha256: Hash32,
    words: String,
}

impl Report for Made {
    fn print(&self, output: &Output) {
        output.print_field("authority", self.authority.display());
        output.print_field("collection", self.collection.display());
        output.print_field("distribution", self.distribution.display());
        output.print_field("in words", &self.words);
        output.print_field("enrol with", format!("--authority sha256:{}", self.sha256));
    }
}

/// Makes them and says where.
pub fn run(arguments: &InitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let sha256 = lab::init(&arguments.directory, &arguments.name, &passphrases, now()?)?;
    output.report(&Made {
        authority: arguments.directory.join("authority"),
        collection: arguments.directory.join("collection"),
        distribution: arguments.directory.join("distribution"),
        words: to_words(&sha256),
        sha256,
    });
    Ok(ExitStatus::Done)
}
