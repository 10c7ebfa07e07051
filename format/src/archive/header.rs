//! The one form of a tar member's header (SPEC §7; POSIX `pax`, "pax Interchange Format").
//!
//! A manifest settles every byte of the headers of its archive but the modification time, which
//! all members share. The writer writes these bytes; the reader makes the same ones and compares.
//! So nothing of a hostile header is ever interpreted, except to say what is wrong with it.

use std::ops::Range;

use crate::manifest::{Delta, FileEntry, FileKind, HookPath};

/// Bytes of a tar block.
pub(super) const BLOCK: usize = 512;
/// Bytes of the end marker: two blocks of zeros.
pub(super) const END: usize = 2 * BLOCK;
/// Largest number in a header's eleven octal digits.
pub(super) const MAX_OCTAL: u64 = (1 << 33) - 1;
/// The first member.
pub(super) const MANIFEST_NAME: &str = "manifest.json";
/// Where payload lies.
pub(super) const FILES: &str = "files/";
/// Where payload lies that is changes to what was there before.
pub(super) const DELTAS: &str = "deltas/";

/// One tar block.
pub(super) type Block = [u8; BLOCK];

/// A header's fields: their places in the block.
pub(super) mod field {
    use super::Range;

    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const USER: Range<usize> = 108..116;
    pub(crate) const GROUP: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const TIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const KIND: usize = 156;
    pub(crate) const TARGET: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
}

/// `ustar`, a zero byte, version `00`.
pub(super) const MAGIC: &[u8] = b"ustar\x0000";
/// Name of an extended header, and of a member whose name stands in the extended header.
const SEE_EXTENDED: &str = "see-pax-header";

/// What distinguishes one member's header from another's.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The member's name.
    pub(super) name: String,
    /// Typeflag: `0` file, `2` symlink, `5` directory.
    pub(super) kind: u8,
    /// Permission bits.
    pub(super) mode: u32,
    /// Bytes of content.
    pub(super) size: u64,
    /// Where a symlink points; empty for others.
    pub(super) target: String,
}

impl Header {
    /// Of `manifest.json`.
    pub(super) fn manifest(size: u64) -> Self {
        Self::file(MANIFEST_NAME.into(), 0o644, size)
    }

    /// Of a hook, which is always executable.
    pub(super) fn hook(path: &HookPath, size: u64) -> Self {
        Self::file(path.as_str().into(), 0o755, size)
    }

    /// Of a path of the manifest, and of its delta where it comes as one.
    pub(super) fn entry(entry: &FileEntry, delta: Option<&Delta>) -> Self {
        let name = format!("{}{}", if delta.is_some() { DELTAS } else { FILES }, entry.path);
        match &entry.kind {
            FileKind::File(file) if let Some(delta) = delta => {
                Self::file(name, file.mode.bits(), delta.bytes)
            }
            FileKind::File(file) => Self::file(name, file.mode.bits(), file.size),
            FileKind::Directory { mode, .. } => {
                Self { kind: b'5', ..Self::file(name, mode.bits(), 0) }
            }
            FileKind::Link { target } => {
                let target = target.as_str().into();
                Self { kind: b'2', target, ..Self::file(name, 0o777, 0) }
            }
        }
    }

    fn file(name: String, mode: u32, size: u64) -> Self {
        Self { name, kind: b'0', mode, size, target: String::new() }
    }

    /// The header's blocks: an extended header before it where a field does not hold its value.
    pub(super) fn blocks(&self, time: u64) -> Vec<Block> {
        let mut records = Vec::new();
        let mut plain = self.clone();
        if !fits(&self.name) {
            push_record(&mut records, "path", &self.name);
            plain.name = SEE_EXTENDED.into();
        }
        if !fits(&self.target) {
            push_record(&mut records, "linkpath", &self.target);
            plain.target = SEE_EXTENDED.into();
        }
        if self.size > MAX_OCTAL {
            push_record(&mut records, "size", &self.size.to_string());
            plain.size = 0;
        }
        let mut blocks = Vec::with_capacity(1);
        if !records.is_empty() {
            let extended = Self::file(SEE_EXTENDED.into(), 0o644, records.len() as u64);
            blocks.push(Self { kind: b'x', ..extended }.block(time));
            blocks.extend(records.chunks(BLOCK).map(|chunk| {
                let mut block = [0; BLOCK];
                block[..chunk.len()].copy_from_slice(chunk);
                block
            }));
        }
        blocks.push(plain.block(time));
        blocks
    }

    fn block(&self, time: u64) -> Block {
        let mut block = [0; BLOCK];
        block[..self.name.len()].copy_from_slice(self.name.as_bytes());
        put_octal(&mut block, field::MODE, self.mode.into());
        put_octal(&mut block, field::USER, 0);
        put_octal(&mut block, field::GROUP, 0);
        put_octal(&mut block, field::SIZE, self.size);
        put_octal(&mut block, field::TIME, time);
        block[field::KIND] = self.kind;
        let target = field::TARGET.start..field::TARGET.start + self.target.len();
        block[target].copy_from_slice(self.target.as_bytes());
        block[field::MAGIC].copy_from_slice(MAGIC);
        let sum = format!("{:06o}\0 ", checksum(&block));
        block[field::CHECKSUM].copy_from_slice(sum.as_bytes());
        block
    }
}

/// Bytes that a member takes in the tar: headers, content, padding.
pub(super) fn stored_size(header: &Header) -> u64 {
    let blocks = header.blocks(0).len() as u64;
    blocks * BLOCK as u64 + header.size + padding(header.size) as u64
}

/// Bytes that fill `size` bytes up to a whole block.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("below a block");
    (BLOCK - over) % BLOCK
}

/// The sum of a header's bytes, its checksum field taken as spaces.
pub(super) fn checksum(block: &Block) -> u32 {
    let inside = &block[field::CHECKSUM];
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(block) - sum(inside) + 8 * u32::from(b' ')
}

/// The number in a field: octal digits, ended by the field's last byte; none in another form.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field.split_last()?.1).ok()?;
    if !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

/// The text of a field up to its first zero byte.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether a text goes into a header's field. What is not ASCII goes into an extended header,
/// which is UTF-8 by definition.
fn fits(text: &str) -> bool {
    text.len() <= field::NAME.len() && text.is_ascii()
}

fn put_octal(block: &mut Block, field: Range<usize>, value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}\0");
    block[field].copy_from_slice(text.as_bytes());
}

/// One record, `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits too.
fn push_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_digits() {
        let record = |value: &str| {
            let mut records = Vec::new();
            push_record(&mut records, "path", value);
            String::from_utf8(records).expect("UTF-8")
        };
        assert_eq!(record("ab"), "11 path=ab\n");
        assert_eq!(record("a"), "9 path=a\n");
        for length in 1..2000 {
            let made = record(&"a".repeat(length));
            assert_eq!(made.split(' ').next(), Some(made.len().to_string().as_str()));
        }
    }

    #[test]
    fn an_independent_reader_reads_the_header() {
        let header = Header { target: "../x".into(), kind: b'2', ..Header::manifest(0) };
        let [block] = header.blocks(1_700_000_000)[..] else { panic!("one block") };
        let read = tar::Header::from_byte_slice(&block);
        assert_eq!(read.cksum().expect("a checksum"), checksum(&block));
        assert_eq!(read.path_bytes().as_ref(), b"manifest.json");
        assert_eq!(read.link_name_bytes().expect("a target").as_ref(), b"../x");
        assert_eq!(read.mtime().expect("a time"), 1_700_000_000);
        assert_eq!(read.mode().expect("a mode"), 0o644);
        assert!(read.entry_type().is_symlink());
        assert!(read.as_ustar().is_some());
    }

    #[test]
    fn large_sizes_go_into_the_extended_header() {
        let blocks = Header::manifest(MAX_OCTAL + 1).blocks(0);
        assert_eq!(blocks.len(), 3);
        assert!(blocks[1].starts_with(b"19 size=8589934592\n"));
        assert_eq!(Header::manifest(MAX_OCTAL).blocks(0).len(), 1);
        assert_eq!(stored_size(&Header::manifest(513)), 3 * 512);
    }
}
