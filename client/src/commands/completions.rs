//! `patchctl completions SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use countersign_terminal::{ExitStatus, Output, completions};

/// Print the completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl completions bash > /etc/bash_completion.d/patchctl\n  \
    patchctl completions zsh > ~/.zfunc/_patchctl")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &CompletionsArgs, output: &Output) -> ExitStatus {
    let script = completions(crate::cli::Cli::command(), arguments.shell);
    if output.is_json() {
        output.json(&serde_json::json!({ "script": String::from_utf8_lossy(&script) }));
    }
    output.print_raw(&script);
    ExitStatus::Done
}
