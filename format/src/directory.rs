//! The directory note: where servers are (SPEC §6; the paper's IP management server).

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::key::KeyName;
use crate::text::{DistributionName, RegionName};
use crate::time::Timestamp;

const TYPE: &str = "directory/v1";
/// Most distributions in a directory.
pub const MAX_SERVERS: usize = 1024;
/// Most URLs of one distribution. A client tries them one after the other and the enrolled URL last,
/// so dead ones, however many a stolen key lists, must not keep it from there for hours.
pub const MAX_URLS: usize = 16;
/// Longest URL.
pub const MAX_URL: usize = 2048;

/// The text of a directory note. It moves traffic and can vouch for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirectoryNote {
    /// The directory's name.
    pub name: KeyName,
    /// Counts up; never goes back.
    pub version: u64,
    /// When it is no longer followed.
    pub expires: Timestamp,
    /// Where each distribution can be read.
    pub servers: Vec<DirectoryServer>,
}

/// Where one distribution can be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirectoryServer {
    /// The distribution's name in the authority note.
    pub distribution: DistributionName,
    /// Base URLs, in the order to try them where nothing else is said of them.
    pub urls: Vec<ServerUrl>,
}

/// One place where a distribution can be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerUrl {
    /// The base URL, plain http or https.
    pub url: String,
    /// Its share of the machines: one with weight 30 is the first choice of three times as many as
    /// one with 10. Those without are tried after all that have one, in the note's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<NonZeroU16>,
    /// Where it is: machines that are told to be there try it before those elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
}

/// Why a text is no directory note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Not strict JSON of the note's shape.
    #[error("directory note is malformed")]
    Json(#[source] JsonError),
    /// More distributions than [`MAX_SERVERS`].
    #[error("directory note lists more than {MAX_SERVERS} distributions")]
    TooMany,
    /// More URLs of one distribution than [`MAX_URLS`].
    #[error("directory note lists more than {MAX_URLS} URLs for {0}")]
    TooManyUrls(DistributionName),
    /// One distribution stands there twice.
    #[error("directory note lists {0} twice")]
    Twice(DistributionName),
    /// A URL that is not plain `http://` or `https://`, is too long, or has a fragment, a query,
    /// credentials or a control character.
    #[error("directory note has a URL that is not a plain http or https base: {0:?}")]
    Url(String),
}

impl DirectoryNote {
    /// Reads the text of a directory note.
    pub fn parse(text: &str) -> Result<Self, DirectoryError> {
        let note: Self = json::parse(text.as_bytes(), TYPE).map_err(DirectoryError::Json)?;
        if note.servers.len() > MAX_SERVERS {
            return Err(DirectoryError::TooMany);
        }
        let mut names = BTreeSet::new();
        for server in &note.servers {
            if !names.insert(&server.distribution) {
                return Err(DirectoryError::Twice(server.distribution.clone()));
            }
            if server.urls.len() > MAX_URLS {
                return Err(DirectoryError::TooManyUrls(server.distribution.clone()));
            }
            if let Some(bad) = server.urls.iter().find(|one| !is_plain_base(&one.url)) {
                return Err(DirectoryError::Url(bad.url.chars().take(80).collect()));
            }
        }
        Ok(note)
    }

    /// The note's text, spread over lines for people.
    pub fn to_text(&self) -> String {
        String::from_utf8(json::print_pretty(TYPE, self)).expect("JSON is UTF-8")
    }

    /// The URLs of a distribution, in order.
    pub fn urls(&self, name: &DistributionName) -> &[ServerUrl] {
        let found = self.servers.iter().find(|server| server.distribution == *name);
        found.map_or(&[], |server| &server.urls)
    }
}

/// A URL of which nothing else is said.
impl From<&str> for ServerUrl {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), weight: None, region: None }
    }
}

/// The name, and below it each URL on a line.
impl fmt::Display for DirectoryServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.distribution)?;
        self.urls.iter().try_for_each(|url| write!(formatter, "\n{url}"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)?;
        if let Some(weight) = self.weight {
            write!(formatter, ", weight {weight}")?;
        }
        if let Some(region) = &self.region {
            write!(formatter, ", region {region}")?;
        }
        Ok(())
    }
}

/// Whether `url` is an http or https base that is safe to print and to put paths behind.
fn is_plain_base(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let bad = |c: char| c.is_control() || c.is_whitespace() || "?#@\\\"<>".contains(c);
        !rest.is_empty() && !rest.starts_with('/') && url.len() <= MAX_URL && !rest.contains(bad)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"type":"directory/v1","name":"patches.example.org/directory","version":7,"expires":"2027-11-22T00:00:00Z","servers":[{"distribution":"main","urls":[{"url":"https://192.0.2.10/","weight":30,"region":"eu"},{"url":"https://m1.example.net/patches/"}]}]}
"#;

    #[test]
    fn lists_urls_in_order() {
        let note = DirectoryNote::parse(TEXT).expect("a directory");
        let main = "main".parse().expect("a name");
        let urls: Vec<_> = note.urls(&main).iter().map(ToString::to_string).collect();
        assert_eq!(
            urls,
            ["https://192.0.2.10/, weight 30, region eu", "https://m1.example.net/patches/"]
        );
        assert_eq!(note.urls(&"north".parse().expect("a name")), []);
        assert_eq!(DirectoryNote::parse(&note.to_text()), Ok(note));
    }

    #[test]
    fn weights_and_regions_are_what_they_say() {
        for (good, bad) in [
            ("\"weight\":30", "\"weight\":0"),
            ("\"weight\":30", "\"weight\":65536"),
            ("\"weight\":30", "\"weight\":-1"),
            ("\"region\":\"eu\"", "\"region\":\"\""),
            ("\"region\":\"eu\"", "\"region\":\"E U\""),
        ] {
            let refused = DirectoryNote::parse(&TEXT.replace(good, bad));
            assert!(matches!(refused, Err(DirectoryError::Json(_))), "{bad}");
        }
    }

    #[test]
    fn urls_of_a_distribution_are_few() {
        let (before, _) = TEXT.split_once("{\"url\"").expect("it lists URLs");
        let with = |count: usize| {
            let url = |n| format!("{{\"url\":\"https://192.0.2.{n}/\"}}");
            let urls: Vec<_> = (0..count).map(url).collect();
            DirectoryNote::parse(&format!("{before}{}]}}]}}\n", urls.join(",")))
        };
        assert!(with(MAX_URLS).is_ok());
        let main: DistributionName = "main".parse().expect("a name");
        assert_eq!(with(MAX_URLS + 1), Err(DirectoryError::TooManyUrls(main.clone())));
        let again = "]},{\"distribution\":\"main\",\"urls\":[]}]}\n";
        let twice = DirectoryNote::parse(&TEXT.replace("]}]}\n", again));
        assert_eq!(twice, Err(DirectoryError::Twice(main)));
    }

    #[test]
    fn only_plain_bases() {
        for url in
            ["file:///etc", "ftp://x/", "https://", "https:///x", "https://u@x/", "https://x/?a"]
        {
            let text = TEXT.replace("https://192.0.2.10/", url);
            assert_eq!(DirectoryNote::parse(&text), Err(DirectoryError::Url(url.into())));
        }
    }
}
