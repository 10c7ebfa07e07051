//! A repository in memory: the twin of a directory, and of a web server, that fails on cue.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_format::hash::Hash32;
use countersign_format::layout::RepoPath;

use crate::directory::present;
use crate::durable::{self, FileSystems, Temporary};
use crate::error::Cause;
use crate::sink::{Put, Sink, WriteError};
use crate::source::{Download, Get, Got, Validator};
use crate::statistics::Counters;

/// All files of a repository, by path.
pub type Files = BTreeMap<RepoPath, Vec<u8>>;

/// A repository in memory. Clones show the same files, as processes do that share a disk; what one
/// of them has staged is its own.
#[derive(Clone, Debug, Default)]
pub struct MemoryRepository {
    disk: Arc<Mutex<Disk>>,
    staged: Staged,
}

/// How a write fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteFault {
    /// It is not done.
    Error(io::ErrorKind),
    /// It is done, and an error is reported all the same.
    DoneButError(io::ErrorKind),
    /// The power fails: what is not durable by then, this write included, is lost or not, as the
    /// bits that follow from the seed have it. Until [`MemoryRepository::restart`] nothing works.
    PowerLoss {
        /// Chooses which writes survive.
        seed: u64,
    },
}

/// How a read fails or lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadFault {
    /// The system reports an error.
    Error(io::ErrorKind),
    /// Only so many bytes come, and nothing says that there should be more.
    Truncated(usize),
    /// One bit of the answer is wrong: that with this number, modulo the number of bits.
    Flipped(usize),
    /// The answer is too slow; no time passes.
    Stalled,
    /// The answer is the version before the present one, if there ever was one.
    Stale,
    /// There is no such file.
    Missing,
}

/// What one writer has staged. A clone of a repository is another writer.
#[derive(Debug, Default)]
struct Staged {
    files: Files,
    along: Vec<Temporary>,
}

impl Clone for Staged {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[derive(Debug, Default)]
struct Disk {
    visible: Files,
    durable: Files,
    /// What is visible and not yet durable.
    unsynced: Files,
    earlier: Files,
    is_down: bool,
    writes: u64,
    reads: u64,
    write_fault: Option<(u64, WriteFault)>,
    read_fault: Option<(u64, ReadFault)>,
}

/// One write.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// A file is written under a name that nobody reads. It is lost with its process.
    Stage,
    /// A staged file gets its name.
    Show(&'a RepoPath, &'a [u8]),
    /// All that is visible becomes durable.
    Settle,
    /// A file is replaced or removed, durably.
    Place(&'a RepoPath, Option<&'a [u8]>),
}

/// A fair coin: SplitMix64, which is short and mixes well enough.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

impl MemoryRepository {
    /// An empty repository.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files as readers see them.
    pub fn files(&self) -> Files {
        self.disk().visible.clone()
    }

    /// Sets a file, durably and whatever it was, as an attacker or a damaged disk would.
    pub fn replace(&self, path: &RepoPath, bytes: &[u8]) {
        self.disk().apply(Change::Place(path, Some(bytes)));
    }

    /// Sets all files, durably: another repository takes the place of this one.
    pub fn replace_all(&self, files: Files) {
        let mut disk = self.disk();
        disk.visible = files;
        disk.apply(Change::Settle);
    }

    /// Lets the write after `after` further ones fail.
    ///
    /// Staging a file, showing it, making what is shown durable, writing a mutable file and
    /// removing one are a write each.
    pub fn fail_write(&self, after: u64, fault: WriteFault) {
        let mut disk = self.disk();
        disk.write_fault = Some((disk.writes + after, fault));
    }

    /// Lets the read after `after` further ones fail or lie.
    pub fn fail_read(&self, after: u64, fault: ReadFault) {
        let mut disk = self.disk();
        disk.read_fault = Some((disk.reads + after, fault));
    }

    /// Whether a fault that was asked for is still to come.
    pub fn has_fault_to_come(&self) -> bool {
        let disk = self.disk();
        disk.write_fault.is_some() || disk.read_fault.is_some()
    }

    /// Begins anew after a power loss, with what survived it.
    pub fn restart(&mut self) {
        self.staged = Staged::default();
        self.disk().is_down = false;
    }

    pub(crate) fn get(
        &self,
        path: &RepoPath,
        request: &Get,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        counters.request(0);
        let Some(object) = self.disk().serve(path)? else { return Ok(Got::NotFound) };
        let validator: Option<Validator> = format!("\"{}\"", Hash32::of(&object)).parse().ok();
        if request.known.is_some() && request.known == validator {
            return Ok(Got::NotModified);
        }
        let total = object.len() as u64;
        let (start, end) = match request.range {
            None => (0, total),
            Some(range) => match range.end_within(total) {
                Some(end) => (range.start, end),
                None => return Ok(Got::Part { bytes: Vec::new(), total: Some(total) }),
            },
        };
        if end - start > request.limit {
            return Err(Cause::TooLarge { limit: request.limit });
        }
        counters.received(end - start);
        let bytes = object[index(start)..index(end)].to_vec();
        Ok(match request.range {
            None => Got::Whole { bytes, validator },
            Some(_) => Got::Part { bytes, total: Some(total) },
        })
    }

    pub(crate) fn download(
        &self,
        path: &RepoPath,
        request: &Download,
        file: &mut File,
        progress: &mut impl FnMut(u64),
        counters: &Counters,
    ) -> Result<bool, Cause> {
        counters.request(0);
        let Some(object) = self.disk().serve(path)? else { return Ok(false) };
        let found = object.len() as u64;
        if found != request.size {
            return Err(Cause::WrongSize { expected: request.size, found });
        }
        let held = present(file, request.size)?;
        file.write_all(&object[index(held)..]).map_err(Cause::Local)?;
        counters.received(found - held);
        progress(found);
        Ok(true)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemoryRepository {
    fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError> {
        let disk = self.disk();
        disk.check_power().map_err(failed("read", path))?;
        match disk.visible.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => {
                Err(WriteError::TooLarge { path: shown(path), limit })
            }
            found => Ok(found.cloned()),
        }
    }

    fn size(&self, path: &RepoPath) -> Result<Option<u64>, WriteError> {
        let disk = self.disk();
        disk.check_power().map_err(failed("look at", path))?;
        Ok(disk.visible.get(path).map(|bytes| bytes.len() as u64))
    }

    fn put_immutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<Put, WriteError> {
        let mut disk = self.disk();
        disk.check_power().map_err(failed("write", path))?;
        match self.staged.files.get(path).or(disk.visible.get(path)) {
            Some(present) if present == bytes => return Ok(Put::Unchanged),
            Some(_) => return Err(WriteError::Conflict(shown(path))),
            None => {}
        }
        disk.write(Change::Stage).map_err(failed("write", path))?;
        drop(disk);
        self.staged.files.insert(path.clone(), bytes.to_vec());
        Ok(Put::Written)
    }

    fn put_immutable_file(&mut self, path: &RepoPath, file: &mut File) -> Result<Put, WriteError> {
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(failed("read what becomes", path))?;
        self.put_immutable(path, &bytes)
    }

    fn put_immutable_link(&mut self, path: &RepoPath, from: &Path) -> Result<Put, WriteError> {
        let mut file = File::open(from).map_err(failed("read what becomes", path))?;
        self.put_immutable_file(path, &mut file)
    }

    fn put_along(&mut self, file: Temporary) -> Result<(), WriteError> {
        self.staged.along.push(file);
        Ok(())
    }

    fn discard(&mut self) {
        self.staged = Staged::default();
    }

    fn flush(&mut self, others: &[Temporary]) -> Result<(), WriteError> {
        // what is not of the repository is on a real disk
        let sync = |other: &Temporary| FileSystems::of(other.directory())?.sync_bytes();
        let flushed = others.iter().chain(&self.staged.along).try_for_each(sync);
        flushed.and_then(|()| self.disk().check_power()).map_err(incomplete)
    }

    fn put_heads(&mut self, heads: &[(RepoPath, Vec<u8>)]) -> Result<(), WriteError> {
        let Staged { files: staged, along } = std::mem::take(&mut self.staged);
        let mut disk = self.disk();
        for (path, bytes) in staged {
            disk.write(Change::Show(&path, &bytes)).map_err(failed("write", &path))?;
        }
        disk.write(Change::Settle).map_err(incomplete)?;
        durable::name_all(along).map_err(incomplete)?;
        for (path, bytes) in heads {
            disk.write(Change::Place(path, Some(bytes))).map_err(failed("write", path))?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &RepoPath) -> Result<(), WriteError> {
        self.disk().write(Change::Place(path, None)).map_err(failed("remove", path))
    }
}

impl Disk {
    fn check_power(&self) -> io::Result<()> {
        if self.is_down { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Makes a change, unless this is the one that is to fail.
    fn write(&mut self, change: Change<'_>) -> io::Result<()> {
        self.check_power()?;
        let number = self.writes;
        self.writes += 1;
        let fault = self.write_fault.take_if(|(at, _)| *at == number);
        match fault.map(|(_, fault)| fault) {
            None => {
                self.apply(change);
                Ok(())
            }
            Some(WriteFault::Error(kind)) => Err(kind.into()),
            Some(WriteFault::DoneButError(kind)) => {
                self.apply(change);
                Err(kind.into())
            }
            Some(WriteFault::PowerLoss { seed }) => {
                self.lose_power(change, seed);
                Err(io::Error::other("the power failed"))
            }
        }
    }

    fn apply(&mut self, change: Change<'_>) {
        match change {
            Change::Stage => {}
            Change::Show(path, bytes) => {
                self.set(path, Some(bytes));
                self.unsynced.insert(path.clone(), bytes.to_vec());
            }
            Change::Settle => {
                self.durable.clone_from(&self.visible);
                self.unsynced.clear();
            }
            Change::Place(path, bytes) => {
                self.set(path, bytes);
                self.unsynced.remove(path);
                match bytes {
                    Some(bytes) => self.durable.insert(path.clone(), bytes.to_vec()),
                    None => self.durable.remove(path),
                };
            }
        }
    }

    fn set(&mut self, path: &RepoPath, bytes: Option<&[u8]>) {
        let earlier = match bytes {
            Some(bytes) => self.visible.insert(path.clone(), bytes.to_vec()),
            None => self.visible.remove(path),
        };
        if let Some(earlier) = earlier {
            self.earlier.insert(path.clone(), earlier);
        }
    }

    /// Goes on with what is durable and a choice of what is not, of which `change` is one.
    fn lose_power(&mut self, change: Change<'_>, seed: u64) {
        let mut coin = Coin(seed);
        for (path, bytes) in std::mem::take(&mut self.unsynced) {
            if coin.toss() {
                self.durable.insert(path, bytes);
            }
        }
        self.visible.clone_from(&self.durable);
        if matches!(change, Change::Show(..) | Change::Place(..)) && coin.toss() {
            self.apply(change);
        }
        self.apply(Change::Settle);
        self.is_down = true;
    }

    fn serve(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Cause> {
        self.check_power().map_err(Cause::Read)?;
        let number = self.reads;
        self.reads += 1;
        let fault = self.read_fault.take_if(|(at, _)| *at == number);
        let mut object = self.visible.get(path).cloned();
        match fault.map(|(_, fault)| fault) {
            None => {}
            Some(ReadFault::Error(kind)) => return Err(Cause::Read(kind.into())),
            Some(ReadFault::Truncated(length)) => {
                if let Some(bytes) = &mut object {
                    bytes.truncate(length);
                }
            }
            Some(ReadFault::Flipped(bit)) => {
                if let Some(bytes) = object.as_mut().filter(|bytes| !bytes.is_empty()) {
                    let bit = bit % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Some(ReadFault::Stalled) => {
                return Err(Cause::Stalled { received: 0, within: Duration::ZERO, least: 1 });
            }
            Some(ReadFault::Stale) => {
                object = self.earlier.get(path).cloned().or(object);
            }
            Some(ReadFault::Missing) => object = None,
        }
        Ok(object)
    }
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("within an object in memory")
}

fn shown(path: &RepoPath) -> PathBuf {
    format!("memory:{path}").into()
}

fn incomplete(source: io::Error) -> WriteError {
    WriteError::System { doing: "complete writing to", path: "memory:".into(), source }
}

fn failed<'a>(
    doing: &'static str,
    path: &'a RepoPath,
) -> impl FnOnce(io::Error) -> WriteError + 'a {
    move |source| WriteError::System { doing, path: shown(path), source }
}
