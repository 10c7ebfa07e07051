//! `patchctl man DIR`.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report, man_pages};
use serde::Serialize;

/// Write the man pages of all commands to a directory
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The directory; it is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Serialize)]
struct Pages {
    pages: Vec<PathBuf>,
}

impl Report for Pages {
    fn print(&self, output: &Output) {
        for page in &self.pages {
            output.print_line(page.display());
        }
    }
}

/// Writes the pages and prints their paths.
pub fn run(arguments: &ManArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let command = crate::cli::Cli::command();
    let pages = man_pages(command, &arguments.directory).or_fail(ExitStatus::Failed)?;
    output.report(&Pages { pages });
    Ok(ExitStatus::Done)
}
