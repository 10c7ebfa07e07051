//! The command line of `patchctl`. Completions and man pages are made from these definitions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use countersign_terminal::{ExitStatus, Failure, GlobalArgs, Output, parse_duration};

use crate::commands::config_files::policy_word;
use crate::commands::{
    adopt, audit, check, clean, completions, config, doctor, download, enroll, files, history,
    hold, inspect, install, list, man, plan, reinstall, remove, repair, rollback, search, show,
    sources, status, update, upgrade, verify, why,
};
use crate::session::Session;

/// Install patches that carry two signatures: the collection's and the distribution's
///
/// Whatever is installed was signed by both servers, on the index and on the archive, by keys that
/// the authority vouches for. A server that is taken over can withhold patches for a while; it can
/// install nothing.
#[derive(Parser, Debug)]
#[command(
    name = "patchctl",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        patchctl enroll https://patches.example.org --authority sha256:2f1c…\n  \
        patchctl update\n  \
        patchctl upgrade\n  \
        patchctl rollback\n  \
        patchctl man /usr/local/share/man/man1\n\n\
        patchctl COMMAND --help shows what a command takes, with examples."
)]
pub struct Cli {
    /// What every command of both programs takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What every command of this one takes.
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    command: Command,
}

/// The arguments that every command takes.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct ClientArgs {
    /// Install below this directory; configuration, state and cache are below it too unless named
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Settings, with sources in sources.d beside it [default: /etc/patchctl/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What this machine trusts and has installed [default: /var/lib/patchctl]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Fetched archives [default: /var/cache/patchctl]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// With --root: keep configuration, state and cache in this user's own directories
    #[arg(long, global = true, requires = "root")]
    pub xdg: bool,
    /// Do not use the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// Show what would be done and do nothing
    #[arg(long, global = true, alias = "simulate")]
    pub dry_run: bool,
    /// Answer every question with yes
    #[arg(short, long, global = true, aliases = ["assume-yes", "assumeyes"])]
    pub yes: bool,
    /// How long to wait for another patchctl [default: 5min]
    #[arg(long, global = true, value_name = "SPAN", value_parser = parse_duration)]
    pub lock_timeout: Option<Duration>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Enroll(enroll::EnrollArgs),
    Update(update::UpdateArgs),
    Upgrade(upgrade::UpgradeArgs),
    Install(install::InstallArgs),
    Remove(remove::RemoveArgs),
    Rollback(rollback::RollbackArgs),
    List(list::ListArgs),
    Search(search::SearchArgs),
    Show(show::ShowArgs),
    Files(files::FilesArgs),
    Check(check::CheckArgs),
    Status(status::StatusArgs),
    Verify(verify::VerifyArgs),
    Repair(repair::RepairArgs),
    Adopt(adopt::AdoptArgs),
    Clean(clean::CleanArgs),
    History(history::HistoryArgs),
    Hold(hold::HoldArgs),
    Plan(plan::PlanArgs),
    Download(download::DownloadArgs),
    Reinstall(reinstall::ReinstallArgs),
    Unhold(hold::UnholdArgs),
    Why(why::WhyArgs),
    Doctor(doctor::DoctorArgs),
    Audit(audit::AuditArgs),
    Inspect(inspect::InspectArgs),
    Sources(sources::SourcesArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Cli {
    /// `--config keep|new` is for commands that install; a file of that name needs a directory.
    fn check_config_word(&self) -> Result<(), Failure> {
        let value = self.client.config.as_deref().filter(|value| policy_word(value).is_some());
        match (value, &self.command) {
            (None, _)
            | (
                _,
                Command::Install(_)
                | Command::Upgrade(_)
                | Command::Reinstall(_)
                | Command::Repair(_),
            ) => Ok(()),
            (Some(value), _) => {
                let word = value.display();
                let text = format!("--config {word} is for commands that install files");
                Err(Failure::usage(text).hint(format!("settings of that name: --config ./{word}")))
            }
        }
    }

    /// Carries out the command.
    pub fn run(self, output: &Output) -> Result<ExitStatus, Failure> {
        match &self.command {
            Command::Completions(arguments) => return completions::run(arguments, output),
            Command::Man(arguments) => return man::run(arguments, output),
            _ => {}
        }
        self.check_config_word()?;
        let session = Session::new(self.client, output)?;
        match self.command {
            Command::Enroll(arguments) => enroll::run(&session, arguments),
            Command::Update(arguments) => update::run(&session, &arguments),
            Command::Upgrade(arguments) => upgrade::run(&session, &arguments),
            Command::Install(arguments) => install::run(&session, &arguments),
            Command::Remove(arguments) => remove::run(&session, &arguments),
            Command::Rollback(arguments) => rollback::run(&session, &arguments),
            Command::List(arguments) => list::run(&session, &arguments),
            Command::Search(arguments) => search::run(&session, &arguments),
            Command::Show(arguments) => show::run(&session, &arguments),
            Command::Files(arguments) => files::run(&session, &arguments),
            Command::Check(arguments) => check::run(&session, &arguments),
            Command::Status(arguments) => status::run(&session, &arguments),
            Command::Verify(arguments) => verify::run(&session, &arguments),
            Command::Repair(arguments) => repair::run(&session, &arguments),
            Command::Adopt(arguments) => adopt::run(&session, &arguments),
            Command::Clean(arguments) => clean::run(&session, &arguments),
            Command::History(arguments) => history::run(&session, &arguments),
            Command::Hold(arguments) => hold::run(&session, &arguments),
            Command::Plan(arguments) => plan::run(&session, &arguments),
            Command::Download(arguments) => download::run(&session, arguments),
            Command::Reinstall(arguments) => reinstall::run(&session, &arguments),
            Command::Unhold(arguments) => hold::run_unhold(&session, &arguments),
            Command::Audit(arguments) => audit::run(&session, &arguments),
            Command::Doctor(arguments) => doctor::run(&session, &arguments),
            Command::Why(arguments) => why::run(&session, &arguments),
            Command::Inspect(arguments) => inspect::run(&session, &arguments),
            Command::Sources(arguments) => sources::run(&session, arguments),
            Command::Config(arguments) => config::run(&session, &arguments),
            Command::Completions(_) | Command::Man(_) => unreachable!("carried out above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        Cli::command().debug_assert();
        for (name, command) in countersign_terminal::leaf_commands(Cli::command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:") && help.contains(&name), "{name}: {help}");
        }
    }

    #[test]
    fn no_command_takes_a_global_option_s_name_for_something_else() {
        let globals: Vec<String> =
            Cli::command().get_arguments().map(|argument| argument.get_id().to_string()).collect();
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let id = argument.get_id().to_string();
                assert!(!globals.contains(&id), "{} {id}", command.get_name());
            }
        }
    }
}
