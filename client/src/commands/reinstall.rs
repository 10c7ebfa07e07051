//! `patchctl reinstall`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::transaction::Scope;

use super::config_files::ConfigFilesArgs;
use super::repair::{Manner, mend};
use crate::session::Session;

/// Install the installed versions again
///
/// Every file is placed anew and all hooks run, from a full patch of the installed version that is
/// still offered. Local changes are kept aside and listed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl reinstall acme-agent\n  \
    patchctl reinstall acme-agent --yes --allow-stale")]
pub struct ReinstallArgs {
    /// What to install again
    #[arg(value_name = "NAME", required = true)]
    names: Vec<PatchName>,
    /// Go on although the index is older than it may be; the history records it
    #[arg(long)]
    allow_stale: bool,
    #[command(flatten)]
    config_files: ConfigFilesArgs,
}

/// Reinstalls.
pub fn run(session: &Session<'_>, arguments: &ReinstallArgs) -> Result<ExitStatus, Failure> {
    let state = session.open()?;
    let allow_stale = arguments.allow_stale;
    session.check_fresh(&session.catalogue(&state.database)?, allow_stale)?;
    let config = arguments.config_files.policy(&session.arguments);
    let manner =
        Manner { scope: Scope::All, config, allow_stale, question: "install these again?" };
    mend(session, state, &arguments.names, &manner)
}
