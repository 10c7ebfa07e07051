//! Signatures while they are gathered: who has signed so far, and whether that suffices. For
//! servers whose thresholds ask for several people (SPEC §5.4).

use crate::authority::LogRole;
use crate::key::SignatureType;
use crate::note::{Note, SignatureLine};

use super::{
    Candidate, Clock, Counted, Form, Freshness, Layer, PolicyError, Requirement, Role, SignerTimes,
    decide,
};

/// What is being signed.
#[derive(Clone, Debug)]
pub enum Gathering<'a> {
    /// A patch note, by the collection.
    Patch,
    /// A patch note with these first signatures, by a distribution.
    Countersignature(&'a [SignatureLine]),
    /// A log's head, at this moment.
    Head(Clock),
}

/// Says which keys of `log` that are in use have signed `note` so that it counts; an error where
/// they are fewer than `threshold`, or a line of theirs is wrong. Lines of others are passed over.
/// `file` is for messages.
pub fn verify_gathered(
    note: &Note,
    file: &str,
    what: &Gathering<'_>,
    (role, log): (&Role, &LogRole),
    threshold: u32,
) -> Result<Vec<Counted>, PolicyError> {
    let newest = SignerTimes::new();
    let requirement = |form, threshold| Requirement {
        role: role.clone(),
        form,
        threshold,
        candidates: log
            .active()
            .map(|key| Candidate { name: &key.id, key: &key.vkey.key, retired: None })
            .collect(),
    };
    let (layer, requirements) = match what {
        Gathering::Patch => (Layer::Archive, vec![requirement(Form::Note, threshold)]),
        Gathering::Countersignature(first) => {
            let form = Form::Countersignature(first.iter().collect());
            (Layer::Archive, vec![requirement(form, threshold)])
        }
        Gathering::Head(clock) => {
            let freshness = Freshness { clock: *clock, max_age: log.max_age, newest: &newest };
            let plain = requirement(Form::Note, 0);
            (Layer::Index, vec![requirement(Form::Cosignature(freshness), threshold), plain])
        }
    };
    let kind = requirements[0].form.kind();
    let counted = decide(note, &requirements).map_err(PolicyError::at(file, layer))?;
    Ok(counted.into_iter().filter(|line| line.form == kind).collect())
}

/// Verifies one line that was brought, and says whose it is: it must be of a key of `log` in use
/// and count by itself.
pub fn verify_brought(
    text: &str,
    line: &SignatureLine,
    file: &str,
    what: &Gathering<'_>,
    (role, log): (&Role, &LogRole),
) -> Result<Option<Counted>, PolicyError> {
    let note = Note::new(text.to_owned(), vec![line.clone()]);
    let whose = (role, log);
    if let Gathering::Head(_) = what {
        // of the two kinds of lines on a head either may come first
        let plain = verify_gathered(&note, file, &Gathering::Patch, whose, 0)?;
        if let Some(counted) = plain.into_iter().next() {
            return Ok(Some(counted));
        }
    }
    let is_known = log.active().any(|key| {
        let kind = match what {
            Gathering::Patch => SignatureType::Note,
            Gathering::Countersignature(_) => SignatureType::Countersignature,
            Gathering::Head(_) => SignatureType::Cosignature,
        };
        key.id == line.name && key.vkey.id(kind) == line.id
    });
    if !is_known {
        return Ok(None);
    }
    Ok(verify_gathered(&note, file, what, whose, 1)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::ServerKey;
    use crate::key::Vkey;
    use crate::signature::{SeedSigner, Signer as _, cosign, sign_note};
    use crate::time::Timestamp;

    const TEXT: &str = "example.org/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(number: u8) -> SeedSigner {
        SeedSigner::new(format!("example.org/{number}").parse().expect("a name"), &[number; 32])
    }

    fn role(threshold: u32) -> LogRole {
        let key = |number: u8| ServerKey {
            id: signer(number).name().clone(),
            epoch: 1,
            kgc: None,
            reconstruction: None,
            vkey: Vkey::server(signer(number).name().clone(), signer(number).public_key().clone()),
            until: (number == 3).then_some(0),
        };
        let origin = "example.org/log".parse().expect("a name");
        LogRole { origin, threshold, max_age: 100, keys: (1..=3).map(key).collect() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    #[test]
    fn keys_in_use_count_once_and_for_their_time() {
        let log = role(2);
        let count = |lines: Vec<SignatureLine>, threshold| {
            let note = Note::new(TEXT.into(), lines);
            let what = Gathering::Head(Clock::local(at(1000)));
            verify_gathered(&note, "head", &what, (&Role::Collection, &log), threshold)
                .map(|counted| counted.len())
        };
        let line = |number, time| cosign(&signer(number), TEXT, at(time)).expect("signed");
        assert_eq!(count(vec![line(1, 950), line(2, 900)], 2), Ok(2));
        assert!(count(vec![line(1, 950), line(1, 960)], 2).is_err(), "one key twice");
        assert!(count(vec![line(1, 950), line(2, 899)], 2).is_err(), "too old");
        assert!(count(vec![line(1, 950), line(3, 950)], 2).is_err(), "retired");
        assert!(count(vec![line(1, 950), line(4, 950)], 2).is_err(), "not listed");
        assert_eq!(count(vec![line(1, 950)], 0), Ok(1));
        let plain = sign_note(&signer(2), TEXT).expect("signed");
        assert!(count(vec![line(1, 950), plain], 2).is_err(), "no time");
    }

    #[test]
    fn what_is_brought_is_judged_line_by_line() {
        let log = role(2);
        let what = Gathering::Head(Clock::local(at(1000)));
        let judge = |line: &SignatureLine| {
            verify_brought(TEXT, line, "file", &what, (&Role::Collection, &log))
                .map(|counted| counted.map(|counted| counted.name.to_string()))
        };
        let line = |number, time| cosign(&signer(number), TEXT, at(time)).expect("signed");
        assert_eq!(judge(&line(2, 950)), Ok(Some("example.org/2".into())));
        let plain = sign_note(&signer(2), TEXT).expect("signed");
        assert_eq!(judge(&plain), Ok(Some("example.org/2".into())));
        assert_eq!(judge(&line(3, 950)), Ok(None));
        assert_eq!(judge(&line(4, 950)), Ok(None));
        assert!(judge(&line(2, 2000)).is_err());
        let mut wrong = line(2, 950);
        wrong.body[20] ^= 1;
        assert!(judge(&wrong).is_err());
    }
}
