//! Keys that a name has already, for whoever is asked to give it another.

use countersign_format::key::KeyName;
use countersign_format::policy::SignerTimes;
use countersign_store::Location;
use countersign_terminal::{Failure, Output};

use super::place::read_notes;
use crate::authority::Authority;
use crate::life::{KeyLife, keys};

/// The keys that any published version lists under `id`.
pub(super) fn keys_of(
    authority: &Authority,
    id: &KeyName,
    output: &Output,
) -> Result<Vec<KeyLife>, Failure> {
    if authority.chain().is_none() {
        return Ok(Vec::new());
    }
    let public = Location::Directory(authority.directory().public());
    let versions = read_notes(&public, output)?.versions;
    let lives = keys(&versions, &SignerTimes::new());
    Ok(lives.into_iter().filter(|life| life.name == *id).collect())
}

/// Warns of keys that the name has: anybody can ask for a further one.
pub(super) fn warn_listed(id: &str, lives: &[KeyLife], output: &Output) {
    if lives.is_empty() {
        return;
    }
    let one = |life: &KeyLife| {
        let KeyLife { id, since_version, .. } = life;
        let epoch = life.epoch.map(|epoch| format!("epoch {epoch}, ")).unwrap_or_default();
        let since = life.since.map(|time| format!(" of {time}")).unwrap_or_default();
        let state = match (life.dropped, life.retired_from) {
            (true, _) => ", no longer listed".to_owned(),
            (false, Some(until)) => format!(", retired from entry {until} on"),
            (false, None) => String::new(),
        };
        format!("{epoch}key {id}, since version {since_version}{since}{state}")
    };
    let list: Vec<_> = lives.iter().map(one).collect();
    output.warning(format!(
        "{id} has a key already: {}. Anybody can ask for another under that name: call its people \
         before you go on, and compare the fingerprint.",
        list.join("; ")
    ));
}
