//! `patchrepo directory …`.

use clap::Subcommand;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::directory::{add, init, publish, remove, renew, show};

/// The commands of a directory.
#[derive(Subcommand, Debug)]
pub(super) enum DirectoryCommand {
    Init(init::InitArgs),
    Add(add::AddArgs),
    Remove(remove::RemoveArgs),
    Publish(publish::PublishArgs),
    Renew(renew::RenewArgs),
    Show(show::ShowArgs),
}

impl DirectoryCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(&arguments, output),
            Self::Add(arguments) => add::run(&arguments, output),
            Self::Remove(arguments) => remove::run(&arguments, output),
            Self::Publish(arguments) => publish::run(&arguments, output),
            Self::Renew(arguments) => renew::run(&arguments, output),
            Self::Show(arguments) => show::run(&arguments, output),
        }
    }
}
