//! `patchrepo witness …`.

use clap::Subcommand;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::witness::{init, run};

/// The commands of a witness.
#[derive(Subcommand, Debug)]
pub(super) enum WitnessCommand {
    Init(init::InitArgs),
    Run(run::RunArgs),
}

impl WitnessCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(&arguments, output),
            Self::Run(arguments) => run::run(&arguments, output),
        }
    }
}
