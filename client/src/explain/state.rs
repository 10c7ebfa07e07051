//! Errors of settings and of the state.

use std::io;

use countersign_store::LockError;
use countersign_terminal::{ExitStatus, time};
use patchctl::config::ConfigError;
use patchctl::config::definitions::definition;
use patchctl::db::DatabaseError;
use patchctl::first_boot::FirstBootError;
use patchctl::state::StateError;

use super::{Explain, io_exit, privilege_hint};

impl Explain for ConfigError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            Self::File { .. }
            | Self::TooLong(_)
            | Self::Form { .. }
            | Self::UnknownKey { .. }
            | Self::Value { .. }
            | Self::FileName { .. }
            | Self::Half { .. } => ExitStatus::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { suggestion: Some(word), .. } => {
                Some(format!("did you mean {word}?"))
            }
            Self::Value { key, .. } => {
                definition(key).map(|setting| format!("{key} is {}", setting.help))
            }
            _ => privilege_hint(self.exit()),
        }
    }
}

impl Explain for DatabaseError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::File { source, .. } => io_exit(source),
            Self::Sqlite(error) => sqlite_exit(error),
            Self::Missing(_)
            | Self::NotYet(_)
            | Self::Lost { .. }
            | Self::Exists(_)
            | Self::Corrupt { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Exposed { .. }
            | Self::Value { .. } => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing(_) => {
                "begin with: patchctl enroll URL --authority FILE|sha256:HEX; \
                 if this machine was enrolled, restore the state from a backup"
            }
            Self::NotYet(_) => "enrol it: patchctl update",
            Self::Lost { .. } => {
                "restore it from a backup; or move the sources' files and the evidence away and \
                 begin with: patchctl enroll …, which forgets what is installed and which versions \
                 were seen"
            }
            Self::Sqlite(error) if is_damage(error) => DAMAGED,
            Self::Corrupt { .. } | Self::Value { .. } => DAMAGED,
            Self::Exposed { .. } => {
                "make sure that nobody changed it, then: chown root, chmod go-w; nothing was done"
            }
            Self::Newer { .. } => "use the newer patchctl that wrote it",
            Self::Older { .. } => "run patchctl update once, which brings it up to date",
            Self::Exists(_) | Self::File { .. } | Self::Sqlite(_) => {
                return privilege_hint(self.exit());
            }
        };
        Some(text.into())
    }
}

const DAMAGED: &str = "see what is wrong: patchctl doctor; restore it from a backup; or move it and \
    the sources' files away and enrol again, which forgets what is installed and which versions \
    were seen";

/// Whether the file itself is damaged.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(error.sqlite_error_code(), Some(Code::DatabaseCorrupt | Code::NotADatabase))
}

fn sqlite_exit(error: &rusqlite::Error) -> ExitStatus {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::PermissionDenied | Code::ReadOnly) => ExitStatus::Privilege,
        // also said where no inode is left for the journal; nothing is forbidden to root
        Some(Code::CannotOpen) if !rustix::process::geteuid().is_root() => ExitStatus::Privilege,
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => ExitStatus::Locked,
        _ => ExitStatus::Failed,
    }
}

impl Explain for FirstBootError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::File { source, .. } => io_exit(source),
            Self::HasState(_) | Self::Outside { .. } | Self::Random(_) => ExitStatus::Failed,
            Self::OtherNote { .. } => ExitStatus::Signature,
            Self::Policy(error) => error.exit(),
            Self::Config(error) => error.exit(),
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::HasState(_) => "prepare an image that was never booted",
            Self::Outside { .. } => {
                "make the link a relative one, or enrol in the image's own root"
            }
            Self::OtherNote { .. } | Self::Policy(_) => {
                "the image was altered or is incomplete: make it anew with patchctl enroll --image"
            }
            Self::Config(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::File { .. } | Self::Random(_) => return privilege_hint(self.exit()),
        };
        Some(text.into())
    }
}

impl Explain for StateError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Lock(LockError::Held { .. }) => ExitStatus::Locked,
            Self::Directory { source, .. } | Self::Lock(LockError::File { source, .. }) => {
                io_exit(source)
            }
            Self::Database(error) => error.exit(),
            Self::Root(error) => error.exit(),
            Self::Recover(error) => error.exit(),
            Self::FirstBoot(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Lock(LockError::Held { holder, .. }) => {
                let wait = "wait for it to end, or wait longer with --lock-timeout";
                let since = holder.as_ref().and_then(|holder| i64::try_from(holder.since).ok());
                Some(match since {
                    Some(since) => format!("{wait}; it is the one which began at {}", time(since)),
                    None => wait.into(),
                })
            }
            Self::Database(error) => error.hint(),
            Self::Root(error) => error.hint(),
            Self::Recover(error) => error.hint(),
            Self::FirstBoot(error) => error.hint(),
            Self::Directory { .. } | Self::Lock(_) => privilege_hint(self.exit()),
        }
    }
}
