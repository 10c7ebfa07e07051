//! What each kind of file says, as labels and values.

use countersign_format::archive::Checked;
use countersign_format::authority::{AuthorityNote, LogRole, fingerprint};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::directory::DirectoryNote;
use countersign_format::entry::PatchEntry;
use countersign_format::issue::{Acceptance, Grant, Request};
use countersign_format::limits::TILE_WIDTH;
use countersign_format::note::Note;
use countersign_format::pack::PackReader;
use countersign_format::policy::Chain;
use countersign_format::proof::Proof;
use countersign_format::tile::{entries, parse_tile};
use serde::Serialize;

use super::{Inspected, KnownKeys};

/// One thing that a file says.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// What it is about.
    pub name: &'static str,
    /// What it says; several lines where there are several.
    pub value: String,
}

fn shown(kind: &'static str, fields: Vec<(&'static str, String)>) -> Inspected {
    let is_said = |(_, value): &(_, String)| !value.is_empty();
    let fields = fields.into_iter().filter(is_said);
    let fields = fields.map(|(name, value)| Field { name, value }).collect();
    Inspected { kind, fields, signatures: Vec::new() }
}

fn signed(mut shown: Inspected, note: &Note, keys: &KnownKeys) -> Inspected {
    shown.signatures = keys.lines(note);
    shown
}

pub(super) fn archive(checked: &Checked) -> Inspected {
    let (manifest, announced) = (checked.manifest(), checked.announced());
    let deltas = manifest.deltas.as_ref().map_or(0, |deltas| deltas.files.len());
    let hooks = manifest.hooks.paths();
    let hooks: Vec<_> = hooks.into_iter().map(ToString::to_string).collect();
    shown(
        "archive",
        vec![
            ("name", manifest.name.to_string()),
            ("version", manifest.version.to_string()),
            ("base", option(manifest.base.as_ref())),
            ("platform", manifest.platform.to_string()),
            ("sha256", announced.sha256.to_string()),
            ("size", announced.size.to_string()),
            ("unpacked", announced.unpacked.to_string()),
            ("files", announced.files.to_string()),
            ("changes", deltas.to_string()),
            ("removes", manifest.remove.len().to_string()),
            ("hooks", hooks.join(", ")),
            ("tree", manifest.tree.to_string()),
        ],
    )
}

pub(super) fn patch_note(entry: &PatchEntry, note: &Note, keys: &KnownKeys) -> Inspected {
    let advisories: Vec<_> = entry.advisories.iter().map(ToString::to_string).collect();
    let fields = vec![
        ("name", entry.name.to_string()),
        ("version", entry.version.to_string()),
        ("base", option(entry.base.as_ref())),
        ("platform", entry.platform.to_string()),
        ("summary", entry.summary.to_string()),
        ("severity", entry.severity.to_string()),
        ("advisories", advisories.join(", ")),
        ("archive", entry.archive.sha256.to_string()),
        ("size", entry.archive.size.to_string()),
        ("collected", entry.collected.to_string()),
    ];
    signed(shown("patch note", fields), note, keys)
}

pub(super) fn checkpoint(head: &Checkpoint, note: &Note, keys: &KnownKeys) -> Inspected {
    signed(shown("checkpoint", of_head(head)), note, keys)
}

fn of_head(head: &Checkpoint) -> Vec<(&'static str, String)> {
    vec![
        ("log", head.origin.to_string()),
        ("size", head.size.to_string()),
        ("root", head.root.to_base64()),
    ]
}

pub(super) fn proof(proof: &Proof, keys: &KnownKeys) -> Inspected {
    let mut fields =
        vec![("index", proof.index.to_string()), ("hashes", proof.hashes.len().to_string())];
    if let Ok(head) = Checkpoint::parse(proof.checkpoint.text()) {
        fields.extend(of_head(&head));
    }
    signed(shown("proof of inclusion", fields), &proof.checkpoint, keys)
}

/// An authority note vouches for its own keys, so its lines are always checked. Keys that signed
/// as those of the version before are known by `keys` or not at all.
pub(super) fn authority(
    authority: &AuthorityNote,
    note: &Note,
    bytes: &[u8],
    keys: &KnownKeys,
) -> Inspected {
    let own = match Chain::enroll(bytes, "authority note") {
        Ok(_) => "signed by its own threshold".to_owned(),
        Err(error) => format!("refused: {}", error.refusal),
    };
    let quorum = |threshold: u32, keys: usize| format!("{threshold} of {keys} keys sign");
    let mut fields = vec![
        ("name", authority.name.to_string()),
        ("version", authority.version.to_string()),
        ("expires", authority.expires.to_string()),
        ("sha256", fingerprint(note.text()).to_string()),
        ("itself", own),
        ("authority", quorum(authority.authority.threshold, authority.authority.keys.len())),
        ("collection", log_role(&authority.collection)),
    ];
    for role in &authority.distributions {
        fields.push(("distribution", format!("{}: {}", role.name, log_role(&role.log))));
    }
    let mut shown = signed(shown("authority note", fields), note, &KnownKeys::of(authority));
    for (line, known) in shown.signatures.iter_mut().zip(keys.lines(note)) {
        if line.role.is_none() {
            *line = known;
        }
    }
    shown
}

fn log_role(role: &LogRole) -> String {
    let active = role.active().count();
    let retired = role.keys.len() - active;
    format!("{}, {} of {active} keys sign, {retired} retired", role.origin, role.threshold)
}

pub(super) fn directory(directory: &DirectoryNote, note: &Note, keys: &KnownKeys) -> Inspected {
    let mut fields = vec![
        ("name", directory.name.to_string()),
        ("version", directory.version.to_string()),
        ("expires", directory.expires.to_string()),
    ];
    for server in &directory.servers {
        fields.push(("server", server.to_string()));
    }
    signed(shown("directory note", fields), note, keys)
}

/// An acceptance that carries the key that signed it.
pub(super) fn acceptance(acceptance: &Acceptance, note: &Note) -> Inspected {
    let fields = vec![
        ("id", acceptance.id.to_string()),
        ("role", acceptance.role.to_string()),
        ("epoch", acceptance.epoch.to_string()),
        ("key", acceptance.vkey.to_string()),
        ("itself", "signed by the key that it carries".to_owned()),
    ];
    signed(shown("acceptance of a key", fields), note, &KnownKeys::none())
}

pub(super) fn request(request: &Request) -> Inspected {
    let fields = vec![("id", request.id.to_string()), ("role", request.role.to_string())];
    shown("request for a key", fields)
}

pub(super) fn grant(grant: &Grant) -> Inspected {
    let fields = vec![
        ("id", grant.id.to_string()),
        ("role", grant.role.to_string()),
        ("epoch", grant.epoch.to_string()),
    ];
    shown("grant of a partial key", fields)
}

pub(super) fn entry(bytes: &[u8]) -> Inspected {
    shown("log entry", vec![("text", String::from_utf8_lossy(bytes).trim_end().to_owned())])
}

pub(super) fn other(note: &Note, keys: &KnownKeys) -> Inspected {
    signed(shown("note", vec![("text", note.text().to_owned())]), note, keys)
}

/// A hash tile; none if the bytes are no tile.
pub(super) fn tile(bytes: &[u8]) -> Option<Inspected> {
    let width = u16::try_from(bytes.len() / 32).ok()?;
    if width == 0 || usize::from(width) > TILE_WIDTH {
        return None;
    }
    let hashes = parse_tile(bytes, width).ok()?;
    Some(shown(
        "hash tile",
        vec![
            ("hashes", hashes.len().to_string()),
            ("first", hashes.first()?.to_string()),
            ("last", hashes.last()?.to_string()),
        ],
    ))
}

/// An entry bundle; none if the bytes are no bundle.
pub(super) fn bundle(bytes: &[u8]) -> Option<Inspected> {
    let mut found = Entries::default();
    entries(bytes).try_for_each(|entry| entry.map(|entry| found.add(entry))).ok()?;
    (!bytes.is_empty()).then(|| found.shown("entry bundle", bytes))
}

/// A pack; none if the bytes are no pack.
pub(super) fn pack(bytes: &[u8]) -> Option<Inspected> {
    let mut found = Entries::default();
    let mut reader = PackReader::of_any_count(bytes).ok()?;
    while let Some(entry) = reader.read().ok()? {
        found.add(entry);
    }
    (found.count > 0).then(|| found.shown("pack of entries", bytes))
}

/// What people are told of many entries.
#[derive(Default)]
struct Entries {
    count: u64,
    first: String,
    last: String,
}

impl Entries {
    fn add(&mut self, entry: &[u8]) {
        String::from_utf8_lossy(entry).trim_end().clone_into(&mut self.last);
        if self.count == 0 {
            self.first.clone_from(&self.last);
        }
        self.count += 1;
    }

    fn shown(self, kind: &'static str, bytes: &[u8]) -> Inspected {
        let (entries, bytes) = (self.count.to_string(), bytes.len().to_string());
        let fields = vec![("entries", entries), ("bytes", bytes)];
        shown(kind, [fields, vec![("first", self.first), ("last", self.last)]].concat())
    }
}

fn option(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
