//! `patchrepo collection …`.

use clap::Subcommand;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::server::{accept, init, renew};

/// The commands of a collection.
#[derive(Subcommand, Debug)]
pub(super) enum CollectionCommand {
    /// Make the collection's directory and secret, and its request to the authority
    #[command(after_help = "Examples:\n  \
        patchrepo collection init /srv/collection --name patches.example.org/collection\n  \
        patchrepo collection init lab --name 192.0.2.10/collection --no-passphrase")]
    Init(init::InitArgs),
    /// Take the authority's grant and answer with the acceptance
    #[command(after_help = "Examples:\n  \
        patchrepo collection accept /srv/collection grant.json -o acceptance.txt\n  \
        patchrepo collection accept lab grant.json --kgc rNuwAQ6kzdtl3+YfG7SP5CXvVpK7qJzGOkmqJwNoUXU=")]
    Accept(accept::AcceptArgs),
    /// Ask for a new key, to replace the present one
    #[command(after_help = "Examples:\n  \
        patchrepo collection renew /srv/collection -o request.json")]
    Renew(renew::RenewArgs),
}

impl CollectionCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(Log::Collection, &arguments, output),
            Self::Accept(arguments) => accept::run(Log::Collection, &arguments, output),
            Self::Renew(arguments) => renew::run(Log::Collection, &arguments, output),
        }
    }
}
