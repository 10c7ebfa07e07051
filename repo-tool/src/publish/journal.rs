//! The journal of a publication: exactly what is about to be appended, and the time it is signed
//! at, so that a run after a crash signs the same bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::KeyName;
use countersign_format::tile;
use countersign_format::time::Timestamp;
use countersign_store::durable::{self, Access, Temporary};
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
    /// Whether the head that the entries lead to may have been signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sealed: bool,
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

    fn to_bytes(&self, sealed: bool) -> Vec<u8> {
        let Checkpoint { origin, size, root } = self.base.clone();
        let (time, entries) = (self.time, self.entries.len());
        let header = Header { origin, size, root, time, entries, sealed };
        let mut bytes = json::print_line(TYPE, &header);
        self.entries.iter().for_each(|entry| tile::push_entry(&mut bytes, entry));
        bytes
    }

    /// The entries, and whether their head may have been signed.
    fn parse(bytes: &[u8]) -> Option<(Self, bool)> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let header: Header = json::parse_line(&bytes[..end], TYPE).ok()?;
        let entries = tile::parse_entries(&bytes[end..], header.entries).ok()?;
        let base = Checkpoint { origin: header.origin, size: header.size, root: header.root };
        let entries = entries.into_iter().map(<[u8]>::to_vec).collect();
        Some((Self { base, time: header.time, entries }, header.sealed))
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

    /// What is pending, and whether its head may have been signed.
    pub(super) fn read(&self) -> Result<Option<(Batch, bool)>, PublishError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(bytes) => match Batch::parse(&bytes) {
                Some(found) => Ok(Some(found)),
                None => Err(PublishError::StateDamaged { path, source: None }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PublishError::State { action: "read", path, source }),
        }
    }

    /// Keeps what waits for signatures of others, durably.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), PublishError> {
        let bytes = batch.to_bytes(false);
        durable::write_atomic(&self.state, self.name.as_ref(), &bytes, Access::Private)
            .map_err(self.failed("write"))
    }

    /// Writes what is about to be published, without its name: its bytes are to be made durable.
    pub(super) fn prepare(&self, batch: &Batch) -> Result<Temporary, PublishError> {
        let write = |file: &mut File| file.write_all(&batch.to_bytes(true));
        Temporary::create(&self.state, self.name.as_ref(), Access::Private, write)
            .map_err(self.failed("write"))
    }

    /// Gives what was prepared its name, durably.
    pub(super) fn name(&self, prepared: Temporary) -> Result<(), PublishError> {
        durable::name_all(vec![prepared]).map_err(self.failed("write"))
    }

    /// Removes it. That this is lost with the power does no harm: what is done is found done.
    pub(super) fn remove(&self) -> Result<(), PublishError> {
        durable::unlink(&self.state, self.name.as_ref()).map(drop).map_err(self.failed("remove"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> PublishError {
        let path = self.path();
        move |source| PublishError::State { action, path, source }
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
        assert_eq!(journal.read().expect("read"), Some((batch.clone(), false)));
        journal.name(journal.prepare(&batch).expect("written")).expect("named");
        assert_eq!(journal.read().expect("read"), Some((batch.clone(), true)));
        assert_eq!(batch.indexed().map(|(index, _)| index).collect::<Vec<_>>(), [3, 4, 5]);
        journal.remove().expect("removed");
        assert_eq!(journal.read().expect("read"), None);
        fs::write(journal.path(), b"{}").expect("written");
        assert!(matches!(journal.read(), Err(PublishError::StateDamaged { .. })));
    }
}
