//! Signed notes: a text, an empty line, signature lines (C2SP `signed-note`; SPEC §3).

use std::fmt::Write as _;

use data_encoding::BASE64;

use crate::base64;
use crate::key::{KeyId, KeyName};
use crate::limits::MAX_SIGNATURE_LINES;

/// A note as read: text and signature lines, of which nothing is verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature line: `— <name> <base64 of key ID and signature>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureLine {
    /// The name of the key that is said to have signed.
    pub name: KeyName,
    /// The ID of that key.
    pub id: KeyId,
    /// What follows the key ID; its form depends on the type of signature.
    pub body: Vec<u8>,
}

/// Why bytes are no note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than notes of its kind may be.
    #[error("note is longer than {0} bytes")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("note is not UTF-8")]
    Utf8,
    /// A control character other than the newline.
    #[error("note has a control character at byte {0}")]
    Control(usize),
    /// No empty line between text and signatures, or the text does not end in a newline.
    #[error("note has no empty line between its text and its signatures")]
    NoSignatureBlock,
    /// The signature block has no line.
    #[error("note has an empty signature block")]
    NoSignatures,
    /// More than [`MAX_SIGNATURE_LINES`] signature lines.
    #[error("note has more than {MAX_SIGNATURE_LINES} signature lines")]
    TooManySignatures,
    /// A signature line is not `— <name> <base64>`, or not in its one form.
    #[error("signature line {0} is malformed")]
    SignatureLine(usize),
    /// Two lines of the same key name and key ID: one key signs once.
    #[error("signature lines of key {0} with ID {1} stand twice")]
    Duplicate(KeyName, KeyId),
}

impl Note {
    /// Reads a note of at most `limit` bytes.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, NoteError> {
        if bytes.len() > limit {
            return Err(NoteError::TooLong(limit));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        if let Some(at) = whole.bytes().position(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Control(at));
        }
        // signature lines hold no empty line, so the last one is the separator
        let split = whole.rfind("\n\n").ok_or(NoteError::NoSignatureBlock)?;
        let (text, block) = (&whole[..=split], &whole[split + 2..]);
        Ok(Self { text: text.to_owned(), signatures: parse_block(block)? })
    }

    /// A note of `text`, which ends in a newline, with `signatures`.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Self {
        Self { text, signatures }
    }

    /// The text, final newline included: what was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The same text with `lines` after those there are.
    #[must_use]
    pub fn with(mut self, lines: impl IntoIterator<Item = SignatureLine>) -> Self {
        self.signatures.extend(lines);
        self
    }

    /// The note as bytes. `Note::parse` of them gives this note again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut whole = format!("{}\n", self.text);
        for line in &self.signatures {
            line.print(&mut whole);
        }
        whole.into_bytes()
    }
}

impl SignatureLine {
    /// Appends the line, newline included.
    pub fn print(&self, to: &mut String) {
        let body = [self.id.0.as_slice(), &self.body].concat();
        writeln!(to, "— {} {}", self.name, BASE64.encode(&body)).expect("a String takes all");
    }

    /// Reads a line without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, body) = line.strip_prefix("— ")?.split_once(' ')?;
        let body = base64::decode(body)?;
        let (id, body) = body.split_first_chunk::<4>()?;
        if body.is_empty() {
            return None;
        }
        Some(Self { name: name.parse().ok()?, id: KeyId(*id), body: body.to_vec() })
    }
}

fn parse_block(block: &str) -> Result<Vec<SignatureLine>, NoteError> {
    if block.is_empty() {
        return Err(NoteError::NoSignatures);
    }
    let block = block.strip_suffix('\n').ok_or(NoteError::NoSignatureBlock)?;
    let mut signatures: Vec<SignatureLine> = Vec::new();
    for (index, line) in block.split('\n').enumerate() {
        if index == MAX_SIGNATURE_LINES {
            return Err(NoteError::TooManySignatures);
        }
        let line = SignatureLine::parse(line).ok_or(NoteError::SignatureLine(index + 1))?;
        if signatures.contains(&line) {
            return Err(NoteError::Duplicate(line.name, line.id));
        }
        signatures.push(line);
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_NOTE;

    const LINE: &str = "— example.org/a AQIDBAUGBw==\n";

    fn parse(text: &str) -> Result<Note, NoteError> {
        Note::parse(text.as_bytes(), MAX_NOTE)
    }

    #[test]
    fn the_last_empty_line_separates() {
        let whole = format!("first\n\nthird\n\n{LINE}");
        let note = parse(&whole).expect("a note");
        assert_eq!(note.text(), "first\n\nthird\n");
        assert_eq!(note.signatures()[0].id, KeyId([1, 2, 3, 4]));
        assert_eq!(note.signatures()[0].body, [5, 6, 7]);
        assert_eq!(note.to_bytes(), whole.as_bytes());
    }

    #[test]
    fn malformed_notes_are_told_apart() {
        assert_eq!(parse("text\n"), Err(NoteError::NoSignatureBlock));
        assert_eq!(parse("text\n\n"), Err(NoteError::NoSignatures));
        assert_eq!(parse("te\txt\n\n"), Err(NoteError::Control(2)));
        assert_eq!(parse("text\r\n\n"), Err(NoteError::Control(4)));
        let unfinished = format!("text\n\n{}", LINE.trim_end());
        assert_eq!(parse(&unfinished), Err(NoteError::NoSignatureBlock));
        let hyphen = format!("text\n\n{}", LINE.replace('—', "-"));
        assert_eq!(parse(&hyphen), Err(NoteError::SignatureLine(1)));
        let no_body = "text\n\n— example.org/a AQIDBA==\n";
        assert_eq!(parse(no_body), Err(NoteError::SignatureLine(1)));
        let loose_base64 = format!("text\n\n{}", LINE.replace("w==", "x=="));
        assert_eq!(parse(&loose_base64), Err(NoteError::SignatureLine(1)));
        let plus = format!("text\n\n{}", LINE.replace("example.org/a", "example+org"));
        assert_eq!(parse(&plus), Err(NoteError::SignatureLine(1)));
        assert_eq!(Note::parse(b"\xff\n\n", MAX_NOTE), Err(NoteError::Utf8));
        assert_eq!(Note::parse(&[b'a'; 65], 64), Err(NoteError::TooLong(64)));
    }

    #[test]
    fn a_line_has_one_spelling() {
        // the same bytes in two padded pieces
        let pieces = "text\n\n— example.org/a AQIDBA==BQYH\n";
        assert_eq!(parse(pieces), Err(NoteError::SignatureLine(1)));
        let whole = format!("text\n\n{LINE}");
        assert_eq!(parse(&whole).map(|note| note.to_bytes()), Ok(whole.into_bytes()));
    }

    #[test]
    fn lines_are_counted_and_unique() {
        let lines = |count: u8| -> String {
            let line = |n| SignatureLine {
                name: "example.org/a".parse().expect("a name"),
                id: KeyId([0, 0, 0, n]),
                body: vec![1],
            };
            let mut whole = String::from("text\n\n");
            (0..count).for_each(|n| line(n).print(&mut whole));
            whole
        };
        assert_eq!(parse(&lines(64)).map(|note| note.signatures().len()), Ok(64));
        assert_eq!(parse(&lines(65)), Err(NoteError::TooManySignatures));
        let twice = format!("text\n\n{LINE}{LINE}");
        assert!(matches!(parse(&twice), Err(NoteError::Duplicate(..))));
    }
}
