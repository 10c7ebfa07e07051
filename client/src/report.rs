//! How the library tells a program what it is doing. The library never touches a terminal.

use std::time::Duration;

use countersign_format::layout::Log;

/// Takes note of progress. Called on the thread that works, so it must not block.
pub trait Reporter {
    /// Something happened.
    fn report(&mut self, event: &Event<'_>);
}

/// What can be reported. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Entries of a log are being fetched.
    Following {
        /// The log.
        log: Log,
        /// Entries fetched.
        done: u64,
        /// Entries to fetch.
        total: u64,
    },
    /// Archives are going to be fetched.
    Fetching {
        /// How many.
        archives: usize,
        /// Bytes of all of them.
        total: u64,
    },
    /// An archive is being fetched.
    Downloading {
        /// The patch's name.
        name: &'a str,
        /// The patch's version.
        version: &'a str,
        /// Bytes fetched so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// An archive is being read and unpacked into staging.
    Unpacking {
        /// The patch's name.
        name: &'a str,
        /// The patch's version.
        version: &'a str,
        /// Bytes of payload unpacked so far.
        done: u64,
        /// Bytes of payload in all.
        total: u64,
    },
    /// A hook starts.
    HookStarted {
        /// The patch's name.
        name: &'a str,
        /// The hook, such as `post-install`.
        hook: &'a str,
    },
    /// A hook ended.
    HookEnded {
        /// The patch's name.
        name: &'a str,
        /// The hook, such as `post-install`.
        hook: &'a str,
        /// Whether it ended well.
        success: bool,
        /// How long it ran.
        took: Duration,
    },
    /// Files are being put in place.
    Placing {
        /// Steps done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// Written data is being flushed to the disks.
    Flushing,
    /// Installed files are being compared with what they must be.
    Verifying {
        /// Files compared.
        done: usize,
        /// Files in all.
        total: usize,
    },
    /// The transaction failed and its steps are being undone.
    Undoing {
        /// Steps undone.
        done: usize,
        /// Steps in all.
        total: usize,
    },
}

/// A reporter that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&mut self, _event: &Event<'_>) {}
}
