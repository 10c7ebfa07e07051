//! The machine's clock, the one place where it is read.
//!
//! Without `debug_assertions` it is the system's. With them the variable `COUNTERSIGN_CLOCK` says,
//! where it is there, what it shows in seconds since 1970: tests move a program in time with it.

use std::env;
use std::time::SystemTime;

use countersign_format::time::Timestamp;

/// What the clock says, at most [`Timestamp::MAX`]; none where that is before 1970.
pub fn now() -> Option<Timestamp> {
    let seconds = match pretended() {
        Some(seconds) => seconds,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs(),
    };
    Some(Timestamp::from_seconds(seconds).unwrap_or(Timestamp::MAX))
}

/// What a test says that the clock shows.
fn pretended() -> Option<u64> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let text = env::var("COUNTERSIGN_CLOCK").ok()?;
    Some(text.parse().expect("COUNTERSIGN_CLOCK is a number of seconds since 1970"))
}
