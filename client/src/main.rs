//! `patchctl`: the endpoint.

use std::process::ExitCode;

mod cli;
mod commands;
mod completion;
mod explain;
mod habits;
mod progress;
mod session;

fn main() -> ExitCode {
    completion::complete_if_asked();
    // hooks and what is kept here must not depend on who started the program
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    countersign_terminal::run_with_habits(
        habits::HABITS,
        |cli: &cli::Cli| &cli.global,
        cli::Cli::run,
    )
}
