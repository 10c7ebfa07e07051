//! `patchrepo key …`.

use clap::Subcommand;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::key::{generate, show};

/// The commands of keys.
#[derive(Subcommand, Debug)]
pub(super) enum KeyCommand {
    Generate(generate::GenerateArgs),
    Show(show::ShowArgs),
}

impl KeyCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Generate(arguments) => generate::run(arguments, output),
            Self::Show(arguments) => show::run(arguments, output),
        }
    }
}
