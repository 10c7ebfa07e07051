//! Which key a person means: by its name or, where several have the same, by name and ID.

use std::fmt;
use std::str::FromStr;

use countersign_format::key::{KeyError, KeyName, Vkey};
use serde::{Serialize, Serializer};

/// `NAME` or `NAME+ID`, as they begin the text of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySelector {
    name: KeyName,
    /// In hex; any key of that name without it.
    id: Option<String>,
}

impl KeySelector {
    /// The one key that is meant.
    pub fn of(vkey: &Vkey) -> Self {
        Self { name: vkey.name.clone(), id: Some(vkey.id(vkey.kind).to_string()) }
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Whether it is this key.
    pub fn means(&self, vkey: &Vkey) -> bool {
        let id = || vkey.id(vkey.kind).to_string();
        vkey.name == self.name && self.id.as_ref().is_none_or(|meant| *meant == id())
    }
}

impl FromStr for KeySelector {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let name = parts.next().unwrap_or_default().parse()?;
        // what comes after the ID is the key itself, which a person may have copied along
        Ok(Self { name, id: parts.next().map(str::to_ascii_lowercase) })
    }
}

impl Serialize for KeySelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<KeyName> for KeySelector {
    fn from(name: KeyName) -> Self {
        Self { name, id: None }
    }
}

impl fmt::Display for KeySelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(formatter, "{}+{id}", self.name),
            None => self.name.fmt(formatter),
        }
    }
}
