//! The three kinds of signature line: what each signs, and making them (SPEC §3.1).
//!
//! Whether lines suffice is decided in [`crate::policy`] and nowhere else.

use crate::key::{KeyName, PublicKey, SignatureType};
use crate::note::{Note, SignatureLine};
use crate::time::Timestamp;

/// First line of what a timestamped cosignature signs (C2SP `tlog-cosignature`).
const COSIGNATURE: &str = "cosignature/v1\n";
/// First line of what a countersignature signs.
const COUNTERSIGN: &str = "countersign/v1\n";

/// One who can sign: a key file, an implicit key, hardware or a command.
pub trait Signer {
    /// The name of the key, which is its server's identity.
    fn name(&self) -> &KeyName;
    /// The public key.
    fn public_key(&self) -> &PublicKey;
    /// An Ed25519 signature (RFC 8032) over exactly `message`.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The text begins like a message of another kind, so a signature could be taken for that.
    #[error("refusing to sign a text whose first line is {0}")]
    Confusable(&'static str),
    /// A countersignature without a first signature to stand on.
    #[error("there is no collection signature to countersign")]
    NothingToCountersign,
    /// The key's holder (hardware, command) answered with what is no signature of the key.
    #[error("key {0} answered with a signature that does not verify under its public key")]
    Wrong(KeyName),
    /// The key's holder (hardware, command) failed.
    #[error("key {name} did not sign")]
    Holder {
        /// The key's name.
        name: KeyName,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Signs `text` as a note (type 0x01).
pub fn sign_note(signer: &dyn Signer, text: &str) -> Result<SignatureLine, SignError> {
    refuse_confusable(text)?;
    let signature = sign_verified(signer, text.as_bytes())?;
    Ok(line(signer, SignatureType::Note, signature.to_vec()))
}

/// Cosigns a checkpoint's `text` at `time` (type 0x04): the newest head of its log then, extending
/// all that this key signed before.
pub fn cosign(
    signer: &dyn Signer,
    text: &str,
    time: Timestamp,
) -> Result<SignatureLine, SignError> {
    refuse_confusable(text)?;
    let signature = sign_verified(signer, cosignature_message(text, time.seconds()).as_bytes())?;
    let body = [time.seconds().to_be_bytes().as_slice(), &signature].concat();
    Ok(line(signer, SignatureType::Cosignature, body))
}

/// Countersigns `note` over the collection's lines `first`, in their order on the note.
pub fn countersign(
    signer: &dyn Signer,
    note: &Note,
    first: &[SignatureLine],
) -> Result<SignatureLine, SignError> {
    refuse_confusable(note.text())?;
    if first.is_empty() {
        return Err(SignError::NothingToCountersign);
    }
    let signature = sign_verified(signer, countersignature_message(note.text(), first).as_bytes())?;
    Ok(line(signer, SignatureType::Countersignature, signature.to_vec()))
}

/// What a cosignature at `time` (seconds since 1970) over a checkpoint's `text` signs.
pub fn cosignature_message(text: &str, time: u64) -> String {
    format!("{COSIGNATURE}time {time}\n{text}")
}

/// What a countersignature over `text` and the collection's lines `first` signs.
pub fn countersignature_message<'a>(
    text: &str,
    first: impl IntoIterator<Item = &'a SignatureLine>,
) -> String {
    let mut message = format!("{COUNTERSIGN}{text}\n");
    for line in first {
        line.print(&mut message);
    }
    message
}

/// Signs, and takes no holder's word for it: a fault in hardware or a wrong answer of a command must
/// not come to be published, and a faulty Ed25519 signature can give its key away.
fn sign_verified(signer: &dyn Signer, message: &[u8]) -> Result<[u8; 64], SignError> {
    let signature = signer.sign(message)?;
    if signer.public_key().verifies(message, &signature) {
        Ok(signature)
    } else {
        Err(SignError::Wrong(signer.name().clone()))
    }
}

fn refuse_confusable(text: &str) -> Result<(), SignError> {
    for first_line in [COSIGNATURE, COUNTERSIGN] {
        if text.starts_with(first_line) || text == first_line.trim_end() {
            return Err(SignError::Confusable(first_line.trim_end()));
        }
    }
    Ok(())
}

fn line(signer: &dyn Signer, kind: SignatureType, body: Vec<u8>) -> SignatureLine {
    let name = signer.name().clone();
    let id = kind.key_id(&name, signer.public_key());
    SignatureLine { name, id, body }
}

/// An ordinary Ed25519 key, made from a seed: authority and directory keys.
pub struct SeedSigner {
    name: KeyName,
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SeedSigner {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5).
    pub fn new(name: KeyName, seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())
            .expect("a clamped multiple of the base point is of prime order");
        Self { name, key, public }
    }
}

impl Signer for SeedSigner {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        use ed25519_dalek::Signer as _;
        Ok(self.key.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SeedSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SeedSigner({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> SeedSigner {
        SeedSigner::new("example.org/a".parse().expect("a name"), &[7; 32])
    }

    #[test]
    fn one_key_makes_three_messages_that_cannot_be_confused() {
        let signer = signer();
        let text = "example.org/log\n1\nroot\n";
        let plain = sign_note(&signer, text).expect("signed");
        let time = Timestamp::from_seconds(5).expect("a time");
        let timed = cosign(&signer, text, time).expect("signed");
        let note = Note::new(text.into(), vec![plain.clone()]);
        let second =
            countersign(&signer, &note, std::slice::from_ref(&plain)).expect("countersigned");
        assert_ne!(plain.id, timed.id);
        assert_ne!(plain.id, second.id);
        assert_eq!(timed.body[..8], 5_u64.to_be_bytes());
        assert_eq!((plain.body.len(), timed.body.len(), second.body.len()), (64, 72, 64));
        let verifies = |message: &str, body: &[u8]| {
            signer.public_key().verifies(message.as_bytes(), body.try_into().expect("64 bytes"))
        };
        assert!(verifies(text, &plain.body));
        assert!(verifies(&format!("cosignature/v1\ntime 5\n{text}"), &timed.body[8..]));
        assert!(!verifies(&format!("cosignature/v1\ntime 6\n{text}"), &timed.body[8..]));
        let mut printed = String::new();
        plain.print(&mut printed);
        assert!(verifies(&format!("countersign/v1\n{text}\n{printed}"), &second.body));
        assert!(!verifies(&format!("countersign/v1\n{text}\n"), &second.body));
    }

    #[test]
    fn a_wrong_answer_of_a_holder_is_no_signature() {
        struct Faulty(SeedSigner);
        impl Signer for Faulty {
            fn name(&self) -> &KeyName {
                self.0.name()
            }
            fn public_key(&self) -> &PublicKey {
                self.0.public_key()
            }
            fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
                let mut signature = self.0.sign(message)?;
                signature[40] ^= 1;
                Ok(signature)
            }
        }
        let faulty = Faulty(signer());
        let note = Note::new("x\n".into(), vec![sign_note(&faulty.0, "x\n").expect("signed")]);
        let wrong = [
            sign_note(&faulty, "x\n"),
            cosign(&faulty, "x\n", Timestamp::EPOCH),
            countersign(&faulty, &note, note.signatures()),
        ];
        for result in wrong {
            assert!(matches!(result, Err(SignError::Wrong(_))), "{result:?}");
        }
    }

    #[test]
    fn texts_that_look_like_another_message_are_not_signed() {
        let signer = signer();
        for text in ["cosignature/v1\ntime 5\nx\n", "countersign/v1\nx\n", "countersign/v1"] {
            assert!(matches!(sign_note(&signer, text), Err(SignError::Confusable(_))), "{text}");
        }
        assert!(sign_note(&signer, "cosignature/v12\n").is_ok());
        let bare = Note::new("x\n".into(), Vec::new());
        assert!(matches!(countersign(&signer, &bare, &[]), Err(SignError::NothingToCountersign)));
    }
}
