//! Errors in three parts: what failed, the chain of causes, and what a person can do.

use std::error::Error;

use serde::Serialize;

use crate::ExitStatus;

/// Why a command failed, ready to be shown.
///
/// Shown as text on standard error:
///
/// ```text
/// error: cannot read the server's key
///   cause: keys/server.pem: permission denied
/// hint: run as the user who owns the repository
/// ```
///
/// With `--json` also as `{"error":…,"causes":[…],"hint":…,"exit":N}` on standard output, unless
/// the command had printed its own document already.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    exit: ExitStatus,
}

/// The JSON form of a [`Failure`].
#[derive(Serialize)]
struct FailureDocument {
    error: String,
    causes: Vec<String>,
    hint: Option<String>,
    exit: ExitStatus,
}

impl Failure {
    /// A failure without a hint. `error` may also be a `String` or `&str`.
    pub fn new(exit: ExitStatus, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, exit }
    }

    /// Wrong usage (exit 2) that the argument parser cannot see.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ExitStatus::Usage, error)
    }

    /// Says what a person can do about it; replaces an earlier hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As [`Self::hint`], where there may be none.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// What the process exits with.
    pub fn exit(&self) -> ExitStatus {
        self.exit
    }

    /// The error itself.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.error.as_ref()
    }

    /// What a person can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The messages of the causes, nearest first. One that the message before it already ends with
    /// is left out.
    pub fn causes(&self) -> Vec<String> {
        let mut shown = self.error.to_string();
        let mut causes = Vec::new();
        let mut source = self.error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !shown.ends_with(&text) {
                causes.push(text.clone());
                shown = text;
            }
            source = cause.source();
        }
        causes
    }

    pub(crate) fn document(&self) -> impl Serialize {
        FailureDocument {
            error: self.error.to_string(),
            causes: self.causes(),
            hint: self.hint.clone(),
            exit: self.exit,
        }
    }
}

/// Turns a library's error into a [`Failure`] where the program knows the exit status.
pub trait OrFail<T> {
    /// The value, or a failure with this exit status.
    fn or_fail(self, exit: ExitStatus) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail(self, exit: ExitStatus) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Link {
        let rest = texts.get(1).map(|_| Box::new(chain(&texts[1..])));
        Link(texts[0], rest)
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = chain(&["top", "cannot open key: no such file", "no such file", "disk gone"]);
        let failure = Failure::new(ExitStatus::Failed, error);
        assert_eq!(failure.causes(), ["cannot open key: no such file", "disk gone"]);
        let transparent = Failure::new(ExitStatus::Failed, chain(&["same", "same", "deeper"]));
        assert_eq!(transparent.causes(), ["deeper"]);
    }
}
