//! `patchrepo authority init`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::authority::PointText;
use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{ExitStatus, Failure, Output, Report, parse_duration};
use serde::Serialize;

use super::read_vkeys;
use crate::authority::{Authority, NewAuthority};
use crate::commands::now;
use crate::config::Span;
use crate::key_store::{NewPassphraseArgs, Passphrases};

/// Make an authority: its directory, master secret and signing keys
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority init /srv/authority --name patches.example.org/authority\n  \
    patchrepo authority init lab --name 192.0.2.10/authority --keys 3 --threshold 2\n\n\
    The public point that it prints goes to the people of every server, by another way than its\n\
    grants: in person, by telephone, on paper.")]
pub struct InitArgs {
    /// The authority's directory, to be made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The authority's name: a URL without scheme, or an address; never changes
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// How many signing keys to make here
    #[arg(long, value_name = "N", default_value_t = 1)]
    keys: u32,
    /// A signing key that its holder made elsewhere, as text or as a file; may be repeated
    #[arg(long, value_name = "KEY|FILE")]
    with_key: Vec<String>,
    /// How many signing keys must sign
    #[arg(long, value_name = "M", default_value_t = 1)]
    threshold: u32,
    /// For how long each version of the authority note is valid
    #[arg(long, value_name = "SPAN", default_value = "365d", value_parser = parse_duration)]
    valid_for: std::time::Duration,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

#[derive(Serialize)]
struct Made {
    directory: PathBuf,
    kgc: PointText,
    threshold: u32,
    keys: Vec<Vkey>,
    /// Whether signing keys were made here.
    #[serde(skip)]
    has_keys: bool,
}

impl Report for Made {
    fn print(&self, output: &Output) {
        output.print_field("public point", self.kgc);
        output.print_field("threshold", format!("{} of {}", self.threshold, self.keys.len()));
        for key in &self.keys {
            output.print_field("key", key);
        }
        let keys = self.directory.join("keys");
        let keys = keys.display();
        output.note(if self.has_keys {
            format!("The secrets are in {keys}. Move keys to their holders, and the master secret off-line.")
        } else {
            format!("The master secret is in {keys}. Keep it off-line.")
        });
        output.note(
            "Next: answer the requests of the servers (patchrepo authority issue), then admit them.",
        );
    }
}

/// Makes it and prints what others need to know.
pub fn run(arguments: InitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let new = NewAuthority {
        name: arguments.name,
        keys: arguments.keys,
        foreign: read_vkeys(&arguments.with_key)?,
        threshold: arguments.threshold,
        valid_for: Span(arguments.valid_for.as_secs()),
    };
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let authority = Authority::init(&arguments.directory, &new, &passphrases, now()?)?;
    let draft = authority.draft(now()?)?;
    output.report(&Made {
        directory: arguments.directory,
        kgc: authority.config().kgc,
        threshold: new.threshold,
        keys: draft.note().authority.keys.clone(),
        has_keys: new.keys > 0,
    });
    Ok(ExitStatus::Done)
}
