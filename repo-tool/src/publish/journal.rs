//! The journal of a publication: exactly what is about to be appended, and the time it is signed
//! at, so that a run after a crash signs the same bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::KeyName;
use countersign_format::tile;
use countersign_format::time::Timestamp;
use countersign_store::durable::{self, Access};
use serde::{Deserialize, Serialize};

use super::PublishError;

const TYPE: &str = "pending/v1";

/// Entries that are about to be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The head that they go on from.
    pub base: Checkpoint,
    /// When the new head is signed.
    pub time: Timestamp,
    /// The entries, newlines included.
    pub entries: Vec<Vec<u8>>,
}

/// The journal's first line; the entries follow as in an entry bundle.
#[derive(Serialize, Deserialize)]
struct Header {
    origin: KeyName,
    size: u64,
    root: Hash32,
    time: Timestamp,
    entries: usize,
}

impl Batch {
    /// Entries of the log once these are appended.
    pub fn new_size(&self) -> u64 {
        self.base.size + self.entries.len() as u64
    }

    /// The entries with their leaf indexes.
    pub fn indexed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (self.base.size..).zip(self.entries.iter().map(Vec::as_slice))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Checkpoint { origin, size, root } = self.base.clone();
        let header = Header { origin, size, root, time: self.time, entries: self.entries.len() };
        let mut bytes = json::print_line(TYPE, &header);
        self.entries.iter().for_each(|entry| tile::push_entry(&mut bytes, entry));
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let header: Header = json::parse_line(&bytes[..end], TYPE).ok()?;
        let entries = tile::parse_entries(&bytes[end..], header.entries).ok()?;
        let base = Checkpoint { origin: header.origin, size: header.size, root: header.root };
        let entries = entries.into_iter().map(<[u8]>::to_vec).collect();
        Some(Self { base, time: header.time, entries })
    }
}

/// Where a log's journal is.
#[derive(Debug)]
pub(super) struct Journal {
    state: PathBuf,
    name: String,
}

impl Journal {
    pub(super) fn new(state: &Path, name: String) -> Self {
        Self { state: state.to_owned(), name }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.state.join(&self.name)
    }

    pub(super) fn read(&self) -> Result<Option<Batch>, PublishError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(bytes) => match Batch::parse(&bytes) {
                Some(batch) => Ok(Some(batch)),
                None => Err(PublishError::StateDamaged { path, source: None }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PublishError::State { action: "read", path, source }),
        }
    }

    pub(super) fn write(&self, batch: &Batch) -> Result<(), PublishError> {
        let bytes = batch.to_bytes();
        durable::write_atomic(&self.state, self.name.as_ref(), &bytes, Access::Private)
            .map_err(|source| PublishError::State { action: "write", path: self.path(), source })
    }

    pub(super) fn remove(&self) -> Result<(), PublishError> {
        durable::remove(&self.state, self.name.as_ref()).map_err(|source| PublishError::State {
            action: "remove",
            path: self.path(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_kept_to_the_byte() {
        let state = tempfile::tempdir().expect("a directory");
        let journal = Journal::new(state.path(), "pending".into());
        assert_eq!(journal.read().expect("read"), None);
        let batch = Batch {
            base: Checkpoint {
                origin: "example.org/log".parse().expect("a name"),
                size: 3,
                root: Hash32([9; 32]),
            },
            time: Timestamp::from_seconds(77).expect("a time"),
            entries: vec![b"{\"type\":\"x\"}\n".to_vec(), b"\n\n".to_vec(), Vec::new()],
        };
        journal.write(&batch).expect("written");
        assert_eq!(journal.read().expect("read"), Some(batch.clone()));
        assert_eq!(batch.indexed().map(|(index, _)| index).collect::<Vec<_>>(), [3, 4, 5]);
        journal.remove().expect("removed");
        assert_eq!(journal.read().expect("read"), None);
        fs::write(journal.path(), b"{}").expect("written");
        assert!(matches!(journal.read(), Err(PublishError::StateDamaged { .. })));
    }
}
