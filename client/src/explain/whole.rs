//! Errors of finding full patches.

use countersign_terminal::ExitStatus;
use patchctl::whole::WholeError;

use super::Explain;

impl Explain for WholeError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Unknown(_) | Self::NoSuchVersion { .. } => ExitStatus::NotFound,
            Self::OnlyIncremental { .. } | Self::NotOffered { .. } | Self::Ambiguous { .. } => {
                ExitStatus::Unsatisfiable
            }
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unknown(_) => {
                "fetch what is new: patchctl update; look for it: patchctl search".into()
            }
            Self::NoSuchVersion { name, .. } => {
                format!("see which there are: patchctl show {name}")
            }
            Self::OnlyIncremental { name, .. } => {
                format!("go to a version that has a full patch: patchctl show {name}")
            }
            Self::NotOffered { name, version, .. } => {
                format!("see each gate: patchctl why {name}@{version}")
            }
            Self::Ambiguous { .. } => "say which: --platform PLATFORM".into(),
            Self::Database(error) => return error.hint(),
        };
        Some(text)
    }
}
