//! A bound on what all downloads together take of a line.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Least rate that can be asked for, in bytes a second. Below it the time that a small object may
/// take ends before the object has come.
pub const MIN_RATE: u64 = 4096;

/// Bytes a second that are not exceeded on average. Clones share the one bound.
#[derive(Clone)]
pub struct RateLimit {
    rate: NonZeroU64,
    /// When everything that was taken so far has had its time.
    free: Arc<Mutex<Option<Instant>>>,
}

impl RateLimit {
    /// So many bytes a second, at least [`MIN_RATE`].
    pub fn new(bytes_a_second: u64) -> Self {
        let rate =
            NonZeroU64::new(bytes_a_second.max(MIN_RATE)).expect("the least rate is above 0");
        Self { rate, free: Arc::default() }
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate.get()
    }

    /// Waits until `bytes` more may have come.
    pub(super) async fn take(&self, bytes: u64) {
        sleep(self.reserve(Instant::now(), bytes)).await;
    }

    /// How long to wait from `now` on for `bytes` more.
    fn reserve(&self, now: Instant, bytes: u64) -> Duration {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = free.map_or(now, |free| free.max(now));
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.get());
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let end = begin + time;
        *free = Some(end);
        end - now
    }
}

impl PartialEq for RateLimit {
    fn eq(&self, other: &Self) -> bool {
        self.rate == other.rate
    }
}

impl Eq for RateLimit {}

impl fmt::Debug for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RateLimit({})", self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_share_one_rate() {
        let now = Instant::now();
        let one = RateLimit::new(10_000);
        let other = one.clone();
        assert_eq!(one.reserve(now, 5_000), Duration::from_millis(500));
        assert_eq!(other.reserve(now, 5_000), Duration::from_secs(1));
        // time in which nothing came is not made up for
        let later = now + Duration::from_secs(10);
        assert_eq!(one.reserve(later, 10_000), Duration::from_secs(1));
        assert_eq!(RateLimit::new(0).rate(), MIN_RATE);
    }
}
