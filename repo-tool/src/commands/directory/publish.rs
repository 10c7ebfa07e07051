//! `patchrepo directory publish`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::directory::DirectoryNote;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{open_locked, server_table};
use crate::commands::now;
use crate::key_store::{PassphraseArgs, Passphrases};

/// Sign and publish a version that says what is prepared
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory publish /srv/directory\n\n\
    The note is public/directory; distributions serve a copy of it. Publish again before it expires.")]
pub struct PublishArgs {
    /// The directory's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Published {
    file: PathBuf,
    #[serde(flatten)]
    note: DirectoryNote,
}

impl Report for Published {
    fn print(&self, output: &Output) {
        output.print_field("version", self.note.version);
        output.print_field("expires", self.note.expires);
        output.print_field("file", self.file.display());
        output.print_table(&server_table(&self.note.servers));
    }
}

/// Publishes and says what.
pub fn run(arguments: &PublishArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, _lock) = open_locked(&arguments.directory, output)?;
    let note = directory.publish(&Passphrases::new(&arguments.passphrase), now()?)?;
    let file = directory.role_dir().public().join("directory");
    output.report(&Published { file, note });
    Ok(ExitStatus::Done)
}
