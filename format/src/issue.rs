//! The messages by which a server comes to its key (SPEC §5.1): the server's request, the
//! authority's grant, and the server's acceptance; or, for a key that is no implicit one, the proof
//! that its holder has it.
//!
//! None is secret. Request and grant are plain texts: a forged one leads to no key that anybody
//! holds. The acceptance is a note signed with the new key, which proves that its holder is there.

use serde::{Deserialize, Serialize};

use crate::authority::{PointText, ServerKey};
use crate::implicit_key::{Binding, ImplicitKeyError, ImplicitSigner, PartialKey};
use crate::json::{self, JsonError};
use crate::key::{KeyName, SignatureType, Vkey};
use crate::layout::Log;
use crate::limits::MAX_NOTE;
use crate::note::{Note, NoteError};
use crate::policy::{self, PolicyError};
use crate::signature::{self, SignError, Signer};

const REQUEST: &str = "request/v1";
const GRANT: &str = "grant/v1";
const ACCEPTANCE: &str = "acceptance/v1";
const ORDINARY_KEY: &str = "ordinary-key/v1";

/// What a server asks the authority for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The server's identity, to be its key's name.
    pub id: KeyName,
    /// Which log it is to sign.
    pub role: Log,
    /// X, the commitment to the server's secret.
    pub commitment: PointText,
}

/// What the authority answers. The partial key may be seen by others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// As in the request.
    pub id: KeyName,
    /// As in the request.
    pub role: Log,
    /// Counts the keys of this identity.
    pub epoch: u32,
    /// P, the authority's public point.
    pub kgc: PointText,
    /// R, the reconstruction point.
    pub reconstruction: PointText,
    /// z, the partial key, little-endian.
    pub partial_key: PointText,
}

/// What the server answers: this is my key, and I hold it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Acceptance {
    /// As in the request.
    pub id: KeyName,
    /// As in the request.
    pub role: Log,
    /// As in the grant.
    pub epoch: u32,
    /// P, as in the grant.
    pub kgc: PointText,
    /// R, as in the grant.
    pub reconstruction: PointText,
    /// A, the server's public key.
    pub vkey: Vkey,
}

/// What the holder of an ordinary Ed25519 key asks the authority for: to list it. A key born in
/// hardware cannot be an implicit one, so nothing binds it to its identity but the authority's
/// signatures (SPEC §5.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrdinaryKey {
    /// The server's identity, which is the key's name.
    pub id: KeyName,
    /// Which log it is to sign.
    pub role: Log,
    /// The public key.
    pub vkey: Vkey,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not strict JSON of the message's shape.
    #[error("{what} is malformed")]
    Json {
        /// Which message.
        what: &'static str,
        /// What is wrong.
        source: JsonError,
    },
    /// The same members in another spelling than the one there is.
    #[error("{0} is not spelt as it was written")]
    Spelling(&'static str),
    /// Longer than a note may be.
    #[error("{0} is longer than {MAX_NOTE} bytes")]
    TooLong(&'static str),
    /// The signed message is no note.
    #[error("{what} is no note")]
    Note {
        /// Which message.
        what: &'static str,
        /// What is wrong.
        source: NoteError,
    },
    /// The key that asks or accepts has another name than the id, or a type that servers do not use.
    #[error("{what} of {id} carries the key {vkey}")]
    Vkey {
        /// Which message.
        what: &'static str,
        /// The identity.
        id: KeyName,
        /// The key.
        vkey: String,
    },
    /// The acceptance's key is not the one that its points make.
    #[error("acceptance of {id}, epoch {epoch}, carries a key that the KGC's points do not make")]
    Implicit {
        /// The identity.
        id: KeyName,
        /// The epoch.
        epoch: u32,
        /// What is wrong with the points, if it is them.
        source: Option<ImplicitKeyError>,
    },
    /// The key that the acceptance carries did not sign it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Request {
    /// Reads a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, IssueError> {
        let request: Self = parse(bytes, REQUEST, "request")?;
        canonical(bytes, &request.to_bytes(), "request")?;
        Ok(request)
    }

    /// The request's bytes, spread over lines for people.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(REQUEST, self)
    }
}

impl Grant {
    /// Reads a grant.
    pub fn parse(bytes: &[u8]) -> Result<Self, IssueError> {
        let grant: Self = parse(bytes, GRANT, "grant")?;
        canonical(bytes, &grant.to_bytes(), "grant")?;
        Ok(grant)
    }

    /// The grant of `partial` for `role`.
    pub fn new(role: Log, partial: &PartialKey) -> Self {
        let binding = &partial.binding;
        Self {
            id: binding.id.clone(),
            role,
            epoch: binding.epoch,
            kgc: PointText(binding.kgc),
            reconstruction: PointText(binding.reconstruction),
            partial_key: PointText(partial.scalar),
        }
    }

    /// The grant's bytes, spread over lines for people.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(GRANT, self)
    }

    /// What the server's secret makes the key pair of.
    pub fn partial_key(&self) -> PartialKey {
        let binding = Binding {
            id: self.id.clone(),
            epoch: self.epoch,
            kgc: self.kgc.0,
            reconstruction: self.reconstruction.0,
        };
        PartialKey { binding, scalar: self.partial_key.0 }
    }
}

impl Acceptance {
    /// Signs the acceptance of `grant` with the key pair made of it.
    pub fn sign(grant: &Grant, signer: &ImplicitSigner) -> Result<Note, SignError> {
        let acceptance = Self {
            id: grant.id.clone(),
            role: grant.role,
            epoch: grant.epoch,
            kgc: grant.kgc,
            reconstruction: grant.reconstruction,
            vkey: Vkey::server(signer.name().clone(), signer.public_key().clone()),
        };
        let text =
            String::from_utf8(json::print_pretty(ACCEPTANCE, &acceptance)).expect("JSON is UTF-8");
        let line = signature::sign_note(signer, &text)?;
        Ok(Note::new(text, vec![line]))
    }

    /// Reads an acceptance and checks that it is the holder's of the key that it carries: the key
    /// is the one that the points make, and it signed. Whether the authority granted those points
    /// is for the authority to know. `file` is its name, for messages.
    pub fn verify(bytes: &[u8], file: &str) -> Result<Self, IssueError> {
        let note = parse_note(bytes, "acceptance")?;
        let acceptance: Self = parse(note.text().as_bytes(), ACCEPTANCE, "acceptance")?;
        acceptance.check_key()?;
        policy::verify_own_signature(bytes, file, &acceptance.vkey)?;
        Ok(acceptance)
    }

    /// How the authority note lists the key.
    pub fn server_key(&self) -> ServerKey {
        ServerKey {
            id: self.id.clone(),
            epoch: self.epoch,
            kgc: Some(self.kgc),
            reconstruction: Some(self.reconstruction),
            vkey: self.vkey.clone(),
            until: None,
        }
    }

    fn check_key(&self) -> Result<(), IssueError> {
        check_vkey(&self.id, &self.vkey, "acceptance")?;
        let wrong =
            |source| IssueError::Implicit { id: self.id.clone(), epoch: self.epoch, source };
        let binding = Binding {
            id: self.id.clone(),
            epoch: self.epoch,
            kgc: self.kgc.0,
            reconstruction: self.reconstruction.0,
        };
        match binding.public_key() {
            Ok(key) if key == self.vkey.key => Ok(()),
            Ok(_) => Err(wrong(None)),
            Err(source) => Err(wrong(Some(source))),
        }
    }
}

impl OrdinaryKey {
    /// Signs, with the key itself, that its holder asks for it to be listed.
    pub fn sign(role: Log, signer: &dyn Signer) -> Result<Note, SignError> {
        let id = signer.name().clone();
        let vkey = Vkey::server(id.clone(), signer.public_key().clone());
        let asked = Self { id, role, vkey };
        let text =
            String::from_utf8(json::print_pretty(ORDINARY_KEY, &asked)).expect("JSON is UTF-8");
        let line = signature::sign_note(signer, &text)?;
        Ok(Note::new(text, vec![line]))
    }

    /// Reads the message and checks that the key that it carries signed it. Whether the key may
    /// have that identity and role is for the authority's people to know. `file` is for messages.
    pub fn verify(bytes: &[u8], file: &str) -> Result<Self, IssueError> {
        const WHAT: &str = "request for an ordinary key";
        let note = parse_note(bytes, WHAT)?;
        let asked: Self = parse(note.text().as_bytes(), ORDINARY_KEY, WHAT)?;
        check_vkey(&asked.id, &asked.vkey, WHAT)?;
        policy::verify_own_signature(bytes, file, &asked.vkey)?;
        Ok(asked)
    }

    /// Whether a file says that it is such a message, good or not: for telling people where it
    /// belongs.
    pub fn is_meant(bytes: &[u8]) -> bool {
        json::first_type(bytes) == Ok(ORDINARY_KEY)
    }

    /// How the authority note lists the key: without points, so that its signatures alone vouch.
    pub fn server_key(&self, epoch: u32) -> ServerKey {
        ServerKey {
            id: self.id.clone(),
            epoch,
            kgc: None,
            reconstruction: None,
            vkey: self.vkey.clone(),
            until: None,
        }
    }
}

/// Request and grant are not signed, so they have one spelling: a changed byte is a changed message.
fn canonical(bytes: &[u8], printed: &[u8], what: &'static str) -> Result<(), IssueError> {
    if bytes == printed { Ok(()) } else { Err(IssueError::Spelling(what)) }
}

fn parse_note(bytes: &[u8], what: &'static str) -> Result<Note, IssueError> {
    Note::parse(bytes, MAX_NOTE).map_err(|source| IssueError::Note { what, source })
}

fn check_vkey(id: &KeyName, vkey: &Vkey, what: &'static str) -> Result<(), IssueError> {
    if vkey.name == *id && vkey.kind == SignatureType::Note {
        return Ok(());
    }
    Err(IssueError::Vkey { what, id: id.clone(), vkey: vkey.to_string() })
}

fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    kind: &str,
    what: &'static str,
) -> Result<T, IssueError> {
    if bytes.len() > MAX_NOTE {
        return Err(IssueError::TooLong(what));
    }
    json::parse(bytes, kind).map_err(|source| IssueError::Json { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::implicit_key::{MasterSecret, ServerSecret};

    fn exchange() -> (Request, Grant, Note) {
        let server = ServerSecret::from_seed([5; 32]);
        let request = Request {
            id: "example.org/collection".parse().expect("a name"),
            role: Log::Collection,
            commitment: PointText(server.commitment()),
        };
        let partial = MasterSecret::from_seed([6; 32])
            .grant(&request.id, 1, &request.commitment.0, &request.to_bytes(), &[7; 32])
            .expect("a partial key");
        let grant = Grant::new(request.role, &partial);
        let signer = server.accept(&grant.partial_key()).expect("a key pair");
        let acceptance = Acceptance::sign(&grant, &signer).expect("signed");
        (request, grant, acceptance)
    }

    #[test]
    fn the_three_messages_lead_to_a_key() {
        let (request, grant, note) = exchange();
        assert_eq!(Request::parse(&request.to_bytes()), Ok(request));
        assert_eq!(Grant::parse(&grant.to_bytes()), Ok(grant.clone()));
        let acceptance = Acceptance::verify(&note.to_bytes(), "acceptance").expect("verified");
        assert_eq!(acceptance.reconstruction, grant.reconstruction);
        let key = acceptance.server_key();
        let made = key.binding().expect("an implicit key").public_key();
        assert_eq!(made.as_ref(), Ok(&key.vkey.key));
        assert!(note.text().starts_with("{\n  \"type\": \"acceptance/v1\",\n"));
        assert!(note.text().contains("\"role\": \"collection\""));
    }

    #[test]
    fn an_acceptance_is_the_key_holders_own() {
        let (_, grant, note) = exchange();
        let changed = |from: &str, to: &str| {
            assert!(note.text().contains(from), "{from}");
            let text = note.text().replace(from, to);
            Acceptance::verify(
                &Note::new(text, note.signatures().to_vec()).to_bytes(),
                "acceptance",
            )
        };
        assert!(matches!(
            changed("\"collection\"", "\"distribution\""),
            Err(IssueError::Policy(_))
        ));
        assert!(matches!(
            changed("\"epoch\": 1", "\"epoch\": 2"),
            Err(IssueError::Implicit { .. })
        ));
        let id = changed("\"id\": \"example.org/c", "\"id\": \"example.org/d");
        assert!(matches!(id, Err(IssueError::Vkey { .. })));

        let (mallory, text) = (ServerSecret::from_seed([8; 32]), note.text().to_owned());
        let other = MasterSecret::from_seed([6; 32])
            .grant(&grant.id, 1, &mallory.commitment(), b"x", &[9; 32])
            .expect("a partial key");
        let signer = mallory.accept(&other).expect("a key pair");
        let line = signature::sign_note(&signer, &text).expect("signed");
        let forged = Note::new(text, vec![line]).to_bytes();
        assert!(matches!(Acceptance::verify(&forged, "acceptance"), Err(IssueError::Policy(_))));
    }

    #[test]
    fn an_ordinary_key_is_shown_to_be_held() {
        use crate::signature::SeedSigner;
        let name: KeyName = "example.org/collection".parse().expect("a name");
        let signer = SeedSigner::new(name, &[9; 32]);
        let note = OrdinaryKey::sign(Log::Collection, &signer).expect("signed");
        let bytes = note.to_bytes();
        let asked = OrdinaryKey::verify(&bytes, "request").expect("verified");
        let key = asked.server_key(3);
        assert_eq!((&key.vkey.key, key.epoch), (signer.public_key(), 3));
        assert_eq!((key.kgc, key.reconstruction), (None, None));
        assert!(OrdinaryKey::is_meant(&bytes));
        assert!(matches!(Request::parse(&bytes), Err(IssueError::Json { .. })));
        assert!(matches!(Acceptance::verify(&bytes, "x"), Err(IssueError::Json { .. })));

        let other = SeedSigner::new("example.org/collection".parse().expect("a name"), &[8; 32]);
        let line = signature::sign_note(&other, note.text()).expect("signed");
        let forged = Note::new(note.text().to_owned(), vec![line]).to_bytes();
        assert!(matches!(OrdinaryKey::verify(&forged, "x"), Err(IssueError::Policy(_))));
        let text = note.text().replace("\"id\": \"example.org/c", "\"id\": \"example.org/d");
        let renamed = Note::new(text, note.signatures().to_vec()).to_bytes();
        assert!(matches!(OrdinaryKey::verify(&renamed, "x"), Err(IssueError::Vkey { .. })));
    }

    #[test]
    fn every_changed_byte_of_a_signed_message_is_refused() {
        use crate::signature::SeedSigner;
        let signer = SeedSigner::new("example.org/d".parse().expect("a name"), &[9; 32]);
        let ordinary = OrdinaryKey::sign(Log::Distribution, &signer).expect("signed").to_bytes();
        let acceptance = exchange().2.to_bytes();
        let still_good = |bytes: &[u8], place: usize| {
            (0..8).any(|bit| {
                let mut changed = bytes.to_vec();
                changed[place] ^= 1 << bit;
                OrdinaryKey::verify(&changed, "x").is_ok()
                    || Acceptance::verify(&changed, "x").is_ok()
            })
        };
        for bytes in [ordinary, acceptance] {
            assert_eq!((0..bytes.len()).find(|place| still_good(&bytes, *place)), None);
            assert!(
                (0..bytes.len()).all(|length| {
                    OrdinaryKey::verify(&bytes[..length], "x").is_err()
                        && Acceptance::verify(&bytes[..length], "x").is_err()
                }),
                "a truncated message is refused"
            );
        }
    }

    #[test]
    fn messages_are_not_taken_for_each_other() {
        let (request, grant, note) = exchange();
        assert!(matches!(Grant::parse(&request.to_bytes()), Err(IssueError::Json { .. })));
        assert!(matches!(Request::parse(&grant.to_bytes()), Err(IssueError::Json { .. })));
        assert!(matches!(
            Acceptance::verify(&grant.to_bytes(), "acceptance"),
            Err(IssueError::Note { .. })
        ));
        assert!(matches!(Grant::parse(note.text().as_bytes()), Err(IssueError::Json { .. })));
        let long = [request.to_bytes(), vec![b' '; MAX_NOTE]].concat();
        assert_eq!(Request::parse(&long), Err(IssueError::TooLong("request")));
    }
}
