//! Statements that contradict each other are kept, so that people can show them.

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

impl Attempt<'_, '_> {
    /// Keeps two notes that contradict each other and what there is to say about them. A failure
    /// to keep them must not hide what they show, so it becomes part of the message.
    pub(super) fn keep(&self, log: Log, held: &[u8], found: &[u8], about: &str) -> EvidenceKept {
        let digest = Hash32::of_parts(&[held, found]).to_string();
        let case = self.updater.places.evidence().join(format!("{log}-{}", &digest[..16]));
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
    if fs::read_dir(directory)?.count() >= MAX_EVIDENCE {
        return Err(io::Error::other(format!("there are {MAX_EVIDENCE} cases already")));
    }
    // the case appears complete or not at all
    let name = case.file_name().expect("a case has a name");
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
