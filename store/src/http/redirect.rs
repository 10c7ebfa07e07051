//! Redirects: followed within one server, never away from it or from HTTPS.

use reqwest::Url;
use reqwest::header::{HeaderMap, LOCATION};

use crate::error::{Cause, RedirectRule};
use crate::http::answer::{cut, text};
use crate::location::MAX_LOCATION;

/// Where a redirect leads, if it is one that is followed.
pub(super) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, Cause> {
    let to = text(headers, LOCATION).unwrap_or_default();
    let refused = |why| Cause::Redirect { to: cut(to, 200), why };
    if to.is_empty() || to.len() > MAX_LOCATION {
        return Err(refused(RedirectRule::Nowhere));
    }
    let target = from.join(to).map_err(|_| refused(RedirectRule::Nowhere))?;
    if from.scheme() == "https" && target.scheme() != "https" {
        return Err(refused(RedirectRule::Plain));
    }
    let same_server = target.scheme() == from.scheme()
        && target.port_or_known_default() == from.port_or_known_default();
    let now_secure = target.scheme() == "https" && from.port().is_none() && target.port().is_none();
    let has_credentials = !target.username().is_empty() || target.password().is_some();
    if target.host() != from.host() || !(same_server || now_secure) || has_credentials {
        return Err(refused(RedirectRule::OtherServer));
    }
    Ok(target)
}

/// The refusal of one redirect too many.
pub(super) fn too_many(to: &Url) -> Cause {
    Cause::Redirect { to: cut(to.as_str(), 200), why: RedirectRule::TooMany }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, to: &str) -> Result<String, RedirectRule> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, to.parse().expect("a header value"));
        match target(&from.parse().expect("a URL"), &headers) {
            Ok(url) => Ok(url.into()),
            Err(Cause::Redirect { why, .. }) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn stays_with_the_server() {
        let base = "https://example.org/a/b";
        assert_eq!(follow(base, "/c"), Ok("https://example.org/c".into()));
        assert_eq!(follow(base, "c"), Ok("https://example.org/a/c".into()));
        assert_eq!(follow(base, "https://example.org:443/c"), Ok("https://example.org/c".into()));
        assert_eq!(follow("http://example.org/a", "https://example.org/a"), {
            Ok("https://example.org/a".into())
        });
        for away in ["https://evil.example/c", "//evil.example/c", "https://example.org:444/c"] {
            assert_eq!(follow(base, away), Err(RedirectRule::OtherServer), "{away}");
        }
        assert_eq!(follow(base, "https://u:p@example.org/c"), Err(RedirectRule::OtherServer));
        assert_eq!(follow("http://example.org:81/", "https://example.org:82/"), {
            Err(RedirectRule::OtherServer)
        });
        for plain in ["http://example.org/c", "file:///etc/passwd", "ftp://example.org/"] {
            assert_eq!(follow(base, plain), Err(RedirectRule::Plain), "{plain}");
        }
        assert_eq!(follow("http://example.org/", "file:///etc/passwd"), {
            Err(RedirectRule::OtherServer)
        });
        assert_eq!(follow(base, "https://[/"), Err(RedirectRule::Nowhere));
    }
}
