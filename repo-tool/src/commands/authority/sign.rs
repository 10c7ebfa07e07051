//! `patchrepo authority sign`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};
use crate::authority::{KeyFile, summary};
use crate::commands::now;
use crate::key_store::{PassphraseArgs, Passphrases};

/// Add the signature of one of the authority's keys to the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority sign /srv/authority --key /media/usb/authority-2.pem\n  \
    patchrepo authority sign /srv/authority\n\n\
    A holder signs on a machine of their own with a copy of the directory without `keys/`, and\n\
    brings the file `next` back. Read what changes before you sign.")]
pub struct SignArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The signing key's file; may be repeated. Unless given, all in the directory's keys/
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Shows what changes before it asks for a passphrase, and signs.
pub fn run(arguments: SignArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let mut files: Vec<KeyFile> = arguments.key.into_iter().map(KeyFile).collect();
    if files.is_empty() {
        files = authority.own_key_files();
    }
    if files.is_empty() {
        return Err(Failure::usage("there is no signing key in the authority's directory")
            .hint("say where it is with --key FILE"));
    }
    let mut draft = authority.draft(now()?)?;
    for line in summary(authority.newest(), draft.note()) {
        output.note(line);
    }
    let passphrases = Passphrases::new(&arguments.passphrase);
    for file in &files {
        let (name, with_line) = authority.sign(file, &passphrases, now()?)?;
        output.note(format!("Signed by {name}."));
        draft = with_line;
    }
    output.report(&Prepared::new(&authority, &draft).without_changes());
    Ok(ExitStatus::Done)
}
