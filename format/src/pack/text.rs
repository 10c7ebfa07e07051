//! Entries in short: hex digits of a hash look like text and compress like noise, and what most
//! entries have in common is said in a byte. No JSON text has the bytes that stand for all that.

use std::io::{self, BufRead};

use data_encoding::HEXLOWER;

use super::invalid;
use crate::limits::{MAX_ENTRY, TILE_WIDTH};

/// Stands for the next hash of the group's head.
const HASH: u8 = 1;
/// Stands before a special byte that is meant as it is.
const ESCAPE: u8 = 2;
/// Ends an entry that has no newline at its end.
const NO_NEWLINE: u8 = 3;
/// Ends an entry, and is part of it.
const NEWLINE: u8 = b'\n';
/// Stands for the first of the [`WORDS`], the bytes behind it for the others.
const FIRST_WORD: u8 = 0x0b;
/// Bytes below this one are special.
const PLAIN: u8 = 0x20;
/// Digits of a hash.
const DIGITS: usize = 64;
/// Most hashes of one entry: each has its digits and at least one quotation mark to itself.
pub(super) const MAX_HASHES: usize = MAX_ENTRY / (DIGITS + 1);

/// What many entries have in common (SPEC §4.4). A second part stands behind a hash that follows the
/// first.
pub(super) const WORDS: [(&str, &str); 21] = [
    (r#"{"type":"patch/v1","name":""#, ""),
    (r#"","version":""#, ""),
    (r#"","base":""#, ""),
    (r#"","platform":""#, ""),
    (r#"","summary":""#, ""),
    (r#"","severity":""#, ""),
    (r#"","advisories":[""#, ""),
    (r#"","requires":{""#, ""),
    (r#"","archive":{"sha256":""#, r#"","size":"#),
    (r#""],"archive":{"sha256":""#, r#"","size":"#),
    (r#""},"archive":{"sha256":""#, r#"","size":"#),
    (r#","unpacked":"#, ""),
    (r#","files":"#, ""),
    (r#"},"collected":""#, ""),
    (r#"","evidence":[{"type":"test/v1","sha256":""#, r#""}]}"#),
    (r#"{"type":"release/v1","of":{"origin":""#, ""),
    (r#"","size":"#, ""),
    (r#","root":""#, ""),
    (r#""},"patches":[["#, ""),
    (r#"]],"ring":""#, ""),
    (r#"","start":""#, ""),
];
const _: () = assert!(FIRST_WORD as usize + WORDS.len() == PLAIN as usize, "a byte a word");

/// What stands before the texts of a group of entries: how many they are, and their hashes.
#[derive(Default, Debug)]
pub(super) struct GroupHead {
    /// Entries of the group that are still to come, or that came.
    entries: usize,
    hashes: Vec<u8>,
    /// Bytes of hashes that were used.
    used: usize,
}

impl GroupHead {
    /// Appends an entry to `text`, and its hashes to the head.
    pub(super) fn push(&mut self, text: &mut Vec<u8>, entry: &[u8]) {
        self.entries += 1;
        let (mut rest, end) = match entry.split_last() {
            Some((&NEWLINE, line)) => (line, NEWLINE),
            _ => (entry, NO_NEWLINE),
        };
        while let Some((&byte, behind)) = rest.split_first() {
            if let Some((word, behind)) = self.push_word(rest) {
                text.push(word);
                rest = behind;
                continue;
            }
            if byte < PLAIN {
                text.push(ESCAPE);
            }
            text.push(byte);
            rest = behind;
            if byte == b'"'
                && let Some((hash, behind)) = split_hash(rest)
            {
                self.hashes.extend(hash);
                text.push(HASH);
                rest = behind;
            }
        }
        text.push(end);
    }

    /// The byte of the word that `text` begins with, and what follows. Takes the hash that is in it.
    fn push_word<'t>(&mut self, text: &'t [u8]) -> Option<(u8, &'t [u8])> {
        if !matches!(text.first()?, b'{' | b'"' | b',' | b'}' | b']') {
            return None;
        }
        (FIRST_WORD..).zip(WORDS).find_map(|(code, (before, after))| {
            let rest = text.strip_prefix(before.as_bytes())?;
            if after.is_empty() {
                return Some((code, rest));
            }
            let (hash, rest) = split_hash(rest)?;
            let rest = rest.strip_prefix(after.as_bytes())?;
            self.hashes.extend(hash);
            Some((code, rest))
        })
    }

    /// The head as it stands in a pack.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let number = |count: usize| u32::try_from(count).expect("a group is small").to_be_bytes();
        [&number(self.entries), &number(self.hashes.len() / 32), &self.hashes[..]].concat()
    }

    /// Reads the head of a group.
    pub(super) fn read(source: &mut impl BufRead) -> io::Result<Self> {
        let entries = read_number(source)?;
        if entries == 0 || entries > TILE_WIDTH {
            return Err(invalid("group of a pack has not between 1 and 256 entries"));
        }
        let count = read_number(source)?;
        if count > entries * MAX_HASHES {
            return Err(invalid("group of a pack has more hashes than its entries can have"));
        }
        let mut hashes = vec![0; 32 * count];
        source.read_exact(&mut hashes)?;
        Ok(Self { entries, hashes, used: 0 })
    }

    /// Whether all entries were read.
    pub(super) fn is_read(&self) -> bool {
        self.entries == 0
    }

    /// Reads an entry and appends it to `entry`, which is empty.
    pub(super) fn read_entry(
        &mut self,
        source: &mut impl BufRead,
        entry: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.entries -= 1;
        loop {
            match read_plain(source, entry)? {
                NEWLINE => return extend(entry, &[NEWLINE]),
                NO_NEWLINE => return Ok(()),
                HASH => self.take_hash(entry)?,
                ESCAPE => extend(entry, &[read_special(source)?])?,
                code => {
                    let word =
                        code.checked_sub(FIRST_WORD).and_then(|at| WORDS.get(usize::from(at)));
                    let (before, after) = word.ok_or_else(unknown)?;
                    extend(entry, before.as_bytes())?;
                    if !after.is_empty() {
                        self.take_hash(entry)?;
                        extend(entry, after.as_bytes())?;
                    }
                }
            }
        }
    }

    fn take_hash(&mut self, entry: &mut Vec<u8>) -> io::Result<()> {
        let hash = self.hashes.get(self.used..self.used + 32);
        let hash = hash
            .ok_or_else(|| invalid("entries of a pack have more hashes than stand before them"))?;
        self.used += 32;
        let mut digits = [0; DIGITS];
        HEXLOWER.encode_mut(hash, &mut digits);
        extend(entry, &digits)
    }

    /// Checks that every hash was used.
    pub(super) fn check_end(&self) -> io::Result<()> {
        if self.used == self.hashes.len() {
            Ok(())
        } else {
            Err(invalid("entries of a pack have fewer hashes than stand before them"))
        }
    }
}

/// The hash that `text` begins with, a quotation mark behind it, and what follows its digits.
fn split_hash(text: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (digits, rest) = text.split_at_checked(DIGITS)?;
    let mut hash = [0; 32];
    (rest.first() == Some(&b'"')).then_some(())?;
    HEXLOWER.decode_mut(digits, &mut hash).ok()?;
    Some((hash, rest))
}

/// Appends what comes before the next special byte, and returns that.
fn read_plain(source: &mut impl BufRead, entry: &mut Vec<u8>) -> io::Result<u8> {
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let special = bytes.iter().position(|byte| *byte < PLAIN);
        let length = special.unwrap_or(bytes.len());
        extend(entry, &bytes[..length])?;
        let found = special.map(|at| bytes[at]);
        source.consume(length + usize::from(found.is_some()));
        if let Some(found) = found {
            return Ok(found);
        }
    }
}

fn read_number(source: &mut impl BufRead) -> io::Result<usize> {
    let mut number = [0; 4];
    source.read_exact(&mut number)?;
    Ok(usize::try_from(u32::from_be_bytes(number)).expect("64 bits"))
}

/// The special byte behind an [`ESCAPE`].
fn read_special(source: &mut impl BufRead) -> io::Result<u8> {
    let mut byte = [0];
    source.read_exact(&mut byte)?;
    if byte[0] < PLAIN { Ok(byte[0]) } else { Err(unknown()) }
}

fn unknown() -> io::Error {
    invalid("pack has a byte that stands for nothing")
}

fn extend(entry: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() > MAX_ENTRY - entry.len() {
        return Err(invalid("entry is longer than entries may be"));
    }
    entry.extend_from_slice(bytes);
    Ok(())
}
