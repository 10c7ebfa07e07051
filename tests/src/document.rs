//! Running the examples of a document as a reader would type them.
//!
//! What a document can say:
//!
//! - A block fenced as `console` is run. A line that begins with `$ ` is a command (a line that ends
//!   with a backslash goes on in the next); the lines below it are what it prints, standard output
//!   and standard error as they would come in a terminal. In a line `…` stands for any text, and a
//!   line that is only `…` stands for any lines. A last line `[exit 100]` is the exit code where it
//!   is not 0. A command with nothing below it may print what it likes.
//! - A comment `<!-- before` … `-->` holds shell commands that readers need not see; the first that
//!   fails ends the run.
//! - A comment `<!-- stands for: TEXT = COMMAND -->` makes `TEXT`, in what follows, stand for what the
//!   command prints: `<!-- stands for: https://patches.example.org/ = serve lab/distribution/public -->`.
//!   Where a command prints the other, the document sees `TEXT`. What the last command that readers
//!   see printed is in the file `$LAB/said`.
//!
//! All commands of a document run in one shell in one temporary directory, in which `patchctl` works
//! on the machine below `machine`, and `serve DIR` serves a directory over HTTP and prints its URL.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{Programs, workspace};

/// What the shell knows before a document begins. A server that is started here ends with the shell.
const PRELUDE: &str = r#"
exec 2>&1
set -o pipefail
mkdir -p machine
trap 'for server in $(cat "$LAB/servers" 2>/dev/null); do kill "$server"; done' EXIT
serve() {
    local said; said=$(mktemp -p "$LAB")
    command patchrepo serve "$1" --listen "127.0.0.1:${2:-0}" >"$said" 2>&1 </dev/null &
    echo $! >>"$LAB/servers"
    until grep -o 'http://127[^ ]*' "$said"; do sleep 0.05; kill -0 $! || { cat "$said"; return 1; }; done
}
"#;

/// Something of a document that is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A command that readers see, and what it prints.
    Command(Example),
    /// Commands that readers do not see.
    Before { line: usize, script: String },
    /// Text that stands for what a command prints.
    StandsFor { line: usize, text: String, script: String },
}

/// A command, what it prints and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    line: usize,
    command: String,
    expected: Vec<String>,
    exit: i32,
}

/// A document of the workspace.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    steps: Vec<Step>,
}

impl Document {
    /// Reads the document at this path below the workspace.
    pub fn read(path: &str) -> Self {
        let whole = workspace().join(path);
        let text = fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.into(), steps: parse(&text) }
    }

    /// How many commands readers see.
    pub fn commands(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Command(_))).count()
    }

    /// Runs it from top to bottom and panics with everything that is not as it says.
    pub fn run(&self) {
        let mut shell = Shell::new();
        let mut wrong = String::new();
        for step in &self.steps {
            let found = match step {
                Step::Before { line, script } => match shell.run(script) {
                    (_, 0) => continue,
                    (said, code) => format!("line {line}: exit {code}\n{}", said.join("\n")),
                },
                Step::StandsFor { line, text, script } => match shell.run(script) {
                    (said, 0) if said.len() == 1 => {
                        shell.stands_for.push((text.clone(), said[0].clone()));
                        continue;
                    }
                    (said, code) => format!("line {line}: exit {code}\n{}", said.join("\n")),
                },
                Step::Command(example) => {
                    let (said, code) = shell.run(&example.command);
                    let kept = fs::write(shell.directory.path().join("said"), said.join("\n"));
                    kept.expect("a laboratory can be written to");
                    match example.compare(&said, code) {
                        Ok(()) => continue,
                        Err(found) => found,
                    }
                }
            };
            writeln!(wrong, "{}: {found}\n", self.path.display()).expect("a String takes all");
            if !matches!(step, Step::Command(_)) {
                break;
            }
        }
        assert!(wrong.is_empty(), "the document does not say what happens:\n\n{wrong}");
    }
}

impl Example {
    fn compare(&self, said: &[String], code: i32) -> Result<(), String> {
        let is_as_said = self.expected.is_empty() || matches(&self.expected, said);
        if is_as_said && code == self.exit {
            return Ok(());
        }
        Err(format!(
            "line {}\n$ {}\n{}\n--- exit {code}, not {}; the document says\n{}",
            self.line,
            self.command,
            said.join("\n"),
            self.exit,
            self.expected.join("\n")
        ))
    }
}

/// A shell in a laboratory of its own.
struct Shell {
    directory: TempDir,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    stands_for: Vec<(String, String)>,
}

impl Shell {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir();
        let directory = directory.expect("temporary files can be made");
        let programs = Programs::get().directory();
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            programs.display()
        );
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", directory.path())
            .env("LC_ALL", "C.UTF-8")
            .env("LAB", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash can be started");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut shell = Self { directory, child, input, output, stands_for: Vec::new() };
        let machine = "patchctl() { command patchctl --root \"$LAB/machine\" \"$@\"; }";
        let (said, code) = shell.run(&format!("{PRELUDE}\n{machine}"));
        assert_eq!((said.join("\n").as_str(), code), ("", 0), "the shell does not start");
        shell
    }

    /// Runs a command to its end. Returns the lines that it printed and its exit code.
    fn run(&mut self, script: &str) -> (Vec<String>, i32) {
        const END: &str = "--- the end of a command:";
        let mut script = script.to_owned();
        for (text, real) in &self.stands_for {
            script = script.replace(text, real);
        }
        let whole = format!("{{ {script}\n}} </dev/null\nprintf '\\n%s %d\\n' '{END}' $?\n");
        self.input.write_all(whole.as_bytes()).expect("the shell reads its commands");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("the shell prints text");
            assert_ne!(length, 0, "the shell ended by itself in: {script}\n{}", lines.join("\n"));
            if let Some(code) = line.strip_prefix(END) {
                while lines.last().is_some_and(String::is_empty) {
                    lines.pop();
                }
                return (lines, code.trim().parse().expect("printf prints a number"));
            }
            lines.push(self.as_shown(line.trim_end()));
        }
    }

    /// A line as readers would see it: in a laboratory with short names.
    fn as_shown(&self, line: &str) -> String {
        let lab = self.directory.path().display().to_string();
        let mut line = line
            .replace(&format!(" --root {lab}/machine"), "")
            .replace(&format!("{lab}/machine"), "")
            .replace(&format!("{lab}/"), "");
        for (text, real) in &self.stands_for {
            line = line.replace(real, text);
        }
        line
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // it may have ended by itself; its trap ends the servers
        let _ = self.input.write_all(b"exit\n");
        let _ = self.child.wait();
    }
}

/// Whether lines are as expected, `…` standing for any text and alone for any lines.
fn matches(expected: &[String], said: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return said.is_empty() };
    if first.trim() == "…" {
        return (0..=said.len()).any(|passed| matches(rest, &said[passed..]));
    }
    said.split_first()
        .is_some_and(|(line, below)| line_matches(first, line) && matches(rest, below))
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.trim_end().split('…');
    let begin = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(begin) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```console" {
            let block = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
            steps.extend(examples(block).into_iter().map(Step::Command));
        } else if line.trim() == "<!-- before" {
            let block =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "-->");
            let script = format!("set -e\n{}\nset +e", block.collect::<Vec<_>>().join("\n"));
            steps.push(Step::Before { line: number, script });
        } else if let Some(said) = line.trim().strip_prefix("<!-- stands for: ") {
            let (text, script) = said
                .strip_suffix(" -->")
                .and_then(|said| said.split_once(" = "))
                .unwrap_or_else(|| panic!("line {number}: write TEXT = COMMAND -->"));
            let (text, script) = (text.to_owned(), script.to_owned());
            steps.push(Step::StandsFor { line: number, text, script });
        }
    }
    steps
}

fn examples<'l>(block: impl Iterator<Item = (usize, &'l str)>) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut goes_on = false;
    for (number, line) in block {
        let code = line.strip_prefix("[exit ").and_then(|code| code.strip_suffix(']'));
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, expected) = (command.to_owned(), Vec::new());
            examples.push(Example { line: number, command, expected, exit: 0 });
            goes_on = line.ends_with('\\');
            continue;
        }
        let example = examples.last_mut();
        let example = example.unwrap_or_else(|| panic!("line {number}: begin with a command"));
        if goes_on {
            example.command.push('\n');
            example.command.push_str(line);
            goes_on = line.ends_with('\\');
        } else if let Some(code) = code {
            example.exit = code.parse().unwrap_or_else(|_| panic!("line {number}: no exit code"));
        } else {
            example.expected.push(line.to_owned());
        }
    }
    for example in &mut examples {
        while example.expected.last().is_some_and(|line| line.trim().is_empty()) {
            example.expected.pop();
        }
    }
    examples
}

/// The documents of the workspace that have examples to run, by path.
pub fn with_examples() -> Vec<String> {
    let listed = |directory: &str| {
        let entries = fs::read_dir(workspace().join(directory)).expect("it can be listed");
        entries.map(|entry| entry.expect("it can be read").path()).collect::<Vec<_>>()
    };
    let is_document = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md");
    let below = |path: &Path| {
        let path = path.strip_prefix(workspace()).expect("it was listed there");
        path.to_string_lossy().into_owned()
    };
    let all = listed("").into_iter().chain(listed("docs")).filter(is_document);
    let mut paths: Vec<_> = all.map(|path| below(&path)).collect();
    paths.retain(|path| Document::read(path).commands() > 0);
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn dots_stand_for_any_text_and_nothing_else_does() {
        for (expected, said, is_match) in [
            ("done", "done", true),
            ("done", "done.", false),
            ("a … c", "a b c", true),
            ("a … c", "a b c d", false),
            ("…c…", "abcd", true),
            ("a…b…a", "a b", false),
            ("one\n…\nfour", "one\ntwo\nthree\nfour", true),
            ("one\n…\nfour", "one\nfour", true),
            ("one\n…\nfour", "one\ntwo", false),
            ("one", "one\ntwo", false),
            ("one\ntwo", "one", false),
        ] {
            assert_eq!(matches(&lines(expected), &lines(said)), is_match, "{expected:?} {said:?}");
        }
    }

    #[test]
    fn reads_commands_output_codes_and_what_readers_do_not_see() {
        let text = "Text.\n\n<!-- before\nmake\n-->\n```console\n$ one \\\n    --flag\nprinted\n\n$ two\n[exit 100]\n```\n\
            ```\n$ not run\n```\n<!-- stands for: X = echo x -->\n";
        let steps = parse(text);
        assert_eq!(steps.len(), 4);
        let [
            Step::Before { script, .. },
            Step::Command(one),
            Step::Command(two),
            Step::StandsFor { text, .. },
        ] = steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        assert!(script.contains("make"));
        assert_eq!((one.command.as_str(), one.exit), ("one \\\n    --flag", 0));
        assert_eq!(one.expected, ["printed"]);
        assert_eq!((two.exit, two.expected.len(), text.as_str()), (100, 0, "X"));
    }
}
