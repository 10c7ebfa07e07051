//! The settings of a client and the sources that it is enrolled with.
//!
//! A source's file says where it is and which authority note the trust in it begins with; it is the
//! anchor, so it lies with the settings and not with the state, which is a cache beside it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use countersign_format::hash::Hash32;
use countersign_format::text::{DistributionName, RingName};
use countersign_store::durable::{Access, write_atomic};
use countersign_store::location::LocationError;
use countersign_store::{HttpOptions, Location};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::places::{NamedPlaces, Places};

pub mod suggest;

/// Longest settings or source file: a page or two of text.
pub const MAX_CONFIG: u64 = 64 * 1024;
/// How long to wait for the state's lock unless settings say otherwise.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How many archives are fetched side by side unless settings say otherwise.
pub const DOWNLOADS: usize = 4;
/// Most archives that may be fetched side by side: more only wait for each other.
pub const MAX_DOWNLOADS: usize = 16;
/// Longest name of a source.
pub const MAX_SOURCE_NAME: usize = 64;
/// The ring that a client is in unless it says otherwise.
pub const USUAL_RING: &str = "stable";
/// The priority of a source that says none, as dnf's and zypper's repositories have it.
pub const USUAL_PRIORITY: u16 = 99;
/// The weakest priority that a source can have; the strongest is 1.
pub const MAX_PRIORITY: u16 = 999;

/// What `config.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directories other than the usual ones.
    pub places: NamedPlaces,
    /// How long to wait for the state's lock.
    pub lock_timeout: Duration,
    /// How long a hook may run, where the settings say it.
    pub hook_timeout: Option<Duration>,
    /// How many archives are fetched side by side.
    pub downloads: usize,
    /// How servers are talked to.
    pub http: HttpOptions,
}

/// What a file in `sources.d` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// The file's name without its ending.
    pub name: SourceName,
    /// Where the repository is: the last resort after the directory's addresses.
    pub url: Location,
    /// SHA-256 of the text of the authority note that trust begins with.
    pub authority: Hash32,
    /// The distribution whose word counts.
    pub distribution: DistributionName,
    /// The ring that this machine is in.
    pub ring: RingName,
    /// Which source wins where several offer a component: the one with the lowest number, 1 to
    /// [`MAX_PRIORITY`].
    pub priority: u16,
}

/// The name of a source on this machine: lowercase letters, digits, `.`, `_` and `-`, at most
/// [`MAX_SOURCE_NAME`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceName(String);

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or directory cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Longer than [`MAX_CONFIG`].
    #[error("{} is longer than {MAX_CONFIG} bytes", .0.display())]
    TooLong(PathBuf),
    /// Not TOML, or a value of another type.
    #[error("{} is not as it must be", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A setting that does not exist.
    #[error("{} has no setting {key:?}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A value that cannot be used.
    #[error("{}: {key} is not usable: {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

/// A name that no source can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name for a source: lowercase letters, digits, '.', '_' and '-', at most {MAX_SOURCE_NAME}"
)]
pub struct SourceNameError(String);

const CONFIG_KEYS: &[&str] =
    &["root", "state", "cache", "lock_timeout", "hook_timeout", "downloads", "proxy", "ca_file"];
const SOURCE_KEYS: &[&str] = &["url", "authority", "distribution", "ring", "priority"];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    root: Option<PathBuf>,
    state: Option<PathBuf>,
    cache: Option<PathBuf>,
    lock_timeout: Option<String>,
    hook_timeout: Option<String>,
    downloads: Option<usize>,
    proxy: Option<String>,
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    url: String,
    authority: String,
    distribution: String,
    ring: Option<String>,
    priority: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            places: NamedPlaces::default(),
            lock_timeout: LOCK_TIMEOUT,
            hook_timeout: None,
            downloads: DOWNLOADS,
            http: HttpOptions::default(),
        }
    }
}

impl Config {
    /// Reads the settings. A file that is not there says nothing, unless `must_exist`.
    pub fn read(path: &Path, must_exist: bool) -> Result<Self, ConfigError> {
        let text = match read(path) {
            Err(ConfigError::File { source, .. })
                if source.kind() == io::ErrorKind::NotFound && !must_exist =>
            {
                return Ok(Self::default());
            }
            text => text?,
        };
        let file: ConfigFile = parse(path, &text, CONFIG_KEYS)?;
        let span = |key, value: Option<String>| {
            value.map(|text| parse_span(&text).map_err(value_error(path, key))).transpose()
        };
        let downloads = file.downloads.unwrap_or(DOWNLOADS);
        if !(1..=MAX_DOWNLOADS).contains(&downloads) {
            let reason = format!("{downloads} is not within 1 to {MAX_DOWNLOADS}");
            return Err(value_error(path, "downloads")(reason));
        }
        Ok(Self {
            places: NamedPlaces {
                root: file.root,
                config: None,
                state: file.state,
                cache: file.cache,
            },
            lock_timeout: span("lock_timeout", file.lock_timeout)?.unwrap_or(LOCK_TIMEOUT),
            hook_timeout: span("hook_timeout", file.hook_timeout)?,
            downloads,
            http: HttpOptions {
                proxy: file.proxy,
                ca_file: file.ca_file,
                ..HttpOptions::default()
            },
        })
    }
}

impl SourceConfig {
    /// The sources of `places`, by name.
    pub fn read_all(places: &Places) -> Result<Vec<Self>, ConfigError> {
        let directory = places.sources();
        let file_error =
            |source| ConfigError::File { doing: "read", path: directory.clone(), source };
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(file_error)?,
        };
        let mut sources = Vec::new();
        for entry in entries {
            let path = entry.map_err(file_error)?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                sources.push(Self::read(&path)?);
            }
        }
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(sources)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.parse().map_err(|error: SourceNameError| {
            value_error(path, "the file's name")(error.to_string())
        })?;
        let file: SourceFile = parse(path, &read(path)?, SOURCE_KEYS)?;
        let digits = file.authority.strip_prefix("sha256:").unwrap_or(&file.authority);
        let url: Result<Location, LocationError> = file.url.parse();
        let ring = file.ring.as_deref().unwrap_or(USUAL_RING);
        let priority = file.priority.unwrap_or(USUAL_PRIORITY);
        if !(1..=MAX_PRIORITY).contains(&priority) {
            let reason = format!("{priority} is not within 1 to {MAX_PRIORITY}");
            return Err(value_error(path, "priority")(reason));
        }
        Ok(Self {
            name,
            url: url.map_err(|error| value_error(path, "url")(error.to_string()))?,
            authority: parse_value(path, "authority", digits)?,
            distribution: parse_value(path, "distribution", &file.distribution)?,
            ring: parse_value(path, "ring", ring)?,
            priority,
        })
    }

    /// Writes the source's file, durably.
    pub fn write(&self, places: &Places) -> Result<(), ConfigError> {
        let directory = places.sources();
        let file = PathBuf::from(format!("{}.toml", self.name));
        let failed =
            |source| ConfigError::File { doing: "write", path: directory.join(&file), source };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        write_atomic(&directory, &file, self.to_toml().as_bytes(), Access::Public).map_err(failed)
    }

    fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        format!(
            "# written by patchctl enroll\n\
             url = {}\n\
             # the authority note that trust begins with\n\
             authority = \"sha256:{}\"\n\
             distribution = {}\n\
             ring = {}\n\
             # where several sources offer a component, the lowest number wins\n\
             priority = {}\n",
            quoted(&self.url.to_string()),
            self.authority,
            quoted(self.distribution.as_str()),
            quoted(self.ring.as_str()),
            self.priority,
        )
    }
}

impl SourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made from any text: what may not stand in one becomes `-`.
    pub fn resembling(text: &str) -> Self {
        let letter = |c: char| match c.to_ascii_lowercase() {
            c if is_name_character(c) => c,
            _ => '-',
        };
        let name: String = text.chars().map(letter).take(MAX_SOURCE_NAME).collect();
        let name = name.trim_start_matches(['.', '_', '-']);
        Self(if name.is_empty() { "source".into() } else { name.to_owned() })
    }
}

impl FromStr for SourceName {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts_well && text.len() <= MAX_SOURCE_NAME && text.chars().all(is_name_character) {
            Ok(Self(text.into()))
        } else {
            Err(SourceNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let failed = |source| ConfigError::File { doing: "read", path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_CONFIG + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(ConfigError::TooLong(path.to_owned()));
    }
    Ok(text)
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    known: &'static [&'static str],
) -> Result<T, ConfigError> {
    let form = |source| ConfigError::Form { path: path.to_owned(), source };
    let table: toml::Table = toml::from_str(text).map_err(form)?;
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(ConfigError::UnknownKey {
            path: path.to_owned(),
            key: key.clone(),
            suggestion: suggest::nearest(key, known.iter().copied()),
        });
    }
    toml::from_str(text).map_err(form)
}

fn parse_value<T: FromStr<Err: fmt::Display>>(
    path: &Path,
    key: &'static str,
    text: &str,
) -> Result<T, ConfigError> {
    text.parse().map_err(|error: T::Err| value_error(path, key)(error.to_string()))
}

fn value_error(path: &Path, key: &'static str) -> impl FnOnce(String) -> ConfigError {
    move |reason| ConfigError::Value { path: path.to_owned(), key, reason }
}

/// Reads a span of time such as `90s`, `5min`, `2h`.
fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err(format!("{text:?} is no span of time such as 90s, 5min or 2h")),
    };
    let seconds = text[..digits].parse::<u32>().map_err(|error| error.to_string())?;
    Ok(Duration::from_secs(u64::from(seconds) * unit))
}

#[cfg(test)]
mod tests;
