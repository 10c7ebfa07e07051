//! Looks at everything that can keep a machine from being patched, and says what to do about each.
//!
//! Nothing is changed, and nothing that is broken keeps the rest from being looked at.

use std::path::Path;

use countersign_format::time::Timestamp;

use crate::config::SourceConfig;
use crate::db::{Database, DatabaseError};
use crate::places::Places;

mod network;
mod places;
mod state;
mod trust;

pub use network::{Answered, reach};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It will become a problem, or a person should know of it.
    Warning,
    /// It keeps this machine from being patched, or from being sure.
    Problem,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word that does not change between releases.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it; none where it is as it should be.
    pub advice: Option<String>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Patient<'a> {
    /// The directories.
    pub places: &'a Places,
    /// The sources that the settings name.
    pub sources: &'a [SourceConfig],
    /// What the local clock says.
    pub now: Timestamp,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, level: Level::Warning, found: found.into(), advice }
    }

    fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, level: Level::Problem, found: found.into(), advice }
    }
}

/// Everything that can be looked at without the network. `database` is the state as it was opened,
/// to which what is wrong with it belongs too.
pub fn examine(patient: &Patient<'_>, database: Result<&Database, &DatabaseError>) -> Vec<Finding> {
    let mut findings = places::examine(patient);
    match database {
        Ok(database) => {
            findings.extend(state::examine(patient, database));
            findings.extend(trust::examine(patient, database));
        }
        Err(error) => findings.push(Finding::problem(
            "state",
            line(error),
            "restore it from a backup; to begin anew, move it and the sources' files away and enrol \
             again, which forgets what is installed and which versions were seen",
        )),
    }
    findings.push(state::evidence(patient));
    findings
}

/// An error and its causes on one line.
fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[cfg(test)]
mod tests;
