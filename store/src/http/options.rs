//! What an HTTP source is told about this machine's network, and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

/// Most redirects that are followed for one request.
pub const MAX_REDIRECTS: usize = 5;

/// Settings of HTTP sources. Nothing is read from the environment here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpOptions {
    /// Proxy for all requests, such as `http://proxy.example.net:3128`; none unless given.
    pub proxy: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
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
    /// How often a request is sent before its failure is final, at least 1.
    pub tries: u32,
    /// Pause before the second try; twice as long before each further one.
    pub pause: Duration,
    /// Longest pause, also where a server asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            proxy: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            least_rate: 1024,
            stall_window: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            tries: 3,
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
        }
    }
}

impl HttpOptions {
    /// Bytes that must come within [`Self::stall_window`].
    pub(crate) fn least_in_window(&self) -> u64 {
        let bytes = u128::from(self.least_rate) * self.stall_window.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long an object of at most `limit` bytes may take in all.
    pub(crate) fn longest_get(&self, limit: u64) -> Duration {
        self.grace.saturating_add(Duration::from_secs(limit / self.least_rate.max(1)))
    }

    /// Pause after `failed` failed tries, of which the last asked for `asked`.
    pub(crate) fn pause_after(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause.saturating_mul(1 << failed.saturating_sub(1).min(16));
        asked.unwrap_or(doubled).min(self.longest_pause)
    }
}
