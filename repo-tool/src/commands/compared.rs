//! The fingerprint of a small file that travels between people, who compare it by telephone.

use countersign_format::hash::Hash32;
use countersign_format::words::to_words;
use countersign_terminal::Output;
use serde::Serialize;

/// What two people read to each other.
#[derive(Serialize, Debug)]
pub struct Compared {
    /// SHA-256 of the file's bytes.
    fingerprint: Hash32,
    /// The same in words.
    fingerprint_words: String,
}

impl Compared {
    /// The fingerprint of a file with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let fingerprint = Hash32::of(bytes);
        Self { fingerprint, fingerprint_words: to_words(&fingerprint) }
    }

    /// Says it.
    pub fn say(&self, output: &Output) {
        output.note(format!("Its fingerprint: sha256:{}", self.fingerprint));
        output.note(format!("In words: {}", self.fingerprint_words));
    }
}
