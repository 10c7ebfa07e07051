//! `patchrepo authority import`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{Prepared, open_locked};
use crate::authority::{MAX_REQUEST, Merged};
use crate::commands::now;
use crate::role_dir;

/// Take the signatures that holders bring back, in whatever order they come
///
/// Taken are the files that `patchrepo sign` wrote, and copies of `next` that were signed elsewhere,
/// if they are of the very text that is prepared. All of a file or nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority import /srv/authority alice.json bob.json\n  \
    patchrepo authority import /srv/authority /media/usb/authority/next")]
pub struct ImportArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What came back
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Imported {
    #[serde(flatten)]
    merged: Merged,
    #[serde(flatten)]
    prepared: Prepared,
}

impl Report for Imported {
    fn print(&self, output: &Output) {
        for name in &self.merged.new {
            output.note(format!("Signed by {name}."));
        }
        if self.merged.new.is_empty() {
            output.note("No new signatures.");
        }
        self.prepared.print(output);
    }
}

/// Takes them, one file after the other.
pub fn run(arguments: &ImportArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let mut merged = Merged::default();
    let mut last = None;
    for path in &arguments.files {
        let bytes = role_dir::read_file(path, MAX_REQUEST)?;
        let file = path.display().to_string();
        let (more, draft) = authority.import(&bytes, &file, now()?)?;
        merged.new.extend(more.new);
        merged.known.extend(more.known);
        last = Some(draft);
    }
    if let Some(draft) = last {
        let prepared = Prepared::new(&authority, &draft).without_changes();
        output.report(&Imported { merged, prepared });
    }
    Ok(ExitStatus::Done)
}
