//! Applying a delta.

use std::io::{self, Read};

use super::number::{follow, take};
use super::{MAX_LENGTH, MAX_OVERHEAD};
use crate::archive::ArchiveError;
use crate::hash::Hasher;
use crate::limits::MAX_DELTA_BLOCK;
use crate::manifest::FileMeta;
use crate::relpath::RelPath;

/// Why a delta is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It ends in the middle of a block, or before the file is whole.
    #[error("it ends before the file is whole")]
    Truncated,
    /// It goes on when the file is whole.
    #[error("it goes on when the file is whole")]
    Excess,
    /// A number is not in its shortest form, or too large to be any.
    #[error("a number is malformed")]
    Number,
    /// A block is longer than it may be for what it makes.
    #[error("a block has {length} bytes and makes {makes}")]
    Length {
        /// Bytes of the block.
        length: u64,
        /// Bytes that it is to make.
        makes: usize,
    },
    /// A block makes more or less than it is to make, or has a control that makes nothing.
    #[error("a block does not make its {0} bytes")]
    Made(usize),
    /// A copy goes beyond the base.
    #[error("a copy of {length} bytes at {from} goes beyond the base's {base}")]
    BeyondBase {
        /// Where it begins.
        from: u64,
        /// How long it is.
        length: u64,
        /// Bytes of the base.
        base: u64,
    },
    /// A difference lies behind the last copied byte, or is none.
    #[error("a difference lies behind what is copied, or is none")]
    Difference,
}

/// The file that a delta makes. The read that would give its last bytes fails unless the delta ends
/// there and the whole has the size and hash that the manifest says.
///
/// Holds one block of the delta and what it makes: 2 MiB. An error of a read holds an
/// [`ArchiveError`], which [`ArchiveError::from_io`] takes out, unless the base could not be read.
/// After an error all further reads fail.
pub struct DeltaReader<'m, R, B> {
    delta: R,
    base: B,
    base_size: u64,
    path: &'m RelPath,
    file: &'m FileMeta,
    /// Bytes of the file that no block has made.
    left: u64,
    /// Where the last copy ended.
    position: u64,
    hasher: Hasher,
    encoded: Vec<u8>,
    made: Vec<u8>,
    /// Bytes of `made` that were read.
    given: usize,
    /// Whether all blocks were made and the whole was checked.
    is_whole: bool,
    has_failed: bool,
}

impl<'m, R: Read, B: FnMut(&mut [u8], u64) -> io::Result<()>> DeltaReader<'m, R, B> {
    /// Applies `delta` to a base of `base_size` bytes, from which `base` fills a buffer at a
    /// position; it is never asked for anything beyond. What comes out is `file` of a manifest, at
    /// `path`.
    pub fn new(delta: R, base: B, base_size: u64, path: &'m RelPath, file: &'m FileMeta) -> Self {
        Self {
            delta,
            base,
            base_size,
            path,
            file,
            left: file.size,
            position: 0,
            hasher: Hasher::new(),
            encoded: Vec::new(),
            made: Vec::new(),
            given: 0,
            is_whole: false,
            has_failed: false,
        }
    }

    /// Makes the next block, and with the last one checks all that is made.
    fn next_block(&mut self) -> io::Result<()> {
        if self.left > 0 {
            let makes = usize::try_from(self.left).unwrap_or(usize::MAX).min(MAX_DELTA_BLOCK);
            self.read_block(makes)?;
            self.apply(makes)?;
            self.hasher.update(&self.made);
            self.left -= makes as u64;
        }
        if self.left == 0 {
            self.finish()?;
        }
        self.given = 0;
        Ok(())
    }

    fn read_block(&mut self, makes: usize) -> io::Result<()> {
        let length = self.read_length()?;
        let bounded = usize::try_from(length).ok().filter(|length| *length <= MAX_LENGTH);
        let Some(length) = bounded.filter(|length| *length <= makes + MAX_OVERHEAD) else {
            return Err(self.refused(DeltaError::Length { length, makes }));
        };
        self.encoded.resize(length, 0);
        match self.delta.read_exact(&mut self.encoded) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // the archive's own end is another matter
                Err(ArchiveError::from_io(error)
                    .map_or_else(|_| self.refused(DeltaError::Truncated), io::Error::from))
            }
            result => result,
        }
    }

    fn read_length(&mut self) -> io::Result<u64> {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            if read_some(&mut self.delta, &mut byte)? == 0 {
                return Err(self.refused(DeltaError::Truncated));
            }
            bytes.push(byte[0]);
            if byte[0] & 0x80 == 0 || bytes.len() == super::number::MAX_BYTES {
                return take(&mut &*bytes).ok_or_else(|| self.refused(DeltaError::Number));
            }
        }
    }

    /// Makes what the block in hand says.
    fn apply(&mut self, makes: usize) -> io::Result<()> {
        let encoded = std::mem::take(&mut self.encoded);
        self.made.resize(makes, 0);
        let result = self.apply_parts(&encoded, makes);
        self.encoded = encoded;
        result
    }

    fn apply_parts(&mut self, encoded: &[u8], makes: usize) -> io::Result<()> {
        let parts = Parts::split(encoded, makes).map_err(|error| self.refused(error))?;
        let (mut literals, mut at) = (parts.literals, 0);
        let mut differences = parts.differences();
        let mut next = differences.next();
        // bytes copied in this block before the control in hand
        let mut copied = 0;
        let mut controls = parts.controls;
        for _ in 0..parts.count {
            let control = Control::take(&mut controls).map_err(|error| self.refused(error))?;
            if let Some(distance) = control.distance {
                let from = self.locate(distance, control.copy)?;
                let to = &mut self.made[at..at + control.copy];
                (self.base)(to, from)?;
                while let Some((place, value)) = next.filter(|(place, _)| place - copied < to.len())
                {
                    let byte = &mut to[place - copied];
                    *byte = byte.wrapping_add(value);
                    next = differences.next();
                }
                copied += control.copy;
                at += control.copy;
            }
            let (now, later) = literals.split_at(control.literal);
            self.made[at..at + now.len()].copy_from_slice(now);
            literals = later;
            at += now.len();
        }
        Ok(())
    }

    /// Where a copy begins, all of which is in the base.
    fn locate(&mut self, distance: u64, length: usize) -> io::Result<u64> {
        let from =
            follow(self.position, distance).ok_or_else(|| self.refused(DeltaError::Number))?;
        let (length, base) = (length as u64, self.base_size);
        match from.checked_add(length).filter(|end| *end <= base) {
            Some(end) => self.position = end,
            None => return Err(self.refused(DeltaError::BeyondBase { from, length, base })),
        }
        Ok(from)
    }

    fn finish(&mut self) -> io::Result<()> {
        if read_some(&mut self.delta, &mut [0])? != 0 {
            return Err(self.refused(DeltaError::Excess));
        }
        let (expected, found) = (self.file.sha256, self.hasher.clone().finish());
        if found != expected {
            return Err(ArchiveError::Content { path: self.path.clone(), expected, found }.into());
        }
        self.is_whole = true;
        Ok(())
    }

    fn refused(&self, reason: DeltaError) -> io::Error {
        ArchiveError::Delta { path: self.path.clone(), reason }.into()
    }
}

impl<R: Read, B: FnMut(&mut [u8], u64) -> io::Result<()>> Read for DeltaReader<'_, R, B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(self.refused(DeltaError::Truncated));
        }
        if self.given == self.made.len() && !self.is_whole {
            self.has_failed = true;
            self.next_block()?;
            self.has_failed = false;
        }
        let rest = &self.made[self.given..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

impl<R, B> std::fmt::Debug for DeltaReader<'_, R, B> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DeltaReader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The parts of a block, which were checked to make so many bytes together.
struct Parts<'b> {
    count: u64,
    controls: &'b [u8],
    gaps: &'b [u8],
    values: &'b [u8],
    literals: &'b [u8],
}

struct Control {
    copy: usize,
    literal: usize,
    /// There where something is copied.
    distance: Option<u64>,
}

impl Control {
    fn take(bytes: &mut &[u8]) -> Result<Self, DeltaError> {
        let mut length = || {
            let number = take(bytes).ok_or(DeltaError::Number)?;
            usize::try_from(number).ok().filter(|n| *n <= MAX_DELTA_BLOCK).ok_or(DeltaError::Number)
        };
        let (copy, literal) = (length()?, length()?);
        let distance = if copy > 0 { Some(take(bytes).ok_or(DeltaError::Number)?) } else { None };
        Ok(Self { copy, literal, distance })
    }
}

impl<'b> Parts<'b> {
    fn split(mut bytes: &'b [u8], makes: usize) -> Result<Self, DeltaError> {
        let count = take(&mut bytes).ok_or(DeltaError::Number)?;
        let differing = take(&mut bytes).ok_or(DeltaError::Number)?;
        let controls = bytes;
        let (mut copied, mut literal) = (0, 0);
        for _ in 0..count {
            let control = Control::take(&mut bytes)?;
            copied += control.copy;
            literal += control.literal;
            if control.copy + control.literal == 0 || copied + literal > makes {
                return Err(DeltaError::Made(makes));
            }
        }
        if copied + literal != makes {
            return Err(DeltaError::Made(makes));
        }
        let gaps = bytes;
        let mut place = 0_u64;
        for _ in 0..differing {
            place = place.saturating_add(take(&mut bytes).ok_or(DeltaError::Number)?);
            if place >= copied as u64 {
                return Err(DeltaError::Difference);
            }
            place += 1;
        }
        // there are at most as many as bytes are copied
        let differing = usize::try_from(differing).map_err(|_| DeltaError::Difference)?;
        if bytes.len() != differing + literal {
            return Err(DeltaError::Made(makes));
        }
        let (values, literals) = bytes.split_at(differing);
        if values.contains(&0) {
            return Err(DeltaError::Difference);
        }
        Ok(Self { count, controls, gaps, values, literals })
    }

    /// The bytes that differ: how many copied ones are before it in the block, and by how much.
    fn differences(&self) -> impl Iterator<Item = (usize, u8)> + use<'b> {
        let (mut gaps, mut place) = (self.gaps, 0);
        self.values.iter().map_while(move |value| {
            let at = place + usize::try_from(take(&mut gaps)?).ok()?;
            place = at + 1;
            Some((at, *value))
        })
    }
}

/// As `read`, which may be interrupted.
fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
