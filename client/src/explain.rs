//! What each error means to whoever called the program: the exit code, and what to do.

use std::error::Error;
use std::io;

use countersign_store::AllFailed;
use countersign_terminal::{ExitStatus, Failure};
use rusqlite::ErrorCode;

mod index;
mod patch;
mod plan;
mod state;
mod transaction;
mod whole;

/// An error of the library that can be told to a person.
pub trait Explain: Error + Send + Sync + Sized + 'static {
    /// What the process exits with.
    fn exit(&self) -> ExitStatus;

    /// What a person can do.
    fn hint(&self) -> Option<String>;

    /// The error in three parts.
    fn explain(self) -> Failure {
        let (exit, hint) = (self.exit(), self.hint());
        let hint = hint.or_else(|| full_hint(&self));
        Failure::new(exit, self).maybe_hint(hint)
    }
}

/// Turns a library's error into three parts.
pub trait OrExplain<T> {
    /// The value, or the error in three parts.
    fn or_explain(self) -> Result<T, Failure>;
}

impl<T, E: Explain> OrExplain<T> for Result<T, E> {
    fn or_explain(self) -> Result<T, Failure> {
        self.map_err(Explain::explain)
    }
}

/// Missing privilege, or a failure like others.
pub fn io_exit(error: &io::Error) -> ExitStatus {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ExitStatus::Privilege,
        _ => ExitStatus::Failed,
    }
}

/// What to do where some file system is full, at whatever depth of causes that is said.
fn full_hint(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let sqlite = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
        match (io, sqlite) {
            (Some(io::ErrorKind::StorageFull), _) | (_, Some(ErrorCode::DiskFull)) => {
                return Some("make room and run it again; patchctl clean gives some back".into());
            }
            // SQLite does not say why it could not make its journal
            (_, Some(ErrorCode::CannotOpen)) => {
                return Some("patchctl doctor tells whether its file system is full".into());
            }
            _ => next = error.source(),
        }
    }
    None
}

fn privilege_hint(exit: ExitStatus) -> Option<String> {
    (exit == ExitStatus::Privilege).then(|| "run it as root, or name another --root".into())
}

/// The status of all failures together, and the failure that it comes from.
fn worst<E: Explain>(failed: &AllFailed<E>) -> (ExitStatus, Option<&E>) {
    let mut worst = (ExitStatus::Unreachable, None);
    for (_, error) in &failed.failures {
        let exit = error.exit();
        if worst.1.is_none() || worst.0.and(exit) != worst.0 {
            worst = (exit, Some(error));
        }
    }
    worst
}

/// What all servers together did: the gravest failure is the cause, the others are in the text.
#[derive(Debug)]
struct Servers<E> {
    text: String,
    gravest: Option<E>,
}

impl<E: Explain> Servers<E> {
    /// `doing` says what could not be done.
    fn failure(doing: &str, failed: AllFailed<E>) -> Failure {
        Self::failure_also(doing, failed, Vec::new())
    }

    /// The same with more lines to say.
    fn failure_also(doing: &str, failed: AllFailed<E>, also: Vec<String>) -> Failure {
        let (exit, gravest) = worst(&failed);
        let hint = gravest.and_then(|error| error.hint().or_else(|| full_hint(error)));
        let at = failed.failures.iter().position(|(_, error)| error.exit() == exit);
        let mut text = doing.to_owned();
        let mut gravest = None;
        for (index, (server, error)) in failed.failures.into_iter().enumerate() {
            if Some(index) == at {
                text = format!("{text} from {server}");
                gravest = Some(error);
            } else {
                text = format!("{text}\nnor from {server}: {}", one_line(&error));
            }
        }
        for line in also {
            text = format!("{text}\n{line}");
        }
        Failure::new(exit, Self { text, gravest }).maybe_hint(hint)
    }
}

impl<E> std::fmt::Display for Servers<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<E: Error + 'static> Error for Servers<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.gravest.as_ref().map(|error| error as _)
    }
}

/// An error and its causes on one line.
pub fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // a transparent error repeats its source's words
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
