//! The exit codes of both programs. They follow zypper's: below 100 something went wrong, from 100
//! on something is to be known.

use std::process::ExitCode;

use serde::{Serialize, Serializer};

/// How a command ended. Scripts rely on the numbers; they never change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ExitStatus {
    /// 0: done, or nothing to do and the index is fresh.
    #[default]
    Done,
    /// 1: failed; the message says what and what to do; state as before.
    Failed,
    /// 2: wrong usage.
    Usage,
    /// 3: wrong configuration.
    Configuration,
    /// 4: no set of patches satisfies what was asked.
    Unsatisfiable,
    /// 5: privilege is missing.
    Privilege,
    /// 6: no server could be reached, or none served good data in time.
    Unreachable,
    /// 7: another process holds the state.
    Locked,
    /// 8: applying failed and was rolled back.
    RolledBack,
    /// 9: applying failed and so did undoing it.
    UndoFailed,
    /// 10: a signature is missing or wrong.
    Signature,
    /// 11: expired, or older than its limit (freeze).
    Expired,
    /// 12: a log went back or was forked.
    RollbackOrFork,
    /// 15: a hook or health check failed and the machine was rolled back.
    HookFailed,
    /// 16: installed files differ from their manifests.
    FilesDiffer,
    /// 100: patches are waiting.
    PatchesWaiting,
    /// 101: patches that close advisories are waiting.
    AdvisoriesWaiting,
    /// 102: done, the machine must restart.
    RestartNeeded,
    /// 104: no patch of that name.
    NotFound,
    /// 105: something lapses within the span that was asked about.
    LapsesSoon,
    /// 106: done, but a source was skipped.
    SourceSkipped,
    /// 110: done, but eligible patches were skipped or held.
    PatchesSkipped,
}

impl ExitStatus {
    /// Every status, by code.
    pub const ALL: [Self; 22] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Configuration,
        Self::Unsatisfiable,
        Self::Privilege,
        Self::Unreachable,
        Self::Locked,
        Self::RolledBack,
        Self::UndoFailed,
        Self::Signature,
        Self::Expired,
        Self::RollbackOrFork,
        Self::HookFailed,
        Self::FilesDiffer,
        Self::PatchesWaiting,
        Self::AdvisoriesWaiting,
        Self::RestartNeeded,
        Self::NotFound,
        Self::LapsesSoon,
        Self::SourceSkipped,
        Self::PatchesSkipped,
    ];

    /// The number the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Unsatisfiable => 4,
            Self::Privilege => 5,
            Self::Unreachable => 6,
            Self::Locked => 7,
            Self::RolledBack => 8,
            Self::UndoFailed => 9,
            Self::Signature => 10,
            Self::Expired => 11,
            Self::RollbackOrFork => 12,
            Self::HookFailed => 15,
            Self::FilesDiffer => 16,
            Self::PatchesWaiting => 100,
            Self::AdvisoriesWaiting => 101,
            Self::RestartNeeded => 102,
            Self::NotFound => 104,
            Self::LapsesSoon => 105,
            Self::SourceSkipped => 106,
            Self::PatchesSkipped => 110,
        }
    }

    /// One line on what it means, for man pages.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do and the index is fresh",
            Self::Failed => "failed; the message says what and what to do; state as before",
            Self::Usage => "wrong usage",
            Self::Configuration => "wrong configuration",
            Self::Unsatisfiable => "no set of patches satisfies what was asked",
            Self::Privilege => "privilege is missing",
            Self::Unreachable => "no server could be reached, or none served good data in time",
            Self::Locked => "another process holds the state",
            Self::RolledBack => "applying failed and was rolled back",
            Self::UndoFailed => "applying failed and so did undoing it",
            Self::Signature => "a signature is missing or wrong",
            Self::Expired => "expired, or older than its limit",
            Self::RollbackOrFork => "a log went back or was forked",
            Self::HookFailed => "a hook or health check failed and the machine was rolled back",
            Self::FilesDiffer => "installed files differ from their manifests",
            Self::PatchesWaiting => "patches are waiting",
            Self::AdvisoriesWaiting => "patches that close advisories are waiting",
            Self::RestartNeeded => "done, the machine must restart",
            Self::NotFound => "no patch of that name",
            Self::LapsesSoon => "something lapses soon",
            Self::SourceSkipped => "done, but a source was skipped",
            Self::PatchesSkipped => "done, but eligible patches were skipped or held",
        }
    }

    /// Whether something went wrong, as opposed to something being worth knowing.
    pub const fn is_failure(self) -> bool {
        matches!(self.code(), 1..=99)
    }

    /// The one status where two hold: a failure wins, then 110, 106, 105, 104, 102, 101, 100.
    ///
    /// Of two failures the one wins that asks more of a person: a machine left between two states,
    /// then one that was rolled back, then what may be an attack, then the rest. The order of the
    /// operands never matters.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if other.rank() < self.rank() { other } else { self }
    }

    /// Place in the order of [`Self::and`]; the lowest wins.
    const fn rank(self) -> u8 {
        match self {
            Self::UndoFailed => 0,
            Self::HookFailed => 1,
            Self::RolledBack => 2,
            Self::RollbackOrFork => 3,
            Self::Signature => 4,
            Self::Expired => 5,
            Self::FilesDiffer => 6,
            Self::Privilege => 7,
            Self::Locked => 8,
            Self::Usage => 9,
            Self::Configuration => 10,
            Self::Unsatisfiable => 11,
            Self::Unreachable => 12,
            Self::Failed => 13,
            Self::PatchesSkipped => 14,
            Self::SourceSkipped => 15,
            Self::LapsesSoon => 16,
            Self::NotFound => 17,
            Self::RestartNeeded => 18,
            Self::AdvisoriesWaiting => 19,
            Self::PatchesWaiting => 20,
            Self::Done => 21,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// As the number, in JSON.
impl Serialize for ExitStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_those_that_scripts_know() {
        let codes = ExitStatus::ALL.map(ExitStatus::code);
        assert_eq!(
            codes,
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 100, 101, 102, 104, 105, 106, 110]
        );
    }

    #[test]
    fn failures_win_then_the_highest_notice() {
        use ExitStatus as S;
        assert_eq!(S::Done.and(S::PatchesWaiting), S::PatchesWaiting);
        assert_eq!(S::PatchesSkipped.and(S::Failed), S::Failed);
        let notices = [100, 101, 102, 104, 105, 106, 110].map(|code| {
            *S::ALL.iter().find(|status| status.code() == code).expect("a status of that code")
        });
        for pair in notices.windows(2) {
            assert_eq!(pair[0].and(pair[1]), pair[1]);
        }
    }

    #[test]
    fn combining_does_not_depend_on_order() {
        let ranks: BTreeSet<u8> = ExitStatus::ALL.iter().map(|status| status.rank()).collect();
        assert_eq!(ranks.len(), ExitStatus::ALL.len());
        for left in ExitStatus::ALL {
            for right in ExitStatus::ALL {
                assert_eq!(left.and(right), right.and(left));
                let failed = left.is_failure() || right.is_failure();
                assert_eq!(left.and(right).is_failure(), failed, "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn the_reference_has_every_code() {
        let reference = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference.md"));
        let rows: Vec<_> = ExitStatus::ALL
            .iter()
            .map(|status| format!("| {} | {} |\n", status.code(), status.meaning()))
            .collect();
        assert!(
            reference.contains(&rows.concat()),
            "expected in docs/reference.md:\n{}",
            rows.concat()
        );
    }
}
