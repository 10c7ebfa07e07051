//! The commands: arguments, a call of the library, and what it found out as text or JSON.

pub mod adopt;
pub mod attention;
pub mod audit;
pub mod change;
pub mod check;
pub mod clean;
pub mod completions;
pub mod config;
pub mod config_files;
pub mod doctor;
pub mod done;
pub mod download;
pub mod enroll;
pub mod fetch;
pub mod files;
pub mod filter;
pub mod history;
pub mod hold;
pub mod inspect;
pub mod install;
pub mod list;
pub mod listing;
pub mod man;
pub mod overview;
pub mod plan;
pub mod reinstall;
pub mod remove;
pub mod repair;
pub mod rollback;
pub mod search;
pub mod show;
pub mod sources;
pub mod status;
pub mod update;
pub mod upgrade;
pub mod verify;
pub mod why;

use std::str::FromStr;

use countersign_format::name::{PatchName, PatchVersion};

/// `NAME` or `NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAndVersion {
    /// The name.
    pub name: PatchName,
    /// The version, if one is given.
    pub version: Option<PatchVersion>,
}

impl FromStr for NameAndVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let version = version
            .map(|version| version.parse::<PatchVersion>().map_err(|error| error.to_string()))
            .transpose()?;
        Ok(Self { name: name.parse().map_err(|error| format!("{error}"))?, version })
    }
}

/// What stands in a column where there is nothing.
pub const NOTHING: &str = "-";

/// A value, or what stands for none.
pub fn or_nothing(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
}

/// A number of things: `1 entry`, `2 entries`.
pub fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}
