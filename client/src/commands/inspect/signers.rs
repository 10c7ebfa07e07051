//! Who the lines of a note belong to, by the authorities that this machine is enrolled with.

use countersign_format::authority::AuthorityNote;
use countersign_format::entry::PatchEntry;
use countersign_format::key::{KeyName, PublicKey, SignatureType};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{PatchContext, verify_patch};
use patchctl::catalogue::Catalogue;
use patchctl::db::Database;
use serde::Serialize;

use super::report::Judgement;
use crate::explain::one_line;
use crate::session::Session;

/// What an enrolled machine knows of signers.
pub struct Signers {
    known: Option<(Database, Catalogue)>,
}

/// One line of a note.
#[derive(Serialize)]
pub struct SignatureReport {
    /// The key's name.
    name: String,
    /// Its ID, in hex.
    id: String,
    /// Which kind of line it is, where the key is known.
    kind: Option<&'static str>,
    /// Whose key it is.
    role: Option<String>,
    /// When a timestamped line says that it was made.
    time: Option<String>,
}

/// A key that an authority lists.
struct ListedKey {
    name: KeyName,
    key: PublicKey,
    role: String,
}

impl Signers {
    /// What this machine knows; nothing where it is not enrolled or its state cannot be read.
    pub fn load(session: &Session<'_>) -> Self {
        let known = || {
            let database = Database::open_read_only(&session.places.database()).ok()?;
            let catalogue = session.catalogue(&database).ok()?;
            Some((database, catalogue))
        };
        Self { known: known() }
    }

    /// The lines of a note.
    pub fn of(&self, note: &Note) -> Vec<SignatureReport> {
        let keys: Vec<ListedKey> = self.authorities().flat_map(listed).collect();
        note.signatures().iter().map(|line| report(line, &keys)).collect()
    }

    /// Judges a patch note as an installation would.
    pub fn judge_patch(&self, file: &str, entry: &PatchEntry, note: &Note) -> Option<Judgement> {
        let (database, catalogue) = self.known.as_ref()?;
        let held = catalogue.offers_of_archive(database, &entry.archive.sha256).ok()?;
        let Some(offer) = held.into_iter().next() else {
            return Some(Judgement::bad("no held log has this patch".to_owned()));
        };
        let source = &catalogue.sources()[offer.source];
        let released = source.first_release(offer.patch.leaf).unwrap_or(u64::MAX);
        let context = PatchContext {
            file,
            authority: source.trust.authority(),
            entry: &offer.patch.bytes,
            index: offer.patch.leaf,
        };
        let distribution = source.trust.distribution().ok()?;
        let judged = verify_patch(&note.to_bytes(), &context, distribution, released);
        Some(match judged {
            Ok(_) => Judgement::good(offer.gate.to_string()),
            Err(error) => Judgement::bad(one_line(&error)),
        })
    }

    /// Judges a checkpoint as an update would.
    pub fn judge_checkpoint(&self, origin: &str, note: &Note) -> Option<Judgement> {
        let (_, catalogue) = self.known.as_ref()?;
        for source in catalogue.sources() {
            for head in [&source.heads.collection, &source.heads.distribution] {
                let role = source.trust.log_role(head.log).ok()?;
                if role.origin.as_str() != origin {
                    continue;
                }
                let judged = source.trust.verify_head(head, &note.to_bytes(), source.clock);
                return Some(match judged {
                    Ok(_) => Judgement::good("fresh".to_owned()),
                    Err(error) => Judgement::bad(one_line(&error)),
                });
            }
        }
        None
    }

    fn authorities(&self) -> impl Iterator<Item = &AuthorityNote> {
        let sources = self.known.iter().flat_map(|(_, catalogue)| catalogue.sources());
        sources.map(|source| source.trust.authority())
    }
}

/// The keys that an authority note lists, with the roles in words.
fn listed(note: &AuthorityNote) -> Vec<ListedKey> {
    let mut keys = Vec::new();
    let logs = note.distributions.iter();
    let logs = logs.map(|role| (format!("distribution {}", role.name), &role.log));
    for (role, log) in logs.chain([("collection".to_owned(), &note.collection)]) {
        keys.extend(log.keys.iter().map(|key| ListedKey {
            name: key.id.clone(),
            key: key.vkey.key.clone(),
            role: role.clone(),
        }));
    }
    let others = [
        ("authority", &note.authority.keys),
        ("witness", &note.witnesses.keys),
        ("directory", &note.directory.keys),
    ];
    for (role, vkeys) in others {
        keys.extend(vkeys.iter().map(|vkey| ListedKey {
            name: vkey.name.clone(),
            key: vkey.key.clone(),
            role: role.to_owned(),
        }));
    }
    keys
}

fn report(line: &SignatureLine, keys: &[ListedKey]) -> SignatureReport {
    let kinds = [
        (SignatureType::Note, "signature"),
        (SignatureType::Cosignature, "timestamped signature"),
        (SignatureType::Countersignature, "countersignature"),
    ];
    let found = keys.iter().filter(|key| key.name == line.name).find_map(|key| {
        let is_it = |(kind, _): &&(SignatureType, _)| kind.key_id(&key.name, &key.key) == line.id;
        kinds.iter().find(is_it).map(|(kind, word)| (key, *kind, *word))
    });
    let time = match found {
        Some((_, SignatureType::Cosignature, _)) => line.body.first_chunk::<8>(),
        _ => None,
    };
    SignatureReport {
        name: line.name.to_string(),
        id: line.id.to_string(),
        kind: found.map(|(_, _, word)| word),
        role: found.map(|(key, _, _)| key.role.clone()),
        time: time.map(|bytes| {
            let seconds = i64::from_be_bytes(*bytes);
            countersign_terminal::time(seconds)
        }),
    }
}

impl SignatureReport {
    /// In words.
    pub fn text(&self) -> String {
        let Self { name, id, kind, role, time } = self;
        match (kind, role) {
            (Some(kind), Some(role)) => {
                let time = time.as_ref().map_or(String::new(), |time| format!(" of {time}"));
                format!("{kind}{time} by the {role}, key {name} (ID {id})")
            }
            _ => format!("by a key that is not known here: {name} (ID {id})"),
        }
    }
}
