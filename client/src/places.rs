//! Which directories a client works in.

use std::path::{Path, PathBuf};

/// The file with the settings, below the configuration directory.
pub const CONFIG_FILE: &str = "config.toml";
const CONFIG: &str = "etc/patchctl/config.toml";
const STATE: &str = "var/lib/patchctl";
const CACHE: &str = "var/cache/patchctl";

/// Places that somebody named; the others follow from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedPlaces {
    /// Where payload goes.
    pub root: Option<PathBuf>,
    /// The file with the settings.
    pub config: Option<PathBuf>,
    /// The state.
    pub state: Option<PathBuf>,
    /// The cache.
    pub cache: Option<PathBuf>,
}

/// The directories a client works in, all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where payload goes.
    pub root: PathBuf,
    /// The file with the settings; the sources are in `sources.d` beside it.
    pub config: PathBuf,
    /// The state database, locks and evidence.
    pub state: PathBuf,
    /// Downloaded archives; can be deleted at any time.
    pub cache: PathBuf,
}

impl NamedPlaces {
    /// All places: the named ones, and what is not named below the root. Relative ones count from
    /// `working`, the directory that the program was started in.
    pub fn settle(self, working: &Path) -> Places {
        let root = working.join(self.root.unwrap_or_else(|| "/".into()));
        let place = |named: Option<PathBuf>, usual: &str| match named {
            Some(path) => working.join(path),
            None => root.join(usual),
        };
        Places {
            config: place(self.config, CONFIG),
            state: place(self.state, STATE),
            cache: place(self.cache, CACHE),
            root,
        }
    }

    /// These places, and where one is not named that of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            root: self.root.or(other.root),
            config: self.config.or(other.config),
            state: self.state.or(other.state),
            cache: self.cache.or(other.cache),
        }
    }
}

impl Places {
    /// The state database.
    pub fn database(&self) -> PathBuf {
        self.state.join("state.db")
    }

    /// The lock that whoever changes the state holds.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// Where statements that contradict each other are kept.
    pub fn evidence(&self) -> PathBuf {
        self.state.join("evidence")
    }

    /// The directory of the sources' files.
    pub fn sources(&self) -> PathBuf {
        self.config.with_file_name("sources.d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(named: NamedPlaces) -> [String; 4] {
        let places = named.settle(Path::new("/srv"));
        [places.root, places.config, places.state, places.cache]
            .map(|path| path.display().to_string())
    }

    #[test]
    fn what_is_not_named_lies_below_the_root() {
        let usual = ["/", "/etc/patchctl/config.toml", "/var/lib/patchctl", "/var/cache/patchctl"];
        assert_eq!(settled(NamedPlaces::default()), usual);
        let named = NamedPlaces {
            root: Some("lab".into()),
            state: Some("/srv/state".into()),
            ..NamedPlaces::default()
        };
        let below = [
            "/srv/lab",
            "/srv/lab/etc/patchctl/config.toml",
            "/srv/state",
            "/srv/lab/var/cache/patchctl",
        ];
        assert_eq!(settled(named), below);
    }
}
