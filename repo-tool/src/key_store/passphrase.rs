//! Where the passphrase of a key file comes from: the terminal, a file, a file descriptor. The
//! environment can name the file, for timers; it never holds the passphrase, since other processes
//! and crash reports can show it.

use std::cell::OnceCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::process;

/// Longest passphrase, in bytes: more than anybody types, less than a wrong file holds.
pub const MAX_PASSPHRASE: usize = 1024;

/// Names the file that passphrases are read from where no option says otherwise.
pub const PASSPHRASE_FILE_VARIABLE: &str = "PATCHREPO_PASSPHRASE_FILE";

/// Where the passphrases of existing key files come from.
#[derive(Args, Debug, Clone, Default)]
pub struct PassphraseArgs {
    /// Read the passphrase from the first line of FILE instead of the terminal; the variable
    /// PATCHREPO_PASSPHRASE_FILE can name it too
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "passphrase_fd",
        help_heading = "Passphrase"
    )]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from the first line of this open file descriptor
    #[arg(long, value_name = "N", help_heading = "Passphrase")]
    pub passphrase_fd: Option<u32>,
}

/// Where the passphrase of new key files comes from, or that there is none.
#[derive(Args, Debug, Clone, Default)]
pub struct NewPassphraseArgs {
    /// Where it comes from.
    #[command(flatten)]
    pub source: PassphraseArgs,
    /// Write key files unencrypted: whoever can read them can sign
    #[arg(
        long,
        conflicts_with_all = ["passphrase_file", "passphrase_fd"],
        help_heading = "Passphrase"
    )]
    pub no_passphrase: bool,
}

/// A passphrase. Zeroized when dropped, never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// It has no character.
    #[error("the passphrase is empty")]
    Empty,
    /// It is longer than [`MAX_PASSPHRASE`].
    #[error("the passphrase is longer than {MAX_PASSPHRASE} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("the passphrase is not UTF-8")]
    Utf8,
    /// The second time something else was typed.
    #[error("the two passphrases differ")]
    Differ,
    /// There is no terminal to ask at.
    #[error("cannot ask for the passphrase of {what} without a terminal")]
    NoTerminal {
        /// Which key file.
        what: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file or descriptor cannot be read.
    #[error("cannot read the passphrase from {from}")]
    Read {
        /// Which one.
        from: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Passphrase {
    /// Checks a passphrase: neither empty nor longer than [`MAX_PASSPHRASE`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        match text.len() {
            0 => Err(PassphraseError::Empty),
            1..=MAX_PASSPHRASE => Ok(Self(text)),
            _ => Err(PassphraseError::TooLong),
        }
    }

    /// Reads one from the first line of a file.
    pub fn read(path: &Path) -> Result<Self, PassphraseError> {
        read_first_line(path)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase")
    }
}

/// The passphrases of one command. What comes from a file or descriptor is read once and used for
/// each key file; at the terminal each existing file is asked for, since they may differ.
#[derive(Debug, Default)]
pub struct Passphrases {
    source: PassphraseArgs,
    unencrypted: bool,
    read: OnceCell<Passphrase>,
}

impl Passphrases {
    /// For opening key files.
    pub fn new(arguments: &PassphraseArgs) -> Self {
        Self { source: arguments.clone(), ..Self::default() }
    }

    /// For making key files; what was made can be opened too.
    pub fn for_new_keys(arguments: &NewPassphraseArgs) -> Self {
        Self {
            source: arguments.source.clone(),
            unencrypted: arguments.no_passphrase,
            read: OnceCell::new(),
        }
    }

    /// The passphrase of the existing key file `path`.
    pub fn of_file(&self, path: &Path) -> Result<Passphrase, PassphraseError> {
        self.of(&path.display().to_string())
    }

    /// The passphrase of an existing key file, or the PIN of a token: of `what`, for people.
    pub fn of(&self, what: &str) -> Result<Passphrase, PassphraseError> {
        process::keep_secrets();
        if let Some(passphrase) = self.read_once()? {
            return Ok(passphrase);
        }
        ask(what, &format!("Passphrase of {what}: "))
    }

    /// The passphrase for the key files that this command makes; asked for once, twice over.
    /// `None` where it was declined.
    pub fn of_new_keys(&self) -> Result<Option<Passphrase>, PassphraseError> {
        if self.unencrypted {
            return Ok(None);
        }
        if let Some(passphrase) = self.read_once()? {
            return Ok(Some(passphrase));
        }
        let what = "the new key files";
        let passphrase = ask(what, "New passphrase: ")?;
        if ask(what, "The same again: ")?.as_bytes() != passphrase.as_bytes() {
            return Err(PassphraseError::Differ);
        }
        Ok(Some(self.read.get_or_init(|| passphrase).clone()))
    }

    /// The descriptor that passphrases are read from, where a program that is started inherits it:
    /// its standard input is another one.
    pub(super) fn inherited(&self) -> Option<u32> {
        self.source.passphrase_fd.filter(|number| *number != 0)
    }

    /// What was read from the file or descriptor, or asked for before when making keys.
    fn read_once(&self) -> Result<Option<Passphrase>, PassphraseError> {
        if let Some(passphrase) = self.read.get() {
            return Ok(Some(passphrase.clone()));
        }
        let path = match (&self.source.passphrase_file, self.source.passphrase_fd) {
            (Some(path), _) => path.clone(),
            (None, Some(number)) => PathBuf::from(format!("/dev/fd/{number}")),
            (None, None) => match std::env::var_os(PASSPHRASE_FILE_VARIABLE) {
                Some(path) => path.into(),
                None => return Ok(None),
            },
        };
        let passphrase = read_first_line(&path)?;
        Ok(Some(self.read.get_or_init(|| passphrase).clone()))
    }
}

fn read_first_line(path: &Path) -> Result<Passphrase, PassphraseError> {
    // room for all that may come, so that no copy is left behind by growing
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 3));
    let limit = u64::try_from(MAX_PASSPHRASE + 2).expect("a small constant");
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| PassphraseError::Read { from: path.display().to_string(), source })?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| PassphraseError::Utf8)?;
    Passphrase::new(Zeroizing::new(text.to_owned()))
}

fn ask(what: &str, prompt: &str) -> Result<Passphrase, PassphraseError> {
    let typed = rpassword::prompt_password(prompt)
        .map_err(|source| PassphraseError::NoTerminal { what: what.to_owned(), source })?;
    Passphrase::new(Zeroizing::new(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(contents: &[u8]) -> Result<Passphrase, PassphraseError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("passphrase");
        std::fs::write(&path, contents).expect("written");
        let source = PassphraseArgs { passphrase_file: Some(path), passphrase_fd: None };
        Passphrases::new(&source).of_file(Path::new("some.pem"))
    }

    #[test]
    fn the_first_line_of_a_file_is_the_passphrase() {
        for contents in ["correct horse", "correct horse\n", "correct horse\r\nmore\n"] {
            let read = from_file(contents.as_bytes()).expect("a passphrase");
            assert_eq!(read.as_bytes(), b"correct horse", "{contents:?}");
        }
        assert!(matches!(from_file(b"\nx"), Err(PassphraseError::Empty)));
        assert!(matches!(from_file(b"\xff\n"), Err(PassphraseError::Utf8)));
        assert!(from_file(&[b'a'; MAX_PASSPHRASE]).is_ok());
        assert!(matches!(from_file(&[b'a'; MAX_PASSPHRASE + 1]), Err(PassphraseError::TooLong)));
    }

    #[test]
    fn a_pipe_is_read_once_for_all_keys() {
        use std::os::fd::AsRawFd as _;
        let (reader, mut writer) = io::pipe().expect("a pipe");
        io::Write::write_all(&mut writer, b"through the pipe\n").expect("written");
        drop(writer);
        let number = u32::try_from(reader.as_raw_fd()).expect("a descriptor");
        let source = PassphraseArgs { passphrase_file: None, passphrase_fd: Some(number) };
        let passphrases = Passphrases::new(&source);
        for path in ["a.pem", "b.pem"] {
            let read = passphrases.of_file(Path::new(path)).expect("a passphrase");
            assert_eq!(read.as_bytes(), b"through the pipe");
        }
    }

    #[test]
    fn declining_a_passphrase_asks_for_none() {
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        assert!(Passphrases::for_new_keys(&arguments).of_new_keys().expect("declined").is_none());
    }
}
