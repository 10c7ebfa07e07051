//! Files with secrets: what a server is told so that it lets this machine in.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use reqwest::Url;
use reqwest::header::HeaderValue;
use rustix::fs::OFlags;

use crate::http::options::{CredentialsFile, HttpOptions};

/// Longest file with credentials: tokens have up to a few thousand bytes.
pub const MAX_CREDENTIALS: u64 = 16 * 1024;

/// Why a secret is not used. What the file holds is in none of the texts.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("{} is no file", .0.display())]
    NotFile(PathBuf),
    /// Others may read or change it.
    #[error("{} has mode {mode:04o}, and only its owner may read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, not to root or the user that runs this", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It is longer than any.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// It has something else in it.
    #[error("{} is no line `bearer TOKEN` or `basic USER:PASSWORD`", .0.display())]
    Form(PathBuf),
    /// They would be sent for everybody to read.
    #[error("the credentials of {} would go to {host} unencrypted", path.display())]
    Plain {
        /// The file.
        path: PathBuf,
        /// The server.
        host: String,
    },
}

/// Reads a file that only its owner may read, who is root or the present user. What is checked is
/// the file that is read, whatever its name leads to a moment later.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::Io { path: path.to_owned(), source };
    // a pipe in its place must not hold the program up
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    check_owner(path, &file)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(SecretError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn check_owner(path: &Path, file: &File) -> Result<(), SecretError> {
    let path = path.to_owned();
    let found = match file.metadata() {
        Ok(found) => found,
        Err(source) => return Err(SecretError::Io { path, source }),
    };
    if !found.is_file() {
        return Err(SecretError::NotFile(path));
    }
    let owner = found.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(SecretError::Owner { path, owner });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path, mode });
    }
    Ok(())
}

/// The value of `Authorization` for the server at `base`, if it is to be told anything.
pub(super) fn authorization(
    base: &Url,
    options: &HttpOptions,
) -> Result<Option<HeaderValue>, SecretError> {
    let Some(CredentialsFile { path, allow_plain }) = &options.credentials else { return Ok(None) };
    // what goes to this very machine by a proxy does not stay on it
    let stays_here = is_loopback(base) && options.proxies.http.is_none();
    if base.scheme() != "https" && !stays_here && !allow_plain {
        let host = base.host_str().unwrap_or_default().to_owned();
        return Err(SecretError::Plain { path: path.clone(), host });
    }
    let bytes = read_private(path, MAX_CREDENTIALS)?;
    let value = std::str::from_utf8(&bytes).ok().and_then(header);
    value.map(Some).ok_or_else(|| SecretError::Form(path.clone()))
}

/// Whether the URL is of the very server, by scheme, host and port, that `base` is of.
pub(super) fn is_of_server(base: &Url, url: &Url) -> bool {
    (base.scheme(), base.host(), base.port_or_known_default())
        == (url.scheme(), url.host(), url.port_or_known_default())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback()),
        None => false,
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let (scheme, secret) = text.trim_end_matches(['\r', '\n']).split_once(' ')?;
    let is_token = |c: u8| c.is_ascii_graphic();
    let value = match scheme.to_ascii_lowercase().as_str() {
        "bearer" if !secret.is_empty() && secret.bytes().all(is_token) => {
            format!("Bearer {secret}")
        }
        "basic" if secret.contains(':') && !secret.contains(char::is_control) => {
            format!("Basic {}", BASE64.encode(secret.as_bytes()))
        }
        _ => return None,
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(url: &str, text: &str, mode: u32, allow_plain: bool) -> Result<String, SecretError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("credentials");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        let credentials = Some(CredentialsFile { path, allow_plain });
        let options = HttpOptions { credentials, ..HttpOptions::default() };
        let value = authorization(&url.parse().expect("a URL"), &options)?.expect("credentials");
        assert!(!format!("{value:?}").contains("secret"));
        Ok(value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn credentials_have_two_forms() {
        let read = |text| read("https://patches.example.org/", text, 0o600, false);
        assert_eq!(read("bearer abc.def-1\n").expect("a token"), "Bearer abc.def-1");
        // RFC 7617, §2
        let basic = read("Basic Aladdin:open sesame").expect("a password");
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let bad =
            ["", "secret", "bearer ", "bearer a b", "basic name", "digest a:b", "bearer a\nb"];
        for text in bad {
            assert!(matches!(read(text), Err(SecretError::Form(_))), "{text:?}");
        }
        let long = format!("bearer {}", "a".repeat(20_000));
        assert!(matches!(read(&long), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn what_others_can_read_is_no_secret() {
        let read = |mode| read("https://patches.example.org/", "bearer secret", mode, false);
        assert!(read(0o400).is_ok());
        for mode in [0o640, 0o604, 0o620, 0o602, 0o601] {
            assert!(matches!(read(mode), Err(SecretError::Exposed { .. })), "{mode:o}");
        }
        let folder = tempfile::tempdir().expect("a directory");
        assert!(matches!(read_private(folder.path(), 10), Err(SecretError::NotFile(_))));
        let missing = folder.path().join("missing");
        assert!(matches!(read_private(&missing, 10), Err(SecretError::Io { .. })));
    }

    #[test]
    fn secrets_do_not_go_unencrypted() {
        let read = |url, allow| read(url, "bearer secret", 0o600, allow);
        assert!(matches!(read("http://a.example/", false), Err(SecretError::Plain { .. })));
        assert!(matches!(read("http://127.0.0.1.example/", false), Err(SecretError::Plain { .. })));
        assert!(read("http://a.example/", true).is_ok());
        for here in ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]/"] {
            assert!(read(here, false).is_ok(), "{here}");
        }
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            is_of_server(&one.parse().expect("a URL"), &other.parse().expect("a URL"))
        };
        assert!(same("https://a.example/x/", "https://a.example:443/y"));
        assert!(!same("https://a.example/", "http://a.example/"));
        assert!(!same("https://a.example/", "https://b.a.example/"));
        assert!(!same("https://a.example/", "https://a.example:8443/"));
    }
}
