//! Where no payload may lie: what this program keeps of its own beneath the root.

use countersign_format::relpath::RelPath;

use crate::db::Database;
use crate::root::Root;
use crate::stage::AREA;

/// The directory of the state, if that is beneath the root.
pub(super) fn state_directory(database: &Database, root: &Root) -> Option<RelPath> {
    let whole = database.path().parent()?.canonicalize().ok()?;
    whole.strip_prefix(root.path()).ok()?.to_str()?.parse().ok()
}

/// Whether a path is one that this program keeps what it needs to install and to undo in. No
/// manifest names a working area, but a symlink may lead to one.
pub(super) fn is_reserved(path: &RelPath, state: Option<&RelPath>) -> bool {
    let is_below = |state: &RelPath| path == state || path.ancestors().any(|above| above == *state);
    path.parts().any(|part| part == AREA) || state.is_some_and(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_program_keeps_is_no_payload_s() {
        let path = |text: &str| text.parse::<RelPath>().expect("a path");
        let state = path("var/lib/patchctl");
        for reserved in
            [".patchctl", "srv/.patchctl/backup/1", "var/lib/patchctl", "var/lib/patchctl/state.db"]
        {
            assert!(is_reserved(&path(reserved), Some(&state)), "{reserved}");
        }
        for free in ["var/lib", "var/lib/patchctl2", "opt/patchctl", "a.patchctl/b"] {
            assert!(!is_reserved(&path(free), Some(&state)), "{free}");
        }
    }
}
