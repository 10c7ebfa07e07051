//! Errors of choosing and fetching patches.

use countersign_terminal::{ExitStatus, Failure, bytes};
use patchctl::download::{DownloadError, ObtainError};
use patchctl::local::LocalError;
use patchctl::space::SpaceError;

use super::{Explain, Servers, io_exit, privilege_hint, worst};

impl Explain for ObtainError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Get(error) => error.exit(),
            Self::Missing { .. } | Self::Offline(_) => ExitStatus::Unreachable,
            Self::Policy(error) => error.exit(),
            Self::Other { .. } | Self::NotReleased(_) => ExitStatus::Signature,
            Self::Trust(error) => error.exit(),
            Self::Cache { source, .. } => io_exit(source),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Get(error) => return error.hint(),
            Self::Policy(error) => return error.hint(),
            Self::Trust(error) => return error.hint(),
            Self::Missing { .. } => "the server is incomplete: tell its operators",
            Self::Offline(_) => "fetch it first: patchctl install NAME --download-only",
            Self::Other { .. } | Self::NotReleased(_) => {
                "nothing was installed; do not trust this server, and tell the repository's \
                 operators: it may have been taken over"
            }
            Self::Cache { .. } => return privilege_hint(self.exit()),
        };
        Some(text.into())
    }
}

impl Explain for DownloadError {
    fn exit(&self) -> ExitStatus {
        worst(&self.why).0
    }

    fn hint(&self) -> Option<String> {
        worst(&self.why).1.and_then(Explain::hint)
    }

    fn explain(self) -> Failure {
        let doing = self.to_string();
        Servers::failure(&doing, self.why)
    }
}

impl Explain for LocalError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::File { source, .. } => io_exit(source),
            Self::Note { .. }
            | Self::Entry { .. }
            | Self::NotInLog { .. }
            | Self::Proof { .. }
            | Self::Inclusion { .. }
            | Self::OtherLog { .. }
            | Self::PassedOver { .. } => ExitStatus::Signature,
            Self::Policy(error) => error.exit(),
            Self::Trust(error) => error.exit(),
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::File { .. } => "the .note must lie beside the .patch, under the same name",
            Self::NotInLog { .. } => {
                "run patchctl update, or bring the proof that patchrepo prove makes"
            }
            Self::Policy(error) => return error.hint(),
            Self::Trust(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::Note { .. }
            | Self::Entry { .. }
            | Self::Proof { .. }
            | Self::Inclusion { .. }
            | Self::OtherLog { .. }
            | Self::PassedOver { .. } => "do not use this patch; get it anew from its publisher",
        };
        Some(text.into())
    }
}

impl Explain for SpaceError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::TooSmall { .. } => ExitStatus::Failed,
            Self::Look { source, .. } => io_exit(source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooSmall { .. } => Some(
                "make room, then try again; nothing was fetched. \
                 The cache and old backups: patchctl clean"
                    .into(),
            ),
            Self::Look { .. } => privilege_hint(self.exit()),
        }
    }

    fn explain(self) -> Failure {
        let (exit, hint) = (self.exit(), self.hint());
        let Self::TooSmall { at, purpose, unit: "bytes", needed, available } = &self else {
            return Failure::new(exit, self).maybe_hint(hint);
        };
        let (at, needed, available) = (at.display(), bytes(*needed), bytes(*available));
        let text = format!(
            "the file system of {at} has {available} free, {needed} are needed ({purpose})"
        );
        Failure::new(exit, text).maybe_hint(hint)
    }
}
