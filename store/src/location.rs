//! Where a repository is: a base URL or a directory.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

/// Longest location: as much of a URL as common servers and proxies accept.
pub const MAX_LOCATION: usize = 2048;

/// One place that a repository is read from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Location {
    /// A base URL, `http` or `https`; its path ends with `/`.
    Http(Url),
    /// A directory of this machine.
    Directory(PathBuf),
}

/// Why a text is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The text is empty.
    #[error("location is empty")]
    Empty,
    /// The text is longer than [`MAX_LOCATION`] bytes.
    #[error("location is {0} bytes long, the limit is {MAX_LOCATION}")]
    TooLong(usize),
    /// The text has a scheme, but is no URL.
    #[error("location {0:?} is not a URL")]
    NotUrl(String),
    /// The scheme is none that a repository is read over.
    #[error("location {0:?} has a scheme other than https, http and file")]
    Scheme(String),
    /// The URL has a query or a fragment, below which there can be no files.
    #[error("location {0:?} has a query or a fragment")]
    NotBase(String),
    /// The URL has a user name or a password, which would be printed wherever the URL is.
    #[error("location has a user name or a password")]
    Credentials,
    /// A `file` URL names a host or no absolute path.
    #[error("location {0:?} does not name a path of this machine")]
    NotLocal(String),
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if text.len() > MAX_LOCATION {
            return Err(LocationError::TooLong(text.len()));
        }
        if !text.contains("://") {
            return Ok(Self::Directory(text.into()));
        }
        let mut url: Url = text.parse().map_err(|_| LocationError::NotUrl(text.into()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(LocationError::NotBase(text.into()));
        }
        match url.scheme() {
            "http" | "https" => {
                if !url.path().ends_with('/') {
                    url.set_path(&format!("{}/", url.path()));
                }
                Ok(Self::Http(url))
            }
            "file" => match url.to_file_path() {
                Ok(path) => Ok(Self::Directory(path)),
                Err(()) => Err(LocationError::NotLocal(text.into())),
            },
            _ => Err(LocationError::Scheme(text.into())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(formatter),
            Self::Directory(path) => path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let cases = [
            ("https://patches.example.org", "https://patches.example.org/"),
            ("https://Patches.Example.org/a/b", "https://patches.example.org/a/b/"),
            ("http://192.0.2.10:8080/", "http://192.0.2.10:8080/"),
            ("http://[2001:db8::1]/r", "http://[2001:db8::1]/r/"),
            ("file:///srv/patches%20here", "/srv/patches here"),
            ("/srv/patches", "/srv/patches"),
            ("public", "public"),
        ];
        for (text, shown) in cases {
            let location: Location = text.parse().expect(text);
            assert_eq!(location.to_string(), shown);
            assert_eq!(matches!(location, Location::Http(_)), text.starts_with("http"));
        }
    }

    #[test]
    fn refuses_what_is_no_base() {
        let text = |text: &str| text.to_owned();
        let cases = [
            ("", LocationError::Empty),
            ("https://", LocationError::NotUrl(text("https://"))),
            ("ftp://example.org/", LocationError::Scheme(text("ftp://example.org/"))),
            ("https://example.org/?a", LocationError::NotBase(text("https://example.org/?a"))),
            ("https://example.org/#a", LocationError::NotBase(text("https://example.org/#a"))),
            ("https://user:secret@example.org/", LocationError::Credentials),
            ("file://host/srv", LocationError::NotLocal(text("file://host/srv"))),
        ];
        for (given, error) in cases {
            assert_eq!(given.parse::<Location>(), Err(error));
        }
        let long = format!("https://example.org/{}", "a".repeat(MAX_LOCATION));
        assert_eq!(long.parse::<Location>(), Err(LocationError::TooLong(long.len())));
    }
}
