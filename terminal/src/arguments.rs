//! The arguments both programs take everywhere, and the frame of their `main`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, Args, ColorChoice, Parser, ValueEnum};

use crate::habits::{Habit, Misunderstood, Understood, understand};
use crate::{ExitStatus, Failure, Output};

/// The arguments every command of both programs takes; flattened into their parsers.
#[derive(Args, Debug, Clone, Default)]
pub struct GlobalArgs {
    /// Print one JSON document on standard output instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print only results, warnings and errors
    #[arg(short, long, global = true, help_heading = "Global options", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice says most
    #[arg(short, long, global = true, help_heading = "Global options", action = ArgAction::Count)]
    pub verbose: u8,
    /// Use colours auto (as NO_COLOR and the terminal say), always or never
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_enum,
        value_name = "WHEN",
        hide_possible_values = true,
        default_value_t
    )]
    pub color: ColorArgument,
    /// Show no progress: no bars, nor lines now and then where standard error is no terminal
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_progress: bool,
}

/// When to use colours.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorArgument {
    /// On a terminal that can show them, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings and errors only (`-q`).
    Quiet,
    /// What a person wants to know.
    #[default]
    Normal,
    /// Each step too (`-v`).
    Verbose,
    /// Everything (`-vv`).
    Debug,
}

impl GlobalArgs {
    /// How much is to be said.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        }
    }
}

/// The whole of a program's `main`: reads the command line, runs the command, shows how it ended.
///
/// Usage errors are shown as clap words them, with exit 2; with `--json` on the command line they
/// are a JSON document on standard output as well, as all other errors are.
pub fn run<P: Parser>(
    globals: impl FnOnce(&P) -> &GlobalArgs,
    command: impl FnOnce(P, &Output) -> Result<ExitStatus, Failure>,
) -> ExitCode {
    run_with_habits(&[], globals, command)
}

/// As [`run`], and understands words of other programs, with a hint.
pub fn run_with_habits<P: Parser>(
    habits: &[Habit],
    globals: impl FnOnce(&P) -> &GlobalArgs,
    command: impl FnOnce(P, &Output) -> Result<ExitStatus, Failure>,
) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Understood { parsed, hint } = match understand(&arguments, habits, parse::<P>) {
        Ok(understood) => understood,
        Err(Misunderstood::Clap(error)) => return show_usage(&error),
        Err(Misunderstood::Habit(failure)) => {
            let json = arguments.iter().any(|argument| argument == "--json");
            let color = color_argument(&arguments);
            let output = Output::new(&GlobalArgs { json, color, ..GlobalArgs::default() });
            return output.finish(&Err(failure)).into();
        }
    };
    let output = Output::new(globals(&parsed));
    if let Some(hint) = hint {
        output.hint(hint);
    }
    let result = command(parsed, &output);
    output.finish(&result).into()
}

/// Reads the command line; help and usage errors are coloured as it says.
fn parse<P: Parser>(arguments: &[OsString]) -> Result<P, clap::Error> {
    let color = match color_argument(arguments) {
        ColorArgument::Auto => ColorChoice::Auto,
        ColorArgument::Always => ColorChoice::Always,
        ColorArgument::Never => ColorChoice::Never,
    };
    let mut command = P::command().color(color);
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// What `--color` says, before the command line is read; as usual where it says nothing that can
/// be understood.
fn color_argument(arguments: &[OsString]) -> ColorArgument {
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    let mut color = ColorArgument::Auto;
    while let Some(word) = words.next().filter(|word| word != "--") {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next().map(String::from),
            Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
            None => None,
        };
        let said = value.and_then(|value| ColorArgument::from_str(&value, false).ok());
        color = said.unwrap_or(color);
    }
    color
}

fn show_usage(error: &clap::Error) -> ExitCode {
    // a closed pipe leaves nobody to tell
    let _ = error.print();
    if !error.use_stderr() {
        return ExitStatus::Done.into();
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let output = Output::new(&GlobalArgs { json: true, ..GlobalArgs::default() });
        output.json(&usage_failure(&error.to_string()).document());
    }
    ExitStatus::Usage.into()
}

/// The first paragraph of clap's message, without the `error:` that it starts with.
fn usage_failure(rendered: &str) -> Failure {
    let first = rendered.split("\n\n").next().unwrap_or(rendered);
    let text = first.trim_start_matches("error: ").trim();
    Failure::usage(text.to_owned()).hint("try --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        global: GlobalArgs,
    }

    fn parse(arguments: &[&str]) -> Result<GlobalArgs, clap::Error> {
        Program::try_parse_from([&["program"], arguments].concat()).map(|program| program.global)
    }

    #[test]
    fn verbosity_goes_from_quiet_to_debug() {
        let verbosity = |arguments: &[&str]| parse(arguments).expect("arguments").verbosity();
        assert_eq!(verbosity(&["-q"]), Verbosity::Quiet);
        assert_eq!(verbosity(&[]), Verbosity::Normal);
        assert_eq!(verbosity(&["-v"]), Verbosity::Verbose);
        assert_eq!(verbosity(&["-vvv"]), Verbosity::Debug);
        assert!(parse(&["-q", "-v"]).is_err());
    }

    #[test]
    fn colours_are_one_of_three() {
        assert_eq!(parse(&[]).expect("none").color, ColorArgument::Auto);
        assert_eq!(parse(&["--color", "never"]).expect("never").color, ColorArgument::Never);
        assert!(parse(&["--color", "blue"]).is_err());
    }

    #[test]
    fn help_is_coloured_as_the_command_line_says() {
        let said =
            |line: &str| color_argument(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(said("program --help --color never"), ColorArgument::Never);
        assert_eq!(said("program --color=always --help"), ColorArgument::Always);
        assert_eq!(said("program --color blue"), ColorArgument::Auto);
        assert_eq!(said("program -- --color=always"), ColorArgument::Auto);
        let help = |color: &str| {
            let arguments = ["program", "--color", color, "--help"].map(OsString::from);
            let Err(error) = super::parse::<Program>(&arguments) else { panic!("no help") };
            error.render().ansi().to_string()
        };
        assert!(help("always").contains("Options"));
    }

    #[test]
    fn usage_errors_have_a_json_form() {
        let error = parse(&["--jsen"]).expect_err("a typing mistake");
        let failure = usage_failure(&error.to_string());
        assert_eq!(failure.error().to_string(), "unexpected argument '--jsen' found");
        assert_eq!(failure.exit(), ExitStatus::Usage);
    }
}
