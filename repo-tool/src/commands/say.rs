//! What commands of collections and distributions say before they sign anything.

use std::fmt;

use countersign_format::policy::{Clock, check_unexpired};
use countersign_format::time::Timestamp;
use countersign_store::mirrors::chain;
use countersign_terminal::Output;
use serde::Serialize;

use crate::config::Fingerprint;
use crate::directory_copy::Carried;
use crate::known_authority::KnownAuthority;
use crate::role_dir::RoleDir;
use crate::server::{self, Unlisted};
use crate::watch::Unwatched;

/// Says what a person should know of the authority, and of the keys of the server in `directory`,
/// before anything is signed.
pub fn say_authority(
    authority: &KnownAuthority,
    directory: &RoleDir,
    now: Timestamp,
    output: &Output,
) {
    if let Some(fingerprint) = authority.trusted_now() {
        let fingerprint = Fingerprint(fingerprint);
        output.warning(format!(
            "trusting the authority note {fingerprint} that was found; compare it with what the \
             authority's people say"
        ));
    }
    for version in authority.passed_over() {
        let (number, why) = (version.version, &version.why);
        output.warning(format!("authority note {number} is passed over: {why}"));
    }
    if let Some(error) = authority.unreachable() {
        output.warning(format!("the authority was not asked for newer notes: {}", chain(error)));
    }
    let newest = authority.chain().newest();
    if let Some(why) = authority.waits_for() {
        let (version, shown) = (newest.version, authority.shown());
        output.warning(format!(
            "version {version} of the authority waits, and clients go by version {shown}, until heads \
             are published that satisfy it: {why}"
        ));
    }
    let file = format!("authority/{}", newest.version);
    if let Err(error) = check_unexpired(newest, &file, Clock::local(now)) {
        output.warning(format!("clients refuse everything: {}", chain(&error)));
    }
    say_unlisted(authority, directory, output);
}

/// Warns of a key that the server accepted and does not sign with, since the note that lists it is
/// not here: where the older one was stolen, its signatures are worth nothing.
pub fn say_unlisted(authority: &KnownAuthority, directory: &RoleDir, output: &Output) {
    // a key that cannot be read is an error where it signs
    let Ok(Some(Unlisted { epoch, grant })) =
        server::newer_unlisted(directory, authority.chain().newest())
    else {
        return;
    };
    output.warning(format!(
        "this server accepted a key of epoch {epoch} ({}), and {} and does not list it: an older key \
         signs. If the authority has published the note that lists it, bring that here before \
         anything is signed",
        grant.display(),
        WorkedWith::new(authority),
    ));
}

/// Says that clients go by a note from now on that waited until now.
pub fn say_shown(authority: &KnownAuthority, output: &Output) {
    if authority.waits_for().is_some() {
        let version = authority.chain().newest().version;
        output.note(format!("Clients go by version {version} of the authority from now on."));
    }
}

/// The version that a server works with, and where newer ones were looked for.
#[derive(Serialize)]
pub struct WorkedWith {
    /// The newest version that is known.
    authority: u64,
    /// Where newer ones were looked for.
    authority_from: Vec<String>,
}

impl WorkedWith {
    /// What is known now.
    pub fn new(known: &KnownAuthority) -> Self {
        Self { authority: known.chain().newest().version, authority_from: known.asked().to_vec() }
    }
}

impl fmt::Display for WorkedWith {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "version {} of the authority is the newest known here ", self.authority)?;
        if self.authority_from.is_empty() {
            return write!(formatter, "(config.toml names no place of newer ones)");
        }
        // it may be newer than what is there
        write!(formatter, "(looked in {})", self.authority_from.join(" and in "))
    }
}

/// Says what became of the directory that a distribution carries.
pub fn say_directory(carried: Option<&Carried>, output: &Output) {
    match carried {
        Some(Carried::Taken(version)) => {
            output.note(format!("Version {version} of the directory is carried from now on."));
        }
        Some(Carried::Refused(why)) => {
            output.warning(format!("the directory is not taken: {}", chain(why)));
        }
        Some(Carried::Same) | None => {}
    }
}

/// Says which places could not be looked at.
pub fn say_unwatched(unwatched: &[Unwatched], output: &Output) {
    for place in unwatched {
        output.warning(chain(place));
    }
}
