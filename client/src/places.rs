//! Which directories a client works in.

use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;

/// The file with the settings, below the configuration directory.
pub const CONFIG_FILE: &str = "config.toml";
const VENDOR_CONFIG: &str = "usr/lib/patchctl/config.toml";
const CONFIG_DIRECTORY: &str = "etc/patchctl";
const DATABASE: &str = "state.db";
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

/// The directories that a user's own programs keep things in (XDG Base Directory Specification).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDirectories {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
}

impl UserDirectories {
    /// As `variable` has `XDG_CONFIG_HOME` and so on, and `HOME` where those are missing or not
    /// absolute; none where nothing says it.
    pub fn find(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let find = |name: &str, usual: &str| {
            absolute(name).or_else(|| home.as_ref().map(|home| home.join(usual)))
        };
        Some(Self {
            config: find("XDG_CONFIG_HOME", ".config")?,
            state: find("XDG_STATE_HOME", ".local/state")?,
            cache: find("XDG_CACHE_HOME", ".cache")?,
        })
    }

    /// The places of an install root, which has directories of its own in each of the user's.
    pub fn places(&self, root: &Path) -> NamedPlaces {
        let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let mut id = Hash32::of(whole.as_os_str().as_encoded_bytes()).to_string();
        id.truncate(16);
        let below = |directory: &Path| directory.join("patchctl").join(&id);
        NamedPlaces {
            root: Some(root.to_owned()),
            config: Some(below(&self.config).join(CONFIG_FILE)),
            state: Some(below(&self.state)),
            cache: Some(below(&self.cache)),
        }
    }
}

impl NamedPlaces {
    /// Whether the user's own directories are meant although nobody says so: for a root in which
    /// there is no state, and for which there is one among them.
    pub fn is_kept_by_user(&self, root: &Path, user: &Self) -> bool {
        let is_free = |path: &str| !root.join(path).exists();
        let has_state = |path: &PathBuf| path.join(DATABASE).exists();
        let says_nothing = self.config.is_none() && self.state.is_none() && self.cache.is_none();
        says_nothing
            && is_free(CONFIG_DIRECTORY)
            && is_free(STATE)
            && user.state.as_ref().is_some_and(has_state)
    }

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
        self.state.join(DATABASE)
    }

    /// The lock that whoever changes the state holds.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// Where statements that contradict each other are kept.
    pub fn evidence(&self) -> PathBuf {
        self.state.join("evidence")
    }

    /// The settings that come with the program.
    pub fn vendor_config(&self) -> PathBuf {
        self.root.join(VENDOR_CONFIG)
    }

    /// The directory of further files with settings.
    pub fn drop_ins(&self) -> PathBuf {
        self.config.with_file_name("conf.d")
    }

    /// The marks of an image whose machines enrol at their first boot.
    pub fn first_boot(&self) -> PathBuf {
        self.state.join("first-boot")
    }

    /// Something that only an enrolled machine has, apart from the state: a source's file, or
    /// evidence.
    pub fn trace_of_enrolment(&self) -> Option<PathBuf> {
        let entries = |directory: PathBuf| {
            std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
        };
        let is_source = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
        let source = entries(self.sources()).find(is_source);
        source.or_else(|| entries(self.evidence()).next())
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
    fn a_user_has_directories_for_each_root() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        let user = UserDirectories::find(home).expect("a home");
        let one = user.places(Path::new("/nonexistent/one"));
        let config = one.config.clone().expect("a place");
        assert!(config.starts_with("/home/u/.config/patchctl"), "{config:?}");
        assert!(config.ends_with(CONFIG_FILE));
        assert_ne!(one.state, user.places(Path::new("/nonexistent/two")).state);
        assert!(one.state.expect("a place").starts_with("/home/u/.local/state/patchctl"));
        let relative = |name: &str| (name != "HOME").then(|| PathBuf::from("below"));
        assert_eq!(UserDirectories::find(relative), None);
    }

    #[test]
    fn users_places_are_found_again_unless_the_root_has_its_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        std::fs::create_dir(&root).expect("made");
        let user = UserDirectories::find(|name| Some(directory.path().join(name)));
        let user = user.expect("directories").places(&root);
        let said = NamedPlaces { root: Some(root.clone()), ..NamedPlaces::default() };
        assert!(!said.is_kept_by_user(&root, &user));
        let state = user.state.clone().expect("a place");
        std::fs::create_dir_all(&state).expect("made");
        std::fs::write(state.join(DATABASE), "").expect("written");
        assert!(said.is_kept_by_user(&root, &user));
        let named = NamedPlaces { state: Some("/elsewhere".into()), ..said.clone() };
        assert!(!named.is_kept_by_user(&root, &user));
        std::fs::create_dir_all(root.join(CONFIG_DIRECTORY)).expect("made");
        assert!(!said.is_kept_by_user(&root, &user));
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
