//! What commands of collections and distributions say before they sign anything.

use std::error::Error;

use countersign_format::policy::{Clock, check_unexpired};
use countersign_format::time::Timestamp;
use countersign_terminal::Output;

use crate::config::Fingerprint;
use crate::known_authority::KnownAuthority;
use crate::watch::Unwatched;

/// Says what a person should know of the authority before anything is signed.
pub fn say_authority(authority: &KnownAuthority, now: Timestamp, output: &Output) {
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
    let file = format!("authority/{}", newest.version);
    if let Err(error) = check_unexpired(newest, &file, Clock::local(now)) {
        output.warning(format!("clients refuse everything: {}", chain(&error)));
    }
}

/// Says which places could not be looked at.
pub fn say_unwatched(unwatched: &[Unwatched], output: &Output) {
    for place in unwatched {
        output.warning(chain(place));
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
