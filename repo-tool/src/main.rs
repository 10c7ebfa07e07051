//! `patchrepo`: the tool of the repository's side.

use std::process::ExitCode;

use patchrepo::cli::Cli;

fn main() -> ExitCode {
    countersign_terminal::run(|cli: &Cli| &cli.global, Cli::run)
}
