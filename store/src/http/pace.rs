//! The slowest transfers that are waited for.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::Cause;
use crate::http::options::HttpOptions;
use crate::statistics::Counters;

/// Watches one transfer in windows of time. Only time spent waiting counts, so a slow disk or a
/// suspended process on this side is not held against the server.
///
/// Transfers of one source share the line to it: what they receive together is watched, or a line
/// that is fast enough for one would be too slow for all that are asked for side by side.
pub(super) struct Pace<'c> {
    counters: &'c Counters,
    window: Duration,
    least: u64,
    left: Duration,
    /// What the source had received when the window began.
    before: u64,
}

impl<'c> Pace<'c> {
    /// `least` bytes have to come within each [`HttpOptions::stall_window`], of all that is counted
    /// in `counters`.
    pub(super) fn new(options: &HttpOptions, least: u64, counters: &'c Counters) -> Self {
        let window = options.stall_window;
        Self { counters, window, least, left: window, before: counters.read().received }
    }

    /// Waits for the next piece of the transfer, and counts it. `size` tells how many bytes it has.
    pub(super) async fn next<T>(
        &mut self,
        mut piece: impl Future<Output = T> + Unpin,
        size: impl Fn(&T) -> u64,
    ) -> Result<T, Cause> {
        loop {
            let started = Instant::now();
            let waited = timeout(self.left, &mut piece).await;
            let time = if waited.is_ok() { started.elapsed() } else { self.left };
            self.counters.received(waited.as_ref().map_or(0, &size));
            self.waited(time)?;
            if let Ok(piece) = waited {
                return Ok(piece);
            }
        }
    }

    /// Takes note of so much time that was spent waiting.
    fn waited(&mut self, time: Duration) -> Result<(), Cause> {
        self.left = self.left.saturating_sub(time);
        if !self.left.is_zero() {
            return Ok(());
        }
        let now = self.counters.read().received;
        let received = now - self.before;
        (self.left, self.before) = (self.window, now);
        if received < self.least {
            return Err(Cause::Stalled { received, within: self.window, least: self.least });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether eight transfers outlast ten minutes on a line of so many bytes a second, which they
    /// share evenly.
    fn last(rate: u64) -> Result<(), Cause> {
        let (options, counters) = (HttpOptions::default(), Counters::default());
        let pace = || Pace::new(&options, options.least_in_window(), &counters);
        let mut transfers = [(); 8].map(|()| pace());
        for _ in 0..600 {
            for transfer in &mut transfers {
                counters.received(rate / 8);
                transfer.waited(Duration::from_secs(1))?;
            }
        }
        Ok(())
    }

    #[test]
    fn transfers_that_share_a_slow_line_are_waited_for() {
        assert!(last(6 * 1024).is_ok());
        assert!(last(1100).is_ok());
        let slower = last(1000).expect_err("too slow");
        assert!(matches!(slower, Cause::Stalled { least: 30_720, .. }), "{slower:?}");
    }

    #[test]
    fn one_that_gets_nothing_is_given_up_once_no_other_does() {
        let (options, counters) = (HttpOptions::default(), Counters::default());
        let mut silent = Pace::new(&options, options.least_in_window(), &counters);
        for _ in 0..90 {
            counters.received(2048);
            silent.waited(Duration::from_secs(1)).expect("others receive");
        }
        silent.waited(Duration::from_secs(29)).expect("within the window");
        let stalled = silent.waited(Duration::from_secs(1)).expect_err("nothing came");
        assert!(matches!(stalled, Cause::Stalled { received: 0, .. }), "{stalled:?}");
    }
}
