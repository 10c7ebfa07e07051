//! `patchrepo authority …`.

use clap::Subcommand;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::authority::{
    admit, change, check, export, import, init, issue, publish, retire, rotate, show, sign, status,
};

/// The commands of an authority.
#[derive(Subcommand, Debug)]
pub(super) enum AuthorityCommand {
    Init(init::InitArgs),
    Issue(issue::IssueArgs),
    Admit(admit::AdmitArgs),
    Retire(retire::RetireArgs),
    Change(Box<change::ChangeArgs>),
    Sign(sign::SignArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Publish(publish::PublishArgs),
    Rotate(rotate::RotateArgs),
    Show(show::ShowArgs),
    Status(status::StatusArgs),
    Check(check::CheckArgs),
}

impl AuthorityCommand {
    pub(super) fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self {
            Self::Init(arguments) => init::run(arguments, output),
            Self::Issue(arguments) => issue::run(&arguments, output),
            Self::Admit(arguments) => admit::run(arguments, output),
            Self::Retire(arguments) => retire::run(arguments, output),
            Self::Change(arguments) => change::run(*arguments, output),
            Self::Sign(arguments) => sign::run(&arguments, output),
            Self::Export(arguments) => export::run(&arguments, output),
            Self::Import(arguments) => import::run(&arguments, output),
            Self::Publish(arguments) => publish::run(&arguments, output),
            Self::Rotate(arguments) => rotate::run(&arguments, output),
            Self::Show(arguments) => show::run(&arguments, output),
            Self::Status(arguments) => status::run(&arguments, output),
            Self::Check(arguments) => check::run(&arguments, output),
        }
    }
}
