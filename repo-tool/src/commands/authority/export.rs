//! `patchrepo authority export`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::Prepared;
use crate::authority::Authority;
use crate::commands::{Delivered, DestinationArgs};

/// Write the next version as a file for those who are to sign it
///
/// Give everybody the same file: they sign at the same time, each on a machine of their own
/// (patchrepo sign), and what comes back is put together (patchrepo authority import).
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority export /srv/authority -o to-sign.json")]
pub struct ExportArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    destination: DestinationArgs,
}

#[derive(Serialize)]
struct Exported {
    #[serde(flatten)]
    prepared: Prepared,
    #[serde(flatten)]
    delivered: Delivered,
}

impl Report for Exported {
    fn print(&self, output: &Output) {
        if let Delivered::File { .. } = self.delivered {
            self.prepared.print(output);
        }
        output.note(
            "Next: each holder compares the fingerprint with this one and signs the file (patchrepo \
             sign), then authority import.",
        );
    }
}

/// Writes it. The lock is not taken: nothing of the authority changes.
pub fn run(arguments: &ExportArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let authority = Authority::open(&arguments.directory)?;
    let request = authority.export()?;
    let delivered = arguments.destination.deliver(&request.to_bytes(), output)?;
    let prepared = Prepared::new(&authority, request.draft()).for_comparison().without_next();
    output.report(&Exported { prepared, delivered });
    Ok(ExitStatus::Done)
}
