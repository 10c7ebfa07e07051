//! Why a version is not to be had, in words that a person understands.

use std::fmt;

use countersign_format::name::{PatchName, PatchVersion};

use crate::catalogue::Gate;
use crate::db::hold::Hold;

/// Most versions that one reason names: the newest; more help nobody.
pub const MAX_NAMED: usize = 8;

/// Why a version is no candidate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exclusion {
    /// It is not offered to this machine, now.
    #[error("{0}")]
    Gate(Gate),
    /// An administrator keeps the component from changing, or pins it to another version.
    #[error("{}", held(.0))]
    Held(Hold),
    /// A rollback undid it.
    #[error("held back since a rollback undid it; a newer version will be offered")]
    HeldBack,
    /// A pre-release, for those who have one or name it.
    #[error("a pre-release, which is installed by its whole name only")]
    Prerelease,
    /// Its patches do not fit what is installed.
    #[error("no patch leads to it from {}", from(.0.as_ref()))]
    NoPath(Option<PatchVersion>),
    /// It is older than what is installed.
    #[error("older than the installed {0}")]
    Older(PatchVersion),
}

/// A version that is no candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// The version.
    pub version: PatchVersion,
    /// Why not.
    pub why: Exclusion,
}

/// Why a version is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is no candidate.
    Excluded(Exclusion),
    /// Nothing that was asked for is a candidate.
    Nothing {
        /// The component.
        name: PatchName,
        /// Its versions that would do, the newest first, at most [`MAX_NAMED`].
        excluded: Vec<Excluded>,
    },
    /// Something that it needs cannot be there.
    Needs {
        /// What it needs.
        name: PatchName,
        /// In which versions.
        requirement: String,
        /// What there is.
        found: Option<PatchVersion>,
        /// Versions that would do and are no candidates, the newest first, at most [`MAX_NAMED`].
        excluded: Vec<Excluded>,
        /// The best candidate that would do, and why it is not taken.
        because: Option<(PatchVersion, Box<Reason>)>,
    },
    /// It conflicts with something that is to be there, or that with it.
    Conflicts {
        /// With what.
        name: PatchName,
        /// The version that there would be.
        version: PatchVersion,
    },
    /// Something that is to stay cannot be together with it.
    Breaks {
        /// What is to stay.
        name: PatchName,
        /// Its version.
        version: PatchVersion,
        /// What it needs: the one that is asked about.
        needs: PatchName,
        /// In which versions.
        requirement: String,
    },
    /// As a plan says that was kept.
    Kept(String),
    /// No two of these exclude each other, but all of them together cannot be.
    Together(Vec<PatchName>),
}

impl Reason {
    /// The reason as lines, from what was asked for down to what is in the way. `who` is what the
    /// first line is about.
    pub fn lines(&self, who: &str) -> Vec<String> {
        match self {
            Self::Excluded(why) => vec![format!("{who}: {why}")],
            Self::Nothing { name, excluded } => excluded_lines(name, excluded),
            Self::Needs { name, requirement, found, excluded, because } => {
                let what = format!("{who} needs {name} {requirement}");
                let first = match found {
                    Some(version) => format!("{what}, there is {version}"),
                    None if excluded.is_empty() && because.is_none() => {
                        format!("{what}, which no source has")
                    }
                    None => what,
                };
                let mut lines = vec![first];
                if let Some((version, why)) = because {
                    lines.extend(why.lines(&format!("{name} {version}")));
                }
                lines.extend(excluded_lines(name, excluded));
                lines
            }
            Self::Conflicts { name, version } => {
                vec![format!("{who} conflicts with {name} {version}")]
            }
            Self::Breaks { name, version, needs, requirement } => {
                vec![format!("{name} {version} needs {needs} {requirement}")]
            }
            Self::Kept(why) => vec![why.clone()],
            Self::Together(names) => {
                let names: Vec<_> = names.iter().map(PatchName::as_str).collect();
                vec![format!("{who} cannot be together with {}", names.join(", "))]
            }
        }
    }

    /// What is at the end of the chain: what a person can do something about.
    pub fn root(&self) -> &Self {
        match self {
            Self::Needs { because: Some((_, why)), .. } => why.root(),
            _ => self,
        }
    }
}

/// On one line, for a component that was named before.
impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.lines("").into_iter();
        let first = lines.next().unwrap_or_default();
        formatter.write_str(first.trim_start_matches([':', ' ']))?;
        lines.try_for_each(|line| write!(formatter, "; {line}"))
    }
}

fn excluded_lines(name: &PatchName, excluded: &[Excluded]) -> Vec<String> {
    let line = |Excluded { version, why }: &Excluded| format!("{name} {version}: {why}");
    excluded.iter().map(line).collect()
}

fn from(version: Option<&PatchVersion>) -> String {
    version.map_or("nothing installed".into(), ToString::to_string)
}

fn held(hold: &Hold) -> String {
    let what = match &hold.version {
        Some(version) => format!("pinned to {version}"),
        None => "held".to_owned(),
    };
    let until = hold.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = hold.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    what + &until + &reason
}
