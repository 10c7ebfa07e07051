//! Deltas that are good, every small change to one, and hostile ones.

use std::io::{self, Read};

use super::*;
use crate::archive::ArchiveError;
use crate::hash::Hash32;
use crate::manifest::{FileMeta, Mode, Owner, Xattrs};
use crate::relpath::RelPath;

/// Numbers that look random and are the same every time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below the bound")
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

fn path() -> RelPath {
    "bin/agent".parse().expect("a path")
}

fn file_of(content: &[u8]) -> FileMeta {
    FileMeta {
        mode: Mode::from_bits(0o755).expect("a mode"),
        size: content.len() as u64,
        sha256: Hash32::of(content),
        config: false,
        owner: Owner::ROOT,
        xattrs: Xattrs::default(),
    }
}

/// Applies `delta` to `base`, reading from a source that gives few bytes at a time.
fn apply(delta: &[u8], base: &[u8], file: &FileMeta) -> Result<Vec<u8>, ArchiveError> {
    let path = path();
    let read_base = |to: &mut [u8], from: u64| {
        let from = usize::try_from(from).expect("a position of the base");
        to.copy_from_slice(&base[from..from + to.len()]);
        Ok(())
    };
    let source = Dribble { rest: delta, step: 1 };
    let mut reader = DeltaReader::new(source, read_base, base.len() as u64, &path, file);
    let mut made = Vec::new();
    match reader.read_to_end(&mut made) {
        Ok(_) => Ok(made),
        Err(error) => {
            assert!(reader.read(&mut [0]).is_err(), "an error is not passed over");
            Err(ArchiveError::from_io(error).expect("an archive error"))
        }
    }
}

struct Dribble<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step = self.step % 997 + 1;
        let length = self.step.min(buffer.len());
        self.rest.read(&mut buffer[..length])
    }
}

/// A file made of pieces of a base with some bytes changed, and of bytes of its own; and its delta.
fn random_case(random: &mut Random, pieces: usize, piece: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let length = random.below(4 * piece) + 1;
    let base = random.bytes(length);
    let mut writer = DeltaWriter::new(Vec::new());
    let mut file = Vec::new();
    for _ in 0..pieces {
        let from = random.below(base.len());
        let old = &base[from..from + random.below(piece).min(base.len() - from)];
        let mut new = old.to_vec();
        for _ in 0..random.below(new.len().min(40)) {
            let at = random.below(new.len());
            new[at] = random.next().to_le_bytes()[0];
        }
        writer.copy(from as u64, old, &new).expect("in memory");
        file.extend_from_slice(&new);
        let length = random.below(piece / 4);
        let own = random.bytes(length);
        writer.literal(&own).expect("in memory");
        file.extend_from_slice(&own);
    }
    let (delta, length) = writer.finish().expect("in memory");
    assert_eq!(delta.len() as u64, length);
    (base, file, delta)
}

#[test]
fn what_was_written_is_made() {
    let mut random = Random(1);
    for round in 0..400 {
        let (base, file, delta) = random_case(&mut random, round % 20, 300);
        assert_eq!(apply(&delta, &base, &file_of(&file)), Ok(file), "round {round}");
    }
    // several blocks, whose ends fall into copies and into literals
    for round in 0..4 {
        let (base, file, delta) = random_case(&mut random, 30, 400_000);
        assert!(file.len() > 2 * MAX_DELTA_BLOCK);
        assert!(delta.len() < file.len());
        assert!(apply(&delta, &base, &file_of(&file)) == Ok(file), "round {round}");
    }
}

#[test]
fn ends_of_blocks() {
    let base: Vec<u8> = (0..2 * MAX_DELTA_BLOCK).map(|at| at.to_le_bytes()[0]).collect();
    for length in [0, 1, MAX_DELTA_BLOCK - 1, MAX_DELTA_BLOCK, MAX_DELTA_BLOCK + 1, base.len()] {
        let file = &base[..length];
        let mut writer = DeltaWriter::new(Vec::new());
        writer.copy(0, file, file).expect("in memory");
        let (delta, _) = writer.finish().expect("in memory");
        assert!(delta.len() < 32, "{length}");
        assert!(apply(&delta, &base, &file_of(file)) == Ok(file.to_vec()), "{length}");
        let mut writer = DeltaWriter::new(Vec::new());
        writer.literal(file).expect("in memory");
        let (delta, _) = writer.finish().expect("in memory");
        assert!(apply(&delta, &[], &file_of(file)) == Ok(file.to_vec()), "{length}");
    }
}

#[test]
fn a_block_is_hardly_longer_than_what_it_makes() {
    let mut random = Random(2);
    let (base, file) = (random.bytes(MAX_DELTA_BLOCK), random.bytes(MAX_DELTA_BLOCK + 100));
    let mut writer = DeltaWriter::new(Vec::new());
    // one byte here, one byte there, and all of them others
    for (at, new) in file.iter().enumerate() {
        let from = (at * 7_919) % base.len();
        writer.copy(from as u64, &base[from..=from], &[*new]).expect("in memory");
    }
    let (delta, length) = writer.finish().expect("in memory");
    assert!(length <= (file.len() + 2 * (MAX_OVERHEAD + 3)) as u64, "{length}");
    assert!(apply(&delta, &base, &file_of(&file)) == Ok(file));
}

fn small() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let base = b"the quick brown fox jumps over the lazy dog".to_vec();
    let mut writer = DeltaWriter::new(Vec::new());
    writer.copy(4, b"quick brown fox", b"quack brown fix").expect("in memory");
    writer.literal(b", still").expect("in memory");
    writer.copy(19, b" jumps", b" jumps").expect("in memory");
    writer.copy(0, b"the", b"The").expect("in memory");
    let (delta, _) = writer.finish().expect("in memory");
    (base, b"quack brown fix, still jumpsThe".to_vec(), delta)
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let (base, file, delta) = small();
    let expected = [
        &[24, 3, 3][..],
        &[15, 7, 8],
        &[6, 0, 0],
        &[3, 0, 49],
        &[2, 10, 7],
        &[b'a'.wrapping_sub(b'i'), b'i'.wrapping_sub(b'o'), b'T'.wrapping_sub(b't')],
        b", still",
    ];
    assert_eq!(delta, expected.concat());
    assert_eq!(apply(&delta, &base, &file_of(&file)), Ok(file));
}

#[test]
fn no_truncation_and_no_flipped_bit_is_accepted() {
    let (base, file, mut delta) = small();
    let meta = file_of(&file);
    for length in 0..delta.len() {
        assert!(apply(&delta[..length], &base, &meta).is_err(), "{length}");
    }
    for bit in 0..delta.len() * 8 {
        delta[bit / 8] ^= 1 << (bit % 8);
        assert!(apply(&delta, &base, &meta).is_err(), "bit {bit}");
        delta[bit / 8] ^= 1 << (bit % 8);
    }
    delta.push(0);
    let excess = ArchiveError::Delta { path: path(), reason: DeltaError::Excess };
    assert_eq!(apply(&delta, &base, &meta), Err(excess));
}

#[test]
fn another_base_makes_nothing() {
    let (mut base, file, delta) = small();
    let meta = file_of(&file);
    base[5] ^= 1;
    assert!(matches!(apply(&delta, &base, &meta), Err(ArchiveError::Content { .. })));
    base.truncate(20);
    let reason = DeltaError::BeyondBase { from: 19, length: 6, base: 20 };
    assert_eq!(apply(&delta, &base, &meta), Err(ArchiveError::Delta { path: path(), reason }));
}

#[test]
fn each_lie_has_its_error() {
    let file = file_of(b"abcd");
    let refused = |delta: &[u8]| match apply(delta, b"abcd", &file) {
        Err(ArchiveError::Delta { reason, .. }) => reason,
        other => panic!("{delta:?}: {other:?}"),
    };
    // LENGTH
    assert_eq!(refused(&[]), DeltaError::Truncated);
    assert_eq!(refused(&[0x80]), DeltaError::Truncated);
    assert_eq!(refused(&[0x80, 0]), DeltaError::Number);
    assert_eq!(refused(&[0xff; 20]), DeltaError::Number);
    assert_eq!(refused(&[21]), DeltaError::Length { length: 21, makes: 4 });
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let length = (1 << 46) - 1;
    assert_eq!(refused(&huge), DeltaError::Length { length, makes: 4 });
    // CONTROLS and what they make
    assert_eq!(refused(&[0]), DeltaError::Number);
    assert_eq!(refused(&[2, 0, 0]), DeltaError::Made(4));
    assert_eq!(refused(&[5, 1, 0, 3, 0, 0]), DeltaError::Made(4));
    assert_eq!(refused(&[5, 1, 0, 5, 0, 0]), DeltaError::Made(4));
    assert_eq!(refused(&[7, 2, 0, 4, 0, 0, 0, 0]), DeltaError::Made(4), "a control of nothing");
    assert_eq!(refused(&[5, 2, 0, 3, 0, 0]), DeltaError::Number);
    assert_eq!(refused(&[4, 1, 0, 0, 4]), DeltaError::Made(4), "literals are missing");
    assert_eq!(refused(&[6, 1, 0, 4, 0, 0, 9]), DeltaError::Made(4), "a literal too much");
    let many = [13, 0xff, 0xff, 0x3f, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0];
    assert_eq!(refused(&many), DeltaError::Number);
    // MOVE
    let reason = DeltaError::BeyondBase { from: 1, length: 4, base: 4 };
    assert_eq!(refused(&[5, 1, 0, 4, 0, 2]), reason);
    assert_eq!(refused(&[5, 1, 0, 4, 0, 1]), DeltaError::Number, "before the base's beginning");
    // DIFFERENCES
    assert_eq!(refused(&[7, 1, 1, 4, 0, 0, 4, 1]), DeltaError::Difference);
    assert_eq!(refused(&[7, 1, 1, 4, 0, 0, 3, 0]), DeltaError::Difference);
    assert_eq!(refused(&[6, 1, 1, 4, 0, 0, 3]), DeltaError::Made(4));
    let gaps = [13, 1, 2, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 1];
    assert_eq!(refused(&gaps), DeltaError::Difference);
    assert_eq!(apply(&[5, 1, 0, 4, 0, 0], b"abcd", &file), Ok(b"abcd".to_vec()));
}

#[test]
fn noise_is_refused_or_makes_the_file() {
    let mut random = Random(3);
    for round in 0..20_000 {
        let (base, file, mut delta) = {
            let pieces = random.below(4) + 1;
            random_case(&mut random, pieces, 60)
        };
        if delta.is_empty() {
            continue;
        }
        for _ in 0..=random.below(3) {
            let at = random.below(delta.len());
            match random.below(3) {
                0 => delta[at] = random.next().to_le_bytes()[0],
                1 => drop(delta.splice(at..at, [random.next().to_le_bytes()[0]])),
                _ => drop(delta.splice(at..(at + 2).min(delta.len()), [])),
            }
            if delta.is_empty() {
                break;
            }
        }
        if let Ok(made) = apply(&delta, &base, &file_of(&file)) {
            assert_eq!(made, file, "round {round}");
        }
    }
}
