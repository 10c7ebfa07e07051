//! `pkcs11:` URIs (RFC 7512): which key in which token, and which library talks to it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which key in which token. What is not said does not matter; what is said must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenUri {
    text: String,
    /// The token's label.
    pub(super) token: Option<String>,
    /// Its serial number.
    pub(super) serial: Option<String>,
    /// Its manufacturer.
    pub(super) manufacturer: Option<String>,
    /// Its model.
    pub(super) model: Option<String>,
    /// The key's label.
    pub(super) object: Option<String>,
    /// The key's identifier.
    pub(super) id: Option<Vec<u8>>,
    /// The library that talks to the token.
    pub(super) module: Option<PathBuf>,
    /// The file that holds the PIN.
    pub(super) pin_source: Option<PathBuf>,
}

/// Why a URI is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenUriError {
    /// It does not begin with `pkcs11:`, or an attribute is not `name=value`.
    #[error("{0:?} is no attribute of the form name=value")]
    Form(String),
    /// An attribute that is not known here could be what tells two keys apart.
    #[error("the attribute {0} is not known here")]
    Unknown(String),
    /// An attribute stands twice.
    #[error("the attribute {0} stands twice")]
    Twice(String),
    /// A value has a bad percent escape, or is not UTF-8.
    #[error("the value of {0} has a bad escape or is not UTF-8")]
    Escape(String),
    /// The PIN itself would be seen in `ps`, in shell histories and in configuration.
    #[error("pin-value would show the PIN to everybody")]
    PinValue,
    /// Neither `object` nor `id`.
    #[error("neither object nor id says which key is meant")]
    NoKey,
    /// `pin-source` or `module-path` is no file.
    #[error("{0} is no absolute path of a file")]
    Path(&'static str),
}

impl FromStr for TokenUri {
    type Err = TokenUriError;

    fn from_str(text: &str) -> Result<Self, TokenUriError> {
        let rest = text.strip_prefix("pkcs11:");
        let rest = rest.ok_or_else(|| TokenUriError::Form(text.to_owned()))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self { text: text.to_owned(), ..Self::default() };
        let attributes = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for attribute in attributes {
            uri.take(attribute)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(TokenUriError::NoKey);
        }
        Ok(uri)
    }
}

impl TokenUri {
    fn take(&mut self, attribute: &str) -> Result<(), TokenUriError> {
        let form = || TokenUriError::Form(attribute.to_owned());
        let (name, value) = attribute.split_once('=').ok_or_else(form)?;
        if name == "pin-value" {
            return Err(TokenUriError::PinValue);
        }
        let bytes = unescape(value).ok_or_else(|| TokenUriError::Escape(name.to_owned()))?;
        if name == "id" {
            return set(&mut self.id, bytes, name);
        }
        let text = String::from_utf8(bytes).map_err(|_| TokenUriError::Escape(name.to_owned()))?;
        match name {
            "token" => set(&mut self.token, text, name),
            "serial" => set(&mut self.serial, text, name),
            "manufacturer" => set(&mut self.manufacturer, text, name),
            "model" => set(&mut self.model, text, name),
            "object" => set(&mut self.object, text, name),
            // a pair has one label, so it does not matter which of the two is named
            "type" if text == "private" || text == "public" => Ok(()),
            "module-path" => set(&mut self.module, absolute(&text, "module-path")?, name),
            "pin-source" => {
                let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:"));
                let path = absolute(path.unwrap_or(&text), "pin-source")?;
                set(&mut self.pin_source, path, name)
            }
            _ => Err(TokenUriError::Unknown(name.to_owned())),
        }
    }
}

fn set<T>(place: &mut Option<T>, value: T, name: &str) -> Result<(), TokenUriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(TokenUriError::Twice(name.to_owned())),
    }
}

fn absolute(text: &str, what: &'static str) -> Result<PathBuf, TokenUriError> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(TokenUriError::Path(what)) }
}

/// Undoes percent escapes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).expect("two hexadecimal digits")
            }
            byte => byte,
        });
    }
    Some(bytes)
}

impl fmt::Display for TokenUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenUri, TokenUriError> {
        text.parse()
    }

    #[test]
    fn attributes_are_read() {
        let uri = parse(
            "pkcs11:token=Release%20keys;object=collection;id=%01%ff;type=private\
             ?module-path=/usr/lib/m.so&pin-source=file:/run/pin",
        );
        let uri = uri.expect("a URI");
        assert_eq!(uri.token.as_deref(), Some("Release keys"));
        assert_eq!(uri.object.as_deref(), Some("collection"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        assert_eq!(uri.module, Some("/usr/lib/m.so".into()));
        assert_eq!(uri.pin_source, Some("/run/pin".into()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let cases = [
            ("pkcs11:token=a", TokenUriError::NoKey),
            ("pkcs11:object=a?pin-value=1234", TokenUriError::PinValue),
            ("pkcs11:object=a;pin-value=1234", TokenUriError::PinValue),
            ("pkcs11:object=a;object=b", TokenUriError::Twice("object".into())),
            ("pkcs11:object=a;slot-id=1", TokenUriError::Unknown("slot-id".into())),
            ("pkcs11:object=%4", TokenUriError::Escape("object".into())),
            ("pkcs11:object=%ff", TokenUriError::Escape("object".into())),
            ("pkcs11:object", TokenUriError::Form("object".into())),
            ("pkcs11:object=a?module-path=m.so", TokenUriError::Path("module-path")),
            ("pkcs11:object=a?pin-source=|cat", TokenUriError::Path("pin-source")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }
}
