//! Writing a delta.

use std::io::{self, Write};

use super::MAX_OVERHEAD;
use super::number::{put, zigzag};
use crate::limits::MAX_DELTA_BLOCK;

/// Writes a delta: told, from the file's first byte to its last, what is copied from the base and
/// what is not. The same calls give the same bytes.
///
/// What was written before [`DeltaWriter::finish`] is no delta.
#[derive(Debug)]
pub struct DeltaWriter<W> {
    out: W,
    /// Bytes of finished blocks.
    written: u64,
    block: Block,
}

/// The block that is being filled.
#[derive(Debug, Default)]
struct Block {
    /// What it makes.
    made: Vec<u8>,
    /// What it copies and what it has of its own, in turns.
    controls: Vec<Control>,
    gaps: Vec<u8>,
    values: Vec<u8>,
    literals: Vec<u8>,
    /// Copied bytes since the last that differs.
    gap: u64,
    /// Where the last copy before this block ended.
    start: u64,
}

#[derive(Debug, Clone, Copy)]
struct Control {
    from: u64,
    copy: u64,
    literal: u64,
}

impl<W: Write> DeltaWriter<W> {
    /// Begins a delta.
    pub fn new(out: W) -> Self {
        Self { out, written: 0, block: Block::default() }
    }

    /// The file goes on with `new`, which is like the base at `from`, where that has `old`.
    ///
    /// # Panics
    /// Where `old` and `new` are not equally long.
    pub fn copy(&mut self, from: u64, old: &[u8], new: &[u8]) -> io::Result<()> {
        assert_eq!(old.len(), new.len(), "a copy is as long as what it copies");
        let mut done = 0;
        while done < new.len() {
            let length = self.block.room().min(new.len() - done);
            let part = done..done + length;
            self.block.copy(from + done as u64, &old[part.clone()], &new[part]);
            done += length;
            self.flush_full()?;
        }
        Ok(())
    }

    /// The file goes on with `new`, for which nothing in the base is like it.
    pub fn literal(&mut self, mut new: &[u8]) -> io::Result<()> {
        while !new.is_empty() {
            let (now, later) = new.split_at(self.block.room().min(new.len()));
            self.block.literal(now);
            new = later;
            self.flush_full()?;
        }
        Ok(())
    }

    /// Ends the delta. Gives back what it was written to and the number of bytes.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.block.made.is_empty() {
            self.flush()?;
        }
        Ok((self.out, self.written))
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.block.room() == 0 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.block.take();
        let mut length = Vec::new();
        put(&mut length, bytes.len() as u64);
        self.out.write_all(&length)?;
        self.out.write_all(&bytes)?;
        self.written += (length.len() + bytes.len()) as u64;
        Ok(())
    }
}

impl Block {
    fn room(&self) -> usize {
        MAX_DELTA_BLOCK - self.made.len()
    }

    /// Where the next copy is expected to begin.
    fn expected(&self) -> u64 {
        let last = self.controls.iter().rev().find(|control| control.copy > 0);
        last.map_or(self.start, |control| control.from + control.copy)
    }

    fn copy(&mut self, from: u64, old: &[u8], new: &[u8]) {
        match self.controls.last_mut() {
            Some(last) if last.literal == 0 && last.from + last.copy == from => {
                last.copy += new.len() as u64;
            }
            _ => self.controls.push(Control { from, copy: new.len() as u64, literal: 0 }),
        }
        for (old, new) in old.iter().zip(new) {
            if old == new {
                self.gap += 1;
            } else {
                put(&mut self.gaps, self.gap);
                self.gap = 0;
                self.values.push(new.wrapping_sub(*old));
            }
        }
        self.made.extend_from_slice(new);
    }

    fn literal(&mut self, new: &[u8]) {
        match self.controls.last_mut() {
            Some(last) => last.literal += new.len() as u64,
            None => self.controls.push(Control { from: 0, copy: 0, literal: new.len() as u64 }),
        }
        self.literals.extend_from_slice(new);
        self.made.extend_from_slice(new);
    }

    /// The block's bytes behind its length; it is empty afterwards.
    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.controls.len() as u64);
        put(&mut bytes, self.values.len() as u64);
        let mut expected = self.start;
        for control in &self.controls {
            put(&mut bytes, control.copy);
            put(&mut bytes, control.literal);
            if control.copy > 0 {
                put(&mut bytes, zigzag(expected, control.from));
                expected = control.from + control.copy;
            }
        }
        bytes.extend_from_slice(&self.gaps);
        bytes.extend_from_slice(&self.values);
        bytes.extend_from_slice(&self.literals);
        let mut start = self.expected();
        if bytes.len() > self.made.len() + MAX_OVERHEAD {
            bytes = literal_block(&self.made);
            start = self.start;
        }
        *self = Self { start, ..Self::default() };
        bytes
    }
}

/// A block that copies nothing.
fn literal_block(made: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(made.len() + MAX_OVERHEAD);
    for number in [1, 0, 0, made.len() as u64] {
        put(&mut bytes, number);
    }
    bytes.extend_from_slice(made);
    bytes
}
