//! Words of other package managers that people type out of habit.

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::Failure;

/// Words that mean one thing elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    /// The words, of which any may stand where a command is wanted.
    pub words: &'static [&'static str],
    /// What they mean here.
    pub meaning: Meaning,
}

/// What a habit comes to.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// The same as these words, which are taken instead.
    Same(&'static [&'static str]),
    /// Nothing that is done here; what a person can do instead.
    Other(&'static str),
}

/// A command line that was understood.
pub(crate) struct Understood<P> {
    pub(crate) parsed: P,
    /// What was taken for what.
    pub(crate) hint: Option<String>,
}

/// Why a command line was not understood.
pub(crate) enum Misunderstood {
    Clap(clap::Error),
    Habit(Failure),
}

/// Reads a command line, with the words of other programs where it has no command otherwise.
pub(crate) fn understand<P: Parser>(
    arguments: &[OsString],
    habits: &[Habit],
    parse: impl Fn(&[OsString]) -> Result<P, clap::Error>,
) -> Result<Understood<P>, Misunderstood> {
    let error = match parse(arguments) {
        Ok(parsed) => return Ok(Understood { parsed, hint: None }),
        Err(error) => error,
    };
    let Some(word) = unknown_command(&error) else { return Err(Misunderstood::Clap(error)) };
    let habit = habits.iter().find(|habit| habit.words.contains(&&*word));
    match habit.map(|habit| habit.meaning) {
        None => Err(Misunderstood::Clap(error)),
        Some(Meaning::Other(instead)) => {
            let text = format!("there is no command {word}");
            Err(Misunderstood::Habit(Failure::usage(text).hint(instead)))
        }
        Some(Meaning::Same(words)) => {
            let (parsed, index) = replace(arguments, &word, words, parse)?;
            let program = P::command().get_name().to_owned();
            let shown = words.join(" ");
            debug_assert!(index > 0, "the program's own name is no command");
            Ok(Understood { parsed, hint: Some(format!("{word} is here: {program} {shown}")) })
        }
    }
}

/// Reads the command line with other words in the place of `word`: the first place where it is not
/// the value of an option.
fn replace<P>(
    arguments: &[OsString],
    word: &str,
    words: &[&str],
    parse: impl Fn(&[OsString]) -> Result<P, clap::Error>,
) -> Result<(P, usize), Misunderstood> {
    let places = arguments.iter().enumerate().skip(1);
    let mut refused = None;
    for (index, _) in places.filter(|(_, argument)| *argument == word) {
        let mut changed = arguments.to_vec();
        changed.splice(index..=index, words.iter().map(OsString::from));
        match parse(&changed) {
            Ok(parsed) => return Ok((parsed, index)),
            Err(error) if unknown_command(&error).as_deref() == Some(word) => {}
            Err(error) => refused = Some(error),
        }
    }
    let error = refused.expect("the word was read from one of the arguments");
    Err(Misunderstood::Clap(error))
}

/// The word that was taken for a command and is none.
fn unknown_command(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => Some(word.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;

    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "program")]
    struct Program {
        #[arg(long, global = true)]
        root: Option<String>,
        #[command(subcommand)]
        command: Words,
    }

    #[derive(Subcommand, Debug)]
    enum Words {
        Install {
            names: Vec<String>,
        },
        List {
            #[arg(long)]
            upgradable: bool,
        },
    }

    const HABITS: &[Habit] = &[
        Habit { words: &["in"], meaning: Meaning::Same(&["install"]) },
        Habit { words: &["lu"], meaning: Meaning::Same(&["list", "--upgradable"]) },
        Habit { words: &["autoremove"], meaning: Meaning::Other("remove by name") },
    ];

    fn read(line: &str) -> Result<Understood<Program>, Misunderstood> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        understand(&arguments, HABITS, |arguments| Program::try_parse_from(arguments))
    }

    #[test]
    fn a_habit_is_understood_wherever_the_command_stands() {
        for line in ["program in in", "program --root in in in", "program in in --root in"] {
            let Ok(Understood { parsed, hint }) = read(line) else { panic!("{line}") };
            assert_eq!(hint.as_deref(), Some("in is here: program install"));
            assert!(matches!(parsed.command, Words::Install { names } if names == ["in"]));
        }
        let Ok(Understood { parsed, .. }) = read("program lu") else { panic!("lu") };
        assert!(matches!(parsed.command, Words::List { upgradable: true }));
        let Ok(Understood { hint, .. }) = read("program install lu") else { panic!("a name") };
        assert_eq!(hint, None);
    }

    #[test]
    fn what_is_not_the_same_is_said_and_not_done() {
        let Err(Misunderstood::Habit(failure)) = read("program autoremove") else { panic!() };
        assert_eq!(failure.hint_text(), Some("remove by name"));
        assert!(matches!(read("program instal"), Err(Misunderstood::Clap(_))));
        assert!(matches!(read("program lu --nonsense"), Err(Misunderstood::Clap(_))));
    }
}
