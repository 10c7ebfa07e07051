//! Offline proofs that an entry is in a log (C2SP `tlog-proof`).

use std::fmt::Write as _;

use crate::checkpoint::parse_decimal;
use crate::hash::Hash32;
use crate::limits::MAX_NOTE;
use crate::note::{Note, NoteError};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes in an inclusion proof: a tree has at most 2⁵³ leaves.
pub const MAX_PROOF_HASHES: usize = 53;
/// Largest proof: its checkpoint, its hashes, and opaque extra data.
pub const MAX_PROOF: usize = 2 * MAX_NOTE;

/// A `.tlog-proof` file: a checkpoint, an index, and the hashes that lead from there to its root.
/// Nothing of it is verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Index of the entry in the log.
    pub index: u64,
    /// Sibling hashes from the leaf up.
    pub hashes: Vec<Hash32>,
    /// The checkpoint, with its signatures.
    pub checkpoint: Note,
}

/// Why bytes are no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF`].
    #[error("proof is longer than {MAX_PROOF} bytes")]
    TooLong,
    /// Not UTF-8, or a line that is not as the format has it.
    #[error("proof is malformed: {0}")]
    Form(&'static str),
    /// The checkpoint in it is no note.
    #[error("the checkpoint of the proof is no note")]
    Checkpoint(#[source] NoteError),
}

impl Proof {
    /// Reads a proof. Extra data is passed over: nothing authenticates it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Form("not UTF-8"))?;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(ProofError::Form("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofError::Form("the first line is not c2sp.org/tlog-proof@v1"));
        }
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(parse_decimal)
            .ok_or(ProofError::Form("no index line"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(ProofError::Form("too many hashes"));
            }
            let hash =
                Hash32::from_base64(line).map_err(|_| ProofError::Form("a bad hash line"))?;
            hashes.push(hash);
        }
        let checkpoint =
            Note::parse(checkpoint.as_bytes(), MAX_NOTE).map_err(ProofError::Checkpoint)?;
        Ok(Self { index, hashes, checkpoint })
    }

    /// The proof as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\nindex {}\n", self.index);
        for hash in &self.hashes {
            writeln!(text, "{}", hash.to_base64()).expect("a String takes all");
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend(self.checkpoint.to_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: &str = "c2sp.org/tlog-proof@v1
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJwAA
";

    #[test]
    fn round_trip() {
        let proof = Proof::parse(PROOF.as_bytes()).expect("a proof");
        assert_eq!(proof.index, 73_894);
        assert_eq!(proof.hashes.len(), 2);
        assert_eq!(proof.to_bytes(), PROOF.as_bytes());
        let with_extra = PROOF.replace("index", "extra AAAA\nindex");
        assert_eq!(Proof::parse(with_extra.as_bytes()), Ok(proof));
    }

    #[test]
    fn refuses_malformed_ones() {
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 7", "index 07"),
            ("index", "Index"),
            ("gSKy", "gSK"),
            ("— example", "- example"),
        ] {
            assert!(Proof::parse(PROOF.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
        }
        let many = PROOF.replace("109482", "1").replace(
            "\n\nexample",
            &format!("{}\n\nexample", "\nB95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=".repeat(52)),
        );
        assert_eq!(Proof::parse(many.as_bytes()), Err(ProofError::Form("too many hashes")));
    }
}
