//! Running a program to its end, and what it said.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A command that is being put together.
#[derive(Debug)]
#[must_use = "a command does nothing until it is asked how it went"]
pub struct Run {
    command: Command,
    shown: String,
}

/// How a command went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The command as a person would type it.
    pub command: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

impl Run {
    /// The program `path` with the blank-separated words of `line`, in `directory`. The
    /// environment has nothing but a search path, so that no setting of the machine has a say.
    pub fn new(path: &Path, line: &str, directory: &Path) -> Self {
        let mut command = Command::new(path);
        command
            .args(line.split_whitespace())
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", directory)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        let program = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Self { command, shown: format!("{program} {line}") }
    }

    /// One more argument, which may have blanks.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        let argument = argument.as_ref();
        let text = argument.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+%".contains(c);
        let quoted = if text.chars().all(plain) { text.to_string() } else { format!("'{text}'") };
        write!(self.shown, " {quoted}").expect("a String takes all");
        self.command.arg(argument);
        self
    }

    /// More blank-separated words.
    pub fn words(self, line: &str) -> Self {
        line.split_whitespace().fold(self, Self::arg)
    }

    /// A variable of the command's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end, however that is.
    pub fn outcome(mut self) -> Outcome {
        let output = self.command.output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        Outcome {
            command: self.shown,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it and requires exit code 0.
    #[track_caller]
    pub fn done(self) -> Outcome {
        self.exits(0)
    }

    /// Runs it and requires this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Outcome {
        self.outcome().exits(code)
    }

    /// Runs it with `--json` and returns the document, whatever the exit code.
    #[track_caller]
    pub fn json(self) -> Value {
        self.arg("--json").outcome().json()
    }

    /// The process builder, for what is not run to its end here, and the command as shown.
    pub fn into_command(self) -> (Command, String) {
        (self.command, self.shown)
    }
}

impl Outcome {
    /// Requires this exit code.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "it is of use as an assertion")]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// The JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is no JSON document: {error}\n{self}"))
    }

    /// Requires that standard output and standard error together say `text`.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "it is of use as an assertion")]
    pub fn says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "expected it to say {text:?}\n{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "$ {}", self.command)?;
        writeln!(formatter, "--- standard output\n{}", self.stdout.trim_end())?;
        writeln!(formatter, "--- standard error\n{}", self.stderr.trim_end())?;
        match self.code {
            Some(code) => writeln!(formatter, "--- exit code {code}"),
            None => writeln!(formatter, "--- ended by a signal"),
        }
    }
}
