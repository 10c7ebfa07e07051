//! Errors of transactions.

use std::io;

use countersign_format::archive::ArchiveError;
use countersign_terminal::ExitStatus;
use patchctl::root::RootError;
use patchctl::stage::StageError;
use patchctl::transaction::{ApplyError, PrepareError, RecoverError};
use patchctl::verify::VerifyError;

use super::{Explain, io_exit, privilege_hint};

impl Explain for RootError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Open { source, .. } | Self::Io { source, .. } => io_exit(source),
            Self::UntrustedLink { .. }
            | Self::NotDirectory { .. }
            | Self::TooManyLinks(_)
            | Self::Path { .. } => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("make the directory first".into())
            }
            _ => privilege_hint(self.exit()),
        }
    }
}

impl Explain for StageError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Root(error) => error.exit(),
            Self::Object { source, .. } => io_exit(source),
            Self::Database(error) => error.exit(),
            Self::Area { .. } | Self::Gone(_) => ExitStatus::Failed,
            Self::Busy(_) => ExitStatus::Locked,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Busy(_) => Some("wait for it to end; one root should have one --state".into()),
            Self::Gone(_) => Some("mount it, then try again".into()),
            _ => privilege_hint(self.exit()),
        }
    }
}

impl Explain for RecoverError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Undo { .. } => ExitStatus::UndoFailed,
            Self::Clean { source, .. } => source.exit(),
            Self::Hooks(_) => ExitStatus::Privilege,
            Self::NotFinished(_) => ExitStatus::Failed,
            Self::Root(error) => error.exit(),
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Undo { .. } => Some(
                "the machine is between the old and the new version; mend the cause, then run any \
                 command that changes something: it goes on undoing"
                    .into(),
            ),
            Self::Clean { source, .. } => source.hint(),
            Self::Hooks(_) => Some("run it as root".into()),
            Self::NotFinished(_) => None,
            Self::Root(error) => error.hint(),
            Self::Database(error) => error.hint(),
        }
    }
}

impl Explain for PrepareError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::NotInstalled(_) => ExitStatus::NotFound,
            Self::Archive { source, .. } => archive_exit(source),
            Self::Tree { .. } => ExitStatus::Signature,
            Self::Hooks(_) => ExitStatus::Privilege,
            Self::File { source, .. } | Self::HookContent { source, .. } => io_exit(source),
            Self::Stage(error) => error.exit(),
            Self::Root(error) => error.exit(),
            Self::Database(error) => error.exit(),
            Self::Twice(_) => ExitStatus::Usage,
            Self::Differs(_) => ExitStatus::FilesDiffer,
            Self::NotFull { .. } | Self::OtherVersion { .. } | Self::OtherTree(_) => {
                ExitStatus::Unsatisfiable
            }
            Self::Unfinished(_)
            | Self::Owner(_)
            | Self::IsInstalled { .. }
            | Self::Empty
            | Self::Base { .. }
            | Self::Delta { .. }
            | Self::Space { .. }
            | Self::Refused(_)
            | Self::NoSuchTransaction(_)
            | Self::BackupsDropped(_)
            | Self::BackupDamaged { .. } => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Archive { .. } | Self::Tree { .. } => {
                "nothing was installed; do not use this patch, and tell the repository's operators"
            }
            Self::IsInstalled { .. } => {
                "compare it: patchctl verify; put it right: patchctl repair"
            }
            Self::Differs(_) => {
                "take it over as it must be: patchctl install keeps what differs aside"
            }
            Self::Space { .. } => {
                "make room, then try again. The cache and old backups: patchctl clean"
            }
            Self::Hooks(_) => "run it as root",
            Self::BackupsDropped(_) => {
                "go back less far; how far one can go back: patchctl history"
            }
            Self::NoSuchTransaction(_) => "see which there are: patchctl history",
            Self::NotInstalled(_) => "see what is installed: patchctl list --installed",
            Self::Owner(_) => {
                "create the user or group first; a publisher may have the pre-install hook create it"
            }
            Self::Delta { .. } => {
                "put the files right: patchctl repair; and see what it says: patchctl verify"
            }
            Self::Refused(_) => "move what stands in the way, or remove the patch that owns it",
            Self::Stage(error) => return error.hint(),
            Self::Root(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            _ => return privilege_hint(self.exit()),
        };
        Some(text.into())
    }
}

/// An archive that is not the signed one, or one that is and breaks the rules for archives: both
/// come from whoever made or served it. Only a failure to read it does not.
fn archive_exit(error: &ArchiveError) -> ExitStatus {
    match error {
        ArchiveError::Io { .. } => ExitStatus::Failed,
        _ => ExitStatus::Signature,
    }
}

impl Explain for ApplyError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::NotBegun(error) => error.exit(),
            Self::Hook { .. } => ExitStatus::HookFailed,
            Self::RolledBack { .. } => ExitStatus::RolledBack,
            Self::UndoFailed { .. } => ExitStatus::UndoFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBegun(error) => error.hint(),
            Self::Hook { transaction, .. } => {
                Some(format!("see what the hook said: patchctl history {transaction}"))
            }
            Self::RolledBack { .. } => Some("everything is as before; mend the cause".into()),
            Self::UndoFailed { .. } => Some(
                "the machine is between the old and the new version; mend the cause, then run any \
                 command that changes something: it goes on undoing"
                    .into(),
            ),
        }
    }
}

impl Explain for VerifyError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Database(error) => error.exit(),
            Self::Root(error) => error.exit(),
            Self::NotInstalled(_) => ExitStatus::NotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Root(error) => error.hint(),
            Self::NotInstalled(_) => {
                Some("see what is installed: patchctl list --installed".into())
            }
        }
    }
}
