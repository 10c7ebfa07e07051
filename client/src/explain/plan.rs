//! Errors of choosing what to install.

use std::collections::BTreeSet;

use countersign_terminal::ExitStatus;
use patchctl::consent::Word;
use patchctl::plan::PlanError;
use patchctl::plan_file::PlanFileError;
use patchctl::resolve::{Excluded, Exclusion, Reason, ResolveError};

use super::{Explain, io_exit};

impl Explain for PlanError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::NotInstalled(_) => ExitStatus::NotFound,
            Self::NoSource(_) => ExitStatus::Usage,
            Self::Needed(..) | Self::Held(_) | Self::Changed(_) | Self::Unsaid(..) => {
                ExitStatus::Unsatisfiable
            }
            Self::Resolve(error) => error.exit(),
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled(_) => Some("see what is: patchctl list --installed".into()),
            Self::Needed(..) => Some("name them too, or let them go: --with-dependents".into()),
            Self::Changed(_) => {
                Some("make a new one: patchctl plan install|upgrade|remove … -o FILE".into())
            }
            Self::Unsaid(words, _) => Some(format!("if that is meant: {}", options(words))),
            Self::Held(hold) => {
                Some(exclusion_hint(hold.name.as_str(), &Exclusion::Held(hold.clone())))
            }
            Self::NoSource(_) => Some("see which there are: patchctl status".into()),
            Self::Resolve(error) => error.hint(),
            Self::Database(error) => error.hint(),
        }
    }
}

impl Explain for ResolveError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Unknown(_) | Self::NoSuchVersion { .. } => ExitStatus::NotFound,
            Self::Impossible(_) => ExitStatus::Unsatisfiable,
            Self::TooLarge { .. } => ExitStatus::Failed,
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown(name) => Some(format!("look for it: patchctl search {name}")),
            Self::NoSuchVersion { name, .. } => {
                Some(format!("see what there is: patchctl show {name}"))
            }
            Self::Impossible(is) => Some(reason_hint(is.name.as_str(), &is.reason)),
            Self::TooLarge { .. } => Some("name fewer components in one command".into()),
            Self::Database(error) => error.hint(),
        }
    }
}

impl Explain for PlanFileError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::File { source, .. } => io_exit(source),
            Self::TooLong(_) | Self::Form { .. } | Self::Format { .. } => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File { .. } => None,
            Self::TooLong(_) | Self::Form { .. } | Self::Format { .. } => {
                Some("make a new one: patchctl plan install|upgrade|remove … -o FILE".into())
            }
        }
    }
}

/// Words as they are given on the command line.
fn options(words: &BTreeSet<Word>) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What a person can do about the end of a chain of reasons, of which `name` was asked for.
fn reason_hint(name: &str, reason: &Reason) -> String {
    match reason.root() {
        Reason::Excluded(why) => exclusion_hint(name, why),
        Reason::Nothing { name, excluded } | Reason::Needs { name, excluded, .. } => {
            match excluded.first() {
                Some(Excluded { why, .. }) => exclusion_hint(name.as_str(), why),
                None => format!("see what there is: patchctl show {name}"),
            }
        }
        Reason::Conflicts { name, .. } | Reason::Breaks { name, .. } => {
            format!("let it go: --allow-removals, or first: patchctl remove {name}")
        }
        Reason::Kept(_) => format!("see what there is: patchctl show {name}"),
        Reason::Together(_) => "ask for fewer of them, or let some go: --allow-removals".into(),
    }
}

fn exclusion_hint(name: &str, why: &Exclusion) -> String {
    match why {
        Exclusion::Gate(_) => format!("see what there is: patchctl show {name}"),
        Exclusion::Held(_) => format!("let it change again: patchctl unhold {name}"),
        Exclusion::HeldBack => "name the version to install it all the same".into(),
        Exclusion::Prerelease => format!("name it: patchctl install {name}@VERSION"),
        Exclusion::NoPath(_) => {
            format!("go by way of another version: patchctl show {name} --all-versions")
        }
        Exclusion::Older(_) => "allow it: --allow-downgrade".into(),
    }
}
