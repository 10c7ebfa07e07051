//! The slowest transfer that is waited for.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::Cause;
use crate::http::options::HttpOptions;

/// Watches one transfer in windows of time. Only time spent waiting counts, so a slow disk or a
/// suspended process on this side is not held against the server.
pub(super) struct Pace {
    window: Duration,
    least: u64,
    left: Duration,
    received: u64,
}

impl Pace {
    /// `least` bytes have to come within each [`HttpOptions::stall_window`].
    pub(super) fn new(options: &HttpOptions, least: u64) -> Self {
        let window = options.stall_window;
        Self { window, least, left: window, received: 0 }
    }

    /// Waits for the next piece of the transfer. `size` tells how many bytes it has.
    pub(super) async fn next<T>(
        &mut self,
        mut piece: impl Future<Output = T> + Unpin,
        size: impl Fn(&T) -> u64,
    ) -> Result<T, Cause> {
        loop {
            let started = Instant::now();
            let waited = timeout(self.left, &mut piece).await;
            self.left = self.left.saturating_sub(started.elapsed());
            if let Ok(piece) = waited {
                self.received += size(&piece);
                if self.left.is_zero() {
                    self.close_window()?;
                }
                return Ok(piece);
            }
            self.close_window()?;
        }
    }

    fn close_window(&mut self) -> Result<(), Cause> {
        let received = std::mem::take(&mut self.received);
        self.left = self.window;
        if received < self.least {
            return Err(Cause::Stalled { received, within: self.window, least: self.least });
        }
        Ok(())
    }
}
