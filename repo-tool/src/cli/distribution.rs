//! `patchrepo distribution …`.

use clap::Subcommand;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::distribution::{
    discard, export, import, list, publish, refresh, release, show, sync, withdraw,
};
use crate::commands::server::{accept, init, renew, restart};

/// The commands of a distribution.
#[derive(Subcommand, Debug)]
pub(super) enum DistributionCommand {
    /// Make the distribution's directory and secret, and its request to the authority
    #[command(after_help = "Examples:\n  \
        patchrepo distribution init /srv/distribution --name patches.example.org/distribution\n  \
        patchrepo distribution init lab --name 192.0.2.10/distribution --no-passphrase")]
    Init(init::InitArgs),
    /// Take the authority's grant and answer with the acceptance
    #[command(after_help = "Examples:\n  \
        patchrepo distribution accept /srv/distribution grant.json -o acceptance.txt\n  \
        patchrepo distribution accept lab grant.json --kgc rNuwAQ6kzdtl3+YfG7SP5CXvVpK7qJzGOkmqJwNoUXU=")]
    Accept(accept::AcceptArgs),
    /// Ask for a new key, to replace the present one
    #[command(after_help = "Examples:\n  \
        patchrepo distribution renew /srv/distribution -o request.json")]
    Renew(renew::RenewArgs),
    Sync(sync::SyncArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Release(release::ReleaseArgs),
    Withdraw(withdraw::WithdrawArgs),
    Publish(publish::PublishArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Refresh(refresh::RefreshArgs),
    /// Begin the distribution's log under a new origin, after a fork
    #[command(after_help = "Examples:\n  \
        patchrepo distribution restart /srv/distribution --keep 17\n\n\
        The authority gives the log its new origin first (authority change --distribution-origin).")]
    Restart(restart::RestartArgs),
    Discard(discard::DiscardArgs),
}

impl DistributionCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(Log::Distribution, &arguments, output),
            Self::Accept(arguments) => accept::run(Log::Distribution, &arguments, output),
            Self::Renew(arguments) => renew::run(Log::Distribution, &arguments, output),
            Self::Sync(arguments) => sync::run(&arguments, output),
            Self::List(arguments) => list::run(&arguments, output),
            Self::Show(arguments) => show::run(&arguments, output),
            Self::Release(arguments) => release::run(&arguments, output),
            Self::Withdraw(arguments) => withdraw::run(&arguments, output),
            Self::Export(arguments) => export::run(&arguments, output),
            Self::Import(arguments) => import::run(&arguments, output),
            Self::Publish(arguments) => publish::run(&arguments, output),
            Self::Refresh(arguments) => refresh::run(&arguments, output),
            Self::Restart(arguments) => restart::run(Log::Distribution, &arguments, output),
            Self::Discard(arguments) => discard::run(&arguments, output),
        }
    }
}
