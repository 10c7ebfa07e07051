//! Notes that one key signs: the directory, and a server's proof that it holds its key.

use crate::authority::{AuthorityNote, LogRole};
use crate::directory::DirectoryNote;
use crate::key::Vkey;
use crate::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use crate::note::Note;
use crate::time::Timestamp;

use super::{
    Candidate, Clock, Form, Freshness, Layer, PolicyError, Refusal, Requirement, Role, SignerTimes,
    Verified, decide,
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

/// The newest moment at which one of the keys of `log` that are in use signed this head, whatever its
/// age: what a server whose own record of it is lost must not sign before. None where no timestamped
/// line of theirs is there; an error where one is wrong. Lines of retired keys are passed over, as
/// clients do: whoever stole one could date it at will.
pub fn newest_signing(
    bytes: &[u8],
    file: &str,
    log: &LogRole,
) -> Result<Option<Timestamp>, PolicyError> {
    let newest = SignerTimes::new();
    let clock = Clock::local(Timestamp::MAX);
    let requirement = Requirement {
        role: Role::Applicant(log.origin.clone()),
        form: Form::Cosignature(Freshness { clock, max_age: u64::MAX, newest: &newest }),
        threshold: 0,
        candidates: log
            .active()
            .map(|key| Candidate { name: &key.id, key: &key.vkey.key, retired: None })
            .collect(),
    };
    let judge = || decide(&Note::parse(bytes, MAX_NOTE)?, &[requirement]);
    let counted = judge().map_err(PolicyError::at(file, Layer::Index))?;
    Ok(counted.into_iter().filter_map(|line| line.time).max())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::ServerKey;
    use crate::signature::{SeedSigner, Signer as _, cosign};

    const TEXT: &str = "example.org/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(number: u8) -> SeedSigner {
        SeedSigner::new(format!("example.org/{number}").parse().expect("a name"), &[number; 32])
    }

    fn key(number: u8, until: Option<u64>) -> ServerKey {
        let signer = signer(number);
        ServerKey {
            id: signer.name().clone(),
            epoch: 1,
            kgc: None,
            reconstruction: None,
            vkey: Vkey::server(signer.name().clone(), signer.public_key().clone()),
            until,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    fn head(lines: &[(u8, u64)]) -> Vec<u8> {
        let sign = |(number, time): &(u8, u64)| cosign(&signer(*number), TEXT, at(*time));
        let lines = lines.iter().map(sign).collect::<Result<_, _>>().expect("keys in memory sign");
        Note::new(TEXT.into(), lines).to_bytes()
    }

    #[test]
    fn a_head_was_signed_when_keys_in_use_say() {
        let log = LogRole {
            origin: "example.org/log".parse().expect("a name"),
            threshold: 1,
            max_age: 60,
            keys: vec![key(1, None), key(2, None), key(3, Some(9))],
        };
        let newest = |lines: &[(u8, u64)]| newest_signing(&head(lines), "checkpoint", &log);
        assert_eq!(newest(&[(1, 500), (2, 700), (2, 600)]), Ok(Some(at(700))), "however old");
        assert_eq!(newest(&[(1, 500), (3, 9_000), (4, 9_000)]), Ok(Some(at(500))));
        assert_eq!(newest(&[(3, 9_000)]), Ok(None));
        let mut bytes = head(&[(1, 500)]);
        let last = bytes.len() - 4;
        bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
        assert!(newest_signing(&bytes, "checkpoint", &log).is_err(), "not of that key");
    }
}
