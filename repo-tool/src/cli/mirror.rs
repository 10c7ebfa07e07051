//! `patchrepo mirror …`.

use clap::Subcommand;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::mirror::sync;

/// The commands of a mirror.
#[derive(Subcommand, Debug)]
pub(super) enum MirrorCommand {
    Sync(sync::SyncArgs),
}

impl MirrorCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Sync(arguments) => sync::run(&arguments, output),
        }
    }
}
