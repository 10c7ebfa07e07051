//! Reading a repository from a directory.
//!
//! Reads are plain blocking ones: a local file is there at once, and a thread for each would cost
//! more than the read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use countersign_format::layout::RepoPath;
use rustix::fs::OFlags;

use crate::error::Cause;
use crate::source::{Download, Get, Got, Validator};
use crate::statistics::Counters;

/// How much is copied between two calls of the progress report.
const PIECE: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct DirectorySource {
    root: PathBuf,
}

impl DirectorySource {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn get(
        &self,
        path: &RepoPath,
        request: &Get,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        counters.request(0);
        let Some((mut file, metadata)) = self.open(path)? else {
            return Ok(Got::NotFound);
        };
        let validator = validator(&metadata);
        if request.known.is_some() && request.known == validator {
            return Ok(Got::NotModified);
        }
        let total = metadata.len();
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
        file.seek(SeekFrom::Start(start)).map_err(Cause::Read)?;
        let room = usize::try_from(end - start).unwrap_or_default();
        let mut bytes = Vec::with_capacity(room);
        file.take(end - start).read_to_end(&mut bytes).map_err(Cause::Read)?;
        counters.received(bytes.len() as u64);
        Ok(match request.range {
            None => Got::Whole { bytes, validator },
            Some(_) => Got::Part { bytes, total: Some(total) },
        })
    }

    pub(crate) async fn download(
        &self,
        path: &RepoPath,
        request: &Download,
        into: &mut File,
        progress: &mut impl FnMut(u64),
        counters: &Counters,
    ) -> Result<bool, Cause> {
        counters.request(0);
        let Some((mut file, metadata)) = self.open(path)? else {
            return Ok(false);
        };
        if metadata.len() != request.size {
            return Err(Cause::WrongSize { expected: request.size, found: metadata.len() });
        }
        let mut present = present(into, request.size)?;
        file.seek(SeekFrom::Start(present)).map_err(Cause::Read)?;
        let mut piece = vec![0; usize::try_from(request.size).unwrap_or(PIECE).min(PIECE)];
        while present < request.size {
            let wanted = usize::try_from(request.size - present).unwrap_or(PIECE).min(PIECE);
            let read = file.read(&mut piece[..wanted]).map_err(Cause::Read)?;
            if read == 0 {
                return Err(Cause::WrongSize { expected: request.size, found: present });
            }
            into.write_all(&piece[..read]).map_err(Cause::Local)?;
            counters.received(read as u64);
            present += read as u64;
            progress(present);
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    /// Opens a regular file, or says that there is none. Never waits, as for a pipe's other end.
    fn open(&self, path: &RepoPath) -> Result<Option<(File, Metadata)>, Cause> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let opened =
            OpenOptions::new().read(true).custom_flags(nonblocking).open(self.root.join(path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if is_absent(&error) => {
                // a mount or a stick that is gone is not a repository without this file
                self.root.read_dir().map_err(Cause::Read)?;
                return Ok(None);
            }
            Err(error) => return Err(Cause::Read(error)),
        };
        let metadata = file.metadata().map_err(Cause::Read)?;
        if metadata.is_file() { Ok(Some((file, metadata))) } else { Err(Cause::NotFile) }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Every writer here replaces a file by a new one, so the inode tells what a clock's tick hides.
fn validator(metadata: &Metadata) -> Option<Validator> {
    let (size, inode) = (metadata.size(), metadata.ino());
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("\"{size:x}-{seconds:x}.{nanoseconds:x}-{inode:x}\"").parse().ok()
}

/// How many bytes of an object of `size` bytes a file holds, and places the cursor behind them. A
/// file that holds more can hold no beginning of the object and is emptied.
pub(crate) fn present(file: &mut File, size: u64) -> Result<u64, Cause> {
    let mut present = file.seek(SeekFrom::End(0)).map_err(Cause::Local)?;
    if present > size {
        empty(file)?;
        present = 0;
    }
    Ok(present)
}

/// Empties a file, to begin a download anew.
pub(crate) fn empty(file: &mut File) -> Result<(), Cause> {
    file.set_len(0).and_then(|()| file.rewind()).map_err(Cause::Local)
}
