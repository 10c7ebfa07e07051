//! New entries wait until all of them have come and make the signed tree. Only then are they taken
//! into the state: a transaction that waited for the network would shut readers out for as long as a
//! server likes.
//!
//! A few wait in memory. More than that wait in a file, and another thread reads them meanwhile:
//! whether a patch's entry is well-formed is known, and what it is found by, when the last has come.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use countersign_format::entry::CollectionEntry;
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;

use crate::db::lookup::PatchKeys;

/// What ends the file's name, in the state's directory. It is removed as soon as it is open.
const ENDING: &str = "entries.tmp";
/// Bytes of entries that are handed to the other thread at once, and that stay in memory where no
/// more come.
const BLOCK: usize = 128 * 1024;
/// Blocks that may lie between the two threads.
const BLOCKS: usize = 4;
/// Bytes of what goes before an entry: its length and its leaf's hash.
const HEAD: usize = 4 + 32;

/// Entries in the order in which they came.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    /// What was not yet handed over: heads and entries.
    block: Vec<u8>,
    judge: Option<Judge>,
}

/// An entry that waited.
#[derive(Debug)]
pub(super) struct Spooled<'s> {
    /// Its bytes.
    pub(super) bytes: &'s [u8],
    /// The hash of its leaf.
    pub(super) leaf: Hash32,
    /// What it is found by, if it is a well-formed entry of a patch.
    pub(super) patch: Option<PatchKeys>,
}

/// Why entries cannot be kept until they are taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct SpoolError {
    doing: &'static str,
    path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The other thread, and the way to it.
#[derive(Debug)]
struct Judge {
    blocks: SyncSender<Vec<u8>>,
    thread: JoinHandle<Result<BufWriter<File>, SpoolError>>,
}

impl Spool {
    /// A spool of a log's entries in `directory`, where nobody else has one of that log meanwhile.
    /// Nothing is made before there are many entries.
    pub fn new(directory: &Path, log: Log) -> Self {
        Self { path: directory.join(format!("{log}-{ENDING}")), block: Vec::new(), judge: None }
    }

    /// Keeps one more entry.
    pub fn push(&mut self, entry: &[u8], leaf: &Hash32) -> Result<(), SpoolError> {
        let length = u32::try_from(entry.len()).expect("at most MAX_ENTRY");
        if self.block.len() + HEAD + entry.len() > BLOCK && !self.block.is_empty() {
            self.hand_over()?;
        }
        self.block.extend(length.to_be_bytes());
        self.block.extend(leaf.0);
        self.block.extend(entry);
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), SpoolError> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let path = &self.path;
        let judge = self.judge.get_or_insert_with(|| Judge::start(path));
        if judge.blocks.send(block).is_err() {
            // it ended before its time: it says why
            self.judge.take().map_or(Ok(()), |judge| judge.end().map(drop))?;
        }
        Ok(())
    }

    /// Hands every entry to `take`, in order.
    pub fn drain<E: From<SpoolError>>(
        mut self,
        mut take: impl FnMut(Spooled<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.judge.is_some() {
            self.hand_over()?;
        }
        let (path, block) = (std::mem::take(&mut self.path), std::mem::take(&mut self.block));
        let failed = |source| SpoolError { doing: "read", path: path.clone(), source };
        if let Some(judge) = self.judge.take() {
            let file = judge.end()?.into_inner();
            let mut file = file.map_err(|error| failed(error.into_error()))?;
            let end = file.stream_position().map_err(failed)?;
            file.rewind().map_err(failed)?;
            return Records { rest: BufReader::with_capacity(BLOCK, file).take(end), path }
                .drain(take);
        }
        for (head, bytes) in split(&block) {
            take(Spooled { bytes, leaf: leaf(head), patch: keys(bytes) })?;
        }
        Ok(())
    }
}

impl Drop for Spool {
    /// Nobody works on the file any more: the next one has its name.
    fn drop(&mut self) {
        // that entries could not be written which nobody wants does not matter
        drop(self.judge.take().map(Judge::end));
    }
}

impl Judge {
    fn start(path: &Path) -> Self {
        let (blocks, received) = sync_channel(BLOCKS);
        let path = path.to_owned();
        Self { blocks, thread: thread::spawn(move || write(&path, &received)) }
    }

    fn end(self) -> Result<BufWriter<File>, SpoolError> {
        drop(self.blocks);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Writes every entry behind its head, whether it is a patch's, and what that is found by.
fn write(path: &Path, blocks: &Receiver<Vec<u8>>) -> Result<BufWriter<File>, SpoolError> {
    let failed = |source| SpoolError { doing: "write", path: path.to_owned(), source };
    let mut file = BufWriter::with_capacity(BLOCK, create(path).map_err(failed)?);
    for block in blocks {
        for (head, entry) in split(&block) {
            let keys = keys(entry);
            let found_by = keys.map(PatchKeys::to_bytes).unwrap_or_default();
            file.write_all(head)
                .and_then(|()| file.write_all(&[u8::from(keys.is_some())]))
                .and_then(|()| file.write_all(&found_by))
                .and_then(|()| file.write_all(entry))
                .map_err(failed)?;
        }
    }
    Ok(file)
}

fn keys(entry: &[u8]) -> Option<PatchKeys> {
    match CollectionEntry::parse(entry) {
        Ok(CollectionEntry::Patch(patch)) => Some(PatchKeys::of(&patch)),
        _ => None,
    }
}

/// The heads and entries of a block.
fn split(mut block: &[u8]) -> impl Iterator<Item = (&[u8; HEAD], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = block.split_first_chunk::<HEAD>()?;
        let (entry, rest) = rest.split_at_checked(length(head))?;
        block = rest;
        Some((head, entry))
    })
}

fn length(head: &[u8; HEAD]) -> usize {
    let length = head.first_chunk().expect("a head begins with four bytes");
    u32::from_be_bytes(*length) as usize
}

fn leaf(head: &[u8; HEAD]) -> Hash32 {
    Hash32(*head.last_chunk().expect("a head ends with 32 bytes"))
}

/// What the other thread wrote.
struct Records<R> {
    rest: io::Take<R>,
    path: PathBuf,
}

impl<R: io::Read> Records<R> {
    fn drain<E: From<SpoolError>>(
        mut self,
        mut take: impl FnMut(Spooled<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entry = Vec::new();
        let path = self.path.clone();
        let failed = |source| SpoolError { doing: "read", path: path.clone(), source };
        while self.rest.limit() > 0 {
            let (mut head, mut is_patch) = ([0; HEAD], [0]);
            let mut found_by = [0; PatchKeys::LENGTH];
            for part in [&mut head[..], &mut is_patch, &mut found_by] {
                self.rest.read_exact(part).map_err(failed)?;
            }
            entry.resize(length(&head), 0);
            self.rest.read_exact(&mut entry).map_err(failed)?;
            let keys = (is_patch == [1]).then(|| PatchKeys::from_bytes(found_by));
            take(Spooled { bytes: &entry, leaf: leaf(&head), patch: keys })?;
        }
        Ok(())
    }
}

/// Makes a file that is gone when it is closed, however that comes about.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_took_and_leaves_no_file() {
        let patch = b"{\"type\":\"patch/v1\",\"name\":\"acme\",\"version\":\"1.0.0\",\"archive\":\
            {\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
            \"size\":1,\"unpacked\":1,\"files\":1},\"collected\":\"2026-11-22T10:00:00Z\"}\n";
        let few = vec![b"one".to_vec(), Vec::new(), patch.to_vec()];
        let many = [few.clone(), vec![vec![7; 30_000]; 20], few.clone()].concat();
        for entries in [Vec::new(), few, many] {
            let directory = tempfile::tempdir().expect("a directory");
            let left = directory.path().join("collection-entries.tmp");
            fs::write(left, "left by a killed process").expect("written");
            let mut spool = Spool::new(directory.path(), Log::Collection);
            for entry in &entries {
                spool.push(entry, &Hash32::of(entry)).expect("kept");
            }
            let is_many = entries.len() > 10;
            let mut found = Vec::new();
            let took: Result<(), SpoolError> = spool.drain(|spooled| {
                assert_eq!(spooled.leaf, Hash32::of(spooled.bytes));
                assert_eq!(spooled.patch.is_some(), spooled.bytes == patch);
                found.push(spooled.bytes.to_vec());
                Ok(())
            });
            took.expect("read");
            assert_eq!(found, entries);
            let left = fs::read_dir(directory.path()).expect("listed").count();
            assert_eq!(left, usize::from(!is_many));
        }
    }

    #[test]
    fn says_that_it_cannot_write() {
        let mut spool = Spool::new(Path::new("/nowhere"), Log::Distribution);
        let entry = vec![7; 30_000];
        let push = |_| spool.push(&entry, &Hash32::of(b""));
        let pushed = (0..100).try_for_each(push);
        let drained = || spool.drain(|_| Ok(()));
        let error = pushed.and_then(|()| drained()).expect_err("there is no such directory");
        assert_eq!(error.to_string(), "cannot write /nowhere/distribution-entries.tmp");
    }
}
