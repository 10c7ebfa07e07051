//! `patchctl`: the endpoint.

use std::process::ExitCode;

mod cli;
mod commands;
mod explain;
mod progress;
mod session;

fn main() -> ExitCode {
    // hooks and what is kept here must not depend on who started the program
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    countersign_terminal::run(|cli: &cli::Cli| &cli.global, cli::Cli::run)
}
