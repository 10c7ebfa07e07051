//! Where settings come from, weakest first: the proxies that the environment names for all
//! programs; the vendor's file; the administrator's file; the files in `conf.d` beside it, by name;
//! the environment; the command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::definitions::{DEFINITIONS, Definition, VARIABLE_PREFIX, definition, proxy};
use super::value::Raw;
use super::{Config, ConfigError, file, suggest};
use crate::places::{NamedPlaces, Places};

/// Most files in `conf.d`.
pub const MAX_DROP_INS: usize = 256;

/// What hooks are told, and so find in their environment where they start a `patchctl`.
const HOOK_VARIABLES: &[&str] = &[
    "PATCHCTL_ROOT",
    "PATCHCTL_NAME",
    "PATCHCTL_OLD_VERSION",
    "PATCHCTL_NEW_VERSION",
    "PATCHCTL_ACTION",
];

/// What was said outside of files.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Whether the file with the settings was named, so that it must be there.
    pub file_is_named: bool,
    /// Whether the root was named. What files below it say of places is then not meant for here.
    pub root_is_named: bool,
    /// Variables of the environment, all or those that may matter.
    pub environment: Vec<(String, String)>,
    /// Settings on the command line: the name, the option, the value.
    pub options: Vec<(&'static str, &'static str, String)>,
}

/// Who said what.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What was said, the weakest first.
    said: Vec<Said>,
    /// What is of no effect though somebody may think that it is.
    pub warnings: Vec<String>,
}

/// One value of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The setting's name.
    pub key: &'static str,
    /// Who says it.
    pub origin: Origin,
    /// The value, as it may be shown.
    pub value: String,
}

/// Who says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1 on.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(formatter, "{}, line {line}", path.display()),
            Self::Environment(name) => write!(formatter, "{name} in the environment"),
            Self::Option(name) => formatter.write_str(name),
        }
    }
}

impl Settings {
    /// Reads all layers. Every value is checked, also where another one wins. `working` is what
    /// relative paths outside of files count from.
    pub fn read(
        places: &Places,
        working: &Path,
        given: &Given,
    ) -> Result<(Config, Self), ConfigError> {
        let (mut config, mut settings) = (Config::default(), Self::default());
        settings.read_usual_proxies(&mut config, &given.environment);
        settings.read_file(&mut config, &places.vendor_config(), false)?;
        settings.read_file(&mut config, &places.config, given.file_is_named)?;
        for path in drop_ins(&places.drop_ins())? {
            settings.read_file(&mut config, &path, true)?;
        }
        if given.root_is_named {
            config.places = NamedPlaces::default();
            settings.said.retain(|said| !["root", "state", "cache"].contains(&said.key));
        }
        for (name, value) in &given.environment {
            settings.read_variable(&mut config, working, name, value)?;
        }
        for (name, option, value) in &given.options {
            let definition = definition(name).expect("an option stands for a setting");
            let raw = Raw::Text(value.clone());
            settings.say(&mut config, definition, &raw, working, Origin::Option(option))?;
        }
        config.settle()?;
        Ok((config, settings))
    }

    /// What was said of a setting, the value that counts first.
    pub fn said(&self, definition: &Definition) -> impl Iterator<Item = &Said> + use<'_> {
        let name = definition.name;
        self.said.iter().rev().filter(move |said| said.key == name)
    }

    fn read_file(
        &mut self,
        config: &mut Config,
        path: &Path,
        must_exist: bool,
    ) -> Result<(), ConfigError> {
        let text = match file::read(path) {
            Err(error) if error.is_absence() && !must_exist => return Ok(()),
            text => text?,
        };
        let base = path.parent().unwrap_or(Path::new("/"));
        for entry in file::entries(path, &text)? {
            let Some(definition) = definition(&entry.key) else {
                let names = DEFINITIONS.iter().map(|definition| definition.name);
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line: entry.line,
                    suggestion: suggest::nearest(&entry.key, names),
                    key: entry.key,
                });
            };
            let origin = Origin::File(path.to_owned(), entry.line);
            self.say(config, definition, &entry.raw, base, origin)?;
        }
        Ok(())
    }

    fn read_variable(
        &mut self,
        config: &mut Config,
        working: &Path,
        name: &str,
        value: &str,
    ) -> Result<(), ConfigError> {
        if !name.starts_with(VARIABLE_PREFIX) || HOOK_VARIABLES.contains(&name) {
            return Ok(());
        }
        let named = |definition: &&Definition| definition.variable().as_deref() == Some(name);
        let Some(definition) = DEFINITIONS.iter().find(named) else {
            let variables: Vec<String> =
                DEFINITIONS.iter().filter_map(Definition::variable).collect();
            let nearest = suggest::nearest(name, variables.iter().map(String::as_str));
            let hint = nearest.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
            self.warnings.push(format!("{name} in the environment is no setting{hint}"));
            return Ok(());
        };
        // an empty variable is how many take one back
        if value.is_empty() {
            return Ok(());
        }
        let origin = Origin::Environment(name.to_owned());
        self.say(config, definition, &Raw::Text(value.to_owned()), working, origin)
    }

    fn say(
        &mut self,
        config: &mut Config,
        definition: &'static Definition,
        raw: &Raw,
        base: &Path,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let key = definition.name;
        match definition.apply(config, raw, base) {
            Ok(value) => self.said.push(Said { key, origin, value }),
            Err(reason) => return Err(ConfigError::Value { origin, key, reason }),
        }
        Ok(())
    }

    /// The variables that many programs read. One that cannot be used is not this program's to
    /// refuse.
    fn read_usual_proxies(&mut self, config: &mut Config, environment: &[(String, String)]) {
        let find = |name: &str| {
            let value = |name: &str| {
                environment.iter().find(|(other, value)| other == name && !value.is_empty())
            };
            value(name).or_else(|| value(&name.to_ascii_uppercase()))
        };
        let proxies = &mut config.http.proxies;
        let slots = [("http_proxy", &mut proxies.http), ("https_proxy", &mut proxies.https)];
        for (name, slot) in slots {
            let Some((name, value)) = find(name) else { continue };
            match proxy(value) {
                Ok(found) => {
                    let value = found.as_ref().map_or("none".into(), ToString::to_string);
                    let origin = Origin::Environment(name.clone());
                    self.said.push(Said { key: "proxy", origin, value });
                    *slot = found;
                }
                Err(why) => {
                    self.warnings.push(format!("{name} in the environment is not used: {why}"));
                }
            }
        }
        if let Some((name, value)) = find("no_proxy") {
            let origin = Origin::Environment(name.clone());
            self.said.push(Said { key: "no_proxy", origin, value: value.clone() });
            proxies.bypass = Some(value.clone());
        }
    }
}

/// The files in `conf.d`, by name.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::File { doing: "read", path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
        if paths.len() > MAX_DROP_INS {
            let source = io::Error::other(format!("there are more than {MAX_DROP_INS} files"));
            return Err(failed(source));
        }
    }
    paths.sort();
    Ok(paths)
}
