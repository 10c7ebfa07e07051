//! What is shown of a file.

use countersign_format::authority::{AuthorityNote, LogRole, fingerprint};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::directory::DirectoryNote;
use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::manifest::Manifest;
use countersign_format::note::Note;
use countersign_format::proof::Proof;
use countersign_terminal::{Output, Report, bytes};
use serde::Serialize;

use super::signers::{SignatureReport, Signers};
use crate::commands::filter::severity_word;

/// A file and what it is.
#[derive(Serialize)]
pub struct InspectReport {
    /// As it was named.
    pub file: String,
    /// What it is.
    #[serde(flatten)]
    pub what: Inspected,
}

/// What a file is.
#[derive(Serialize)]
pub struct Inspected {
    kind: &'static str,
    /// Label and value, for people and programs alike.
    fields: Vec<Field>,
    signatures: Vec<SignatureReport>,
    /// Whether an installation or an update would take it; null where that is not known.
    accepted: Option<bool>,
    judgement: Option<String>,
}

/// One line about a file.
#[derive(Serialize)]
struct Field {
    name: &'static str,
    value: String,
}

/// Whether the machine would take it, and why or how.
pub struct Judgement {
    accepted: bool,
    text: String,
}

impl Judgement {
    /// It would.
    pub fn good(text: String) -> Self {
        Self { accepted: true, text }
    }

    /// It would not.
    pub fn bad(text: String) -> Self {
        Self { accepted: false, text }
    }
}

impl Inspected {
    fn new(kind: &'static str, fields: Vec<(&'static str, String)>) -> Self {
        let is_said = |(_, value): &(_, String)| !value.is_empty();
        let fields = fields.into_iter().filter(is_said);
        Self {
            kind,
            fields: fields.map(|(name, value)| Field { name, value }).collect(),
            signatures: Vec::new(),
            accepted: None,
            judgement: None,
        }
    }

    fn signed(mut self, note: &Note, signers: &Signers, judgement: Option<Judgement>) -> Self {
        self.signatures = signers.of(note);
        self.accepted = judgement.as_ref().map(|judgement| judgement.accepted);
        self.judgement = judgement.map(|judgement| judgement.text);
        self
    }

    /// An archive.
    pub fn archive(manifest: &Manifest, size: u64, sha256: &Hash32) -> Self {
        let deltas = manifest.deltas.as_ref().map_or(0, |deltas| deltas.files.len());
        let hooks: Vec<_> =
            manifest.hooks.paths().into_iter().map(|path| path.as_str().to_owned()).collect();
        Self::new(
            "archive",
            vec![
                ("name", manifest.name.to_string()),
                ("version", manifest.version.to_string()),
                ("base", manifest.base.as_ref().map(ToString::to_string).unwrap_or_default()),
                ("platform", manifest.platform.to_string()),
                ("sha256", sha256.to_string()),
                ("size", format!("{size} ({})", bytes(size))),
                ("unpacked", format!("{} ({})", manifest.unpacked(), bytes(manifest.unpacked()))),
                ("files", manifest.file_count().to_string()),
                ("changes", deltas.to_string()),
                ("removes", manifest.remove.len().to_string()),
                ("hooks", hooks.join(", ")),
                ("tree", manifest.tree.to_string()),
            ],
        )
    }

    /// A patch note.
    pub fn patch_note(file: &str, entry: &PatchEntry, note: &Note, signers: &Signers) -> Self {
        let advisories: Vec<_> = entry.advisories.iter().map(ToString::to_string).collect();
        let fields = vec![
            ("name", entry.name.to_string()),
            ("version", entry.version.to_string()),
            ("base", entry.base.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("platform", entry.platform.to_string()),
            ("summary", entry.summary.to_string()),
            ("severity", severity_word(entry.severity).to_owned()),
            ("advisories", advisories.join(", ")),
            ("archive", entry.archive.sha256.to_string()),
            ("size", entry.archive.size.to_string()),
            ("collected", entry.collected.to_string()),
        ];
        let judgement = signers.judge_patch(file, entry, note);
        Self::new("patch note", fields).signed(note, signers, judgement)
    }

    /// A checkpoint.
    pub fn checkpoint(checkpoint: &Checkpoint, note: &Note, signers: &Signers) -> Self {
        let judgement = signers.judge_checkpoint(checkpoint.origin.as_str(), note);
        Self::new("checkpoint", head(checkpoint)).signed(note, signers, judgement)
    }

    /// A proof of inclusion.
    pub fn proof(proof: &Proof, signers: &Signers) -> Self {
        let mut fields =
            vec![("index", proof.index.to_string()), ("hashes", proof.hashes.len().to_string())];
        if let Ok(checkpoint) = Checkpoint::parse(proof.checkpoint.text()) {
            fields.extend(head(&checkpoint));
        }
        Self::new("proof of inclusion", fields).signed(&proof.checkpoint, signers, None)
    }

    /// An authority note.
    pub fn authority(authority: &AuthorityNote, note: &Note, signers: &Signers) -> Self {
        let log = |role: &LogRole| {
            let retired = role.keys.iter().filter(|key| key.until.is_some()).count();
            format!(
                "{}, {} of {} keys sign, {retired} retired",
                role.origin,
                role.threshold,
                role.keys.len() - retired
            )
        };
        let mut fields = vec![
            ("name", authority.name.to_string()),
            ("version", authority.version.to_string()),
            ("expires", authority.expires.to_string()),
            ("enrol with", format!("sha256:{}", fingerprint(note.text()))),
            (
                "authority",
                format!(
                    "{} of {} keys sign",
                    authority.authority.threshold,
                    authority.authority.keys.len()
                ),
            ),
            ("collection", log(&authority.collection)),
        ];
        for role in &authority.distributions {
            fields.push(("distribution", format!("{}: {}", role.name, log(&role.log))));
        }
        Self::new("authority note", fields).signed(note, signers, None)
    }

    /// A directory note.
    pub fn directory(directory: &DirectoryNote, note: &Note, signers: &Signers) -> Self {
        let mut fields = vec![
            ("name", directory.name.to_string()),
            ("version", directory.version.to_string()),
            ("expires", directory.expires.to_string()),
        ];
        for server in &directory.servers {
            fields.push(("server", server.to_string()));
        }
        Self::new("directory note", fields).signed(note, signers, None)
    }

    /// A note of another kind.
    pub fn other(note: &Note, signers: &Signers) -> Self {
        let fields = vec![("text", note.text().to_owned())];
        Self::new("note", fields).signed(note, signers, None)
    }
}

fn head(checkpoint: &Checkpoint) -> Vec<(&'static str, String)> {
    vec![
        ("log", checkpoint.origin.to_string()),
        ("size", checkpoint.size.to_string()),
        ("root", checkpoint.root.to_string()),
    ]
}

impl Report for InspectReport {
    fn print(&self, output: &Output) {
        output.print_heading(format!("{}: {}", self.file, self.what.kind));
        for Field { name, value } in &self.what.fields {
            output.print_field(name, value);
        }
        for signature in &self.what.signatures {
            output.print_field("signed", signature.text());
        }
        match (self.what.accepted, &self.what.judgement) {
            (Some(true), Some(text)) => output.print_field("accepted", format!("yes; {text}")),
            (Some(false), Some(text)) => output.print_field("accepted", format!("no: {text}")),
            _ => {}
        }
    }
}
