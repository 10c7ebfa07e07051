//! `patchctl`: the endpoint.

use std::process::ExitCode;

mod cli;
mod commands;
mod explain;
mod progress;
mod session;

fn main() -> ExitCode {
    countersign_terminal::run(|cli: &cli::Cli| &cli.global, cli::Cli::run)
}
