//! `config.toml` of a role's directory.
//!
//! In scope: reading and writing it strictly. An unknown key is an error and the nearest known one
//! is suggested, since a setting that is silently not there is worse than none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use countersign_format::authority::PointText;
use countersign_format::hash::{Hash32, HashError};
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_store::Location;
use countersign_store::location::LocationError;
use countersign_terminal::{ExitStatus, Failure, parse_duration};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::role_dir::Role;

/// Largest configuration file: a page of settings and comments.
pub const MAX_CONFIG: u64 = 64 * 1024;

/// Settings of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    /// Always `authority`.
    pub role: Role,
    /// The authority's name; it never changes.
    pub name: KeyName,
    /// For how long a version is valid from the day on that it is prepared.
    pub valid_for: Span,
    /// P, the public point of the master secret: servers are told it.
    pub kgc: PointText,
}

/// Settings of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// Always `directory`.
    pub role: Role,
    /// The directory's name; it never changes.
    pub name: KeyName,
    /// For how long a version is valid from the day on that it is published.
    pub valid_for: Span,
}

/// Settings of a server that signs a log: a collection or a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// `collection` or `distribution`.
    pub role: Role,
    /// The server's identity, which is its key's name; it never changes.
    pub name: KeyName,
    /// P, the authority's public point, as the server was told it out of band.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kgc: Option<PointText>,
    /// Where the authority publishes its notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Place>,
    /// The authority note that trust begins with; the first that is found unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Fingerprint>,
    /// Where a distribution's collection publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<Place>,
    /// Where the directory publishes, whose note a distribution carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Place>,
    /// Where others serve this server's log: looked at before a head is signed, so that a server
    /// that was restored from a backup notices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published_at: Vec<Place>,
}

/// A base URL, or a directory: below the role's directory unless absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Place(String);

/// The SHA-256 of an authority note's text, written as `sha256:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub Hash32);

/// A span of time in whole seconds, written as `365d`, `24h`, `30min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub u64);

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Reading or writing failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Longer than [`MAX_CONFIG`].
    #[error("{0} is longer than {MAX_CONFIG} bytes")]
    TooLong(PathBuf),
    /// Not TOML, an unknown or missing key, or a wrong value.
    #[error("{path} line {line}: {message}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The known key that is most like an unknown one.
        suggestion: Option<String>,
    },
}

impl ServerConfig {
    /// The settings of a new server that signs `log`.
    pub fn new(log: Log, name: KeyName) -> Self {
        Self {
            role: log.into(),
            name,
            kgc: None,
            authority: None,
            anchor: None,
            collection: None,
            directory: None,
            published_at: Vec::new(),
        }
    }
}

impl Place {
    /// The place that a person names by `text`, whatever their current directory is later.
    pub fn of_argument(text: &str) -> Result<Self, LocationError> {
        match text.parse()? {
            Location::Directory(path) => {
                let path = std::path::absolute(&path).unwrap_or(path);
                Ok(Self(path.to_string_lossy().into_owned()))
            }
            Location::Http(_) => text.parse(),
        }
    }

    /// The location, seen from the role's directory.
    pub fn resolve(&self, directory: &Path) -> Location {
        match self.0.parse().expect("checked when it was read") {
            Location::Directory(path) => Location::Directory(directory.join(path)),
            url @ Location::Http(_) => url,
        }
    }
}

impl FromStr for Place {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        text.parse::<Location>().map(|_| Self(text.to_owned()))
    }
}

impl TryFrom<String> for Place {
    type Error = LocationError;

    fn try_from(text: String) -> Result<Self, LocationError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").ok_or("fingerprint does not begin with sha256:")?;
        hex.parse().map(Self).map_err(|error: HashError| error.to_string())
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}

/// Reads a configuration. `T` denies unknown fields.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let failed = |source| ConfigError::Io { action: "read", path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_CONFIG {
        return Err(ConfigError::TooLong(path.to_owned()));
    }
    parse(&fs::read_to_string(path).map_err(failed)?, path)
}

/// Reads the text of a configuration; `path` is for messages.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let message = error.message().to_owned();
        ConfigError::Value {
            path: path.to_owned(),
            line: text.as_bytes()[..start].split(|byte| *byte == b'\n').count(),
            suggestion: suggestion(&message),
            message,
        }
    })
}

/// The text of a configuration that [`parse`] reads.
pub fn print<T: Serialize>(config: &T) -> String {
    toml::to_string(config).expect("configurations are plain tables of texts and numbers")
}

/// From serde's "unknown field `a`, expected one of `b`, `c`": the one most like `a`.
fn suggestion(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field ")?.split_once(", expected ")?;
    let unknown = unknown.trim_matches('`');
    known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|key| (distance(unknown, key), key))
        .min()
        .filter(|(distance, key)| *distance <= 1 + key.len() / 3)
        .map(|(_, key)| key.to_owned())
}

/// How many letters must be added, dropped or changed to make `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Value { suggestion: Some(key), .. } => {
                Some(format!("did you mean `{key}`?"))
            }
            _ => None,
        };
        Self::new(ExitStatus::Configuration, error).maybe_hint(hint)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
        let whole = units.iter().find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (size, unit) = whole.copied().unwrap_or((1, "s"));
        serializer.serialize_str(&format!("{}{unit}", self.0 / size))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = parse_duration(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(span.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "role = \"directory\"\nname = \"example.org/directory\"\nvalid_for = \"90d\"\n";

    fn read(text: &str) -> Result<DirectoryConfig, ConfigError> {
        parse(text, Path::new("config.toml"))
    }

    #[test]
    fn reads_what_it_prints() {
        let config = read(TEXT).expect("a configuration");
        assert_eq!(config.valid_for, Span(90 * 86_400));
        assert_eq!(print(&config), TEXT);
        for (seconds, shown) in [(0, "0s"), (90, "90s"), (120, "2min"), (7_200, "2h")] {
            let printed = print(&DirectoryConfig { valid_for: Span(seconds), ..config.clone() });
            assert!(printed.ends_with(&format!("valid_for = \"{shown}\"\n")), "{printed}");
        }
    }

    #[test]
    fn a_typing_mistake_is_named_with_its_line_and_the_right_key() {
        let error = read(&TEXT.replace("valid_for", "valid_fro")).expect_err("a mistake");
        assert!(error.to_string().starts_with("config.toml line 3: unknown field `valid_fro`"));
        assert_eq!(Failure::from(error).hint_text(), Some("did you mean `valid_for`?"));
        let error = read(&format!("{TEXT}colour = 1\n")).expect_err("no such key");
        assert!(matches!(error, ConfigError::Value { line: 4, suggestion: None, .. }), "{error}");
        let error = read(&TEXT.replace("90d", "90")).expect_err("no unit");
        assert!(error.to_string().contains("365d"), "{error}");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        let pairs = [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("ab", "ba", 2)];
        for (left, right, expected) in pairs {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }
}
