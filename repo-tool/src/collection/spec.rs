//! `patch.toml`: what a tree of files cannot say of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_format::entry::Severity;
use countersign_format::manifest::{FileError, Owner};
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::relpath::RelPath;
use countersign_format::text::{AdvisoryId, Line};
use serde::{Deserialize, Deserializer};

use crate::config::{self, ConfigError};
use crate::tree_scan::Settings;

/// What is said of a patch, in `patch.toml` or by flags.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatchSpec {
    /// The component.
    pub name: Option<PatchName>,
    /// The version that it has afterwards.
    pub version: Option<PatchVersion>,
    /// What must be installed for an incremental patch.
    pub base: Option<Requirement>,
    /// The machines that it is for; `any` unless said.
    pub platform: Option<Platform>,
    /// One line for people.
    pub summary: Option<Line>,
    /// How grave what it mends is.
    pub severity: Option<Severity>,
    /// The advisories that it closes.
    pub advisories: Vec<AdvisoryId>,
    /// Components that must be there.
    pub requires: BTreeMap<PatchName, Requirement>,
    /// Components that must not be there.
    pub conflicts: BTreeMap<PatchName, Requirement>,
    /// Services that must be restarted afterwards.
    pub restart: Vec<Line>,
    /// Whether the machine must be restarted afterwards.
    pub reboot: bool,
    /// What goes away. Where it is given, the tree holds only what is new or changed.
    pub remove: Vec<RelPath>,
    /// Whether files of an incremental patch may come as changes to others. Unless said they may where
    /// the patch is for one version only.
    pub deltas: Option<bool>,
    /// Programs that the patch runs.
    pub hooks: HookFiles,
    /// Files that an administrator is expected to change.
    pub config_files: Vec<RelPath>,
    /// Who owns the files; `root:root` unless said.
    #[serde(deserialize_with = "optional_owner")]
    pub owner: Option<Owner>,
    /// Who owns a path and all below it.
    #[serde(deserialize_with = "owners")]
    pub owners: BTreeMap<RelPath, Owner>,
}

/// Where the programs are that a patch runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HookFiles {
    /// Runs before the first path is replaced.
    pub pre_install: Option<PathBuf>,
    /// Runs after the last path is replaced.
    pub post_install: Option<PathBuf>,
    /// Says whether what was installed works.
    pub check: Option<PathBuf>,
    /// Runs before the component is removed.
    pub pre_remove: Option<PathBuf>,
}

impl PatchSpec {
    /// Reads a `patch.toml`. Hooks are found beside it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut spec: Self = config::read(path)?;
        let beside = path.parent().unwrap_or(Path::new("."));
        for (_, file) in spec.hooks.each_mut() {
            *file = beside.join(&*file);
        }
        Ok(spec)
    }

    /// This, changed by all that `flags` say: lists grow, the rest is replaced.
    #[must_use]
    pub fn with(mut self, flags: Self) -> Self {
        fn set<T>(value: &mut Option<T>, flag: Option<T>) {
            if flag.is_some() {
                *value = flag;
            }
        }
        set(&mut self.name, flags.name);
        set(&mut self.version, flags.version);
        set(&mut self.base, flags.base);
        set(&mut self.platform, flags.platform);
        set(&mut self.summary, flags.summary);
        set(&mut self.severity, flags.severity);
        set(&mut self.owner, flags.owner);
        set(&mut self.deltas, flags.deltas);
        set(&mut self.hooks.pre_install, flags.hooks.pre_install);
        set(&mut self.hooks.post_install, flags.hooks.post_install);
        set(&mut self.hooks.check, flags.hooks.check);
        set(&mut self.hooks.pre_remove, flags.hooks.pre_remove);
        self.advisories.extend(flags.advisories);
        self.requires.extend(flags.requires);
        self.conflicts.extend(flags.conflicts);
        self.restart.extend(flags.restart);
        self.remove.extend(flags.remove);
        self.config_files.extend(flags.config_files);
        self.owners.extend(flags.owners);
        self.reboot |= flags.reboot;
        self
    }

    /// What scanning a tree takes of it.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            owner: self.owner.clone().unwrap_or_default(),
            owners: self.owners.clone(),
            config_files: self.config_files.iter().cloned().collect(),
        }
    }
}

impl HookFiles {
    /// The hooks that are given, by the names that manifests give them.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("pre-install", &self.pre_install),
            ("post-install", &self.post_install),
            ("check", &self.check),
            ("pre-remove", &self.pre_remove),
        ];
        all.into_iter().filter_map(|(name, file)| Some((name, file.as_deref()?)))
    }

    fn each_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PathBuf)> {
        let all = [
            ("pre-install", &mut self.pre_install),
            ("post-install", &mut self.post_install),
            ("check", &mut self.check),
            ("pre-remove", &mut self.pre_remove),
        ];
        all.into_iter().filter_map(|(name, file)| Some((name, file.as_mut()?)))
    }

    /// Sets a hook by the name that manifests give it; an error says which names there are.
    pub fn set(&mut self, name: &str, file: PathBuf) -> Result<(), String> {
        let hook = match name {
            "pre-install" => &mut self.pre_install,
            "post-install" => &mut self.post_install,
            "check" => &mut self.check,
            "pre-remove" => &mut self.pre_remove,
            _ => {
                return Err(format!(
                    "no hook is called {name:?}: pre-install, post-install, check or pre-remove"
                ));
            }
        };
        *hook = Some(file);
        Ok(())
    }
}

/// An owner in `patch.toml`.
struct OwnerText(Owner);

impl<'de> Deserialize<'de> for OwnerText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Owner;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an owner such as `app:app`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Owner, E> {
                Owner::from_str(text).map_err(|error: FileError| E::custom(error))
            }
        }
        deserializer.deserialize_str(Text).map(Self)
    }
}

fn optional_owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Owner>, D::Error> {
    OwnerText::deserialize(deserializer).map(|owner| Some(owner.0))
}

fn owners<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<RelPath, Owner>, D::Error> {
    let owners = BTreeMap::<RelPath, OwnerText>::deserialize(deserializer)?;
    Ok(owners.into_iter().map(|(path, owner)| (path, owner.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
name = "acme-agent"
version = "2.1.1"
base = ">=2.1.0, <2.1.1"
platform = "linux-x86_64"
summary = "Closes a heap overflow in the parser"
severity = "critical"
advisories = ["CVE-2026-0001"]
restart = ["acme-agent.service"]
reboot = true
remove = ["opt/acme/lib/old.so"]
config_files = ["etc/acme.conf"]
owner = "acme:acme"
[requires]
libacme = "^1.4"
[owners]
"opt/acme/var" = "root:adm"
[hooks]
pre-install = "stop.sh"
check = "/usr/bin/true"
"#;

    #[test]
    fn a_file_says_all_and_flags_say_otherwise() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("patch.toml");
        std::fs::write(&path, FULL).expect("written");
        let spec = PatchSpec::read(&path).expect("read");
        assert_eq!(spec.severity, Some(Severity::Critical));
        assert_eq!(spec.owner.as_ref().map(Owner::as_str), Some("acme:acme"));
        let hooks: Vec<_> = spec.hooks.each().collect();
        let stop = base.path().join("stop.sh");
        assert_eq!(hooks, [("pre-install", stop.as_path()), ("check", Path::new("/usr/bin/true"))]);
        let flags = PatchSpec {
            version: Some("2.1.2".parse().expect("a version")),
            advisories: vec!["CVE-2026-0002".parse().expect("an advisory")],
            ..PatchSpec::default()
        };
        let both = spec.clone().with(flags);
        assert_eq!(both.version.as_ref().map(ToString::to_string).as_deref(), Some("2.1.2"));
        assert_eq!((both.name, both.advisories.len()), (spec.name, 2));
        assert!(both.reboot);
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_the_right_one() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("patch.toml");
        std::fs::write(&path, "nmae = \"acme\"\n").expect("written");
        let error = PatchSpec::read(&path).expect_err("refused");
        assert!(matches!(error, ConfigError::Value { suggestion: Some(key), .. } if key == "name"));
        std::fs::write(&path, "owner = \"acme\"\n").expect("written");
        let error = PatchSpec::read(&path).expect_err("refused").to_string();
        assert!(error.contains("line 1") && error.contains("name:group"), "{error}");
    }
}
