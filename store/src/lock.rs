//! Locks between processes: one writer of a repository, one changer of a client's state.
//!
//! The kernel holds the lock (`flock`) and releases it when the process ends, however it ends. The
//! file's text says who holds it, for the message to those who wait. The file stays: removing it
//! would let two processes lock two files of one name.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// How often a waiter looks whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The text while nobody holds the lock.
const NOBODY: &str = "\n";
/// Longest text that is read from a lock file.
const MAX_TEXT: u64 = 4096;

/// A lock that this process holds, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it does, as its user typed it; one line.
    pub command: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file could not be opened or written.
    #[error("lock file {path} cannot be used")]
    File {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process held the lock for as long as there was time to wait.
    #[error("{path} is locked by {}", holder.as_ref().map_or("another process".into(), Holder::to_string))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, where the file says so.
        holder: Option<Holder>,
    },
}

impl Holder {
    /// This process, doing `command` since `now` (seconds since 1970).
    pub fn this_process(command: &str, now: u64) -> Self {
        Self {
            pid: std::process::id(),
            command: command.replace(char::is_control, " "),
            since: now,
        }
    }

    fn to_text(&self) -> String {
        format!("pid {}\nsince {}\ncommand {}\n", self.pid, self.since, self.command)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        Some(Self {
            pid: lines.next()?.strip_prefix("pid ")?.parse().ok()?,
            since: lines.next()?.strip_prefix("since ")?.parse().ok()?,
            command: lines.next()?.strip_prefix("command ")?.to_owned(),
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.command)
    }
}

impl Lock {
    /// Takes the lock on `path`, which is made if it is missing. While another process holds it,
    /// waits for `patience` (without end if there is none), and calls `on_wait` once, with the
    /// holder where the file names it. Blocks the thread.
    pub fn acquire(
        path: &Path,
        this: &Holder,
        patience: Option<Duration>,
        on_wait: impl FnOnce(Option<&Holder>),
    ) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_owned(), source };
        // nobody else may open it: whoever can read a file can lock it for ever
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let started = Instant::now();
        let mut on_wait = Some(on_wait);
        while !try_lock(&file).map_err(failed)? {
            if let Some(on_wait) = on_wait.take() {
                on_wait(holder(&mut file).as_ref());
            }
            let left = patience.map(|patience| patience.saturating_sub(started.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(LockError::Held { path: path.to_owned(), holder: holder(&mut file) });
            }
            thread::sleep(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)));
        }
        match write_text(&mut file, &this.to_text()) {
            // the text only informs; on a full disk too somebody has to make room
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            written => written.map_err(failed)?,
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // closing the file releases the lock; an old text only misleads for a moment
        let _ = write_text(&mut self.file, NOBODY);
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn holder(file: &mut File) -> Option<Holder> {
    file.rewind().ok()?;
    let mut text = String::new();
    file.take(MAX_TEXT).read_to_string(&mut text).ok()?;
    Holder::from_text(&text)
}

fn write_text(file: &mut File, text: &str) -> io::Result<()> {
    // its block stays: to free it may take a discard, which is waited for
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me(command: &str) -> Holder {
        Holder::this_process(command, 1_795_341_600)
    }

    #[test]
    fn a_waiter_is_told_for_whom_and_gets_the_lock_in_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let first = Lock::acquire(&path, &me("patchctl upgrade"), None, |_| panic!("it is free"))
            .expect("the lock");
        let mut told = None;
        let second = Lock::acquire(&path, &me("patchctl update"), Some(Duration::ZERO), |holder| {
            told = holder.cloned();
        });
        assert_eq!(told, Some(me("patchctl upgrade")));
        let error = second.expect_err("it is held").to_string();
        assert!(error.ends_with(&format!("process {} (patchctl upgrade)", std::process::id())));

        // the waiter lets the holder go only once it waits
        let holds = std::cell::Cell::new(Some(first));
        let third = Lock::acquire(&path, &me("patchctl remove"), None, |_| drop(holds.take()));
        assert!(third.is_ok());
        let text = std::fs::read_to_string(&path).expect("the text");
        assert_eq!(text, me("patchctl remove").to_text(), "nothing of the longer one is left");
        drop(third);
        assert_eq!(holder(&mut File::open(&path).expect("the file")), None);
    }

    #[test]
    fn a_symlink_is_not_followed_and_text_cannot_be_forged() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink("elsewhere", &path).expect("a link");
        let error = Lock::acquire(&path, &me("x"), None, |_| {}).expect_err("it is a link");
        assert!(matches!(error, LockError::File { .. }));
        assert_eq!(me("a\nb").command, "a b");
        assert_eq!(
            Holder::from_text(&me("patchctl update").to_text()),
            Some(me("patchctl update"))
        );
    }
}
