//! What this machine is: its platform, and its place in rollouts.

use countersign_format::hash::Hash32;
use countersign_format::name::{NameError, Platform};

/// The platform that this program was built for, in the words that patches use.
pub fn platform() -> Result<Platform, NameError> {
    Platform::new(std::env::consts::OS, std::env::consts::ARCH)
}

/// A new machine's identity: 32 lowercase hex digits, drawn at random at enrolment.
///
/// It is not `/etc/machine-id`, which images that are copied carry along and which is not to be
/// shown to others. It decides nothing but a machine's place in rollouts, and leaves it never.
pub fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes[..16])?;
    let mut digits = Hash32(bytes).to_string();
    digits.truncate(32);
    Ok(digits)
}
