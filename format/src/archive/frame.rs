//! The zstd frame around an archive's tar (RFC 8878), read with all bounds of SPEC §7.

use std::io::{self, BufReader, Chain, Cursor, Read};

use zstd::stream::read::Decoder;

use super::{Announced, ArchiveError};
use crate::hash::{Hash32, Hasher};
use crate::limits::{MAX_ARCHIVE, MAX_WINDOW_LOG};

/// First bytes of a zstd frame.
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// The inflated bytes of exactly one frame of a source whose size and hash are kept.
pub(super) struct Frame<R: Read> {
    decoder: Decoder<'static, BufReader<Chain<Magic, Counted<R>>>>,
}

/// The first bytes of the frame, which were read ahead.
type Magic = Cursor<[u8; MAGIC.len()]>;

/// The size and the hash of a whole source.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) sha256: Hash32,
}

impl<R: Read> Frame<R> {
    /// Reads the first four bytes, which must be those of a frame that is not skippable.
    pub(super) fn open(source: R, announced: Option<&Announced>) -> Result<Self, ArchiveError> {
        let size = announced.map(|announced| announced.size);
        if let Some(size) = size.filter(|size| *size > MAX_ARCHIVE) {
            return Err(ArchiveError::Announced(size));
        }
        let mut source = Counted { source, announced: size, count: 0, hasher: Hasher::new() };
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic).map_err(from_io)?;
        if magic != MAGIC {
            return Err(ArchiveError::Magic);
        }
        let reader = BufReader::with_capacity(64 * 1024, Cursor::new(magic).chain(source));
        let mut decoder = Decoder::with_buffer(reader).map_err(from_io)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(from_io)?;
        Ok(Self { decoder })
    }

    /// Reads some bytes into `buffer`, which is not empty; 0 at the end of the frame.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        self.decoder.read(buffer).map_err(from_io)
    }

    /// Fills `buffer`.
    pub(super) fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.decoder.read_exact(buffer).map_err(from_io)
    }

    /// Checks that frame and source end here.
    pub(super) fn finish(mut self) -> Result<Seen, ArchiveError> {
        if self.read(&mut [0])? != 0 {
            return Err(ArchiveError::AfterEnd);
        }
        let mut rest = self.decoder.finish();
        if rest.read(&mut [0]).map_err(from_io)? != 0 {
            return Err(ArchiveError::AfterFrame);
        }
        let (_, source) = rest.into_inner().into_inner();
        Ok(Seen { size: source.count, sha256: source.hasher.finish() })
    }
}

/// A source that must have exactly the announced bytes, or at most [`MAX_ARCHIVE`].
struct Counted<R> {
    source: R,
    announced: Option<u64>,
    count: u64,
    hasher: Hasher,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.announced.unwrap_or(MAX_ARCHIVE);
        let left = usize::try_from(limit - self.count).unwrap_or(usize::MAX);
        if left == 0 {
            // one byte more than there may be tells an end from an excess
            return match self.read_source(&mut [0])? {
                0 => Ok(0),
                _ => Err(ArchiveError::TooLong { announced: limit }.into()),
            };
        }
        let wanted = buffer.len().min(left);
        let read = self.read_source(&mut buffer[..wanted])?;
        self.hasher.update(&buffer[..read]);
        self.count += read as u64;
        match self.announced {
            Some(announced) if read == 0 && wanted > 0 => {
                Err(ArchiveError::TooShort { announced, found: self.count }.into())
            }
            _ => Ok(read),
        }
    }
}

impl<R: Read> Counted<R> {
    fn read_source(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let (kind, message) = (error.kind(), error.to_string());
                    return Err(ArchiveError::Io { kind, message }.into());
                }
            }
        }
    }
}

/// Errors of the source come as [`ArchiveError`]; what is left is the decoder's.
fn from_io(error: io::Error) -> ArchiveError {
    ArchiveError::from_io(error).unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
        _ => ArchiveError::Frame(error.to_string()),
    })
}
