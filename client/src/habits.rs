//! Words of apt, dnf and zypper, and what they are here.

use countersign_terminal::{Habit, Meaning};

use Meaning::{Other, Same};

/// Words that are no commands here. Those that mean the same are understood; of the others it is
/// said what to do instead.
pub const HABITS: &[Habit] = &[
    same(&["dist-upgrade", "full-upgrade", "up", "patch", "dup", "safe-upgrade"], &["upgrade"]),
    same(&["in", "localinstall"], &["install"]),
    same(&["purge", "erase", "rm", "uninstall"], &["remove"]),
    same(&["refresh", "ref", "makecache"], &["update"]),
    same(&["info", "if"], &["show"]),
    same(&["se"], &["search"]),
    same(&["check-update", "check-upgrade", "patch-check", "pchk"], &["check"]),
    same(&["list-updates", "lu", "list-patches", "lp", "pl"], &["list", "--upgradable"]),
    same(&["lock", "addlock", "al", "versionlock"], &["hold"]),
    same(&["unlock", "removelock", "rl"], &["unhold"]),
    same(&["undo"], &["rollback"]),
    same(&["repos", "lr", "repolist"], &["sources"]),
    same(&["addrepo", "ar", "add-repository"], &["sources", "add"]),
    same(&["removerepo", "rr"], &["sources", "remove"]),
    same(&["ve"], &["verify"]),
    Habit {
        words: &["autoremove", "autopurge"],
        meaning: Other("nothing is removed unasked; by name: patchctl remove NAME"),
    },
    Habit {
        words: &["distro-sync", "dsync", "downgrade"],
        meaning: Other(
            "to an older version: patchctl install NAME@VERSION --allow-downgrade; \
             back to before a transaction: patchctl rollback --to TRANSACTION",
        ),
    },
    Habit {
        words: &["mark"],
        meaning: Other("to keep a version: patchctl hold NAME; to let go: patchctl unhold NAME"),
    },
    Habit {
        words: &["provides", "whatprovides", "wp", "owns"],
        meaning: Other("what a component has: patchctl files NAME"),
    },
    Habit {
        words: &["ps", "needs-restarting", "needs-rebooting"],
        meaning: Other("what waits for a restart: patchctl status"),
    },
    Habit {
        words: &["edit-sources", "modifyrepo", "mr", "config-manager"],
        meaning: Other("ring and priority: patchctl sources --help; all else: sources.d/NAME.toml"),
    },
];

const fn same(words: &'static [&'static str], meaning: &'static [&'static str]) -> Habit {
    Habit { words, meaning: Same(meaning) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_habit_leads_to_a_command_and_hides_none() {
        let command = crate::cli::Cli::command();
        let mut seen = std::collections::BTreeSet::new();
        for Habit { words, meaning } in HABITS {
            for word in *words {
                assert!(command.find_subcommand(word).is_none(), "{word} is a command");
                assert!(seen.insert(word), "{word} has two meanings");
            }
            if let Same(words) = meaning {
                assert!(command.find_subcommand(words[0]).is_some(), "{words:?}");
            }
        }
    }
}
