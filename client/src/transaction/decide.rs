//! What to do about one path: a pure decision over facts.

use crate::object::Kind;

/// What is known of one path before a transaction. Of nothing else does the decision depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact of a truth table")]
pub(crate) struct Facts {
    /// What is to be there; none for nothing.
    pub want: Option<Kind>,
    /// What is there.
    pub found: Option<Kind>,
    /// What a patch of this plan put there before.
    pub was: Option<Kind>,
    /// What is there is what is to be there, down to the last bit.
    pub as_wanted: bool,
    /// What is there is not what was put there.
    pub changed: bool,
    /// An administrator is expected to change it.
    pub config: bool,
    /// The patch brings the same content as the version before it.
    pub same_shipped: bool,
    /// A directory that a transaction made and that nobody else declares.
    pub disposable: bool,
    /// All that is in the directory goes with this plan.
    pub only_ours: bool,
    /// Something is mounted there.
    pub mount_point: bool,
    /// What is installed is put right: whatever stands in its place was not put there.
    pub mends: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing.
    Leave,
    /// Put it where nothing is.
    Create,
    /// Put it in place of a file or symlink.
    Replace,
    /// Swap a directory for a file or symlink, or the reverse.
    Exchange,
    /// Take a file or symlink away.
    Remove,
    /// Take a directory away if it is empty then.
    RemoveDirectory,
    /// Set a directory's owner and mode.
    Metadata,
    /// Keep a changed or deleted configuration file as it is and lay the new one beside it.
    KeepConfig,
    /// It was to go but is something else now: leave it and say so.
    Stay,
    /// Refuse the plan.
    Refuse(Obstacle),
}

/// Why a path cannot be what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A device, a pipe or a socket is there.
    Special,
    /// Something is mounted there.
    MountPoint,
    /// A directory holds what is not this plan's.
    NotEmpty,
    /// A file that is not this plan's is where a directory is to be.
    NotDirectory,
}

pub(crate) fn decide(facts: &Facts) -> Decision {
    match (facts.want, facts.found) {
        (Some(_), Some(Kind::Other)) => Decision::Refuse(Obstacle::Special),
        (None, None) => Decision::Leave,
        (None, Some(found)) => decide_removal(facts, found),
        (Some(want), None) => {
            // an administrator who deletes a configuration file means it
            let deleted = facts.config && facts.was == Some(Kind::File) && want == Kind::File;
            match (deleted, facts.same_shipped) {
                (true, true) => Decision::Leave,
                (true, false) => Decision::KeepConfig,
                (false, _) => Decision::Create,
            }
        }
        (Some(_), Some(_)) if facts.as_wanted => Decision::Leave,
        (Some(Kind::Directory), Some(Kind::Directory)) => Decision::Metadata,
        (Some(_), Some(_)) if facts.mount_point => Decision::Refuse(Obstacle::MountPoint),
        (Some(Kind::Directory), Some(_)) => {
            let ours = facts.mends || facts.was.is_some_and(|was| was != Kind::Directory);
            if ours { Decision::Exchange } else { Decision::Refuse(Obstacle::NotDirectory) }
        }
        (Some(_), Some(Kind::Directory)) => {
            if facts.only_ours {
                Decision::Exchange
            } else {
                Decision::Refuse(Obstacle::NotEmpty)
            }
        }
        (Some(want), Some(found)) => {
            let keeps = facts.config && facts.changed && found == Kind::File && want == Kind::File;
            match (keeps, facts.same_shipped) {
                (true, true) => Decision::Leave,
                (true, false) => Decision::KeepConfig,
                (false, _) => Decision::Replace,
            }
        }
    }
}

fn decide_removal(facts: &Facts, found: Kind) -> Decision {
    let was_directory = facts.was.is_none_or(|was| was == Kind::Directory);
    match (was_directory, found) {
        (true, Kind::Directory) if facts.disposable && !facts.mount_point => {
            Decision::RemoveDirectory
        }
        (true, Kind::Directory) => Decision::Leave,
        (false, Kind::File | Kind::Link) if !facts.mount_point => Decision::Remove,
        _ => Decision::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{
        Create, Exchange, KeepConfig, Leave, Metadata, Refuse, Remove, RemoveDirectory, Replace,
        Stay,
    };
    use Kind::{Directory, File, Link, Other};

    fn facts(want: Option<Kind>, found: Option<Kind>) -> Facts {
        Facts { want, found, was: found.filter(|kind| *kind != Other), ..Facts::default() }
    }

    #[test]
    fn what_is_wanted_over_what_is_there() {
        let cases = [
            (Some(File), None, Create),
            (Some(Directory), None, Create),
            (Some(File), Some(File), Replace),
            (Some(Link), Some(File), Replace),
            (Some(File), Some(Link), Replace),
            (Some(Directory), Some(File), Exchange),
            (Some(Directory), Some(Link), Exchange),
            (Some(Directory), Some(Directory), Metadata),
            (Some(File), Some(Directory), Refuse(Obstacle::NotEmpty)),
            (Some(File), Some(Other), Refuse(Obstacle::Special)),
            (Some(Directory), Some(Other), Refuse(Obstacle::Special)),
            (None, None, Leave),
            (None, Some(File), Remove),
            (None, Some(Link), Remove),
            (None, Some(Directory), Leave),
            (None, Some(Other), Stay),
        ];
        for (want, found, decision) in cases {
            assert_eq!(decide(&facts(want, found)), decision, "{want:?} over {found:?}");
        }
        let emptied = Facts { only_ours: true, ..facts(Some(Link), Some(Directory)) };
        assert_eq!(decide(&emptied), Exchange);
        let foreign = Facts { was: None, ..facts(Some(Directory), Some(File)) };
        assert_eq!(decide(&foreign), Refuse(Obstacle::NotDirectory));
        let there = Facts { as_wanted: true, ..facts(Some(File), Some(File)) };
        assert_eq!(decide(&there), Leave);
    }

    #[test]
    fn changed_configuration_stays() {
        let base = Facts { config: true, changed: true, ..facts(Some(File), Some(File)) };
        assert_eq!(decide(&base), KeepConfig);
        assert_eq!(decide(&Facts { same_shipped: true, ..base }), Leave);
        assert_eq!(decide(&Facts { changed: false, ..base }), Replace);
        assert_eq!(decide(&Facts { config: false, ..base }), Replace);
        assert_eq!(decide(&Facts { found: Some(Link), ..base }), Replace, "kept aside");
        assert_eq!(decide(&Facts { as_wanted: true, ..base }), Leave);
    }

    #[test]
    fn deleted_configuration_stays_deleted() {
        let deleted = Facts { config: true, was: Some(File), ..facts(Some(File), None) };
        assert_eq!(decide(&deleted), KeepConfig);
        assert_eq!(decide(&Facts { same_shipped: true, ..deleted }), Leave);
        assert_eq!(decide(&Facts { config: false, ..deleted }), Create);
        assert_eq!(decide(&Facts { was: None, ..deleted }), Create, "it is new");
        assert_eq!(decide(&Facts { was: Some(Link), ..deleted }), Create, "it was none");
    }

    #[test]
    fn what_is_put_right_takes_the_place_of_what_was_put_there() {
        let changed = Facts { was: Some(Directory), ..facts(Some(Directory), Some(File)) };
        assert_eq!(decide(&changed), Refuse(Obstacle::NotDirectory));
        assert_eq!(decide(&Facts { mends: true, ..changed }), Exchange);
    }

    #[test]
    fn only_what_was_made_is_removed() {
        let directory = facts(None, Some(Directory));
        assert_eq!(decide(&Facts { disposable: true, ..directory }), RemoveDirectory);
        assert_eq!(decide(&Facts { was: None, disposable: true, ..directory }), RemoveDirectory);
        let mounted = Facts { disposable: true, mount_point: true, ..directory };
        assert_eq!(decide(&mounted), Leave);
        assert_eq!(decide(&Facts { was: Some(File), ..directory }), Stay);
        assert_eq!(decide(&Facts { was: Some(Directory), ..facts(None, Some(File)) }), Stay);
        assert_eq!(decide(&Facts { was: Some(File), ..facts(None, Some(Other)) }), Stay);
    }

    #[test]
    fn mount_points_are_not_replaced() {
        for want in [File, Link] {
            let mounted = Facts { mount_point: true, ..facts(Some(want), Some(File)) };
            assert_eq!(decide(&mounted), Refuse(Obstacle::MountPoint));
        }
        let mounted = Facts { mount_point: true, ..facts(Some(Directory), Some(Directory)) };
        assert_eq!(decide(&mounted), Metadata, "a directory may be a mount's root");
    }
}
