//! `patchctl download`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure};

use super::filter::{ChangeArgs, SelectionArgs};
use super::install;
use crate::session::Session;

/// Fetch and verify patches, install nothing
///
/// What `install --download-only` does: later `install` finds them in the cache and needs no
/// network.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl download acme-agent\n  \
    patchctl download acme-agent@2.1.0 libacme --yes")]
pub struct DownloadArgs {
    /// Patches by name
    #[arg(value_name = "NAME[@VERSION]", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Go on although the index is older than it may be
    #[arg(long)]
    allow_stale: bool,
}

/// Downloads.
pub fn run(session: &Session<'_>, arguments: DownloadArgs) -> Result<ExitStatus, Failure> {
    let DownloadArgs { what, selection, allow_stale } = arguments;
    let change =
        ChangeArgs { selection, download_only: true, allow_stale, ..ChangeArgs::default() };
    install::run(session, &install::InstallArgs { what, plan: None, change })
}
