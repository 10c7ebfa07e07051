//! The command line of `patchrepo`. Completions and man pages are made from these definitions.

use clap::{Parser, Subcommand};
use countersign_terminal::{ExitStatus, Failure, GlobalArgs, Output};

use crate::commands::{completions, init, inspect, man, prove, serve, sign, verify};

mod authority;
mod collection;
mod directory;
mod distribution;
mod key;
mod mirror;
mod witness;

use authority::AuthorityCommand;
use collection::CollectionCommand;
use directory::DirectoryCommand;
use distribution::DistributionCommand;
use key::KeyCommand;
use mirror::MirrorCommand;
use witness::WitnessCommand;

/// Publish patches that carry two signatures: the collection's and the distribution's
///
/// An authority says whose keys count. A collection takes patches in, tests them and gives the
/// first signature. A distribution decides who gets them and gives the second. What they publish
/// is a directory of plain files that any web server can serve.
#[derive(Parser, Debug)]
#[command(
    name = "patchrepo",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        patchrepo init repo --name patches.example.org\n  \
        patchrepo authority init /srv/authority --name patches.example.org/authority\n  \
        patchrepo collection init /srv/collection --name patches.example.org/collection\n  \
        patchrepo man /usr/local/share/man/man1\n\n\
        patchrepo COMMAND --help shows what a command takes, with examples."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::InitArgs),
    /// Say which keys hold which role; issue servers their keys
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Say where servers are
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Take patches in, test them, give the first signature
    #[command(subcommand)]
    Collection(CollectionCommand),
    /// Release patches, give the second signature
    #[command(subcommand)]
    Distribution(DistributionCommand),
    /// Copy a repository without a key, verified as it arrives
    #[command(subcommand)]
    Mirror(MirrorCommand),
    /// Cosign the heads of logs that never contradict themselves
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Make keys for people and machines to sign with, in files and in tokens
    #[command(subcommand)]
    Key(KeyCommand),
    Sign(sign::SignArgs),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    Prove(prove::ProveArgs),
    Serve(serve::ServeArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Cli {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match self.command {
            Command::Init(arguments) => init::run(&arguments, output),
            Command::Authority(command) => command.run(output),
            Command::Directory(command) => command.run(output),
            Command::Collection(command) => command.run(output),
            Command::Distribution(command) => command.run(output),
            Command::Mirror(command) => command.run(output),
            Command::Witness(command) => command.run(output),
            Command::Key(command) => command.run(output),
            Command::Sign(arguments) => sign::run(&arguments, output),
            Command::Verify(arguments) => verify::run(&arguments, output),
            Command::Inspect(arguments) => inspect::run(&arguments, output),
            Command::Prove(arguments) => prove::run(&arguments, output),
            Command::Serve(arguments) => serve::run(&arguments, output),
            Command::Completions(arguments) => Ok(completions::run(&arguments, output)),
            Command::Man(arguments) => man::run(&arguments, output),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use countersign_terminal::{leaf_commands, man_pages};

    use super::*;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_an_example_that_parses() {
        for (name, command) in leaf_commands(Cli::command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Examples:\n").map(|(_, examples)| examples);
            let examples = examples.unwrap_or_else(|| panic!("{name} has no examples"));
            assert!(examples.contains(&format!("  {name} ")), "{name}");
            for line in examples.lines().map(str::trim).filter(|line| line.starts_with("patch")) {
                assert!(line.len() <= 96, "wrapped by the help: {line}");
                let words = line.split_whitespace().take_while(|word| !["|", ">"].contains(word));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_command_has_a_man_page() {
        let directory = tempfile::tempdir().expect("a directory");
        let pages = man_pages(Cli::command(), directory.path()).expect("pages");
        for (name, _) in leaf_commands(Cli::command()) {
            let page = directory.path().join(format!("{}.1", name.replace(' ', "-")));
            assert!(pages.contains(&page), "{name}");
            let text = std::fs::read_to_string(page).expect("the page");
            assert!(text.contains(".SH EXAMPLES"), "{name}");
        }
    }
}
