//! Paths of payload files, relative to the root that a client installs under (SPEC §7).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_PATH;

/// A path inside a payload: relative, `/`-separated, UTF-8, without control characters and
/// without empty, `.` or `..` parts, at most [`MAX_PATH`] bytes. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<str>);

/// Why a text is no payload path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelPathError {
    /// The path is empty.
    #[error("path is empty")]
    Empty,
    /// The path is longer than [`MAX_PATH`] bytes.
    #[error("path is {0} bytes long, the limit is {MAX_PATH}")]
    TooLong(usize),
    /// The path begins with `/`.
    #[error("path is absolute")]
    Absolute,
    /// A part between slashes is empty, `.` or `..`.
    #[error("path has an empty, `.` or `..` part")]
    Part,
    /// The path has a control character (NUL and newline among them).
    #[error("path has a control character")]
    Control,
    /// The path is not UTF-8.
    #[error("path is not UTF-8")]
    Utf8,
}

impl RelPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its last part; none for a path of one part.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|at| Self(self.0[..at].into()))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The parts from the first to the last.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Every directory above this path, the outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].into()))
    }

    /// Reads a path from bytes, as a tar member name has them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RelPathError> {
        std::str::from_utf8(bytes).map_err(|_| RelPathError::Utf8)?.parse()
    }
}

impl FromStr for RelPath {
    type Err = RelPathError;

    fn from_str(text: &str) -> Result<Self, RelPathError> {
        if text.is_empty() {
            return Err(RelPathError::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(RelPathError::TooLong(text.len()));
        }
        if text.starts_with('/') {
            return Err(RelPathError::Absolute);
        }
        if text.chars().any(char::is_control) {
            return Err(RelPathError::Control);
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(RelPathError::Part);
        }
        Ok(Self(text.into()))
    }
}

/// Paths are ordered as their texts are.
impl std::borrow::Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for RelPath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref().as_ref()
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format_args!("{error}: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_every_way_out() {
        let cases = [
            ("", RelPathError::Empty),
            ("/etc/passwd", RelPathError::Absolute),
            ("a/../b", RelPathError::Part),
            ("..", RelPathError::Part),
            ("a//b", RelPathError::Part),
            ("a/", RelPathError::Part),
            ("./a", RelPathError::Part),
            ("a\0b", RelPathError::Control),
            ("a\nb", RelPathError::Control),
            ("a\u{85}b", RelPathError::Control),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<RelPath>(), Err(error), "{text:?}");
        }
        assert_eq!(RelPath::from_bytes(b"a\xff"), Err(RelPathError::Utf8));
        assert_eq!("a".repeat(4097).parse::<RelPath>(), Err(RelPathError::TooLong(4097)));
        assert!("a".repeat(4096).parse::<RelPath>().is_ok());
    }

    #[test]
    fn takes_apart() {
        let path: RelPath = "opt/acme/bin/agent".parse().expect("a path");
        assert_eq!(path.file_name(), "agent");
        assert_eq!(path.parent().map(|parent| parent.to_string()), Some("opt/acme/bin".into()));
        let above: Vec<_> = path.ancestors().map(|path| path.to_string()).collect();
        assert_eq!(above, ["opt", "opt/acme", "opt/acme/bin"]);
    }
}
