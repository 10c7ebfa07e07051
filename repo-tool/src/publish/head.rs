//! The record of the newest head that was ever signed: what keeps a server from signing two trees
//! of one size, also after a crash or from a restored backup.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::authority::LogRole;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::KeyName;
use countersign_format::layout::RepoPath;
use countersign_format::limits::MAX_CLOCK_AHEAD;
use countersign_format::policy::newest_signing;
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::durable::{self, Access, Temporary};
use serde::{Deserialize, Serialize};

use super::{Assurances, PublishError};

const TYPE: &str = "signed-head/v1";

/// A head and when it was signed last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedHead {
    /// The log's name.
    pub origin: KeyName,
    /// Entries in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash32,
    /// The time of the newest timestamped signature.
    pub time: Timestamp,
}

/// The record of the newest head that was signed. Whoever signs heads holds the role's lock.
#[derive(Debug)]
pub struct HeadRecord {
    state: PathBuf,
    name: String,
    newest: Option<SignedHead>,
}

impl SignedHead {
    /// The head that a checkpoint says, signed at `time`.
    pub fn new(checkpoint: &Checkpoint, time: Timestamp) -> Self {
        let Checkpoint { origin, size, root } = checkpoint.clone();
        Self { origin, size, root, time }
    }

    /// The head as a checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size: self.size, root: self.root }
    }

    /// Whether whoever signed this last may sign `next`, as far as sizes, roots and times say.
    pub fn check_next(&self, next: &Self) -> Result<(), PublishError> {
        if self.origin != next.origin {
            let (expected, found) = (next.origin.clone(), self.origin.clone());
            return Err(PublishError::Origin { expected, found });
        }
        if next.size < self.size || (next.size == self.size && next.root != self.root) {
            return Err(PublishError::Fork { next: next.size, signed: self.size });
        }
        if next.time < self.time {
            return Err(PublishError::ClockBehind { now: next.time, newest: self.time });
        }
        Ok(())
    }
}

impl HeadRecord {
    /// Opens the record `name` in the directory `state`.
    pub fn open(state: &Path, name: &str) -> Result<Self, PublishError> {
        let mut record = Self { state: state.to_owned(), name: name.to_owned(), newest: None };
        let path = record.path();
        record.newest = match fs::read(&path) {
            Ok(bytes) => Some(json::parse(&bytes, TYPE).map_err(|source| {
                PublishError::StateDamaged { path: path.clone(), source: Some(source) }
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(PublishError::State { action: "read", path, source }),
        };
        Ok(record)
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.state.join(&self.name)
    }

    /// The newest head that was signed, if any was.
    pub fn newest(&self) -> Option<&SignedHead> {
        self.newest.as_ref()
    }

    /// When the role `log` signed last: the recorded head, or the one that is published at
    /// `path`, whose record may be lost.
    pub fn time_shown(
        &self,
        path: &RepoPath,
        published: &[u8],
        log: &LogRole,
    ) -> Result<Timestamp, PublishError> {
        let recorded = self.newest.as_ref().map(|head| head.time);
        let shown = newest_signing(published, path.as_str(), log).map_err(|source| {
            PublishError::Unsigned { path: path.clone(), source: Some(Box::new(source)) }
        })?;
        Ok(recorded.max(shown).unwrap_or(Timestamp::EPOCH))
    }

    /// The time to sign at: `now`, or that of the newest signature where the clock is behind it by
    /// no more than clocks are set back by.
    pub fn time(&self, now: Timestamp) -> Result<Timestamp, PublishError> {
        let newest = self.newest.as_ref().map_or(Timestamp::EPOCH, |head| head.time);
        if newest.since(now) > MAX_CLOCK_AHEAD {
            return Err(PublishError::ClockBehind { now, newest });
        }
        Ok(newest.max(now))
    }

    /// Records, durably, that `next` is about to be signed. It must be the head of a tree that
    /// extends the recorded one; that is for the caller to know, what can be seen is checked here.
    pub fn advance(&mut self, next: &SignedHead) -> Result<(), PublishError> {
        self.check(next)?;
        if self.newest.as_ref() == Some(next) { Ok(()) } else { self.write(next) }
    }

    /// As [`Self::advance`], durably with the next files that `sink` shows: before any checkpoint
    /// that it writes.
    pub fn put_along(
        &mut self,
        next: &SignedHead,
        sink: &mut dyn Sink,
    ) -> Result<(), PublishError> {
        self.check(next)?;
        if self.newest.as_ref() == Some(next) {
            return Ok(());
        }
        let text = json::print_line(TYPE, next);
        let write = |file: &mut File| file.write_all(&text);
        let file = Temporary::create(&self.state, self.name.as_ref(), Access::Private, write);
        let failed = |source| PublishError::State { action: "write", path: self.path(), source };
        sink.put_along(file.map_err(failed)?)?;
        self.newest = Some(next.clone());
        Ok(())
    }

    /// Checks what [`Self::advance`] checks, without recording anything.
    pub fn check(&self, next: &SignedHead) -> Result<(), PublishError> {
        self.newest.as_ref().map_or(Ok(()), |newest| newest.check_next(next))
    }

    /// Where a person says that the clock was ahead when the newest signature was made: records
    /// `now` as its time.
    pub fn assure(&mut self, now: Timestamp, assurances: Assurances) -> Result<(), PublishError> {
        match &self.newest {
            Some(head) if assurances.clock_was_wrong && head.time > now => {
                let head = SignedHead { time: now, ..head.clone() };
                self.replace(&head)
            }
            _ => Ok(()),
        }
    }

    /// Records `head` whatever was recorded before. For a person who knows that no newer head was
    /// ever published.
    pub fn replace(&mut self, head: &SignedHead) -> Result<(), PublishError> {
        self.write(head)
    }

    fn write(&mut self, head: &SignedHead) -> Result<(), PublishError> {
        let text = json::print_line(TYPE, head);
        durable::write_atomic(&self.state, self.name.as_ref(), &text, Access::Private)
            .map_err(|source| PublishError::State { action: "write", path: self.path(), source })?;
        self.newest = Some(head.clone());
        Ok(())
    }
}

/// Whether a head that was signed at `signed` is to be signed anew: once its age is that which is
/// asked for, a quarter of what clients accept unless said. One of the future is; what is wrong
/// with it is then said.
pub fn is_old(
    signed: Option<Timestamp>,
    now: Timestamp,
    max_age: u64,
    older_than: Option<u64>,
) -> bool {
    let limit = older_than.unwrap_or(max_age / 4);
    signed.is_none_or(|signed| signed > now || now.since(signed) >= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64, root: u8, time: u64) -> SignedHead {
        SignedHead {
            origin: "example.org/log".parse().expect("a name"),
            size,
            root: Hash32([root; 32]),
            time: Timestamp::from_seconds(time).expect("a time"),
        }
    }

    #[test]
    fn heads_only_grow_and_time_only_goes_on() {
        let state = tempfile::tempdir().expect("a directory");
        let mut record = HeadRecord::open(state.path(), "head").expect("opened");
        assert_eq!(record.newest(), None);
        record.advance(&head(5, 1, 1000)).expect("the first");
        record.advance(&head(5, 1, 1001)).expect("the same, later");
        record.advance(&head(7, 2, 1001)).expect("a larger one");
        let mut record = HeadRecord::open(state.path(), "head").expect("opened");
        assert_eq!(record.newest(), Some(&head(7, 2, 1001)));
        let fork = |result| matches!(result, Err(PublishError::Fork { signed: 7, .. }));
        assert!(fork(record.advance(&head(7, 3, 2000))));
        assert!(fork(record.advance(&head(6, 2, 2000))));
        let back = record.advance(&head(8, 3, 1000));
        assert!(matches!(back, Err(PublishError::ClockBehind { .. })));
        let other =
            SignedHead { origin: "example.org/x".parse().expect("a name"), ..head(8, 3, 2000) };
        assert!(matches!(record.advance(&other), Err(PublishError::Origin { .. })));
        assert_eq!(record.newest(), Some(&head(7, 2, 1001)));
    }

    #[test]
    fn heads_are_old_at_a_quarter_of_their_limit() {
        let at = |seconds| Timestamp::from_seconds(seconds).expect("a time");
        let old = |signed, than| is_old(signed, at(10_000), 400, than);
        assert!(!old(Some(at(9_901)), None));
        assert!(old(Some(at(9_900)), None));
        assert!(old(None, None) && old(Some(at(10_001)), None));
        assert!(!old(Some(at(9_500)), Some(501)));
        assert!(old(Some(at(9_999)), Some(0)) && old(Some(at(10_000)), Some(0)));
    }

    #[test]
    fn small_steps_back_of_the_clock_are_bridged() {
        let state = tempfile::tempdir().expect("a directory");
        let mut record = HeadRecord::open(state.path(), "head").expect("opened");
        record.advance(&head(1, 1, 10_000)).expect("recorded");
        let at = |seconds| Timestamp::from_seconds(seconds).expect("a time");
        assert_eq!(record.time(at(10_005)).expect("a time"), at(10_005));
        assert_eq!(record.time(at(9_700)).expect("a time"), at(10_000));
        assert!(matches!(record.time(at(9_699)), Err(PublishError::ClockBehind { .. })));
    }
}
