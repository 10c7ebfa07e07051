//! Flushing ahead of the flushes that count: what is staged begins to go to disk while more of it is
//! unpacked and the journal is written, so that the flush before the first rename finds little left.
//!
//! Nothing depends on it. It flushes by a handle of its own: a file system tells each open handle once
//! of what it could not write, and the handle by which the flushes that count are made must be told.
//!
//! System calls: `openat`, `syncfs`, on a thread of its own.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::object;

/// Bytes staged on a file system after which it is flushed early.
const ENOUGH: u64 = 8 * 1024 * 1024;

/// What was staged on one file system and not flushed early as yet.
#[derive(Debug, Default)]
pub(super) struct EarlyFlush {
    bytes: u64,
    is_running: Arc<AtomicBool>,
}

impl EarlyFlush {
    /// Takes note of what was staged; true where it is time to flush.
    pub(super) fn has_grown(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes >= ENOUGH
    }

    /// Flushes the file system of an open directory in the background, unless that is being done.
    pub(super) fn begin(&mut self, directory: impl AsFd) {
        if self.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.bytes = 0;
        let ended = Ended(Arc::clone(&self.is_running));
        let Ok(own) = object::open_directory(directory, ".") else { return };
        let flush = move || {
            let _ended = ended;
            let _ = rustix::fs::syncfs(own);
        };
        // where there can be no thread there is no early flush
        drop(thread::Builder::new().name("early-flush".into()).spawn(flush));
    }
}

/// Says that a flush is over once dropped.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
