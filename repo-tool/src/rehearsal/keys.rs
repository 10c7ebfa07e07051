//! Which keys count, before and after.

use countersign_format::authority::AuthorityNote;
use serde::Serialize;

use super::Of;
use crate::life::{Listed, listed};

/// A key, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeyChange {
    /// The role, such as `collection` or `distribution main`.
    pub role: String,
    /// Name and ID, as they stand before a signature's base64 and in `vkey`s.
    pub key: String,
    /// Counts the keys of a server.
    pub epoch: Option<u32>,
    /// What it is now; none where it is not listed.
    pub now: Option<Counts>,
    /// What it would be; none where it would not be listed.
    pub after: Option<Counts>,
}

/// What signatures of a key are worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// They count.
    Always,
    /// They count for what lies below this index of its log.
    Below(u64),
}

/// A role's threshold and the number of its keys in use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RoleChange {
    /// The role.
    pub role: String,
    /// How many must sign of how many that can, now; none where there is no such role.
    pub now: Option<Of>,
    /// And then.
    pub after: Option<Of>,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Always => formatter.write_str("counts"),
            Self::Below(index) => write!(formatter, "below entry {index}"),
        }
    }
}

/// All keys of both notes. Without a note before, all are new.
pub fn key_changes(now: Option<&AuthorityNote>, after: &AuthorityNote) -> Vec<KeyChange> {
    let mut changes: Vec<KeyChange> = Vec::new();
    let notes = [(now, false), (Some(after), true)];
    for (note, is_after) in notes {
        for Listed { role, vkey, epoch, until } in note.map(listed).unwrap_or_default() {
            let key = format!("{}+{}", vkey.name, vkey.id(vkey.kind));
            let same = |change: &KeyChange| change.role == role && change.key == key;
            let place = changes.iter().position(same).unwrap_or_else(|| {
                changes.push(KeyChange { role, key, epoch, now: None, after: None });
                changes.len() - 1
            });
            let counts = Some(until.map_or(Counts::Always, Counts::Below));
            *(if is_after { &mut changes[place].after } else { &mut changes[place].now }) = counts;
        }
    }
    // stable: the keys of a role stay in the order of their listing
    changes.sort_by_key(|change| order(&change.role));
    changes
}

fn order(role: &str) -> (u8, String) {
    let place = match role {
        "authority" => 0,
        "collection" => 1,
        "witness" => 3,
        "directory" => 4,
        _ => 2,
    };
    (place, role.to_owned())
}

/// Thresholds and numbers of keys of all roles.
pub fn role_changes(now: Option<&AuthorityNote>, after: &AuthorityNote) -> Vec<RoleChange> {
    let mut changes: Vec<RoleChange> = Vec::new();
    for (note, is_after) in [(now, false), (Some(after), true)] {
        for (role, of) in note.map(roles).unwrap_or_default() {
            let place = changes.iter().position(|change| change.role == role);
            let place = place.unwrap_or_else(|| {
                changes.push(RoleChange { role, now: None, after: None });
                changes.len() - 1
            });
            let change = &mut changes[place];
            *(if is_after { &mut change.after } else { &mut change.now }) = Some(of);
        }
    }
    changes.sort_by_key(|change| order(&change.role));
    changes
}

/// `found` is the number of keys that can sign.
fn roles(note: &AuthorityNote) -> Vec<(String, Of)> {
    let of = |keys: usize, needed| Of {
        found: u32::try_from(keys).expect("at most MAX_ROLE_KEYS"),
        needed,
    };
    let mut roles = vec![
        ("authority".to_owned(), of(note.authority.keys.len(), note.authority.threshold)),
        ("collection".to_owned(), of(note.collection.active().count(), note.collection.threshold)),
    ];
    for role in &note.distributions {
        let keys = of(role.log.active().count(), role.log.threshold);
        roles.push((format!("distribution {}", role.name), keys));
    }
    if !note.witnesses.keys.is_empty() {
        roles.push(("witness".into(), of(note.witnesses.keys.len(), note.witnesses.quorum)));
    }
    if !note.directory.keys.is_empty() {
        roles.push(("directory".into(), of(note.directory.keys.len(), 1)));
    }
    roles
}
