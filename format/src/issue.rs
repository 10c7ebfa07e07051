//! The three messages by which a server comes to its key (SPEC §5.1): the server's request, the
//! authority's grant, and the server's acceptance.
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
use crate::signature::{self, SignError, Signer as _};

const REQUEST: &str = "request/v1";
const GRANT: &str = "grant/v1";
const ACCEPTANCE: &str = "acceptance/v1";

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
    /// Longer than a note may be.
    #[error("{0} is longer than {MAX_NOTE} bytes")]
    TooLong(&'static str),
    /// The acceptance is no note.
    #[error("acceptance is no note")]
    Note(#[source] NoteError),
    /// The acceptance's key has another name than its id, or a type that servers do not use.
    #[error("acceptance of {id} carries the key {vkey}")]
    Vkey {
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
        parse(bytes, REQUEST, "request")
    }

    /// The request's bytes, spread over lines for people.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(REQUEST, self)
    }
}

impl Grant {
    /// Reads a grant.
    pub fn parse(bytes: &[u8]) -> Result<Self, IssueError> {
        parse(bytes, GRANT, "grant")
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
        let note = Note::parse(bytes, MAX_NOTE).map_err(IssueError::Note)?;
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
        if self.vkey.name != self.id || self.vkey.kind != SignatureType::Note {
            let vkey = self.vkey.to_string();
            return Err(IssueError::Vkey { id: self.id.clone(), vkey });
        }
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
    fn messages_are_not_taken_for_each_other() {
        let (request, grant, note) = exchange();
        assert!(matches!(Grant::parse(&request.to_bytes()), Err(IssueError::Json { .. })));
        assert!(matches!(Request::parse(&grant.to_bytes()), Err(IssueError::Json { .. })));
        assert!(matches!(
            Acceptance::verify(&grant.to_bytes(), "acceptance"),
            Err(IssueError::Note(_))
        ));
        assert!(matches!(Grant::parse(note.text().as_bytes()), Err(IssueError::Json { .. })));
        let long = [request.to_bytes(), vec![b' '; MAX_NOTE]].concat();
        assert_eq!(Request::parse(&long), Err(IssueError::TooLong("request")));
    }
}
