//! `patchctl completions SHELL`.

use clap::Args;
use clap_complete::Shell;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output};

use crate::completion::script;

/// Print the completion script for a shell
///
/// The script asks patchctl whenever a key is pressed, so that it knows the patches, transactions
/// and sources of this machine.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl completions bash > /etc/bash_completion.d/patchctl\n  \
    patchctl completions zsh > ~/.zfunc/_patchctl\n  \
    patchctl completions fish > ~/.config/fish/completions/patchctl.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &CompletionsArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let script = script(&arguments.shell.to_string()).or_fail(ExitStatus::Failed)?;
    if output.is_json() {
        output.json(&serde_json::json!({ "script": String::from_utf8_lossy(&script) }));
    }
    output.print_raw(&script);
    Ok(ExitStatus::Done)
}
