//! What was asked and what came over, so that programs can say it and tests can bound it.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a source has done so far.
///
/// Over HTTP/1.1 the bytes are those of request and response, headers included, before TLS and
/// without the framing of a chunked body. Over HTTP/2 headers count as they would in HTTP/1.1,
/// which is more than they take. A directory has no headers and sends nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Statistics {
    /// Requests sent, repeated and redirected ones included.
    pub requests: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

impl Statistics {
    /// Bytes in both directions.
    pub fn total(self) -> u64 {
        self.sent + self.received
    }
}

impl Add for Statistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

/// [`Statistics`] that requests side by side may count into.
#[derive(Default, Debug)]
pub(crate) struct Counters {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// What the server's clock said last, in seconds since 1970; 0 where it has said nothing.
    server_time: AtomicU64,
}

impl Counters {
    pub(crate) fn request(&self, sent: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn server_said(&self, seconds: u64) {
        self.server_time.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn server_time(&self) -> Option<u64> {
        Some(self.server_time.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    pub(crate) fn read(&self) -> Statistics {
        Statistics {
            requests: self.requests.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}
