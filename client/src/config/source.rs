//! The sources that a machine is enrolled with: a file for each.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_format::hash::Hash32;
use countersign_format::text::{DistributionName, RingName};
use countersign_store::durable::{Access, write_atomic};
use countersign_store::location::LocationError;
use countersign_store::{
    ClientCertificate, CredentialsFile, HttpOptions, Location, Proxies, ProxyAddress,
};
use serde::Deserialize;

use super::definitions::proxy;
use super::layers::Origin;
use super::{ConfigError, file, suggest};
use crate::places::Places;

/// Longest name of a source.
pub const MAX_SOURCE_NAME: usize = 64;
/// Most sources of a machine.
pub const MAX_SOURCES: usize = 256;
/// The ring that a client is in unless it says otherwise.
pub const USUAL_RING: &str = "stable";
/// The priority of a source that says none, as dnf's and zypper's repositories have it.
pub const USUAL_PRIORITY: u16 = 99;
/// The weakest priority that a source can have; the strongest is 1.
pub const MAX_PRIORITY: u16 = 999;

/// Every key of a source's file.
pub const SOURCE_KEYS: &[&str] = &[
    "url",
    "authority",
    "distribution",
    "ring",
    "priority",
    "proxy",
    "ca_file",
    "client_certificate",
    "client_key",
    "credentials_file",
    "allow_plain_credentials",
];

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
    /// How its servers are talked to, where it is not as the settings say.
    pub network: SourceNetwork,
}

/// How the servers of one source are talked to, where that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceNetwork {
    /// Its proxy; `Some(None)` is none whatever the settings say.
    pub proxy: Option<Option<ProxyAddress>>,
    /// PEM file of the certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// What this machine shows to servers that ask.
    pub client_certificate: Option<ClientCertificate>,
    /// What the server at the source's own URL is told.
    pub credentials: Option<CredentialsFile>,
}

/// The name of a source on this machine: lowercase letters, digits, `.`, `_` and `-`, at most
/// [`MAX_SOURCE_NAME`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceName(String);

/// A name that no source can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name for a source: lowercase letters, digits, '.', '_' and '-', at most {MAX_SOURCE_NAME}"
)]
pub struct SourceNameError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    url: String,
    authority: String,
    distribution: String,
    ring: Option<String>,
    priority: Option<u16>,
    proxy: Option<String>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
    #[serde(default)]
    allow_plain_credentials: bool,
}

impl SourceConfig {
    /// The sources of `places`, by name.
    pub fn read_all(places: &Places) -> Result<Vec<Self>, ConfigError> {
        let directory = places.sources();
        let failed = |source| ConfigError::File { doing: "read", path: directory.clone(), source };
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut sources = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                sources.push(Self::read(&path)?);
            }
            if sources.len() > MAX_SOURCES {
                return Err(failed(io::Error::other(format!("more than {MAX_SOURCES} sources"))));
            }
        }
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(sources)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.parse().map_err(|error: SourceNameError| ConfigError::FileName {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let file = Lines::read(path)?;
        let SourceFile { ring, priority, .. } = &file.said;
        let digits = file.said.authority.strip_prefix("sha256:").unwrap_or(&file.said.authority);
        let url: Result<Location, LocationError> = file.said.url.parse();
        let priority = priority.unwrap_or(USUAL_PRIORITY);
        if !(1..=MAX_PRIORITY).contains(&priority) {
            let reason = format!("{priority} is not within 1 to {MAX_PRIORITY}");
            return Err(file.error("priority", reason));
        }
        Ok(Self {
            name,
            url: url.map_err(|error| file.error("url", error.to_string()))?,
            authority: file.parse("authority", digits)?,
            distribution: file.parse("distribution", &file.said.distribution)?,
            ring: file.parse("ring", ring.as_deref().unwrap_or(USUAL_RING))?,
            priority,
            network: SourceNetwork::read(&file)?,
        })
    }

    /// Writes the source's file, durably.
    pub fn write(&self, places: &Places) -> Result<(), ConfigError> {
        write_text(places, &self.name, &self.to_toml())
    }

    /// Changes one line of the source's file, durably, or adds it; all else in it stays.
    pub fn rewrite(
        places: &Places,
        name: &SourceName,
        key: &str,
        value: &toml::Value,
    ) -> Result<(), ConfigError> {
        let path = file_of(places, name);
        let mut text = file::read(&path)?;
        let entries = file::entries(&path, &text)?;
        if let Some(entry) = entries.into_iter().find(|entry| entry.key == key) {
            text.replace_range(entry.value, &value.to_string());
        } else {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            text = format!("{text}{gap}{key} = {value}\n");
        }
        write_text(places, name, &text)
    }

    /// Removes the source's file, durably.
    pub fn remove(places: &Places, name: &SourceName) -> Result<(), ConfigError> {
        let path = file_of(places, name);
        let removed = std::fs::remove_file(&path)
            .and_then(|()| std::fs::File::open(places.sources())?.sync_all());
        removed.map_err(|source| ConfigError::File { doing: "remove", path, source })
    }

    /// How the server at `location` is talked to, where `usual` is what the settings say.
    pub fn http(&self, usual: &HttpOptions, location: &Location) -> HttpOptions {
        self.network.http(usual, &self.url, location)
    }

    fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = format!(
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
        );
        let line =
            |(key, path): (&str, &Path)| format!("{key} = {}\n", quoted(&path.to_string_lossy()));
        text.extend(self.network.paths().map(line));
        text
    }
}

impl SourceNetwork {
    /// How the server at `location` is talked to by the source that is at `own`, where `usual` is
    /// what the settings say.
    pub fn http(&self, usual: &HttpOptions, own: &Location, location: &Location) -> HttpOptions {
        let Self { proxy, ca_file, client_certificate, credentials } = self;
        let mut options = usual.clone();
        match proxy {
            Some(Some(proxy)) => {
                let bypass = options.proxies.bypass.take();
                options.proxies = Proxies { bypass, ..Proxies::all(proxy.clone()) };
            }
            Some(None) => options.proxies = Proxies::default(),
            None => {}
        }
        options.ca_file = ca_file.clone().or(options.ca_file);
        options.client_certificate = client_certificate.clone().or(options.client_certificate);
        // the addresses that a directory adds may be of other people's servers
        options.credentials = credentials.clone().filter(|_| is_same_server(own, location));
        options
    }

    /// The files that are named, by their keys.
    fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let shown = self.client_certificate.as_ref();
        let paths = [
            ("ca_file", self.ca_file.as_deref()),
            ("client_certificate", shown.map(|files| &*files.certificate)),
            ("client_key", shown.map(|files| &*files.key)),
            ("credentials_file", self.credentials.as_ref().map(|file| &*file.path)),
        ];
        paths.into_iter().filter_map(|(key, path)| Some((key, path?)))
    }

    fn read(file: &Lines) -> Result<Self, ConfigError> {
        let SourceFile { proxy: proxy_text, ca_file, client_certificate, client_key, .. } =
            &file.said;
        let whole = |path: &Option<PathBuf>| path.as_ref().map(|path| file.base().join(path));
        let client_certificate = match (whole(client_certificate), whole(client_key)) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(file.error("client_certificate", "client_key is missing".into()));
            }
            (None, Some(_)) => {
                return Err(file.error("client_key", "client_certificate is missing".into()));
            }
        };
        let proxy = proxy_text.as_deref().map(proxy).transpose();
        let allow_plain = file.said.allow_plain_credentials;
        Ok(Self {
            proxy: proxy.map_err(|reason| file.error("proxy", reason))?,
            ca_file: whole(ca_file),
            client_certificate,
            credentials: whole(&file.said.credentials_file)
                .map(|path| CredentialsFile { path, allow_plain }),
        })
    }
}

/// A source's file with the lines of its keys.
struct Lines {
    path: PathBuf,
    said: SourceFile,
    entries: Vec<file::Entry>,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = file::read(path)?;
        let entries = file::entries(path, &text)?;
        if let Some(entry) = entries.iter().find(|entry| !SOURCE_KEYS.contains(&&*entry.key)) {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                line: entry.line,
                key: entry.key.clone(),
                suggestion: suggest::nearest(&entry.key, SOURCE_KEYS.iter().copied()),
            });
        }
        let said =
            toml::from_str(&text).map_err(|source| ConfigError::form(path, &text, source))?;
        Ok(Self { path: path.to_owned(), said, entries })
    }

    fn base(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
        text: &str,
    ) -> Result<T, ConfigError> {
        text.parse().map_err(|error: T::Err| self.error(key, error.to_string()))
    }

    fn error(&self, key: &'static str, reason: String) -> ConfigError {
        let line = self.entries.iter().find(|entry| entry.key == key).map_or(1, |entry| entry.line);
        ConfigError::Value { origin: Origin::File(self.path.clone(), line), key, reason }
    }
}

fn file_of(places: &Places, name: &SourceName) -> PathBuf {
    places.sources().join(format!("{name}.toml"))
}

fn write_text(places: &Places, name: &SourceName, text: &str) -> Result<(), ConfigError> {
    let directory = places.sources();
    let path = file_of(places, name);
    let failed = |source| ConfigError::File { doing: "write", path: path.clone(), source };
    std::fs::create_dir_all(&directory).map_err(failed)?;
    let file = PathBuf::from(format!("{name}.toml"));
    write_atomic(&directory, &file, text.as_bytes(), Access::Public).map_err(failed)
}

fn is_same_server(one: &Location, other: &Location) -> bool {
    match (one, other) {
        (Location::Http(one), Location::Http(other)) => one.origin() == other.origin(),
        _ => false,
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
