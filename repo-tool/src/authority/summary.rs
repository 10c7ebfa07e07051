//! What the next version changes, in words: what a holder of a key should read before signing.

use std::fmt::Display;

use countersign_format::authority::{AuthorityNote, LogRole, ServerKey};
use countersign_format::key::Vkey;
use countersign_terminal::duration;

/// The differences between the published version and the next, one a line. Without a published
/// version, all that the first one says.
pub fn summary(before: Option<&AuthorityNote>, next: &AuthorityNote) -> Vec<String> {
    let mut lines = vec![format!("version {} of {}", next.version, next.name)];
    changed(&mut lines, "expires", before.map(|note| note.expires), &next.expires);
    let role = before.map(|note| &note.authority);
    keys(&mut lines, "authority", role.map(|role| &role.keys), &next.authority.keys);
    let threshold = before.map(|note| note.authority.threshold);
    changed(&mut lines, "authority threshold", threshold, &next.authority.threshold);
    log(&mut lines, "collection", before.map(|note| &note.collection), &next.collection);
    for distribution in &next.distributions {
        let role = format!("distribution {}", distribution.name);
        let before = before.and_then(|note| note.distribution(&distribution.name));
        log(&mut lines, &role, before.map(|before| &before.log), &distribution.log);
    }
    let gone = before.into_iter().flat_map(|note| &note.distributions);
    for gone in gone.filter(|gone| next.distribution(&gone.name).is_none()) {
        lines.push(format!("distribution {} is no longer listed", gone.name));
    }
    let role = before.map(|note| &note.witnesses.keys);
    keys(&mut lines, "witness", role, &next.witnesses.keys);
    let quorum = before.map_or(0, |note| note.witnesses.quorum);
    changed(&mut lines, "witness quorum", Some(quorum), &next.witnesses.quorum);
    let role = before.map(|note| &note.directory.keys);
    keys(&mut lines, "directory", role, &next.directory.keys);
    lines
}

fn log(lines: &mut Vec<String>, role: &str, before: Option<&LogRole>, next: &LogRole) {
    if next.keys.is_empty() {
        lines.push(format!("{role} log: none yet, since no key of it is admitted"));
    } else {
        let origin = before.map(|role| role.origin.clone());
        changed(lines, &format!("{role} log"), origin, &next.origin);
    }
    let threshold = before.map(|role| role.threshold);
    changed(lines, &format!("{role} threshold"), threshold, &next.threshold);
    let age = |role: &LogRole| duration(std::time::Duration::from_secs(role.max_age));
    changed(lines, &format!("{role} maximum age"), before.map(age), &age(next));
    for key in &next.keys {
        let old = before.and_then(|role| role.keys.iter().find(|old| old.vkey == key.vkey));
        match (old, key.until) {
            (None, None) => lines.push(format!("{role} key added: {}", key_line(key))),
            (None, Some(until)) => {
                lines.push(format!("{role} key added, retired from {until} on: {}", key_line(key)));
            }
            (Some(old), Some(until)) if old.until != key.until => {
                lines.push(format!("{role} key retired from index {until} on: {}", key_line(key)));
            }
            _ => (),
        }
    }
}

/// A server's key as everybody is shown it, so that people can compare it: the server's where it
/// takes its grant, the authority's where they list it, and holders before they sign.
pub fn key_line(key: &ServerKey) -> String {
    let ordinary = if key.kgc.is_none() { ", ordinary: no grant made it" } else { "" };
    format!("{} epoch {}{ordinary}", key.vkey, key.epoch)
}

fn keys(lines: &mut Vec<String>, role: &str, before: Option<&Vec<Vkey>>, next: &[Vkey]) {
    let before = before.map_or(&[][..], Vec::as_slice);
    let added = next.iter().filter(|key| !before.contains(key));
    lines.extend(added.map(|key| format!("{role} key added: {key}")));
    let dropped = before.iter().filter(|key| !next.contains(key));
    lines.extend(dropped.map(|key| format!("{role} key no longer listed: {key}")));
}

fn changed<T: Display + PartialEq>(
    lines: &mut Vec<String>,
    what: &str,
    before: Option<T>,
    next: &T,
) {
    match before {
        Some(before) if before == *next => (),
        Some(before) => lines.push(format!("{what}: {before} becomes {next}")),
        None => lines.push(format!("{what}: {next}")),
    }
}
