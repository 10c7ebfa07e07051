//! A secret and its text form: PEM of PKCS#8 (RFC 5958), encrypted by PBES2 (RFC 8018) with scrypt
//! (RFC 7914) and AES-256-CBC.

use std::fmt;

use pkcs8::der::asn1::OctetString;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, SecretDocument};
use zeroize::Zeroizing;

use super::{Passphrase, PassphraseError};

/// scrypt's cost as a power of two: with r = 8, p = 1 it takes 16 MiB and a few hundredths of a
/// second a guess. The next step would be refused by OpenSSL 3, which gives scrypt 32 MiB, and key
/// files are to be read by tools nobody here wrote.
pub const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Most memory that opening a key file may take, whatever its header asks for.
pub const MAX_SCRYPT_MEMORY: u64 = 256 * 1024 * 1024;

const LABEL: &str = "PRIVATE KEY";
const LABEL_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What a secret is for. Each has its own algorithm identifier in the file, so that none is taken
/// for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretKind {
    /// Seed of an ordinary Ed25519 key (RFC 8410, OID 1.3.101.112): authority and directory keys.
    /// Any program that reads PKCS#8 reads it.
    Ed25519,
    /// The authority's master seed (SPEC §5.1), OID 2.25.330086937901241621950494593840859100548.
    AuthorityMaster,
    /// A server's secret seed (SPEC §5.1), OID 2.25.122085608762422961967217279736840208594.
    Server,
}

/// 32 secret bytes and what they are for. Zeroized when dropped, never printed.
pub struct Secret {
    kind: SecretKind,
    seed: Zeroizing<[u8; 32]>,
}

/// Why a text is no key file, or a secret could not be written as one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random(#[source] getrandom::Error),
    /// No PEM, or PEM of something else.
    #[error("not a private key in PEM")]
    Form,
    /// A private key, but of an algorithm that has no use here.
    #[error("a private key of an algorithm that is not known here")]
    Algorithm,
    /// It holds another kind of secret than was asked for.
    #[error("it holds {found}, expected {expected}")]
    Kind {
        /// What was asked for.
        expected: SecretKind,
        /// What the file holds.
        found: SecretKind,
    },
    /// Encrypted with something else than scrypt or PBKDF2 within [`MAX_SCRYPT_MEMORY`].
    #[error("its encryption asks for an unknown method or more than {MAX_SCRYPT_MEMORY} bytes")]
    Encryption,
    /// The passphrase does not decrypt it.
    #[error("wrong passphrase, or the file is damaged")]
    WrongPassphrase,
    /// No passphrase was to be had.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

impl SecretKind {
    const ALL: [Self; 3] = [Self::Ed25519, Self::AuthorityMaster, Self::Server];

    /// DER of the algorithm identifier's object identifier.
    fn oid(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => &[0x06, 0x03, 0x2b, 0x65, 0x70],
            Self::AuthorityMaster => &[
                0x06, 0x14, 0x69, 0x83, 0xf0, 0xd4, 0xb7, 0xa2, 0xc4, 0xe8, 0xb2, 0x82, 0x9d, 0xb9,
                0xf5, 0x97, 0xd2, 0xfe, 0x85, 0xe2, 0xeb, 0x04,
            ],
            Self::Server => &[
                0x06, 0x14, 0x69, 0x81, 0xb7, 0xd8, 0xea, 0xcf, 0xaf, 0xc0, 0xd2, 0xbc, 0x85, 0x82,
                0xb0, 0xbf, 0x8e, 0xef, 0x94, 0xf1, 0x81, 0x52,
            ],
        }
    }

    /// All of the DER before the 32 bytes: version 0, the algorithm, and two nested octet strings
    /// (RFC 8410 §7).
    fn prefix(self) -> Vec<u8> {
        let oid = self.oid();
        let byte = |length: usize| u8::try_from(length).expect("an OID of a few bytes");
        let mut der = vec![0x30, byte(3 + 2 + oid.len() + 4 + 32), 0x02, 0x01, 0x00];
        der.extend([0x30, byte(oid.len())]);
        der.extend_from_slice(oid);
        der.extend([0x04, 0x22, 0x04, 0x20]);
        der
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ed25519 => "an Ed25519 key",
            Self::AuthorityMaster => "the authority's master secret",
            Self::Server => "a server's secret",
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({:?})", self.kind)
    }
}

impl Secret {
    /// A fresh secret from the operating system's random bytes.
    pub fn generate(kind: SecretKind) -> Result<Self, SecretError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(SecretError::Random)?;
        Ok(Self { kind, seed })
    }

    /// What the secret is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// The 32 bytes.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The secret if it is of this kind.
    pub fn expect_kind(self, expected: SecretKind) -> Result<Self, SecretError> {
        if self.kind == expected {
            Ok(self)
        } else {
            Err(SecretError::Kind { expected, found: self.kind })
        }
    }

    /// The PEM text, encrypted if there is a passphrase.
    pub fn to_pem(
        &self,
        passphrase: Option<&Passphrase>,
    ) -> Result<Zeroizing<String>, SecretError> {
        let mut der = Zeroizing::new(self.kind.prefix());
        der.reserve_exact(32);
        der.extend_from_slice(self.seed.as_ref());
        let (document, label) = match passphrase {
            Some(passphrase) => (encrypt(&der, passphrase)?, LABEL_ENCRYPTED),
            None => {
                (SecretDocument::try_from(der.as_slice()).map_err(|_| SecretError::Form)?, LABEL)
            }
        };
        document.to_pem(label, LineEnding::LF).map_err(|_| SecretError::Form)
    }

    /// Reads a PEM text; `passphrase` is asked for only if it is encrypted.
    pub fn from_pem(
        text: &str,
        passphrase: impl FnOnce() -> Result<Passphrase, PassphraseError>,
    ) -> Result<Self, SecretError> {
        let (label, document) = SecretDocument::from_pem(text).map_err(|_| SecretError::Form)?;
        match label {
            LABEL => Self::from_der(document.as_bytes()),
            LABEL_ENCRYPTED => decrypt(&document, passphrase).and_then(|der| Self::from_der(&der)),
            _ => Err(SecretError::Form),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, SecretError> {
        for kind in SecretKind::ALL {
            if let Some(seed) = der.strip_prefix(kind.prefix().as_slice()) {
                let seed = seed.try_into().map_err(|_| SecretError::Form)?;
                return Ok(Self { kind, seed: Zeroizing::new(seed) });
            }
        }
        Err(SecretError::Algorithm)
    }
}

fn encrypt(der: &[u8], passphrase: &Passphrase) -> Result<SecretDocument, SecretError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).map_err(SecretError::Random)?;
    getrandom::fill(&mut iv).map_err(SecretError::Random)?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P)
        .expect("the constants are within scrypt's bounds");
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv)
        .map_err(|_| SecretError::Encryption)?;
    let encrypted =
        parameters.encrypt(passphrase.as_bytes(), der).map_err(|_| SecretError::Encryption)?;
    let info = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: parameters.into(),
        encrypted_data: OctetString::new(encrypted).map_err(|_| SecretError::Form)?,
    };
    SecretDocument::try_from(info).map_err(|_| SecretError::Form)
}

fn decrypt(
    document: &SecretDocument,
    passphrase: impl FnOnce() -> Result<Passphrase, PassphraseError>,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let info: EncryptedPrivateKeyInfoOwned =
        document.decode_msg().map_err(|_| SecretError::Form)?;
    let parameters = info.encryption_algorithm.pbes2().ok_or(SecretError::Encryption)?;
    if let Some(asked) = parameters.kdf.scrypt() {
        let memory = u128::from(asked.cost_parameter) * u128::from(asked.block_size) * 128;
        if memory > u128::from(MAX_SCRYPT_MEMORY) || asked.parallelization > 16 {
            return Err(SecretError::Encryption);
        }
    }
    let passphrase = passphrase()?;
    info.decrypt(passphrase.as_bytes())
        .map(|der| der.to_bytes())
        .map_err(|_| SecretError::WrongPassphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned().into()).expect("a passphrase")
    }

    fn unasked() -> Result<Passphrase, PassphraseError> {
        panic!("an unencrypted file needs no passphrase")
    }

    #[test]
    fn what_is_written_is_read() {
        for kind in SecretKind::ALL {
            let secret = Secret::generate(kind).expect("a secret");
            let plain = secret.to_pem(None).expect("PEM");
            let read = Secret::from_pem(&plain, unasked).expect("read");
            assert_eq!((read.kind(), read.seed()), (kind, secret.seed()));

            let encrypted = secret.to_pem(Some(&passphrase("correct horse"))).expect("PEM");
            let read = Secret::from_pem(&encrypted, || Ok(passphrase("correct horse")));
            assert_eq!(read.expect("read").seed(), secret.seed());
            let wrong = Secret::from_pem(&encrypted, || Ok(passphrase("correct horsf")));
            assert!(matches!(wrong, Err(SecretError::WrongPassphrase)));
        }
    }

    #[test]
    fn an_ed25519_key_is_as_the_standard_writes_it() {
        // RFC 8410 §10.3
        let text = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let secret = Secret::from_pem(text, unasked).expect("the standard's example");
        assert_eq!(secret.kind(), SecretKind::Ed25519);
        assert_eq!(secret.seed()[..4], [0xd4, 0xee, 0x72, 0xdb]);
        assert_eq!(*secret.to_pem(None).expect("PEM"), text);
    }

    #[test]
    fn object_identifiers_are_the_documented_uuids() {
        // 2.25.<UUID as one number>: 2·40 + 25, then base 128 (X.667, X.690 §8.19)
        let uuids = [
            (SecretKind::AuthorityMaster, 0xf854_6e8a_2686_408e_b9ea_5e97_e0b8_b584_u128),
            (SecretKind::Server, 0x5bd8_d53d_7c0a_4f02_8260_fc76_f29c_40d2_u128),
        ];
        for (kind, mut uuid) in uuids {
            let mut arcs = vec![u8::try_from(uuid & 0x7f).expect("seven bits")];
            while uuid > 0x7f {
                uuid >>= 7;
                arcs.push(u8::try_from(uuid & 0x7f).expect("seven bits") | 0x80);
            }
            arcs.push(80 + 25);
            arcs.reverse();
            let length = u8::try_from(arcs.len()).expect("a short OID");
            assert_eq!(kind.oid(), [&[0x06, length], arcs.as_slice()].concat(), "{kind:?}");
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let secret = Secret::generate(SecretKind::Server).expect("a secret");
        let plain = secret.to_pem(None).expect("PEM");
        for length in 0..plain.len() - 1 {
            assert!(Secret::from_pem(&plain[..length], unasked).is_err(), "{length}");
        }
        let label = plain.replace("PRIVATE KEY", "PUBLIC KEY");
        assert!(matches!(Secret::from_pem(&label, unasked), Err(SecretError::Form)));
        // X25519, whose files look the same but for the OID (RFC 8410)
        let x25519 = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        assert!(matches!(Secret::from_pem(x25519, unasked), Err(SecretError::Algorithm)));
        let other = secret.expect_kind(SecretKind::Ed25519);
        assert!(matches!(other, Err(SecretError::Kind { found: SecretKind::Server, .. })));
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory() {
        let secret = Secret::generate(SecretKind::Server).expect("a secret");
        let der = secret.kind.prefix();
        let cost = scrypt::Params::new(22, 8, 1).expect("parameters");
        let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &[1; 16], [2; 16]);
        let info = EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: parameters.expect("parameters").into(),
            encrypted_data: OctetString::new(der).expect("bytes"),
        };
        let document = SecretDocument::try_from(info).expect("DER");
        let text = document.to_pem(LABEL_ENCRYPTED, LineEnding::LF).expect("PEM");
        assert!(matches!(Secret::from_pem(&text, unasked), Err(SecretError::Encryption)));
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Secret::generate(SecretKind::Server).expect("a secret");
        assert_eq!(format!("{secret:?} {:?}", passphrase("hush")), "Secret(Server) Passphrase");
    }

    /// Skipped where there is no `openssl`: it is the second reader, not something we need.
    #[test]
    fn openssl_reads_an_encrypted_key() {
        use std::process::{Command, Stdio};
        let secret = Secret::generate(SecretKind::Ed25519).expect("a secret");
        let text = secret.to_pem(Some(&passphrase("correct horse"))).expect("PEM");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.pem");
        std::fs::write(&path, text.as_bytes()).expect("written");
        let mut openssl = Command::new("openssl");
        openssl.args(["pkey", "-passin", "pass:correct horse", "-outform", "DER", "-in"]);
        match openssl.arg(&path).stdin(Stdio::null()).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
            Err(error) => panic!("openssl did not run: {error}"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{said}");
                assert!(output.stdout.ends_with(secret.seed()), "{said}");
            }
        }
    }
}
