//! One thing that is to be signed.

use std::fmt;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::note::SignatureLine;
use countersign_terminal::bytes;
use serde::{Deserialize, Serialize};

use super::{Growth, print};

/// What kind of signature is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The collection's on a patch note.
    Patch,
    /// A distribution's on a patch note with its first signatures.
    Countersignature,
    /// A timestamped one on a log's head; on a log of one's own a plain one too.
    Head,
}

/// One thing that is to be signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// What kind of signature is asked for.
    pub kind: Kind,
    /// The note's text, to the byte.
    pub text: String,
    /// Of a patch: leaf index of its entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Of a countersignature: the first signatures, as they stand on the note.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
    /// Of a countersignature: the proof that the entry at `index` of the collection's log is this
    /// patch's, under the head in [`super::SigningRequest::collection`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inclusion: Vec<Hash32>,
    /// Of a head: whether the log is the signer's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own: bool,
    /// Of a head: the proof that its tree extends an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Item {
    /// A patch for the collection to sign.
    pub fn patch(text: String, index: u64) -> Self {
        Self {
            kind: Kind::Patch,
            text,
            index: Some(index),
            first: Vec::new(),
            inclusion: Vec::new(),
            own: false,
            growth: None,
        }
    }

    /// A patch with its first signatures for a distribution to countersign.
    pub fn countersignature(text: String, index: u64, first: &[SignatureLine]) -> Self {
        let first = first.iter().map(print).collect();
        Self { kind: Kind::Countersignature, first, ..Self::patch(text, index) }
    }

    /// A log's head; `own` where the log is the signer's.
    pub fn head(head: &Checkpoint, own: bool) -> Self {
        let text = head.to_string();
        Self { kind: Kind::Head, own, index: None, ..Self::patch(text, 0) }
    }

    /// What a signature names it by: the hash of all that is signed but the time.
    pub fn id(&self) -> Hash32 {
        let kind: &[u8] = match self.kind {
            Kind::Patch => b"patch\n",
            Kind::Countersignature => b"countersignature\n",
            Kind::Head => b"head\n",
        };
        Hash32::of_parts(&[kind, self.text.as_bytes(), b"\n", self.first.join("\n").as_bytes()])
    }

    /// The first signatures that are countersigned. Lines that are none are left out; so nobody's
    /// signature fits them.
    pub fn first_lines(&self) -> Vec<SignatureLine> {
        self.first.iter().filter_map(|line| SignatureLine::parse(line)).collect()
    }

    /// The head, if it is one.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        (self.kind == Kind::Head).then(|| Checkpoint::parse(&self.text).ok())?
    }

    /// The patch, if it is one.
    pub fn entry(&self) -> Option<PatchEntry> {
        (self.kind != Kind::Head).then(|| PatchEntry::parse(self.text.as_bytes()).ok())?
    }
}

/// In words, for whoever is to sign it.
impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(head) = self.checkpoint() {
            let entries = if head.size == 1 { "entry" } else { "entries" };
            return write!(formatter, "head of {} with {} {entries}", head.origin, head.size);
        }
        let Some(entry) = self.entry() else { return formatter.write_str("what is no patch") };
        let base =
            entry.base.as_ref().map_or_else(|| "full".to_owned(), |base| format!("on {base}"));
        let size = bytes(entry.archive.size);
        write!(
            formatter,
            "patch {}@{} ({base}, {}, {size})",
            entry.name, entry.version, entry.platform
        )
    }
}
