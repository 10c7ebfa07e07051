//! Showing and running one command after the other.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_format::authority::fingerprint;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::Note;
use countersign_tests::Programs;

/// Why the story stops: something was not as it was told.
pub type NotAsTold = Box<dyn std::error::Error>;

/// Columns of prose.
const WIDTH: usize = 78;

/// Where the story plays: a directory in which all commands are run.
pub struct Stage {
    directory: PathBuf,
    path: String,
    colored: bool,
    chapters: u32,
    commands: u32,
    refusals: u32,
}

impl Stage {
    /// A stage in `directory`, whose `bin/` has the two programs.
    pub fn new(directory: &Path) -> Result<Self, NotAsTold> {
        let bin = directory.join("bin");
        fs::create_dir(&bin)?;
        for name in ["patchctl", "patchrepo"] {
            fs::copy(Programs::get().directory().join(name), bin.join(name))?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            path: format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
            colored: io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none(),
            chapters: 0,
            commands: 0,
            refusals: 0,
        })
    }

    /// A path of the stage.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        let title = format!("{}. {title} ", self.chapters);
        println!(
            "\n{}",
            self.paint(
                "1;36",
                &format!("── {title}{}", "─".repeat(WIDTH - 3 - title.chars().count()))
            )
        );
    }

    /// Shows a command, runs it and requires that it ends well. Returns what it printed.
    pub fn run(&mut self, line: &str) -> Result<String, NotAsTold> {
        self.run_to(0, line)
    }

    /// Shows a command, runs it and requires this exit code.
    pub fn run_to(&mut self, expected: i32, line: &str) -> Result<String, NotAsTold> {
        println!("\n{}", self.paint("1", &format!("$ {line}")));
        let (code, printed) = self.shell(line)?;
        print!("{printed}");
        self.commands += 1;
        if code != Some(expected) {
            return Err(format!("exit code {code:?}, expected {expected}: {line}").into());
        }
        if expected != 0 {
            println!("{}", self.paint("2", &format!("[exit code {expected}]")));
        }
        Ok(printed)
    }

    /// Shows a command, runs it and requires that it refuses with this exit code and says each of
    /// `words`.
    pub fn refuses(&mut self, code: i32, words: &[&str], line: &str) -> Result<(), NotAsTold> {
        let printed = self.run_to(code, line)?;
        self.refusals += 1;
        match words.iter().find(|word| !printed.contains(**word)) {
            Some(word) => Err(format!("the refusal does not say {word:?}: {line}").into()),
            None => Ok(()),
        }
    }

    /// Runs a command of which only the result is shown.
    pub fn quietly(&self, line: &str) -> Result<String, NotAsTold> {
        match self.shell(line)? {
            (Some(0), printed) => Ok(printed),
            (code, printed) => Err(format!("exit code {code:?}: {line}\n{printed}").into()),
        }
    }

    /// A command that is run in the background: shown, and returned to be started.
    pub fn background(&mut self, line: &str) -> Command {
        println!("\n{}", self.paint("1", &format!("$ {line} &")));
        self.commands += 1;
        let mut command = self.prepared("/bin/sh");
        command.arg("-c").arg(format!("exec {line}"));
        command
    }

    /// What endpoints are told out of band: the SHA-256 of the first authority note's text.
    pub fn fingerprint(&self) -> Result<String, NotAsTold> {
        let bytes = fs::read(self.path("repo/authority/public/authority/1"))?;
        let note = Note::parse(&bytes, MAX_AUTHORITY_NOTE)?;
        Ok(format!("sha256:{}", fingerprint(note.text())))
    }

    /// How many commands were run and checked, and how many of them were refused.
    pub fn tally(&self) -> (u32, u32) {
        (self.commands, self.refusals)
    }

    /// Runs a line as a shell does, both outputs in the order in which they are written.
    fn shell(&self, line: &str) -> Result<(Option<i32>, String), NotAsTold> {
        let (mut reader, writer) = io::pipe()?;
        let mut command = self.prepared("/bin/sh");
        command.arg("-c").arg(line).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // it holds the writing ends, which would keep the pipe open
        drop(command);
        let mut printed = Vec::new();
        reader.read_to_end(&mut printed)?;
        let status = child.wait()?;
        Ok((status.code(), String::from_utf8_lossy(&printed).into_owned()))
    }

    fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.directory)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        if self.colored {
            command.env("CLICOLOR_FORCE", "1");
        }
        command
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colored { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Says something, filled to the width of the page.
pub fn say(text: &str) {
    println!("\n{}", fill(text));
}

/// Breaks prose into lines. Lines that begin with a blank stay as they are.
fn fill(text: &str) -> String {
    let mut filled = String::new();
    for line in text.lines() {
        if line.starts_with(' ') {
            writeln!(filled, "{line}").expect("a String takes all");
            continue;
        }
        let mut column = 0;
        for word in line.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                filled.push('\n');
                column = 0;
            } else if column > 0 {
                filled.push(' ');
                column += 1;
            }
            filled.push_str(word);
            column += length;
        }
        filled.push('\n');
    }
    filled.trim_end().to_owned()
}
