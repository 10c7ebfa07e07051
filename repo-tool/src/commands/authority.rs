//! What an authority's person does.

use std::path::Path;

use countersign_format::hash::Hash32;
use countersign_format::key::Vkey;
use countersign_format::words::to_words;
use countersign_store::Lock;
use countersign_terminal::{Failure, Output, Report};
use serde::Serialize;

use super::lock;
use crate::authority::{
    Authority, AuthorityError, Draft, KeySelector, Standing, summary, unproven,
};
use crate::config::AuthorityConfig;
use crate::role_dir::{self, Role, RoleDir};

pub mod admit;
pub mod change;
pub mod check;
pub mod export;
pub mod import;
pub mod init;
pub mod issue;
mod listed;
mod place;
pub mod publish;
mod rehearsal;
pub mod retire;
pub mod rotate;
pub mod show;
pub mod sign;
pub mod status;

/// Longest file with a public key: a name, an ID and 33 bytes in base64.
const MAX_VKEY_FILE: usize = 4096;

/// What comes next where signing keys lie in the authority's directory.
const IN_PLACE: &str =
    "Next: each holder signs (patchrepo authority sign), then patchrepo authority publish.";
/// What comes next where all holders have their keys elsewhere.
const BY_FILE: &str = "Next: patchrepo authority export, each holder signs the file (patchrepo sign), \
                       authority import, then authority publish.";

/// The next version: what it changes, and who has signed it.
#[derive(Serialize, Debug)]
pub struct Prepared {
    version: u64,
    changes: Vec<String>,
    standing: Vec<Standing>,
    /// SHA-256 of the text that is signed: the note's fingerprint once it is published.
    sha256: Hash32,
    /// The same in words.
    words: String,
    /// New keys of the authority that have not signed: nothing shows yet that somebody holds them.
    unproven: Vec<KeySelector>,
    /// How holders come to sign.
    #[serde(skip)]
    how_to_sign: &'static str,
    /// Whether it is for people to compare now.
    #[serde(skip)]
    is_compared: bool,
    /// Whether the changes were shown before.
    #[serde(skip)]
    changes_known: bool,
    /// Whether what comes next is said by somebody else.
    #[serde(skip)]
    next_known: bool,
}

impl Prepared {
    fn new(authority: &Authority, draft: &Draft) -> Self {
        let standing = authority.standing(draft);
        Self {
            version: draft.note().version,
            changes: summary(authority.newest(), draft.note()),
            unproven: unproven(authority.newest(), draft.note(), &standing),
            how_to_sign: if authority.own_keys().is_empty() { BY_FILE } else { IN_PLACE },
            standing,
            sha256: draft.fingerprint(),
            words: to_words(&draft.fingerprint()),
            is_compared: false,
            changes_known: false,
            next_known: false,
        }
    }

    /// For those who are about to have it signed: they read the fingerprint to the holders.
    fn for_comparison(self) -> Self {
        Self { is_compared: true, ..self }
    }

    fn without_next(self) -> Self {
        Self { next_known: true, ..self }
    }

    fn without_changes(self) -> Self {
        Self { changes_known: true, ..self }
    }
}

impl Report for Prepared {
    fn print(&self, output: &Output) {
        if !self.changes_known {
            output.print_heading(format!("Prepared: {}", self.changes[0]));
            for change in &self.changes[1..] {
                output.print_line(format!("  {change}"));
            }
        }
        if self.is_compared {
            output.print_line(format!("Its fingerprint: sha256:{}", self.sha256));
            output.print_line(format!("In words: {}", self.words));
        }
        for standing in &self.standing {
            let Standing { version, threshold, signed, unsigned, invalid } = standing;
            let count = signed.len();
            let count = if count > *threshold as usize {
                format!("{count}, {threshold} needed,")
            } else {
                format!("{count} of {threshold} needed")
            };
            output.print_line(format!("Signed by {count} of the keys of version {version}"));
            for name in signed {
                output.print_line(format!("  signed      {name}"));
            }
            for name in unsigned {
                output.print_line(format!("  not signed  {name}"));
            }
            for name in invalid {
                output.print_line(format!("  INVALID     {name}"));
            }
        }
        let met = self.standing.iter().all(Standing::is_met);
        if met {
            for key in &self.unproven {
                output.warning(format!(
                    "{key} is new and has not signed: nothing shows yet that its holder can sign with \
                     it. Let them sign, too, before this is published"
                ));
            }
        }
        if self.next_known {
            return;
        }
        if self.standing.iter().any(|standing| !standing.invalid.is_empty()) {
            output.warning(
                "a signature is not on this text: it was changed since. Sign nothing; find out who \
                 changed it, then begin again: patchrepo authority change --discard.",
            );
            return;
        }
        output.note(if met { "Next: patchrepo authority publish." } else { self.how_to_sign });
    }
}

/// Keeps other processes from changing the authority, and opens it.
fn open_locked(path: &Path, output: &Output) -> Result<(Authority, Lock), Failure> {
    let (directory, _) = RoleDir::open::<AuthorityConfig>(path, Role::Authority)?;
    let lock = lock(&directory, output)?;
    let authority = Authority::open(path)?;
    Ok((authority, lock))
}

/// Reads a public key that is given as itself or as a file that holds it.
pub(super) fn read_vkey(text: &str) -> Result<Vkey, Failure> {
    if let Ok(vkey) = text.parse() {
        return Ok(vkey);
    }
    let bytes = role_dir::read_file(Path::new(text), MAX_VKEY_FILE)?;
    let vkey: Vkey =
        String::from_utf8_lossy(&bytes).trim().parse().map_err(AuthorityError::Name)?;
    Ok(vkey)
}

pub(super) fn read_vkeys(texts: &[String]) -> Result<Vec<Vkey>, Failure> {
    texts.iter().map(|text| read_vkey(text)).collect()
}
