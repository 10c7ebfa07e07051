//! Statements that contradict each other are kept, so that people can show them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_store::durable::{Access, write_atomic};

use super::Attempt;
use super::error::EvidenceKept;

/// Most cases of evidence that are kept: whoever serves forks must not fill the disk.
pub const MAX_EVIDENCE: usize = 100;
/// Most of them that prove nothing against a key. Any server that alters entries can make one with
/// every head, and must not use up the room for those that do.
pub const MAX_UNPROVEN: usize = 20;
/// What the name of a case ends with that a server alone can make.
const UNPROVEN: &str = "-unproven";

/// What a case shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Signed statements contradict each other: a key is in wrong hands.
    Signed,
    /// Entries do not fit a signed head: the log was rewritten, or a server altered what it serves.
    Served,
}

impl Attempt<'_, '_> {
    /// Keeps two notes that contradict each other and what there is to say about them. A failure
    /// to keep them must not hide what they show, so it becomes part of the message.
    pub(super) fn keep(
        &self,
        proof: Proof,
        log: Log,
        [held, found]: [&[u8]; 2],
        about: &str,
    ) -> EvidenceKept {
        let digest = Hash32::of_parts(&[held, found]).to_string();
        let ending = if proof == Proof::Served { UNPROVEN } else { "" };
        let name = format!("{log}-{}{ending}", &digest[..16]);
        let case = self.updater.places.evidence().join(name);
        let about = format!("{about}Noted on {}.\n", self.updater.now);
        let files = [("held", held), ("found", found), ("about", about.as_bytes())];
        EvidenceKept(write(&case, files).map(|()| case).map_err(|error| error.to_string()))
    }
}

fn write(case: &Path, files: [(&str, &[u8]); 3]) -> io::Result<()> {
    if case.try_exists()? {
        return Ok(());
    }
    let directory = case.parent().expect("a case lies in a directory");
    fs::create_dir_all(directory)?;
    let name = case.file_name().expect("a case has a name");
    let is_unproven = |name: &OsStr| name.as_encoded_bytes().ends_with(UNPROVEN.as_bytes());
    let (mut all, mut unproven) = (0, 0);
    for entry in fs::read_dir(directory)? {
        all += 1;
        unproven += usize::from(is_unproven(&entry?.file_name()));
    }
    if all >= MAX_EVIDENCE || (is_unproven(name) && unproven >= MAX_UNPROVEN) {
        return Err(io::Error::other(format!("there are {all} cases already")));
    }
    // the case appears complete or not at all
    let unfinished = directory.join(format!(".new-{}", name.to_string_lossy()));
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(&unfinished)?,
    }
    for (name, bytes) in files {
        write_atomic(&unfinished, &PathBuf::from(name), bytes, Access::Public)?;
    }
    fs::rename(&unfinished, case)?;
    fs::File::open(directory)?.sync_all()
}
