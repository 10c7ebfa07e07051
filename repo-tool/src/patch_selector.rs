//! `NAME@VERSION`: how a person names patches.

use std::fmt;
use std::str::FromStr;

use countersign_format::name::{NameError, PatchName, PatchVersion, Platform, Requirement};

/// All patches of a component to one version, or those of them that are narrowed down to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchSelector {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// Those for this platform only.
    pub platform: Option<Platform>,
    /// Those with this base only: `none` is the full patch.
    pub base: Option<BaseSelector>,
}

/// Which of a version's patches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BaseSelector {
    /// The full patch, which has no base.
    Full,
    /// The incremental patch with this base, as it is written.
    Base(Requirement),
}

/// Why a text names no patches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// There is no `@`.
    #[error("not of the form NAME@VERSION: {0:?}")]
    Form(String),
    /// The name or the version is none.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl PatchSelector {
    /// Whether a patch with this platform and base is meant, given that name and version are.
    pub fn admits(&self, platform: &Platform, base: Option<&Requirement>) -> bool {
        let platform_fits = self.platform.as_ref().is_none_or(|wanted| wanted == platform);
        let base_fits = match &self.base {
            None => true,
            Some(BaseSelector::Full) => base.is_none(),
            Some(BaseSelector::Base(wanted)) => base == Some(wanted),
        };
        platform_fits && base_fits
    }
}

impl FromStr for PatchSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let form = || SelectorError::Form(text.chars().take(80).collect());
        let (name, version) = text.split_once('@').ok_or_else(form)?;
        let (name, version) = (name.parse()?, version.parse()?);
        Ok(Self { name, version, platform: None, base: None })
    }
}

impl fmt::Display for PatchSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.version)?;
        match &self.base {
            None => {}
            Some(BaseSelector::Full) => formatter.write_str(" (full)")?,
            Some(BaseSelector::Base(base)) => write!(formatter, " for {base}")?,
        }
        match &self.platform {
            Some(platform) => write!(formatter, " ({platform})"),
            None => Ok(()),
        }
    }
}

impl FromStr for BaseSelector {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "none" { Ok(Self::Full) } else { text.parse().map(Self::Base) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrows_down_by_platform_and_base() {
        let mut selector: PatchSelector = "acme-agent@2.1.1".parse().expect("a selector");
        let linux: Platform = "linux-x86_64".parse().expect("a platform");
        let base: Requirement = ">=2.1.0, <2.1.1".parse().expect("a requirement");
        assert!(selector.admits(&linux, None) && selector.admits(&Platform::any(), Some(&base)));
        selector.base = Some("none".parse().expect("a base"));
        assert!(selector.admits(&linux, None) && !selector.admits(&linux, Some(&base)));
        selector.base = Some(">=2.1.0, <2.1.1".parse().expect("a base"));
        selector.platform = Some(linux.clone());
        assert!(selector.admits(&linux, Some(&base)) && !selector.admits(&linux, None));
        assert!(!selector.admits(&Platform::any(), Some(&base)));
        assert_eq!(selector.to_string(), "acme-agent@2.1.1 for >=2.1.0, <2.1.1 (linux-x86_64)");
    }

    #[test]
    fn other_texts_name_nothing() {
        for text in ["acme", "acme@", "@1.0.0", "acme@1.0", "ACME@1.0.0", "a@1.0.0+build"] {
            assert!(text.parse::<PatchSelector>().is_err(), "{text}");
        }
    }
}
