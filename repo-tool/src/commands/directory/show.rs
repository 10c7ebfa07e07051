//! `patchrepo directory show`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::directory::{DirectoryNote, DirectoryServer};
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::server_table;
use crate::directory::Directory;

/// Show what is published and what is prepared
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchrepo directory show /srv/directory")]
pub struct ShowArgs {
    /// The directory's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    published: Option<DirectoryNote>,
    prepared: Vec<DirectoryServer>,
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        if let Some(note) = &self.published {
            output.print_field("directory", &note.name);
            output.print_field("version", note.version);
            output.print_field("expires", note.expires);
            output.print_table(&server_table(&note.servers));
        } else {
            output.note("Nothing is published yet.");
        }
        let published = self.published.as_ref().map_or(&[][..], |note| &note.servers);
        if self.prepared != published {
            output.print_heading("Prepared for the next version:");
            output.print_table(&server_table(&self.prepared));
        }
    }
}

/// Shows both.
pub fn run(arguments: &ShowArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let directory = Directory::open(&arguments.directory)?;
    output.report(&Shown { published: directory.published()?, prepared: directory.servers()? });
    Ok(ExitStatus::Done)
}
