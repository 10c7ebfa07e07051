//! `patchrepo collection …`.

use clap::Subcommand;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::collection::{
    add, discard, export, import, list, publish, refresh, revoke, show, test,
};
use crate::commands::server::{accept, init, renew, restart};

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
    /// Take patches in: pack a tree, or check archives that were packed elsewhere
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  \
        patchrepo collection add /srv/collection build/root --name acme --version 2.1.1\n  \
        patchrepo collection add /srv/collection build/root --spec patch.toml --against acme@2.1.0\n  \
        patchrepo collection add /srv/collection acme-2.1.1.patch --severity high\n\n\
        The same tree packs to the same bytes. With --against only what is new or changed is packed.\n\
        Files belong to root:root, whoever owns them here, unless --owner or patch.toml says\n\
        otherwise. patch.toml has the keys name, version, base, platform, summary, severity,\n\
        advisories, requires, conflicts, restart, reboot, remove, hooks, config_files, owner, owners."
    )]
    Add(Box<add::AddArgs>),
    /// Show what waits to be published
    #[command(after_help = "Examples:\n  \
        patchrepo collection list /srv/collection\n  \
        patchrepo collection list /srv/collection --published --json")]
    List(list::ListArgs),
    /// Show all that is said of a patch, or who has signed what is being published
    #[command(after_help = "Examples:\n  \
        patchrepo collection show /srv/collection\n  \
        patchrepo collection show /srv/collection acme@2.1.1")]
    Show(show::ShowArgs),
    /// Run a command against a patch and keep the result as evidence
    #[command(after_help = "Examples:\n  \
        patchrepo collection test /srv/collection acme@2.1.1 -- sh -c ./opt/acme/bin/selftest\n  \
        patchrepo collection test /srv/collection acme@2.1.1 --timeout 1h -- /usr/lib/scan\n\n\
        The patch is unpacked to a temporary directory, an incremental one over the full patch that\n\
        it goes on from, and the command runs there. It finds PATCH_NAME, PATCH_VERSION,\n\
        PATCH_PLATFORM, PATCH_BASE, PATCH_ARCHIVE, PATCH_ROOT, PATCH_HOOKS and PATCH_COMPLETE (1 if\n\
        all of the component is there) in its environment. Exit 0 means that the test passed.")]
    Test(test::TestArgs),
    /// Sign patches and publish them: the first signature
    #[command(after_help = "Examples:\n  \
        patchrepo collection publish /srv/collection\n  \
        patchrepo collection publish /srv/collection acme@2.1.1 --passphrase-file /run/passphrase\n\n\
        Interrupted anywhere, it leaves a repository that readers accept; run it again.")]
    Publish(publish::PublishArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    /// Revoke a published patch: it is never installed again
    #[command(after_help = "Examples:\n  \
        patchrepo collection revoke /srv/collection acme@2.1.1 --reason spooler")]
    Revoke(revoke::RevokeArgs),
    /// Sign the head of the log anew, so that readers see that it is still the newest
    #[command(after_help = "Examples:\n  \
        patchrepo collection refresh /srv/collection\n\n\
        Run it well within max_age, from cron for instance. It also names new authority notes in the\n\
        log, makes missing packs and removes superseded files.")]
    Refresh(refresh::RefreshArgs),
    /// Begin the log under a new origin, after a fork
    #[command(after_help = "Examples:\n  \
        patchrepo collection restart /srv/collection --keep 17\n\n\
        The authority gives the log its new origin first (authority change --collection-origin). The\n\
        entries below N are repeated to the byte; what came after is to be added and published anew.")]
    Restart(restart::RestartArgs),
    /// Give up a patch that is not published, or a publication that has begun
    #[command(after_help = "Examples:\n  \
        patchrepo collection discard /srv/collection acme@2.1.1\n  \
        patchrepo collection discard /srv/collection --round")]
    Discard(discard::DiscardArgs),
}

impl CollectionCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(Log::Collection, &arguments, output),
            Self::Accept(arguments) => accept::run(Log::Collection, &arguments, output),
            Self::Renew(arguments) => renew::run(Log::Collection, &arguments, output),
            Self::Add(arguments) => add::run(&arguments, output),
            Self::List(arguments) => list::run(&arguments, output),
            Self::Show(arguments) => show::run(&arguments, output),
            Self::Test(arguments) => test::run(&arguments, output),
            Self::Export(arguments) => export::run(&arguments, output),
            Self::Import(arguments) => import::run(&arguments, output),
            Self::Publish(arguments) => publish::run(&arguments, output),
            Self::Revoke(arguments) => revoke::run(&arguments, output),
            Self::Refresh(arguments) => refresh::run(&arguments, output),
            Self::Restart(arguments) => restart::run(Log::Collection, &arguments, output),
            Self::Discard(arguments) => discard::run(&arguments, output),
        }
    }
}
