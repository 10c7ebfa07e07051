//! The local clock, the one place where it is read.

use std::time::{SystemTime, UNIX_EPOCH};

use countersign_format::time::Timestamp;

/// What the machine's clock says, kept within what a [`Timestamp`] can hold.
pub fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from_seconds(seconds).unwrap_or(Timestamp::MAX)
}
