//! The signature lines of a note, each on its own.

use std::fmt;

use countersign_format::authority::AuthorityNote;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::collection_lines;
use countersign_format::signature::{cosignature_message, countersignature_message};
use countersign_format::time::Timestamp;
use serde::Serialize;

/// The keys that lines are checked with.
#[derive(Clone, Default, Debug)]
pub struct KnownKeys {
    authority: Option<AuthorityNote>,
}

/// A signature line and what is known of it.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct SignatureShown {
    /// The name of the key.
    pub name: String,
    /// Its ID, in hex.
    pub id: String,
    /// What kind of line it is; by its length alone where the key is not known.
    #[serde(rename = "type")]
    pub form: &'static str,
    /// When it says that it was made, for timestamped signatures.
    pub time: Option<Timestamp>,
    /// Whose key it is, where it is known.
    pub role: Option<String>,
    /// Whether it is good.
    pub verdict: Verdict,
}

/// What is known of a line.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The key is known, and the signature is its own.
    Verified,
    /// The key is known, and the signature is not its own.
    Wrong,
    /// The key is not known.
    NotVerified,
}

/// A key and whose it is.
struct RoleKey<'a> {
    role: String,
    key: &'a Vkey,
}

impl KnownKeys {
    /// No keys: lines are shown and not verified.
    pub fn none() -> Self {
        Self::default()
    }

    /// The keys that an authority note lists.
    pub fn of(authority: &AuthorityNote) -> Self {
        Self { authority: Some(authority.clone()) }
    }

    /// The lines of a note.
    pub(super) fn lines(&self, note: &Note) -> Vec<SignatureShown> {
        let keys: Vec<RoleKey<'_>> = self.authority.iter().flat_map(role_keys).collect();
        let show = |line: &SignatureLine| match self.find(note, line, &keys) {
            Some((role, form, is_good)) => SignatureShown {
                form: form_name(form),
                role: Some(role),
                verdict: if is_good { Verdict::Verified } else { Verdict::Wrong },
                ..unknown(line)
            },
            None => unknown(line),
        };
        note.signatures().iter().map(show).collect()
    }

    /// Whose line it is, of which kind, and whether it is good. A key ID may be shared: then the
    /// line belongs to the key that it verifies under.
    fn find(
        &self,
        note: &Note,
        line: &SignatureLine,
        keys: &[RoleKey<'_>],
    ) -> Option<(String, SignatureType, bool)> {
        let mut claimed = None;
        for RoleKey { role, key } in keys {
            for form in FORMS {
                if line.name != key.name || line.id != key.id(form) {
                    continue;
                }
                let is_good = self.is_good(note, line, form, key).unwrap_or(false);
                claimed = Some((role.clone(), form, is_good));
                if is_good {
                    return claimed;
                }
            }
        }
        claimed
    }

    fn is_good(
        &self,
        note: &Note,
        line: &SignatureLine,
        form: SignatureType,
        key: &Vkey,
    ) -> Option<bool> {
        let (message, signature) = match form {
            SignatureType::Note => (note.text().to_owned(), line.body.as_slice()),
            SignatureType::Cosignature => {
                let (time, signature) = line.body.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                (cosignature_message(note.text(), time), signature)
            }
            SignatureType::Countersignature => {
                let first = collection_lines(note, self.authority.as_ref()?);
                (countersignature_message(note.text(), first), line.body.as_slice())
            }
        };
        Some(key.key.verifies(message.as_bytes(), signature.try_into().ok()?))
    }
}

const FORMS: [SignatureType; 3] =
    [SignatureType::Note, SignatureType::Cosignature, SignatureType::Countersignature];

fn role_keys(note: &AuthorityNote) -> Vec<RoleKey<'_>> {
    let mut keys = Vec::new();
    let plain = [
        ("authority", &note.authority.keys),
        ("directory", &note.directory.keys),
        ("witness", &note.witnesses.keys),
    ];
    for (role, role_keys) in plain {
        keys.extend(role_keys.iter().map(|key| RoleKey { role: role.to_owned(), key }));
    }
    let distributions = note.distributions.iter();
    let logs = distributions.map(|role| (format!("distribution {}", role.name), &role.log));
    for (role, log) in logs.chain([("collection".to_owned(), &note.collection)]) {
        keys.extend(log.keys.iter().map(|key| RoleKey {
            role: match key.until {
                None => role.clone(),
                Some(until) => format!("{role}, retired from index {until} on"),
            },
            key: &key.vkey,
        }));
    }
    keys
}

/// What a line shows without its key.
fn unknown(line: &SignatureLine) -> SignatureShown {
    let time = match line.body.split_first_chunk::<8>() {
        Some((time, rest)) if rest.len() == 64 => {
            Timestamp::from_seconds(u64::from_be_bytes(*time)).ok()
        }
        _ => None,
    };
    SignatureShown {
        name: line.name.to_string(),
        id: line.id.to_string(),
        form: match line.body.len() {
            64 => "signature or countersignature",
            72 => form_name(SignatureType::Cosignature),
            _ => "signature of an unknown type",
        },
        time,
        role: None,
        verdict: Verdict::NotVerified,
    }
}

fn form_name(form: SignatureType) -> &'static str {
    match form {
        SignatureType::Note => "signature",
        SignatureType::Cosignature => "timestamped signature",
        SignatureType::Countersignature => "countersignature",
    }
}

impl fmt::Display for SignatureShown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, form, time, role, verdict } = self;
        let verdict = match verdict {
            Verdict::Verified => "verified",
            Verdict::Wrong => "WRONG",
            Verdict::NotVerified => "not verified",
        };
        write!(formatter, "{verdict}: {form} by {name} (ID {id})")?;
        if let Some(role) = role {
            write!(formatter, ", {role}")?;
        }
        match time {
            Some(time) => write!(formatter, ", {time}"),
            None => Ok(()),
        }
    }
}
