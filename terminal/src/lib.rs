//! What both programs of Countersign show a person, so that the two behave alike.
//!
//! In scope: the global arguments, output on both streams, errors in three parts, exit codes,
//! progress bars, prompts, completions, man pages.
//!
//! Out of scope: any knowledge of repositories. Libraries return values and errors; only programs
//! use this crate.
//!
//! Data goes to standard output and everything else to standard error. With `--json` standard
//! output carries exactly one JSON document: the command's report, or `{"error":…}` if it failed
//! before it had one, or `{"exit":N}` if it has none.

#![forbid(unsafe_code)]

mod arguments;
mod exit_status;
mod failure;
mod habits;
mod help;
mod human;
mod output;
mod progress;
mod table;
mod wrap;

pub use arguments::{ColorArgument, GlobalArgs, Verbosity, run, run_with_habits};
pub use exit_status::ExitStatus;
pub use failure::{Failure, OrFail};
pub use habits::{Habit, Meaning};
pub use help::{completions, leaf_commands, man_pages};
pub use human::{bytes, duration, parse_duration, printable, time};
pub use output::{Captured, Output, Report, Tone};
pub use progress::{Progress, Task, Unit};
pub use table::Table;
