//! `patchrepo collection export`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::collection::Collection;
use crate::commands::{DestinationArgs, lock, now, round};

/// Write what others are still to sign to one file, to be carried to them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo collection export /srv/collection -o to-sign.json\n\n\
    The file holds texts, hashes and public keys, and no secret. While nothing is being published, it\n\
    asks for the published head to be signed anew.")]
pub struct ExportArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Prove that the log extends its first N entries: the ones that the holder's key signed last;
    /// those that are published unless given
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    #[command(flatten)]
    destination: DestinationArgs,
}

/// Writes it.
pub fn run(arguments: &ExportArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    let request = collection.signing_request(arguments.since, now()?)?;
    round::deliver(request, &arguments.destination, output)
}
