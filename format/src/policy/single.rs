//! Notes that one key signs: the directory, and a server's proof that it holds its key.

use crate::authority::AuthorityNote;
use crate::directory::DirectoryNote;
use crate::key::Vkey;
use crate::limits::MAX_AUTHORITY_NOTE;
use crate::note::Note;
use crate::time::Timestamp;

use super::{
    Candidate, Clock, Form, Layer, PolicyError, Refusal, Requirement, Role, Verified, decide,
};

/// Verifies a directory note: one of the directory's keys signed it, and it has not expired.
pub fn verify_directory(
    bytes: &[u8],
    file: &str,
    authority: &AuthorityNote,
    clock: Clock,
) -> Result<Verified<DirectoryNote>, PolicyError> {
    let judge = || {
        let note = Note::parse(bytes, MAX_AUTHORITY_NOTE)?;
        decide(&note, &[requirement(Role::Directory, &authority.directory.keys)])?;
        let directory = DirectoryNote::parse(note.text())?;
        unexpired(directory.expires, clock)?;
        Ok(directory)
    };
    judge().map(Verified).map_err(PolicyError::at(file, Layer::Directory))
}

/// Verifies that `vkey` itself signed the note, and returns its text: how a server shows that it
/// holds the key that the authority is asked to list (SPEC §5.1, steps 10–13).
pub fn verify_own_signature(
    bytes: &[u8],
    file: &str,
    vkey: &Vkey,
) -> Result<Verified<String>, PolicyError> {
    let judge = || {
        let note = Note::parse(bytes, MAX_AUTHORITY_NOTE)?;
        let role = Role::Applicant(vkey.name.clone());
        decide(&note, &[requirement(role, std::slice::from_ref(vkey))])?;
        Ok(note.text().to_owned())
    };
    judge().map(Verified).map_err(PolicyError::at(file, Layer::Authority))
}

/// Checks that the newest authority note has not expired.
pub fn check_unexpired(
    authority: &AuthorityNote,
    file: &str,
    clock: Clock,
) -> Result<(), PolicyError> {
    unexpired(authority.expires, clock).map_err(PolicyError::at(file, Layer::Authority))
}

fn unexpired(expires: Timestamp, clock: Clock) -> Result<(), Refusal> {
    let now = clock.now();
    if now >= expires { Err(Refusal::Expired { expires, now }) } else { Ok(()) }
}

fn requirement(role: Role, keys: &[Vkey]) -> Requirement<'_> {
    Requirement {
        role,
        form: Form::Note,
        threshold: 1,
        candidates: keys
            .iter()
            .map(|vkey| Candidate { name: &vkey.name, key: &vkey.key, retired: None })
            .collect(),
    }
}
