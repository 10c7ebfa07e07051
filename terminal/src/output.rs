//! The two streams: data to standard output, messages to standard error.

use std::fmt::{self, Display};
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::human::printable_lines;
use crate::table::Columns;
use crate::wrap::wrap;
use crate::{ColorArgument, ExitStatus, Failure, GlobalArgs, Progress, Table, Verbosity};

const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// What is long is written in pieces of so many bytes: as much as a pipe holds.
const PIECE: usize = 64 * 1024;

/// The column where the values of [`Output::print_field`] begin.
const VALUES: usize = 16;
/// The column where the texts of [`Output::print_item`] begin.
const TEXTS: usize = 25;

/// How something stands out where there are colours. What it says is said in words, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// As it should be: green.
    Good,
    /// Something to be known: yellow.
    Attention,
    /// Something to be done: red.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Attention => WARNING,
            Self::Bad => ERROR,
        }
    }
}

/// What a command found out, as text for people and as one JSON document for programs.
pub trait Report: Serialize {
    /// Prints it as text.
    fn print(&self, output: &Output);
}

/// Where a command's results and messages go.
///
/// Nothing here panics or fails: a reader that closed the pipe ends output quietly, any other
/// failure to write standard output is reported once, by [`Output::finish`]. All text is made
/// printable, since much of it comes from others.
pub struct Output {
    stdout: Mutex<Stream>,
    stderr: Mutex<Stream>,
    input: Option<Mutex<Box<dyn BufRead + Send>>>,
    progress: Progress,
    verbosity: Verbosity,
    json: bool,
    width: Option<usize>,
    document_printed: AtomicBool,
}

struct Stream {
    writer: Box<dyn Write + Send>,
    colored: bool,
    /// After the first failed write: nothing more is written.
    failed: Option<io::Error>,
}

impl Output {
    /// The process's own streams.
    pub fn new(arguments: &GlobalArgs) -> Self {
        let stdout_colored = colored(arguments.color, anstream::AutoStream::choice(&io::stdout()));
        let stderr_colored = colored(arguments.color, anstream::AutoStream::choice(&io::stderr()));
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        let progress = match (arguments.no_progress || arguments.quiet, io::stderr().is_terminal())
        {
            (true, _) => Progress::hidden(),
            (false, true) => Progress::visible(),
            (false, false) => Progress::in_lines(),
        };
        Self {
            stdout: Stream::new(Box::new(io::stdout()), stdout_colored),
            stderr: Stream::new(Box::new(io::stderr()), stderr_colored),
            input: interactive.then(|| Mutex::new(Box::new(io::BufReader::new(io::stdin())) as _)),
            progress,
            verbosity: arguments.verbosity(),
            json: arguments.json,
            width: terminal_width(),
            document_printed: AtomicBool::new(false),
        }
    }

    /// Streams in memory, for tests. `input` is what a person at the terminal types; `None` means
    /// that there is no terminal.
    pub fn captured(arguments: &GlobalArgs, input: Option<&str>) -> (Self, Captured) {
        let captured = Captured::default();
        let colored = arguments.color == ColorArgument::Always;
        let typed = input.map(|text| io::Cursor::new(text.to_owned().into_bytes()));
        let output = Self {
            stdout: Stream::new(Box::new(captured.stdout.clone()), colored),
            stderr: Stream::new(Box::new(captured.stderr.clone()), colored),
            input: typed.map(|typed| Mutex::new(Box::new(typed) as _)),
            progress: Progress::hidden(),
            verbosity: arguments.verbosity(),
            json: arguments.json,
            width: None,
            document_printed: AtomicBool::new(false),
        };
        (output, captured)
    }

    /// How much is said on standard error.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Where long work shows how far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Prints a command's result, as text or with `--json` as the document.
    pub fn report(&self, report: &impl Report) {
        if self.json { self.json(report) } else { report.print(self) }
    }

    /// Prints the command's JSON document. A command prints at most one.
    pub fn json(&self, document: &impl Serialize) {
        let printed_before = self.document_printed.swap(true, Ordering::Relaxed);
        debug_assert!(!printed_before, "a command prints one JSON document");
        let mut pieces = io::BufWriter::with_capacity(PIECE, Pieces(self));
        serde_json::to_writer_pretty(&mut pieces, document)
            .expect("reports have text keys, no failing serializer, and pieces are always taken");
        // neither fails: what cannot be written is told at the end
        let _ = pieces.write_all(b"\n").and_then(|()| pieces.flush());
    }

    /// Prints a line of the result. Nothing with `--json`, as for all results in text.
    pub fn print_line(&self, line: impl Display) {
        self.print_text(&format!("{}\n", printable_lines(&line.to_string())));
    }

    /// Prints a line of the result in bold: the heading of what follows.
    pub fn print_heading(&self, heading: impl Display) {
        let text = printable_lines(&heading.to_string()).into_owned();
        let text = lock(&self.stdout).styled(BOLD, &text);
        self.print_text(&format!("{text}\n"));
    }

    /// Prints `label:` and a value, values aligned at column 16; further lines of it are indented.
    pub fn print_field(&self, label: &str, value: impl Display) {
        self.print_toned_field(label, Tone::Plain, value);
    }

    /// As [`Self::print_field`], with a value that stands out.
    pub fn print_toned_field(&self, label: &str, tone: Tone, value: impl Display) {
        let value = value.to_string();
        let value = wrap(&printable_lines(&value), VALUES, self.width);
        let value = self.toned(tone, &value);
        let label = format!("{label}:");
        self.print_text(&format!("{label:<15} {value}\n"));
    }

    /// Prints an item of a list: a label, a word that stands out, and a text in a column of its
    /// own.
    pub fn print_item(&self, label: &str, tone: Tone, word: &str, text: impl Display) {
        let text = text.to_string();
        let text = wrap(&printable_lines(&text), TEXTS, self.width);
        let word = self.toned(tone, &format!("{word:<8}"));
        self.print_text(&format!("{label:<15} {word} {text}\n"));
    }

    /// Prints a table, nothing if it has no row.
    pub fn print_table(&self, table: &Table) {
        if table.is_empty() {
            return;
        }
        let (header, rows) = table.render(self.width);
        self.print_header(&header);
        self.print_text(&rows);
    }

    /// Prints rows as a table without keeping them, nothing if there is none: for very many. The caller
    /// knows how wide the cells of each column are at most, but for those of the last column, whose
    /// width is of no concern.
    pub fn print_rows<'r, const N: usize>(
        &self,
        header: [&str; N],
        widths: [usize; N],
        rows: impl Iterator<Item = [&'r str; N]>,
    ) {
        let mut rows = rows.peekable();
        if self.json || rows.peek().is_none() {
            return;
        }
        let columns = Columns::of_widths(&header, &widths, self.width);
        self.print_header(&columns.header(&header));
        let mut lines = String::with_capacity(2 * PIECE);
        for row in rows {
            columns.push_raw(&mut lines, row);
            if lines.len() >= PIECE {
                self.print_text(&lines);
                lines.clear();
                if lock(&self.stdout).failed.is_some() {
                    return;
                }
            }
        }
        self.print_text(&lines);
    }

    fn print_header(&self, header: &str) {
        let header = lock(&self.stdout).styled(BOLD, header.trim_end());
        self.print_text(&format!("{header}\n"));
    }

    /// Prints bytes as they are, such as a completion script. For text of the program's own only.
    pub fn print_raw(&self, bytes: &[u8]) {
        if !self.json {
            self.write(&self.stdout, bytes);
        }
    }

    /// Says what is going on, unless `-q`.
    pub fn note(&self, message: impl Display) {
        self.say(Verbosity::Normal, &message);
    }

    /// Says a step that few want to know of: with `-v`.
    pub fn detail(&self, message: impl Display) {
        self.say(Verbosity::Verbose, &message);
    }

    /// Says what helps to find a mistake: with `-vv`.
    pub fn debug(&self, message: impl Display) {
        self.say(Verbosity::Debug, &message);
    }

    /// Warns, even with `-q`.
    pub fn warning(&self, message: impl Display) {
        let text = self.part(WARNING, "warning:", &message.to_string());
        self.write(&self.stderr, text.as_bytes());
    }

    /// Says what a person may want to know for the next time, unless `-q`.
    pub fn hint(&self, message: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            let text = self.part(HINT, "hint:", &message.to_string());
            self.write(&self.stderr, text.as_bytes());
        }
    }

    /// Asks a person at the terminal; only `y` and `yes` mean yes. `assume_yes` answers yes
    /// unasked (`--yes`). Without a terminal it is a usage error (exit 2), so that no script
    /// changes anything by accident or hangs.
    pub fn confirm(&self, question: impl Display, assume_yes: bool) -> Result<bool, Failure> {
        if assume_yes {
            return Ok(true);
        }
        let Some(input) = &self.input else {
            return Err(Failure::usage(format!("cannot ask without a terminal: {question}"))
                .hint("answer yes in advance with --yes"));
        };
        let question = format!("{} [y/N] ", printable_lines(&question.to_string()));
        self.write(&self.stderr, question.as_bytes());
        let mut answer = String::new();
        let read = lock(input).read_line(&mut answer);
        Ok(read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }

    /// Shows how the command ended and gives what the process exits with. To be called last.
    pub fn finish(&self, result: &Result<ExitStatus, Failure>) -> ExitStatus {
        let mut status = match result {
            Ok(status) => *status,
            Err(failure) => {
                self.show(failure);
                failure.exit()
            }
        };
        if self.json && !self.document_printed.load(Ordering::Relaxed) {
            match result {
                Ok(status) => self.json(&serde_json::json!({ "exit": status })),
                Err(failure) => self.json(&failure.document()),
            }
        }
        if let Some(error) = lock(&self.stdout).failed.take()
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let failure = Failure::new(ExitStatus::Failed, "cannot write standard output");
            self.show(&failure.hint(format!("the result is incomplete: {error}")));
            status = status.and(ExitStatus::Failed);
        }
        status
    }

    fn show(&self, failure: &Failure) {
        let mut text = self.part(ERROR, "error:", &failure.error().to_string());
        for cause in failure.causes() {
            text.push_str("  ");
            text.push_str(&self.part(Style::new(), "cause:", &cause));
        }
        if let Some(hint) = failure.hint_text() {
            text.push_str(&self.part(HINT, "hint:", hint));
        }
        self.write(&self.stderr, text.as_bytes());
    }

    /// A labelled message. Further lines are indented, so that none passes for a label.
    fn part(&self, style: Style, label: &str, message: &str) -> String {
        let label = lock(&self.stderr).styled(style, label);
        format!("{label} {}\n", printable_lines(message).replace('\n', "\n    "))
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Plain => text.to_owned(),
            _ => lock(&self.stdout).styled(tone.style(), text),
        }
    }

    fn say(&self, from: Verbosity, message: &dyn Display) {
        if self.verbosity >= from {
            let text = format!("{}\n", printable_lines(&message.to_string()));
            self.write(&self.stderr, text.as_bytes());
        }
    }

    fn print_text(&self, text: &str) {
        if !self.json {
            self.write(&self.stdout, text.as_bytes());
        }
    }

    fn write(&self, stream: &Mutex<Stream>, bytes: &[u8]) {
        self.progress.suspend(|| lock(stream).write(bytes));
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Output")
            .field("verbosity", &self.verbosity)
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn new(writer: Box<dyn Write + Send>, colored: bool) -> Mutex<Self> {
        Mutex::new(Self { writer, colored, failed: None })
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.colored { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            let written = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
            self.failed = written.err();
        }
    }
}

/// Standard output for what writes in pieces. It takes everything.
struct Pieces<'o>(&'o Output);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&self.0.stdout, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was written to an [`Output::captured`].
#[derive(Debug, Clone, Default)]
pub struct Captured {
    stdout: Sink,
    stderr: Sink,
}

impl Captured {
    /// All of standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// All of standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic elsewhere must not silence the message about it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn colored(argument: ColorArgument, automatic: anstream::ColorChoice) -> bool {
    match argument {
        ColorArgument::Auto => automatic != anstream::ColorChoice::Never,
        ColorArgument::Always => true,
        ColorArgument::Never => false,
    }
}

/// Columns of the terminal on standard output; `None` where it is none.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
