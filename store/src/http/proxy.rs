//! The proxies between this machine and the servers.

use std::fmt;
use std::str::FromStr;

use reqwest::{NoProxy, Proxy, Url};

use crate::error::SetupError;
use crate::location::MAX_LOCATION;

/// Which requests go by which proxy.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Proxies {
    /// For servers that speak `http`.
    pub http: Option<ProxyAddress>,
    /// For servers that speak `https`.
    pub https: Option<ProxyAddress>,
    /// Servers that are asked without one: host names (with all below them), addresses, networks
    /// such as `10.0.0.0/8`, separated by commas; `*` is all.
    pub bypass: Option<String>,
}

/// Where a proxy is, with the name and password that it wants, if any. These are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress(Url);

/// Why a text is no proxy's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Too long.
    #[error("it is longer than {MAX_LOCATION} bytes")]
    TooLong,
    /// No URL. The text is not repeated, since it may hold a password.
    #[error("it is no URL such as http://proxy.example.net:3128")]
    NotUrl,
    /// Another scheme.
    #[error("its scheme is neither http nor https")]
    Scheme,
}

impl Proxies {
    /// One proxy for all requests.
    pub fn all(address: ProxyAddress) -> Self {
        Self { http: Some(address.clone()), https: Some(address), bypass: None }
    }

    /// Whether any proxy is itself reached over TLS.
    pub(super) fn need_tls(&self) -> bool {
        [&self.http, &self.https].into_iter().flatten().any(|proxy| proxy.0.scheme() == "https")
    }

    pub(super) fn rules(&self) -> Result<Vec<Proxy>, SetupError> {
        let bypass = self.bypass.as_deref().and_then(NoProxy::from_string);
        let http = self.http.as_ref().map(|proxy| Proxy::http(proxy.0.clone()));
        let https = self.https.as_ref().map(|proxy| Proxy::https(proxy.0.clone()));
        let rules = [http, https].into_iter().flatten();
        let rules = rules.map(|rule| rule.map(|rule| rule.no_proxy(bypass.clone())));
        rules.collect::<Result<_, _>>().map_err(|error| SetupError::Settings(error.without_url()))
    }
}

impl FromStr for ProxyAddress {
    type Err = ProxyError;

    /// A URL; `http://` may be left out, as everywhere else where proxies are named.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text.len() > MAX_LOCATION {
            return Err(ProxyError::TooLong);
        }
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url: Url = whole.parse().map_err(|_| ProxyError::NotUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ProxyError::Scheme);
        }
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
        if !url.has_host() || !is_bare || url.fragment().is_some() {
            return Err(ProxyError::NotUrl);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        let has_credentials = !self.0.username().is_empty() || self.0.password().is_some();
        let credentials = if has_credentials { "…@" } else { "" };
        write!(formatter, "{}://{credentials}{host}", self.0.scheme())?;
        self.0.port().map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxyAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_people_write_and_keep_their_secrets() {
        let shown = |text: &str| text.parse::<ProxyAddress>().map(|proxy| proxy.to_string());
        assert_eq!(shown("proxy:3128"), Ok("http://proxy:3128".into()));
        assert_eq!(shown("https://proxy.example.net/"), Ok("https://proxy.example.net".into()));
        assert_eq!(shown("http://me:secret@proxy:3128"), Ok("http://…@proxy:3128".into()));
        let proxy: ProxyAddress = "http://me:secret@proxy:3128".parse().expect("an address");
        assert!(!format!("{proxy:?}").contains("secret"));
        assert_eq!(shown("socks5://proxy:1080"), Err(ProxyError::Scheme));
        for bad in ["", "http://", "http://proxy/path", "http://proxy/?a", "a b"] {
            assert_eq!(shown(bad), Err(ProxyError::NotUrl), "{bad:?}");
        }
    }
}
