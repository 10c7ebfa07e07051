//! Keys in tokens (PKCS #11): they are made there and do not leave.

use std::path::PathBuf;

use countersign_format::key::{KeyError, KeyName, PublicKey};
use countersign_format::signature::{SignError, Signer};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::uri::TokenUri;
use super::{Passphrase, PassphraseError, Passphrases, process};

/// Names the library where a URI has no `module-path`.
pub const MODULE_VARIABLE: &str = "PATCHREPO_PKCS11_MODULE";
/// The curve's name as PKCS #11 3.0 gives it, a DER PrintableString.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

/// Why a key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nothing says which library talks to the token.
    #[error("the URI has no module-path")]
    NoModule,
    /// The library cannot be loaded.
    #[error("cannot load the PKCS #11 library {path}")]
    Module {
        /// The library.
        path: PathBuf,
        /// What went wrong.
        source: Error,
    },
    /// No token, or several, fit the URI.
    #[error("{found} tokens fit the URI; there are: {present}")]
    Tokens {
        /// How many.
        found: usize,
        /// The labels of all.
        present: String,
    },
    /// The token refused to do something.
    #[error("the token cannot {action}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// What it says.
        source: Error,
    },
    /// No key, or several, fit the URI.
    #[error("{0} keys in the token fit the URI")]
    Keys(usize),
    /// A key is to be made where there is one.
    #[error("the token holds a key of that label or id already")]
    Exists,
    /// The public key beside the private one is not there, or no Ed25519 key.
    #[error("the token's public key is no Ed25519 key")]
    PublicKey(#[source] Option<KeyError>),
    /// There is no PIN.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// A key in a token, with a session that is logged in.
#[derive(Debug)]
pub(super) struct TokenSigner {
    session: Session,
    key: ObjectHandle,
    name: Option<KeyName>,
    public: PublicKey,
}

impl TokenSigner {
    /// Logs in and finds the key.
    pub(super) fn open(uri: &TokenUri, passphrases: &Passphrases) -> Result<Self, TokenError> {
        let session = log_in(uri, passphrases, false)?;
        let find = |class: ObjectClass| -> Result<ObjectHandle, TokenError> {
            let found = session.find_objects(&template(uri, class)).map_err(failed("list keys"))?;
            match found[..] {
                [key] => Ok(key),
                _ => Err(TokenError::Keys(found.len())),
            }
        };
        let public = public_key(&session, find(ObjectClass::PUBLIC_KEY)?)?;
        let key = find(ObjectClass::PRIVATE_KEY)?;
        Ok(Self { session, key, name: None, public })
    }

    /// Makes the key in the token.
    pub(super) fn generate(
        uri: &TokenUri,
        passphrases: &Passphrases,
    ) -> Result<PublicKey, TokenError> {
        let session = log_in(uri, passphrases, true)?;
        let present = session.find_objects(&template(uri, ObjectClass::PRIVATE_KEY));
        if !present.map_err(failed("list keys"))?.is_empty() {
            return Err(TokenError::Exists);
        }
        let mut both = vec![Attribute::Token(true)];
        both.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
        both.extend(uri.id.clone().map(Attribute::Id));
        let with = |more: Vec<Attribute>| both.iter().cloned().chain(more).collect::<Vec<_>>();
        let public = with(vec![
            Attribute::EcParams(EDWARDS25519.to_vec()),
            Attribute::Verify(true),
            Attribute::Private(false),
        ]);
        let private = with(vec![
            Attribute::Sign(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
        ]);
        let (public, _) = session
            .generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
            .map_err(failed("make an Ed25519 key"))?;
        public_key(&session, public)
    }

    pub(super) fn named(self, name: &KeyName) -> Self {
        Self { name: Some(name.clone()), ..self }
    }
}

impl Signer for TokenSigner {
    fn name(&self) -> &KeyName {
        self.name.as_ref().expect("named before it signs")
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let holder = |source: TokenError| SignError::Holder {
            name: self.name().clone(),
            source: Box::new(source),
        };
        let signature = self
            .session
            .sign(&mechanism, self.key, message)
            .map_err(|source| holder(failed("sign")(source)))?;
        signature.try_into().map_err(|_| SignError::Wrong(self.name().clone()))
    }
}

fn failed(action: &'static str) -> impl FnOnce(Error) -> TokenError {
    move |source| TokenError::Failed { action, source }
}

fn log_in(uri: &TokenUri, passphrases: &Passphrases, write: bool) -> Result<Session, TokenError> {
    process::keep_secrets();
    let path = uri.module.clone().or_else(|| std::env::var_os(MODULE_VARIABLE).map(PathBuf::from));
    let path = path.ok_or(TokenError::NoModule)?;
    let module = |source| TokenError::Module { path: path.clone(), source };
    let library = Pkcs11::new(&path).map_err(module)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => (),
        Err(error) => return Err(module(error)),
    }
    let (slot, token) = find_token(&library, uri)?;
    let opened = if write { library.open_rw_session(slot) } else { library.open_ro_session(slot) };
    let session = opened.map_err(failed("be opened"))?;
    if !token.login_required() {
        return Ok(session);
    }
    let pin = if token.protected_authentication_path() {
        None
    } else {
        let pin = pin(uri, passphrases, token.label())?;
        let text = std::str::from_utf8(pin.as_bytes()).expect("passphrases are UTF-8");
        Some(AuthPin::new(text.into()))
    };
    match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        // never tried again by itself: tokens lock after a few
        Err(error) => Err(failed("be logged in to")(error)),
    }
}

fn pin(
    uri: &TokenUri,
    passphrases: &Passphrases,
    label: &str,
) -> Result<Passphrase, PassphraseError> {
    match &uri.pin_source {
        Some(path) => Passphrase::read(path),
        None => passphrases.of(&format!("token {label}")),
    }
}

fn find_token(library: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenInfo), TokenError> {
    let listed = || failed("be listed");
    let mut fitting = Vec::new();
    let mut present = Vec::new();
    for slot in library.get_slots_with_token().map_err(listed())? {
        let token = library.get_token_info(slot).map_err(listed())?;
        present.push(token.label().to_owned());
        let fits = |asked: &Option<String>, found: &str| {
            asked.as_deref().is_none_or(|asked| asked == found.trim_end())
        };
        if fits(&uri.token, token.label())
            && fits(&uri.serial, token.serial_number())
            && fits(&uri.manufacturer, token.manufacturer_id())
            && fits(&uri.model, token.model())
            && token.token_initialized()
        {
            fitting.push((slot, token));
        }
    }
    match (fitting.pop(), fitting.len()) {
        (Some(only), 0) => Ok(only),
        (some, more) => {
            let found = more + usize::from(some.is_some());
            Err(TokenError::Tokens { found, present: present.join(", ") })
        }
    }
}

fn template(uri: &TokenUri, class: ObjectClass) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC_EDWARDS)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    template
}

/// The 32 bytes of `CKA_EC_POINT`: as they are, or in a DER octet string (04 20) as older versions
/// of the standard and SoftHSM have it, or in a bit string (03 21 00).
fn public_key(session: &Session, key: ObjectHandle) -> Result<PublicKey, TokenError> {
    let attributes = session
        .get_attributes(key, &[AttributeType::EcPoint])
        .map_err(failed("show the public key"))?;
    let Some(Attribute::EcPoint(point)) = attributes.first() else {
        return Err(TokenError::PublicKey(None));
    };
    let bytes = match point.as_slice() {
        [0x04, 0x20, rest @ ..] | [0x03, 0x21, 0x00, rest @ ..] if rest.len() == 32 => rest,
        bytes => bytes,
    };
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| TokenError::PublicKey(None))?;
    PublicKey::from_bytes(bytes).map_err(|error| TokenError::PublicKey(Some(error)))
}
