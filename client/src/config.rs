//! The settings of a client and the sources that it is enrolled with.
//!
//! A source's file says where it is and which authority note the trust in it begins with; it is the
//! anchor, so it lies with the settings and not with the state, which is a cache beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_format::text::RegionName;
use countersign_store::{ClientCertificate, HttpOptions};

use crate::places::NamedPlaces;
use crate::transaction::Retention;

pub mod definitions;
mod file;
pub mod layers;
mod source;
pub mod suggest;
mod value;

pub use layers::{Given, Origin, Said, Settings};
pub use source::{
    MAX_PRIORITY, MAX_SOURCE_NAME, MAX_SOURCES, SOURCE_KEYS, SourceConfig, SourceName,
    SourceNameError, SourceNetwork, USUAL_PRIORITY, USUAL_RING,
};

/// Longest settings or source file: a page or two of text.
pub const MAX_CONFIG: u64 = 64 * 1024;
/// How long to wait for the state's lock unless settings say otherwise.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How many archives are fetched side by side unless settings say otherwise.
pub const DOWNLOADS: usize = 4;
/// Most archives that may be fetched side by side: more only wait for each other.
pub const MAX_DOWNLOADS: usize = 16;

/// What all settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directories other than the usual ones.
    pub places: NamedPlaces,
    /// How long to wait for the state's lock.
    pub lock_timeout: Duration,
    /// How long a hook may run, where the settings say it.
    pub hook_timeout: Option<Duration>,
    /// What is kept for rollbacks.
    pub retention: Retention,
    /// How many archives are fetched side by side.
    pub downloads: usize,
    /// Where this machine is, in the words of its directories.
    pub region: Option<RegionName>,
    /// Whether the network is left alone.
    pub offline: bool,
    /// How servers are talked to.
    pub http: HttpOptions,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

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
    #[error("{}, line {line} is not as it must be", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// Why, without the line itself: it may hold a password.
        source: toml::de::Error,
    },
    /// A setting that does not exist.
    #[error("{}, line {line}: there is no setting {key:?}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The key.
        key: String,
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A value that cannot be used.
    #[error("{origin}: {key} is not usable: {reason}")]
    Value {
        /// Who says it.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// A file whose name is no source's.
    #[error("{} cannot be a source: {reason}", path.display())]
    FileName {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// One of two settings that belong together is missing.
    #[error("{said} is set, and {missing} is not")]
    Half {
        /// The one that is there.
        said: &'static str,
        /// The other.
        missing: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            places: NamedPlaces::default(),
            lock_timeout: LOCK_TIMEOUT,
            hook_timeout: None,
            retention: Retention::default(),
            downloads: DOWNLOADS,
            region: None,
            offline: false,
            http: HttpOptions::default(),
            client_certificate: None,
            client_key: None,
        }
    }
}

impl Config {
    /// Puts together what comes from several settings.
    fn settle(&mut self) -> Result<(), ConfigError> {
        let (said, missing) = ("client_certificate", "client_key");
        self.http.client_certificate =
            match (self.client_certificate.take(), self.client_key.take()) {
                (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
                (None, None) => None,
                (Some(_), None) => return Err(ConfigError::Half { said, missing }),
                (None, Some(_)) => {
                    return Err(ConfigError::Half { said: missing, missing: said });
                }
            };
        Ok(())
    }
}

impl ConfigError {
    fn form(path: &Path, text: &str, mut source: toml::de::Error) -> Self {
        let start = source.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..start].matches('\n').count() + 1;
        source.set_input(None);
        Self::Form { path: path.to_owned(), line, source }
    }

    /// Whether a file is not there.
    fn is_absence(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests;
