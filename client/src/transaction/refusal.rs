//! What stands in a plan's way.

use countersign_format::name::PatchName;

use crate::object::Kind;

/// A path that stands in a plan's way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another installed component has it.
    #[error("/{path} of {name} is owned by {owner}")]
    Owned {
        /// The path.
        path: String,
        /// Who wants it.
        name: PatchName,
        /// Who has it.
        owner: PatchName,
    },
    /// Two patches of the plan, or two paths of one, lead there.
    #[error("/{path} is brought twice, by {first} and by {second}")]
    Twice {
        /// The path.
        path: String,
        /// One patch.
        first: PatchName,
        /// The other.
        second: PatchName,
    },
    /// Something stands there that is nobody's, and cannot be replaced.
    #[error("/{path} is a {found}, but {name} wants a {wanted} there")]
    InTheWay {
        /// The path.
        path: String,
        /// Who wants it.
        name: PatchName,
        /// What is there.
        found: Kind,
        /// What is wanted.
        wanted: Kind,
    },
    /// A directory that is to become a file holds what is not the plan's.
    #[error("directory /{path} is to become a {wanted}, but holds /{foreign}")]
    NotEmpty {
        /// The directory.
        path: String,
        /// What is wanted.
        wanted: Kind,
        /// Something in it that is not the plan's.
        foreign: String,
    },
    /// This program keeps its own there.
    #[error("/{path} of {name} is where patchctl keeps its own")]
    Reserved {
        /// The path.
        path: String,
        /// Who wants it.
        name: PatchName,
    },
    /// Something is mounted there.
    #[error("/{path} is a mount point and cannot be replaced")]
    MountPoint {
        /// The path.
        path: String,
    },
    /// Two components declare one directory with different owners or modes.
    #[error("directory /{path} of {name} has another owner or mode than that of {other}")]
    DirectoryDiffers {
        /// The path.
        path: String,
        /// One component.
        name: PatchName,
        /// The other.
        other: PatchName,
    },
}
