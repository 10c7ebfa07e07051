//! What an HTTP source is told about this machine's network, and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

use crate::http::proxy::Proxies;
use crate::http::rate::RateLimit;

/// Most redirects that are followed for one request.
pub const MAX_REDIRECTS: usize = 5;

/// Settings of HTTP sources. Nothing is read from the environment here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpOptions {
    /// The proxies between this machine and the servers.
    pub proxies: Proxies,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What this machine shows a server that asks who it is.
    pub client_certificate: Option<ClientCertificate>,
    /// What the server at a source's base URL is told, and nobody else.
    pub credentials: Option<CredentialsFile>,
    /// Bytes a second of all sources that have a clone of it together; no limit unless given.
    pub rate_limit: Option<RateLimit>,
    /// How long to wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// How long to wait for an answer to begin, connection included.
    pub answer_timeout: Duration,
    /// Slowest transfer that is waited for, in bytes a second.
    pub least_rate: u64,
    /// How long a transfer may be slower than that.
    pub stall_window: Duration,
    /// How long a small object may take beyond the time it needs at the slowest rate, tries and
    /// redirects included.
    pub grace: Duration,
    /// Longest time for a small object beyond the grace. At the slowest rate the bound of a pack would
    /// allow a day and a half, for which a server could hold on to a client with nothing.
    pub longest_get: Duration,
    /// How long a large object may take: where its size divided by this is more than the slowest
    /// rate, it is the slowest rate.
    pub longest_download: Duration,
    /// How often a request is sent before its failure is final, at least 1.
    pub tries: u32,
    /// Pause before the second try; twice as long before each further one.
    pub pause: Duration,
    /// Longest pause, also where a server asks for a longer one.
    pub longest_pause: Duration,
}

/// A certificate and its key, both in PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key, in a file that nobody else may read.
    pub key: PathBuf,
}

/// Where credentials are: one line, `bearer TOKEN` or `basic USER:PASSWORD`, in a file that nobody
/// else may read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialsFile {
    /// The file.
    pub path: PathBuf,
    /// Whether they may be sent unencrypted. Without it they go over HTTPS only, or to this very
    /// machine.
    pub allow_plain: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            ca_file: None,
            client_certificate: None,
            credentials: None,
            rate_limit: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            least_rate: 1024,
            stall_window: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            longest_get: Duration::from_secs(60 * 60),
            longest_download: Duration::from_secs(24 * 60 * 60),
            tries: 3,
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
        }
    }
}

impl HttpOptions {
    /// Bytes that must come within [`Self::stall_window`].
    pub(crate) fn least_in_window(&self) -> u64 {
        self.in_window(self.least_rate)
    }

    /// Bytes of an object of `size` bytes that must come within [`Self::stall_window`].
    pub(crate) fn least_in_window_of(&self, size: u64) -> u64 {
        let rate = size / self.longest_download.as_secs().max(1);
        self.in_window(rate.max(self.least_rate))
    }

    /// How long an object of at most `limit` bytes may take in all.
    pub(crate) fn patience(&self, limit: u64) -> Duration {
        let slowest = Duration::from_secs(limit / self.least_rate.max(1));
        self.grace.saturating_add(slowest.min(self.longest_get))
    }

    fn in_window(&self, rate: u64) -> u64 {
        let bytes = u128::from(rate) * self.stall_window.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Pause after `failed` failed tries, of which the last asked for `asked`.
    pub(crate) fn pause_after(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause.saturating_mul(1 << failed.saturating_sub(1).min(16));
        asked.unwrap_or(doubled).min(self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use countersign_format::limits::{MAX_ARCHIVE, MAX_NOTE, MAX_PACK};

    use super::*;

    #[test]
    fn nobody_is_waited_for_without_end() {
        let options = HttpOptions::default();
        assert_eq!(options.patience(MAX_NOTE as u64), Duration::from_secs(30 + 64));
        assert_eq!(options.patience(MAX_PACK), Duration::from_secs(30 + 3600));
        assert_eq!(options.least_in_window_of(1024 * 1024), 30 * 1024);
        // a day, give or take what the division drops
        let rate = options.least_in_window_of(MAX_ARCHIVE) / 30;
        assert_eq!(MAX_ARCHIVE / rate / 60, 24 * 60);
    }
}
