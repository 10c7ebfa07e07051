//! Where a signing key lives: in a file, in a token, or behind a command. A location is public: it
//! stands in configuration, on command lines and in reports, and never holds a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::uri::{TokenUri, TokenUriError};

/// Longest location: a path of the file system and a few words more.
pub const MAX_LOCATION: usize = 8192;

/// Where a signing key lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum KeyLocation {
    /// `file:PATH`: a key file. A server's secret counts along with the grant beside it.
    File(PathBuf),
    /// `pkcs11:…`: a key that does not leave its token (RFC 7512).
    Token(Box<TokenUri>),
    /// `exec:PROGRAM ARGUMENT…`: a program that signs.
    Command(CommandLine),
}

/// A program and its arguments. No shell reads them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandLine {
    /// The program.
    pub(super) program: String,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
}

/// Why a text is no location of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It begins with no known word.
    #[error("key location {0:?} does not begin with file:, pkcs11: or exec:")]
    Scheme(String),
    /// Longer than [`MAX_LOCATION`], or with a control character.
    #[error("key location is longer than {MAX_LOCATION} bytes or has a control character")]
    Text,
    /// Nothing follows.
    #[error("key location {0}: names nothing")]
    Empty(&'static str),
    /// The URI is refused.
    #[error(transparent)]
    Token(#[from] TokenUriError),
}

impl KeyLocation {
    /// The same location for use from any directory: a relative path becomes an absolute one.
    #[must_use]
    pub fn absolute(self) -> Self {
        match self {
            Self::File(path) => Self::File(std::path::absolute(&path).unwrap_or(path)),
            other => other,
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }
}

impl FromStr for KeyLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.len() > MAX_LOCATION || text.chars().any(char::is_control) {
            return Err(LocationError::Text);
        }
        match text.split_once(':') {
            Some(("file", "")) => Err(LocationError::Empty("file")),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("pkcs11", _)) => Ok(Self::Token(Box::new(text.parse()?))),
            Some(("exec", line)) => {
                let mut words = line.split_whitespace().map(str::to_owned);
                let program = words.next().ok_or(LocationError::Empty("exec"))?;
                Ok(Self::Command(CommandLine { program, arguments: words.collect() }))
            }
            _ => Err(LocationError::Scheme(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "file:{}", path.display()),
            Self::Token(uri) => fmt::Display::fmt(uri, formatter),
            Self::Command(line) => {
                write!(formatter, "exec:{}", line.program)?;
                line.arguments.iter().try_for_each(|word| write!(formatter, " {word}"))
            }
        }
    }
}

impl From<KeyLocation> for String {
    fn from(location: KeyLocation) -> Self {
        location.to_string()
    }
}

impl TryFrom<String> for KeyLocation {
    type Error = LocationError;

    fn try_from(text: String) -> Result<Self, LocationError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        for text in [
            "file:keys/a.pem",
            "file:/media/usb stick/a.pem",
            "pkcs11:token=Release;object=collection?module-path=/usr/lib/x.so",
            "exec:/usr/lib/sign --slot 2",
        ] {
            let location: KeyLocation = text.parse().expect("a location");
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn a_location_says_what_it_is() {
        let refused = |text: &str| text.parse::<KeyLocation>().expect_err("refused");
        assert!(matches!(refused("keys/a.pem"), LocationError::Scheme(_)));
        assert!(matches!(refused("ssh:a"), LocationError::Scheme(_)));
        assert_eq!(refused("file:"), LocationError::Empty("file"));
        assert_eq!(refused("exec: "), LocationError::Empty("exec"));
        assert_eq!(refused("file:a\nb"), LocationError::Text);
        assert!(matches!(refused("pkcs11:object=a?pin-value=1234"), LocationError::Token(_)));
    }
}
