//! The programs that a patch runs (SPEC §7, `hooks`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::relpath::RelPath;

/// The programs that a patch runs. Several may be one file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hooks {
    /// Runs before the first path is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_install: Option<HookPath>,
    /// Runs after the last path is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_install: Option<HookPath>,
    /// Says whether what was installed works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<HookPath>,
    /// Runs before the component is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_remove: Option<HookPath>,
}

impl Hooks {
    /// Every hook file once, in byte order: the members under `hooks/` that an archive has.
    pub fn paths(&self) -> BTreeSet<&HookPath> {
        [&self.pre_install, &self.post_install, &self.check, &self.pre_remove]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether nothing runs.
    pub fn is_empty(&self) -> bool {
        self.paths().is_empty()
    }
}

/// A hook's member name in the archive: `hooks/` and one part of visible ASCII characters. So it
/// always fits into a plain tar header.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HookPath(RelPath);

/// The text is not `hooks/` and one part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hook is not `hooks/` and one part of at most 64 visible ASCII characters: {0:?}")]
pub struct HookPathError(String);

impl HookPath {
    /// The member name, `hooks/` included.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The part after `hooks/`.
    pub fn file_name(&self) -> &str {
        self.0.file_name()
    }
}

impl FromStr for HookPath {
    type Err = HookPathError;

    fn from_str(text: &str) -> Result<Self, HookPathError> {
        let part = text.strip_prefix("hooks/").unwrap_or_default();
        let is_plain = part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        match text.parse() {
            Ok(path) if (1..=64).contains(&part.len()) && is_plain => Ok(Self(path)),
            _ => Err(HookPathError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for HookPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Serialize for HookPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HookPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_fits_into_a_plain_header() {
        let longest = format!("hooks/{}", "a".repeat(64));
        for good in ["hooks/check", "hooks/.x", "hooks/pre-install.sh", &longest] {
            assert_eq!(good.parse::<HookPath>().expect(good).as_str(), good);
        }
        let long = format!("hooks/{}", "a".repeat(65));
        for bad in [
            "",
            "hooks/",
            "hooks/..",
            "hooks/a/b",
            "hook/a",
            "/hooks/a",
            "hooks/a b",
            "hooks/\u{e4}",
            &long,
        ] {
            assert!(bad.parse::<HookPath>().is_err(), "{bad:?}");
        }
    }
}
