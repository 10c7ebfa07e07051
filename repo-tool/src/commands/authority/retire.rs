//! `patchrepo authority retire`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::KeyName;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};
use crate::authority::Retirement;
use crate::commands::now;

/// Retire a server's key in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority retire lab 192.0.2.10/collection --until 51 --reason stolen\n\n\
    What the key signed below the index stays good; nothing from the index on counts: --until 51\n\
    leaves entries 0 to 50 good, and 51 is the first that is not. The index is one of the key's own\n\
    log: the size of its last head that you trust. Admit the key that replaces it first, into the\n\
    same version. An authority's own key is dropped with `authority change`.")]
pub struct RetireArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The key's name
    #[arg(value_name = "KEYNAME")]
    key: KeyName,
    /// Which of the server's keys, if several are in use
    #[arg(long, value_name = "N")]
    epoch: Option<u32>,
    /// The first entry of the key's log for which its signature no longer counts
    #[arg(long, value_name = "INDEX")]
    until: u64,
    /// Why, for the authority's history
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Retires the key and shows the next version.
pub fn run(arguments: RetireArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let retirement = Retirement {
        id: arguments.key,
        epoch: arguments.epoch,
        until: arguments.until,
        reason: arguments.reason,
    };
    let (_, draft) = authority.retire(&retirement, now()?)?;
    output.report(&Prepared::new(&authority, &draft));
    Ok(ExitStatus::Done)
}
