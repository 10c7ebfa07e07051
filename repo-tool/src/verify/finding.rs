//! What a check found, and about which file.

use std::error::Error;
use std::fmt;

use countersign_format::key::{KeyId, KeyName};
use countersign_format::layout::RepoPath;
use countersign_format::note::Note;
use countersign_format::policy::{PolicyError, Verdict};
use countersign_store::{Cause, GetError};
use countersign_terminal::ExitStatus;
use serde::Serialize;

/// One thing that was found about one file.
#[derive(Serialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The file, as a path below the repository's base.
    pub file: String,
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// What it is.
    pub message: String,
}

/// The kinds of things that are found.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// A signature is missing or wrong.
    Signature,
    /// Expired, or older than its limit.
    Expired,
    /// Two statements that contradict each other.
    Fork,
    /// The bytes are not those that signatures vouch for.
    Damaged,
    /// A file that must be there is not.
    Missing,
    /// The file could not be read.
    Unreadable,
    /// A file that belongs to no repository, or to nothing that is published.
    Unexpected,
    /// Worth knowing, and not wrong.
    Remark,
}

impl FindingKind {
    /// Whether something is wrong.
    pub fn is_problem(self) -> bool {
        self.exit() != ExitStatus::Done
    }

    /// What the program exits with for it.
    pub fn exit(self) -> ExitStatus {
        match self {
            Self::Signature | Self::Damaged => ExitStatus::Signature,
            Self::Expired => ExitStatus::Expired,
            Self::Fork => ExitStatus::RollbackOrFork,
            Self::Missing => ExitStatus::Failed,
            Self::Unreadable => ExitStatus::Unreachable,
            Self::Unexpected | Self::Remark => ExitStatus::Done,
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Fork => "fork",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Unexpected => "unexpected",
            Self::Remark => "remark",
        })
    }
}

/// All that was found so far.
#[derive(Default, Debug)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(
        &mut self,
        file: impl fmt::Display,
        kind: FindingKind,
        message: impl Into<String>,
    ) {
        self.0.push(Finding { file: file.to_string(), kind, message: message.into() });
    }

    /// A file that the policy refuses.
    pub(super) fn policy(&mut self, error: &PolicyError) {
        let kind = match error.verdict() {
            Verdict::Expired => FindingKind::Expired,
            Verdict::Rollback => FindingKind::Fork,
            Verdict::Signature => FindingKind::Signature,
        };
        self.add(&error.file, kind, format!("{}: {}", error.layer, describe(&error.refusal)));
    }

    /// A file that could not be read.
    pub(super) fn get(&mut self, path: &RepoPath, error: &GetError) {
        let kind = match error.cause {
            Cause::TooLarge { .. } | Cause::WrongSize { .. } | Cause::NotFile => {
                FindingKind::Damaged
            }
            _ => FindingKind::Unreadable,
        };
        self.add(path, kind, describe(&error.cause));
    }

    /// Remarks on every line of a note whose key nobody here knows: readers pass it over.
    pub(super) fn strangers(
        &mut self,
        path: &RepoPath,
        note: &Note,
        known: impl Fn(&KeyName, KeyId) -> bool,
    ) {
        for line in note.signatures().iter().filter(|line| !known(&line.name, line.id)) {
            let message = format!(
                "the signature line of {} (ID {}) is by a key that has no role here; readers \
                 pass it over",
                line.name, line.id
            );
            self.add(path, FindingKind::Remark, message);
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Problems first, then by file.
    pub(super) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_by(|left, right| {
            let key = |finding: &Finding| !finding.kind.is_problem();
            (key(left), left).cmp(&(key(right), right))
        });
        self.0.dedup();
        self.0
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

/// An error and its causes on one line.
pub(super) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
