//! Completion at the shell's prompt, which knows patches, transactions and sources. It only reads,
//! waits for nobody and says nothing when something is wrong: whoever presses a key wants no error.

use std::ffi::{OsStr, OsString};
use std::io;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use countersign_terminal::printable;
use patchctl::config::definitions::DEFINITIONS;
use patchctl::db::Database;
use patchctl::db::names::Named;

use crate::cli::{Cli, ClientArgs};
use crate::session::Settled;

/// The variable by which a shell's script asks for completions.
const VARIABLE: &str = "_PATCHCTL_COMPLETE";

/// Commands that are about what is installed; all others are about what there is.
const ABOUT_INSTALLED: &[&str] =
    &["remove", "hold", "unhold", "upgrade", "verify", "repair", "files", "reinstall", "audit"];

/// Answers a shell that asks for completions, and ends the process then.
pub fn complete_if_asked() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script that makes a shell ask, if it is a shell that can.
pub fn script(shell: &str) -> io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let known = shells.completer(shell).ok_or(io::ErrorKind::Unsupported)?;
    known.write_registration(VARIABLE, "patchctl", "patchctl", "patchctl", &mut script)?;
    Ok(script)
}

/// The command line with what completes its values, by the names that help shows for them.
fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        let about_installed = ABOUT_INSTALLED.contains(&command.get_name());
        with_completers(command, about_installed)
    })
}

fn with_completers(command: Command, about_installed: bool) -> Command {
    let command = command.mut_args(|argument| {
        let completer = completer(&argument, about_installed);
        match completer {
            Some(completer) => argument.add(completer),
            None => argument,
        }
    });
    command.mut_subcommands(|inner| with_completers(inner, about_installed))
}

fn completer(argument: &Arg, about_installed: bool) -> Option<ArgValueCompleter> {
    let named = argument.get_value_names().and_then(|names| names.first());
    let name = named.map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    let complete: fn(&str) -> Vec<Named> = match name.as_str() {
        "NAME" | "NAME[@VERSION]" if argument.is_positional() && about_installed => {
            |prefix| state().map(|state| state.complete_installed(prefix)).unwrap_or_default()
        }
        "NAME" | "NAME[@VERSION]" | "NAME@VERSION" | "NAME[@VERSION]|FILE.patch"
            if argument.is_positional() =>
        {
            |prefix| state().map(|state| indexed(&state, prefix)).unwrap_or_default()
        }
        "TRANSACTION" => {
            |prefix| state().map(|state| state.complete_transactions(prefix)).unwrap_or_default()
        }
        "SOURCE" => sources,
        "KEY" => |prefix| {
            let keys = DEFINITIONS.iter().filter(|definition| definition.name.starts_with(prefix));
            keys.map(|key| (key.name.to_owned(), Some(key.help.to_owned()))).collect()
        },
        _ => return None,
    };
    Some(ArgValueCompleter::new(move |typed: &OsStr| {
        let found = typed.to_str().map(complete).unwrap_or_default();
        found.into_iter().map(candidate).collect::<Vec<_>>()
    }))
}

fn indexed(state: &Database, prefix: &str) -> Vec<Named> {
    if prefix.contains('@') {
        state.complete_versions(prefix)
    } else {
        state.complete_indexed(prefix)
    }
}

fn sources(prefix: &str) -> Vec<Named> {
    let sources = settled().map(|settled| settled.sources).unwrap_or_default();
    let fitting = sources.into_iter().filter(|source| source.name.as_str().starts_with(prefix));
    fitting.map(|source| (source.name.to_string(), Some(source.url.to_string()))).collect()
}

fn candidate((value, help): Named) -> CompletionCandidate {
    let help = help.map(|help| printable(&help).into_owned().into());
    CompletionCandidate::new(value).help(help)
}

fn state() -> Option<Database> {
    Database::glimpse(&settled()?.places.database())
}

/// Places and sources, as the command line that is being typed names them.
fn settled() -> Option<Settled> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").collect();
    Settled::find(&places_of(&words)).ok()
}

/// The options that name places. What is being typed is not whole, so it is not parsed.
fn places_of(words: &[OsString]) -> ClientArgs {
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option);
        let next = at.and_then(|at| words.get(at + 1)).map(Into::into);
        let joined = || {
            let texts = words.iter().filter_map(|word| word.to_str());
            let mut values = texts.filter_map(|text| text.strip_prefix(option)?.strip_prefix('='));
            values.next().map(Into::into)
        };
        next.or_else(joined)
    };
    ClientArgs {
        root: value("--root"),
        config: value("--config"),
        state: value("--state"),
        xdg: words.iter().any(|word| word == "--xdg"),
        ..ClientArgs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_being_typed_names_places() {
        let words = ["--", "patchctl", "--root", "/lab", "--state=/s", "install", "a"];
        let found = places_of(&words.map(OsString::from));
        assert_eq!((found.root, found.state), (Some("/lab".into()), Some("/s".into())));
        assert_eq!(found.config, None);
    }

    #[test]
    fn settings_and_commands_are_completed() {
        let complete = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let last = words.len() - 1;
            let found = clap_complete::engine::complete(&mut command(), words, last, None);
            let found = found.expect("candidates");
            found
                .iter()
                .map(|one| one.get_value().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(complete(&["patchctl", "config", "explain", "lock"]), ["lock_timeout"]);
        assert!(complete(&["patchctl", "roll"]).contains(&"rollback".into()));
    }

    #[test]
    fn every_shell_gets_a_script_that_asks() {
        for shell in ["bash", "zsh", "fish"] {
            let script = String::from_utf8(script(shell).expect("a script")).expect("text");
            assert!(script.contains(VARIABLE), "{shell}");
        }
        assert!(script("tcsh").is_err());
    }
}
