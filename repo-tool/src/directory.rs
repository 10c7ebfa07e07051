//! What the directory does: it says where servers are (SPEC §6). It can vouch for nothing.
//!
//! Its directory holds `keys/directory.pem`, after a renewal `keys/directory-2.pem` and so on, or in
//! place of either a `.toml` that says where the key lives; `state/servers` (what the next version
//! says); and `public/directory`. All keys that are there sign, so that a reader who knows any of them
//! goes on while one is being replaced.

use std::path::{Path, PathBuf};

use countersign_format::directory::{DirectoryError, DirectoryNote, DirectoryServer, ServerUrl};
use countersign_format::json::{self, JsonError};
use countersign_format::key::{KeyError, KeyName, Vkey};
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::{Note, NoteError};
use countersign_format::signature::{SignError, sign_note};
use countersign_format::text::DistributionName;
use countersign_format::time::Timestamp;
use countersign_store::durable::Access;
use countersign_store::{DirectoryWriter, Sink as _, WriteError};
use countersign_terminal::{ExitStatus, Failure};
use serde::{Deserialize, Serialize};

use crate::config::{self, ConfigError, DirectoryConfig, Span};
use crate::key_store::{KeyLocation, KeyStoreError, Passphrases, SecretError, SigningKeyError};
use crate::role_dir::{Role, RoleDir, RoleDirError};

mod keys;

use keys::make_key;

const SERVERS: &str = "state/servers";
const SERVERS_TYPE: &str = "servers/v1";

/// A directory: where its files are, and its settings.
#[derive(Debug)]
pub struct Directory {
    directory: RoleDir,
    config: DirectoryConfig,
}

/// What the next version says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Servers {
    servers: Vec<DirectoryServer>,
}

/// Why a directory did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryToolError {
    /// Its files.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// Its key file.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A key that signs.
    #[error(transparent)]
    SigningKey(Box<SigningKeyError>),
    /// What says where a key lives.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key's name would be too long.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// There is no key.
    #[error("there is no key in {0}")]
    NoKey(PathBuf),
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Publishing could not write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What it is to say is refused.
    #[error(transparent)]
    Note(#[from] DirectoryError),
    /// What it published is no note.
    #[error("public/directory is no note")]
    Published(#[source] NoteError),
    /// `state/servers` is not what it was written as.
    #[error("{SERVERS} is malformed")]
    Servers(#[source] JsonError),
    /// The URL is listed already.
    #[error("{url} is listed for distribution {distribution} already")]
    ListedAlready {
        /// The URL.
        url: String,
        /// The distribution.
        distribution: DistributionName,
    },
    /// The URL is not listed.
    #[error("{url} is not listed for distribution {distribution}")]
    NotListed {
        /// The URL.
        url: String,
        /// The distribution.
        distribution: DistributionName,
    },
}

impl Directory {
    /// Makes a directory with a key of its own, or with the one at `signer`, and returns it with its
    /// public key, for the authority to list.
    pub fn init(
        path: &Path,
        name: &KeyName,
        valid_for: Span,
        signer: Option<&KeyLocation>,
        passphrases: &Passphrases,
    ) -> Result<(Self, Vkey), DirectoryToolError> {
        let config = DirectoryConfig { role: Role::Directory, name: name.clone(), valid_for };
        let mut vkey = None;
        RoleDir::create(path, |directory| {
            vkey = Some(make_key(directory, (name, 1), signer, passphrases)?);
            let text = config::print(&config);
            directory.write(Path::new("config.toml"), text.as_bytes(), Access::Public)?;
            Ok::<_, DirectoryToolError>(())
        })?;
        Ok((Self::open(path)?, vkey.expect("made along with the directory")))
    }

    /// Opens a directory.
    pub fn open(path: &Path) -> Result<Self, DirectoryToolError> {
        let (directory, config) = RoleDir::open(path, Role::Directory)?;
        Ok(Self { directory, config })
    }

    /// Makes a further key, or takes the one at `signer`, and returns it for the authority to list.
    /// From the next version on both sign, until the old one's file is removed.
    pub fn renew(
        &self,
        signer: Option<&KeyLocation>,
        passphrases: &Passphrases,
    ) -> Result<Vkey, DirectoryToolError> {
        let number = keys::numbers(&self.directory)?.last().map_or(1, |newest| newest + 1);
        make_key(&self.directory, (&self.config.name, number), signer, passphrases)
    }

    /// Where its files are.
    pub fn role_dir(&self) -> &RoleDir {
        &self.directory
    }

    /// Where each distribution is to be read, as the next version will say.
    pub fn servers(&self) -> Result<Vec<DirectoryServer>, DirectoryToolError> {
        match self.directory.read(Path::new(SERVERS), MAX_AUTHORITY_NOTE)? {
            None => Ok(Vec::new()),
            Some(bytes) => json::parse::<Servers>(&bytes, SERVERS_TYPE)
                .map(|servers| servers.servers)
                .map_err(DirectoryToolError::Servers),
        }
    }

    /// Lists a URL for a distribution, after those that it has, or first.
    pub fn add(
        &self,
        distribution: &DistributionName,
        url: ServerUrl,
        first: bool,
    ) -> Result<(), DirectoryToolError> {
        let mut servers = self.servers()?;
        let index = servers.iter().position(|server| server.distribution == *distribution);
        let index = index.unwrap_or_else(|| {
            servers.push(DirectoryServer { distribution: distribution.clone(), urls: Vec::new() });
            servers.len() - 1
        });
        let urls = &mut servers[index].urls;
        if urls.iter().any(|listed| listed.url == url.url) {
            let (url, distribution) = (url.url, distribution.clone());
            return Err(DirectoryToolError::ListedAlready { url, distribution });
        }
        urls.insert(if first { 0 } else { urls.len() }, url);
        self.save(servers)
    }

    /// Lists a URL no longer.
    pub fn remove(
        &self,
        distribution: &DistributionName,
        url: &str,
    ) -> Result<(), DirectoryToolError> {
        let mut servers = self.servers()?;
        let of_distribution = servers.iter_mut().find(|one| one.distribution == *distribution);
        let urls = of_distribution.map(|server| &mut server.urls);
        let position = urls.as_ref().and_then(|urls| urls.iter().position(|one| one.url == url));
        let (Some(urls), Some(position)) = (urls, position) else {
            let (url, distribution) = (url.to_owned(), distribution.clone());
            return Err(DirectoryToolError::NotListed { url, distribution });
        };
        urls.remove(position);
        servers.retain(|server| !server.urls.is_empty());
        self.save(servers)
    }

    /// What is published; `None` before the first version. Its signature is not looked at: what
    /// counts as the directory's key is for the authority to say.
    pub fn published(&self) -> Result<Option<DirectoryNote>, DirectoryToolError> {
        let path = PathBuf::from("public").join(layout::directory());
        let Some(bytes) = self.directory.read(&path, MAX_AUTHORITY_NOTE)? else {
            return Ok(None);
        };
        let note =
            Note::parse(&bytes, MAX_AUTHORITY_NOTE).map_err(DirectoryToolError::Published)?;
        Ok(Some(DirectoryNote::parse(note.text())?))
    }

    /// Signs and publishes a version that says what is prepared.
    pub fn publish(
        &self,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<DirectoryNote, DirectoryToolError> {
        let version = self.published()?.map_or(1, |note| note.version + 1);
        let note = self.note(version, now, self.servers()?);
        let text = note.to_text();
        DirectoryNote::parse(&text)?;
        let signers = keys::open(&self.directory, &self.config.name, passphrases)?;
        let lines = signers.iter().map(|signer| sign_note(signer, &text));
        let lines = lines.collect::<Result<_, _>>()?;
        let bytes = Note::new(text, lines).to_bytes();
        DirectoryWriter::new(&self.directory.public()).put_mutable(&layout::directory(), &bytes)?;
        Ok(note)
    }

    fn note(&self, version: u64, now: Timestamp, servers: Vec<DirectoryServer>) -> DirectoryNote {
        let name = self.config.name.clone();
        DirectoryNote { name, version, expires: now.plus(self.config.valid_for.0), servers }
    }

    /// Keeps what is prepared, if a note can say it.
    fn save(&self, servers: Vec<DirectoryServer>) -> Result<(), DirectoryToolError> {
        let note = self.note(1, Timestamp::EPOCH, servers);
        DirectoryNote::parse(&note.to_text())?;
        let servers = Servers { servers: note.servers };
        let bytes = json::print_pretty(SERVERS_TYPE, &servers);
        Ok(self.directory.write(Path::new(SERVERS), &bytes, Access::Public)?)
    }
}

impl From<SigningKeyError> for DirectoryToolError {
    fn from(error: SigningKeyError) -> Self {
        Self::SigningKey(Box::new(error))
    }
}

impl From<DirectoryToolError> for Failure {
    fn from(error: DirectoryToolError) -> Self {
        match error {
            DirectoryToolError::RoleDir(error) => error.into(),
            DirectoryToolError::KeyStore(error) => error.into(),
            DirectoryToolError::SigningKey(error) => (*error).into(),
            DirectoryToolError::Config(error) => error.into(),
            error @ DirectoryToolError::Note(_) => Self::new(ExitStatus::Usage, error),
            error => Self::new(ExitStatus::Failed, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_format::policy::verify_own_signature;

    use super::*;
    use crate::key_store::NewPassphraseArgs;

    fn unencrypted() -> Passphrases {
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        Passphrases::for_new_keys(&arguments)
    }

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().expect("a time")
    }

    fn word(text: &str) -> DistributionName {
        text.parse().expect("a word")
    }

    fn made() -> (Directory, Vkey, tempfile::TempDir) {
        let base = tempfile::tempdir().expect("a directory");
        let name = "example.org/directory".parse().expect("a name");
        let path = base.path().join("directory");
        let (directory, vkey) =
            Directory::init(&path, &name, Span(86_400), None, &unencrypted()).expect("made");
        (directory, vkey, base)
    }

    #[test]
    fn what_is_prepared_is_published_under_its_key() {
        let (directory, vkey, _base) = made();
        let mut weighty = ServerUrl::from("https://b.example.org/");
        weighty.weight = std::num::NonZeroU16::new(30);
        directory.add(&word("main"), weighty, false).expect("added");
        directory.add(&word("main"), "https://a.example.org/".into(), true).expect("added");
        let first = directory.publish(&unencrypted(), now()).expect("published");
        assert_eq!((first.version, first.expires), (1, now().plus(86_400)));
        let urls: Vec<_> = first.urls(&word("main")).iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["https://a.example.org/", "https://b.example.org/, weight 30"]);

        directory.remove(&word("main"), "https://a.example.org/").expect("removed");
        directory.publish(&unencrypted(), now()).expect("published");
        let published = directory.published().expect("read").expect("a version");
        assert_eq!((published.version, published.servers[0].urls.len()), (2, 1));
        let bytes = std::fs::read(directory.role_dir().public().join("directory")).expect("read");
        let text = verify_own_signature(&bytes, "directory", &vkey).expect("signed");
        assert_eq!(*text, published.to_text());
    }

    #[test]
    fn while_a_key_is_replaced_both_sign() {
        let (directory, old, base) = made();
        let elsewhere = KeyLocation::File(base.path().join("elsewhere.pem"));
        crate::key_store::generate(&elsewhere, &unencrypted()).expect("made");
        let new = directory.renew(None, &unencrypted()).expect("made");
        let third = directory.renew(Some(&elsewhere), &unencrypted()).expect("taken");
        assert_eq!(new.name.to_string(), "example.org/directory/2");
        assert_eq!(third.name.to_string(), "example.org/directory/3");
        let signs = |vkey: &Vkey| {
            directory.publish(&unencrypted(), now()).expect("published");
            let published = directory.role_dir().public().join("directory");
            let bytes = std::fs::read(published).expect("read");
            verify_own_signature(&bytes, "directory", vkey).is_ok()
        };
        assert!([&old, &new, &third].into_iter().all(signs));
        let keys = directory.role_dir().keys();
        std::fs::remove_file(keys.join("directory.pem")).expect("removed");
        assert!(!signs(&old) && signs(&new) && signs(&third));
        std::fs::remove_file(keys.join("directory-2.pem")).expect("removed");
        std::fs::remove_file(keys.join("directory-3.toml")).expect("removed");
        let none = directory.publish(&unencrypted(), now());
        assert!(matches!(none, Err(DirectoryToolError::NoKey(_))));
    }

    #[test]
    fn mistakes_change_nothing() {
        let (directory, _, _base) = made();
        let (main, url) = (word("main"), "https://a.example.org/");
        directory.add(&main, url.into(), false).expect("added");
        let twice = directory.add(&main, url.into(), true);
        assert!(matches!(twice, Err(DirectoryToolError::ListedAlready { .. })));
        let no_url = directory.add(&main, "ftp://a.example.org/".into(), false);
        assert!(matches!(no_url, Err(DirectoryToolError::Note(DirectoryError::Url(_)))));
        for (distribution, url) in [("main", "https://x/"), ("north", url)] {
            let absent = directory.remove(&word(distribution), url);
            assert!(matches!(absent, Err(DirectoryToolError::NotListed { .. })));
        }
        let kept = directory.servers().expect("read");
        assert_eq!(kept, [DirectoryServer { distribution: main.clone(), urls: vec![url.into()] }]);
        directory.remove(&main, url).expect("removed");
        assert_eq!(directory.servers().expect("read"), []);
    }
}
