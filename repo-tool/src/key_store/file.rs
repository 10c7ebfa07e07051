//! Key files on disk: mode 0600, made once and never replaced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use countersign_terminal::{ExitStatus, Failure};
use zeroize::Zeroizing;

use super::{Passphrases, Secret, SecretError, process};

/// Largest key file: a PEM of a few hundred bytes, with room for a text before it.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// Why a key file was not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is one of that name, and key files are never replaced.
    #[error("key file {0} exists already")]
    Exists(PathBuf),
    /// Others than the owner may read it.
    #[error("key file {path} may be read by others (mode {mode:04o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, device, or longer than any key file.
    #[error("{0} is no key file")]
    NotAKeyFile(PathBuf),
    /// Reading or writing failed.
    #[error("cannot {action} key file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// What it holds cannot be used.
    #[error("cannot use key file {path}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SecretError,
    },
}

/// Writes `secret` to the new file `path`, mode 0600, and makes its directory with mode 0700 if
/// need be. The file is there whole or not at all, also after a loss of power.
pub fn create(
    path: &Path,
    secret: &Secret,
    passphrases: &Passphrases,
) -> Result<(), KeyStoreError> {
    process::keep_secrets();
    let unusable = |source| KeyStoreError::Secret { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() {
        return Err(KeyStoreError::Exists(path.to_owned()));
    }
    let passphrase = passphrases.of_new_keys().map_err(|error| unusable(error.into()))?;
    let text = secret.to_pem(passphrase.as_ref()).map_err(unusable)?;
    write_new(path, text.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyStoreError::Exists(path.to_owned()),
        _ => KeyStoreError::Io { action: "write", path: path.to_owned(), source },
    })
}

/// Opens a key file. Refuses one that others may read, as `ssh` does.
pub fn open(path: &Path, passphrases: &Passphrases) -> Result<Secret, KeyStoreError> {
    process::keep_secrets();
    let text = read(path)?;
    Secret::from_pem(&text, || passphrases.of_file(path))
        .map_err(|source| KeyStoreError::Secret { path: path.to_owned(), source })
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let linked = write_synced(&temporary, contents)
        // a link, unlike a rename, does not replace what is there
        .and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    linked.and(removed)?;
    File::open(directory)?.sync_all()
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // left behind by one that was killed; nobody ever used it
        _ => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyStoreError> {
    let failed = |source| KeyStoreError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_KEY_FILE {
        return Err(KeyStoreError::NotAKeyFile(path.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(KeyStoreError::Exposed { path: path.to_owned(), mode });
    }
    let capacity = usize::try_from(metadata.len()).expect("at most 16 KiB") + 1;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => KeyStoreError::NotAKeyFile(path.to_owned()),
        _ => failed(source),
    })?;
    Ok(text)
}

impl KeyStoreError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        use super::PassphraseError as P;
        match self {
            Self::Exposed { path, .. } => Some(format!(
                "if nobody can have copied it: chmod 600 {}; otherwise retire the key",
                path.display()
            )),
            Self::Exists(_) => Some("key files are never replaced; move it away first".into()),
            Self::Secret { source: SecretError::Passphrase(P::NoTerminal { .. }), .. } => {
                Some("give --passphrase-file FILE or --passphrase-fd N".into())
            }
            _ => None,
        }
    }

    /// How a command ends that needed the file.
    pub fn exit(&self) -> ExitStatus {
        use super::PassphraseError as P;
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            Self::Exposed { .. } => ExitStatus::Configuration,
            Self::Secret { source: SecretError::Passphrase(P::NoTerminal { .. }), .. } => {
                ExitStatus::Usage
            }
            _ => ExitStatus::Failed,
        }
    }
}

impl From<KeyStoreError> for Failure {
    fn from(error: KeyStoreError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        Self::new(exit, error).maybe_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::key_store::{NewPassphraseArgs, SecretKind};

    fn unencrypted() -> Passphrases {
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        Passphrases::for_new_keys(&arguments)
    }

    fn secret() -> Secret {
        Secret::generate(SecretKind::Ed25519).expect("a secret")
    }

    #[test]
    fn files_are_private_and_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys/a.pem");
        let made = secret();
        create(&path, &made, &unencrypted()).expect("made");
        let bits = |path: &Path| path.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(bits(&path), 0o600);
        assert_eq!(bits(path.parent().expect("keys")), 0o700);
        assert_eq!(fs::read_dir(directory.path().join("keys")).expect("listed").count(), 1);
        assert_eq!(open(&path, &unencrypted()).expect("opened").seed(), made.seed());
    }

    #[test]
    fn a_key_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pem");
        let first = secret();
        create(&path, &first, &unencrypted()).expect("made");
        let again = create(&path, &secret(), &unencrypted());
        assert!(matches!(again, Err(KeyStoreError::Exists(_))));
        assert!(write_new(&path, b"race").is_err());
        assert_eq!(open(&path, &unencrypted()).expect("opened").seed(), first.seed());
    }

    #[test]
    fn what_a_killed_run_left_is_no_hindrance() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pem");
        fs::write(directory.path().join("a.pem.new"), "half").expect("written");
        create(&path, &secret(), &unencrypted()).expect("made");
        assert!(open(&path, &unencrypted()).is_ok());
        assert!(!directory.path().join("a.pem.new").exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pem");
        create(&path, &secret(), &unencrypted()).expect("made");
        for mode in [0o640, 0o604, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            let error = open(&path, &unencrypted()).expect_err("exposed");
            assert!(error.hint().expect("a hint").contains("chmod 600"));
            assert_eq!(error.exit(), ExitStatus::Configuration);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("changed");
        assert!(open(&path, &unencrypted()).is_ok());
    }

    #[test]
    fn other_files_are_no_keys() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = open(directory.path(), &unencrypted()).expect_err("a directory");
        assert!(matches!(error, KeyStoreError::NotAKeyFile(_)));
        let missing = open(&directory.path().join("none"), &unencrypted());
        assert!(matches!(missing, Err(KeyStoreError::Io { .. })));
        let path = directory.path().join("text");
        write_new(&path, b"hello\n").expect("written");
        let error = open(&path, &unencrypted()).expect_err("text");
        assert!(matches!(error, KeyStoreError::Secret { source: SecretError::Form, .. }));
    }
}
