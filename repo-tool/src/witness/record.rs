//! The newest head of a log that was cosigned: recorded, durably, before the line is made.

use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::KeyName;
use countersign_format::limits::{MAX_CLOCK_AHEAD, MAX_NOTE};
use countersign_format::merkle::{Frontier, empty_root};
use countersign_format::time::Timestamp;
use countersign_store::durable::Access;
use countersign_store::follow::Held;
use serde::{Deserialize, Serialize};

use super::WitnessError;
use crate::publish::{PublishError, SignedHead};
use crate::role_dir::RoleDir;

const TYPE: &str = "witnessed-head/v1";
/// Largest of these files: a checkpoint as JSON, and at most 53 hashes.
const MAX_RECORD: usize = 2 * MAX_NOTE + 16 * 1024;

/// What a witness remembers of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Witnessed {
    /// The head, and the time at which it is cosigned.
    pub(super) head: SignedHead,
    /// The roots of the full subtrees.
    frontier: Vec<Hash32>,
    /// Bytes of the unfinished bundle.
    tail: u64,
    /// The checkpoint as it came: evidence, should another contradict it.
    pub(super) note: String,
}

impl Witnessed {
    pub(super) fn new(head: SignedHead, reached: &Held, note: String) -> Self {
        Self { head, frontier: reached.frontier.roots().to_vec(), tail: reached.tail, note }
    }

    /// Reads what is remembered of a log; before the first time, its empty tree.
    pub(super) fn load(directory: &RoleDir, origin: &KeyName) -> Result<Self, WitnessError> {
        let path = file(origin);
        let Some(bytes) = directory.read(&path, MAX_RECORD)? else {
            let (origin, root) = (origin.clone(), empty_root());
            let head = SignedHead { origin, size: 0, root, time: Timestamp::EPOCH };
            return Ok(Self::new(head, &Held::default(), String::new()));
        };
        let damaged = |source| {
            WitnessError::from(PublishError::StateDamaged {
                path: directory.path().join(&path),
                source,
            })
        };
        let read: Self = json::parse(&bytes, TYPE).map_err(|source| damaged(Some(source)))?;
        let frontier = Frontier::from_parts(read.head.size, read.frontier.clone());
        let is_whole = frontier.is_ok_and(|frontier| frontier.root() == read.head.root);
        if !is_whole || read.head.origin != *origin {
            return Err(damaged(None));
        }
        Ok(read)
    }

    /// Records it, if it goes on from what is recorded.
    pub(super) fn save(&self, directory: &RoleDir) -> Result<(), WitnessError> {
        Self::load(directory, &self.head.origin)?.head.check_next(&self.head)?;
        let bytes = json::print_pretty(TYPE, self);
        Ok(directory.write(&file(&self.head.origin), &bytes, Access::Private)?)
    }

    /// Where to read on.
    pub(super) fn held(&self) -> Held {
        let frontier = Frontier::from_parts(self.head.size, self.frontier.clone());
        Held { frontier: frontier.expect("looked at when it was read"), tail: self.tail }
    }

    /// When to cosign: now, and never before the last time.
    pub(super) fn time(&self, now: Timestamp) -> Result<Timestamp, WitnessError> {
        let newest = self.head.time;
        if newest.since(now) > MAX_CLOCK_AHEAD {
            return Err(PublishError::ClockBehind { now, newest }.into());
        }
        Ok(newest.max(now))
    }
}

fn file(origin: &KeyName) -> PathBuf {
    let name = Hash32::of(format!("{origin}\n").as_bytes()).to_string();
    Path::new("state").join(format!("head-{}", &name[..16]))
}

#[cfg(test)]
mod tests {
    use countersign_format::merkle::leaf_hash;

    use super::*;
    use crate::role_dir::RoleDirError;

    fn witnessed(entries: &[&str], time: u64) -> Witnessed {
        let mut frontier = Frontier::empty();
        for entry in entries {
            frontier.push(leaf_hash(entry.as_bytes()));
        }
        let head = SignedHead {
            origin: "example.org/log".parse().expect("a name"),
            size: frontier.size(),
            root: frontier.root(),
            time: Timestamp::from_seconds(time).expect("a time"),
        };
        Witnessed::new(head, &Held { frontier, tail: 7 }, "note".into())
    }

    #[test]
    fn never_two_trees_of_one_size_and_never_back() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("witness");
        let directory = RoleDir::create(&path, |_| Ok::<_, RoleDirError>(())).expect("made");
        let two = witnessed(&["a", "b"], 1000);
        two.save(&directory).expect("the first");
        two.save(&directory).expect("again, after a crash");
        assert_eq!(Witnessed::load(&directory, &two.head.origin).expect("read"), two);
        for refused in [witnessed(&["a", "c"], 1001), witnessed(&["a"], 1001)] {
            assert!(refused.save(&directory).is_err());
        }
        assert!(witnessed(&["a", "b", "c"], 999).save(&directory).is_err(), "back in time");
        assert_eq!(Witnessed::load(&directory, &two.head.origin).expect("read"), two);
        let three = witnessed(&["a", "b", "c"], 1000);
        three.save(&directory).expect("larger");
        let torn = Witnessed { frontier: two.frontier.clone(), ..three.clone() };
        let bytes = json::print_pretty(TYPE, &torn);
        let file = file(&three.head.origin);
        directory.write(&file, &bytes, Access::Private).expect("written");
        assert!(Witnessed::load(&directory, &three.head.origin).is_err(), "not what it says");
    }
}
