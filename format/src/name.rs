//! The words that identify a patch: its name, version, requirement and platform (SPEC §4.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest patch name, in bytes (SPEC §4.1).
pub const MAX_NAME: usize = 64;
/// Longest version as text: three numbers and a pre-release tag a person wrote.
pub const MAX_VERSION: usize = 128;
/// Longest version requirement as text: a handful of comparators.
pub const MAX_REQUIREMENT: usize = 256;
/// Longest platform as text: two of Rust's words.
pub const MAX_PLATFORM: usize = 64;

/// Why a text is no name, version, requirement or platform. Texts are cut to 80 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is longer than its bound.
    #[error("{what} is {length} bytes long, the limit is {limit}")]
    TooLong {
        /// Which kind of word.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most bytes it may have.
        limit: usize,
    },
    /// Not `[a-z0-9][a-z0-9+._-]{0,63}`.
    #[error("patch name is not [a-z0-9][a-z0-9+._-]*: {0:?}")]
    Name(String),
    /// Neither `any` nor `<os>-<arch>`.
    #[error("platform is neither `any` nor <os>-<arch>: {0:?}")]
    Platform(String),
    /// Not a version of SemVer 2.
    #[error("version {text:?} is not SemVer: {reason}")]
    Version {
        /// What was found.
        text: String,
        /// What the parser says.
        reason: String,
    },
    /// A version with build metadata, which has no place in the order of versions.
    #[error("version {0:?} has build metadata")]
    BuildMetadata(String),
    /// Not a requirement as the `semver` crate reads them.
    #[error("requirement {text:?} is not one of SemVer: {reason}")]
    Requirement {
        /// What was found.
        text: String,
        /// What the parser says.
        reason: String,
    },
}

/// A patch's name: `[a-z0-9][a-z0-9+._-]{0,63}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchName(Box<str>);

/// A patch's version: SemVer 2 without build metadata, so that equal precedence means equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchVersion(semver::Version);

/// A requirement on versions, as the `semver` crate 1 reads it. Keeps the text it was read from;
/// compared by that text.
#[derive(Clone)]
pub struct Requirement {
    text: Box<str>,
    parsed: semver::VersionReq,
}

/// Where a patch may be installed: `any`, or `<os>-<arch>` in Rust's words (`linux-x86_64`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(Box<str>);

impl PatchName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PatchName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bound("patch name", text, MAX_NAME)?;
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = bytes.first().is_some_and(|first| word(*first))
            && bytes.iter().all(|byte| word(*byte) || b"+._-".contains(byte));
        if good { Ok(Self(text.into())) } else { Err(NameError::Name(excerpt(text))) }
    }
}

impl PatchVersion {
    /// The version as the `semver` crate has it.
    pub fn as_semver(&self) -> &semver::Version {
        &self.0
    }

    /// Whether this is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl FromStr for PatchVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bound("version", text, MAX_VERSION)?;
        let version = semver::Version::parse(text).map_err(|error| NameError::Version {
            text: excerpt(text),
            reason: error.to_string(),
        })?;
        if !version.build.is_empty() {
            return Err(NameError::BuildMetadata(excerpt(text)));
        }
        if !is_spelled(&version, text) {
            return Err(NameError::Version {
                text: excerpt(text),
                reason: "not in its one form".into(),
            });
        }
        Ok(Self(version))
    }
}

impl Requirement {
    /// The requirement as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `version` meets the requirement. A pre-release meets it only where a comparator
    /// names a pre-release of the same three numbers, as cargo has it.
    pub fn matches(&self, version: &PatchVersion) -> bool {
        self.parsed.matches(&version.0)
    }
}

impl FromStr for Requirement {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bound("requirement", text, MAX_REQUIREMENT)?;
        let refuse = |reason: String| NameError::Requirement { text: excerpt(text), reason };
        if text.trim() != text {
            return Err(refuse("white space at an end".into()));
        }
        let parsed = semver::VersionReq::parse(text).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { text: text.into(), parsed })
    }
}

impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Requirement {}

impl PartialOrd for Requirement {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Requirement {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Requirement {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Platform {
    /// The platform `any`.
    pub fn any() -> Self {
        Self("any".into())
    }

    /// The platform of an operating system and a processor, in the words of
    /// [`std::env::consts`].
    pub fn new(os: &str, arch: &str) -> Result<Self, NameError> {
        let text = format!("{os}-{arch}");
        text.parse()
    }

    /// The platform as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is made for this platform runs on `machine`.
    pub fn fits(&self, machine: &Self) -> bool {
        &*self.0 == "any" || self == machine
    }
}

impl FromStr for Platform {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bound("platform", text, MAX_PLATFORM)?;
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let pair = text.split_once('-').is_some_and(|(os, arch)| word(os) && word(arch));
        if text == "any" || pair {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Platform(excerpt(text)))
        }
    }
}

fn bound(what: &'static str, text: &str, limit: usize) -> Result<(), NameError> {
    if text.len() > limit {
        return Err(NameError::TooLong { what, length: text.len(), limit });
    }
    Ok(())
}

/// Whether a value is written just like this.
fn is_spelled(value: &impl fmt::Display, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, written: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    fmt::Write::write_fmt(&mut rest, format_args!("{value}")).is_ok() && rest.0.is_empty()
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Display, Debug and serde for types that are written as one word.
macro_rules! as_text {
    ($($name:ident => |$this:ident| $text:expr;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                fmt::Display::fmt($text, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text! {
    PatchName => |this| &this.0;
    PatchVersion => |this| &this.0;
    Requirement => |this| &this.text;
    Platform => |this| &this.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_the_alphabet() {
        for good in ["a", "7zip", "acme-agent", "libstdc++6", "a.b_c-d+e"] {
            assert_eq!(good.parse::<PatchName>().expect(good).as_str(), good);
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "a\n", "ä"] {
            assert_eq!(bad.parse::<PatchName>(), Err(NameError::Name(bad.into())));
        }
        assert!("a".repeat(64).parse::<PatchName>().is_ok());
        let long = "a".repeat(65).parse::<PatchName>();
        assert_eq!(long, Err(NameError::TooLong { what: "patch name", length: 65, limit: 64 }));
    }

    #[test]
    fn versions_have_one_form_and_an_order() {
        let version = |text: &str| text.parse::<PatchVersion>();
        assert!(version("2.1.0-rc.1").expect("SemVer") < version("2.1.0").expect("SemVer"));
        assert!(version("2.9.0").expect("SemVer") < version("2.10.0").expect("SemVer"));
        assert!(matches!(version("1.0.0+build"), Err(NameError::BuildMetadata(_))));
        for bad in ["1", "1.0", "01.0.0", "1.0.0-", "v1.0.0", " 1.0.0", "1.0.0\n", ""] {
            assert!(matches!(version(bad), Err(NameError::Version { .. })), "{bad:?}");
        }
        let long = format!("1.0.0-{}", "a".repeat(MAX_VERSION));
        assert!(matches!(version(&long), Err(NameError::TooLong { .. })));
    }

    #[test]
    fn requirements_keep_their_text() {
        let requirement: Requirement = ">=2.1.0, <2.1.1".parse().expect("a requirement");
        assert_eq!(requirement.to_string(), ">=2.1.0, <2.1.1");
        assert!(requirement.matches(&"2.1.0".parse().expect("SemVer")));
        assert!(!requirement.matches(&"2.1.1".parse().expect("SemVer")));
        for bad in ["", " ^1", "^1\n", "one", ">=1 <2"] {
            let parsed = bad.parse::<Requirement>();
            assert!(matches!(parsed, Err(NameError::Requirement { .. })), "{bad:?}");
        }
    }

    #[test]
    fn platforms_fit_themselves_and_any_fits_all() {
        let linux = Platform::new("linux", "x86_64").expect("a platform");
        assert_eq!(linux.as_str(), "linux-x86_64");
        let mac: Platform = "macos-aarch64".parse().expect("a platform");
        assert!(linux.fits(&linux) && Platform::any().fits(&linux) && !linux.fits(&mac));
        for bad in ["", "linux", "linux-", "-x86_64", "linux-x86-64", "Linux-x86_64", "ANY"] {
            assert_eq!(bad.parse::<Platform>(), Err(NameError::Platform(bad.into())));
        }
    }

    #[test]
    fn json_is_one_string() {
        let name: PatchName = serde_json::from_str("\"acme\"").expect("a name");
        assert_eq!(serde_json::to_string(&name).expect("JSON"), "\"acme\"");
        assert!(serde_json::from_str::<PatchName>("\"Acme\"").is_err());
    }
}
