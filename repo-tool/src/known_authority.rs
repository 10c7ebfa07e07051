//! The authority as a server knows it: the notes that it holds in `public/authority/`, and how it
//! learns of newer ones (SPEC §4.1, §5.2).
//!
//! A note that was learned is kept in `state/learned/` until the server shows it to its readers:
//! from then on they refuse what the newest one does not accept. What trust begins with is kept in
//! `state/anchor`; `state/announced` says up to which version the server's log names the notes.
//! Where that is lost, the published log says it.

use std::path::Path;

use countersign_format::authority::fingerprint;
use countersign_format::entry::AuthorityReference;
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::Chain;
use countersign_store::authority::{Anchor, AuthorityError, PassedOver, Step, Walk};
use countersign_store::durable::Access;
use countersign_store::{
    DirectoryWriter, Get, GetError, Got, HttpOptions, Location, Sink, Source, WriteError,
};
use countersign_terminal::{ExitStatus, Failure};

use crate::blocking::block_on;
use crate::config::{Fingerprint, ServerConfig};
use crate::publish::PublishError;
use crate::role_dir::{RoleDir, RoleDirError};

use announced::{read_announced, recall_announced};
use learned::{drop_shown, learned, learned_writer};

pub use announced::{forget_announced, mark_announced};
pub use learned::held_note;

mod announced;
mod learned;

const ANCHOR: &str = "state/anchor";
/// Longest of the two small files, `state/anchor` and `state/announced`.
const MAX_TEXT: usize = 128;

/// The chain of authority notes that a server holds.
#[derive(Debug)]
pub struct KnownAuthority {
    walk: Walk,
    accepted: Vec<AuthorityReference>,
    trusted_now: Option<Hash32>,
    unreachable: Option<GetError>,
    /// The newest version that readers see; 0 where they see none.
    shown: u64,
    waits_for: Option<String>,
    /// Where newer notes were looked for.
    asked: Vec<String>,
}

/// Why a server does not know its authority.
#[derive(Debug, thiserror::Error)]
pub enum KnownAuthorityError {
    /// The server's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// The chain could not be read, or what it begins with is refused.
    #[error(transparent)]
    Chain(#[from] AuthorityError),
    /// A note could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nothing says where the authority's notes are.
    #[error("no authority note is held, and {config} does not say where the authority is")]
    NotConfigured {
        /// The server's configuration.
        config: String,
    },
    /// There is no version 1 to begin with.
    #[error("{0} has no authority note yet")]
    NothingPublished(String),
    /// Notes that this server's own log names are gone.
    #[error(
        "authority notes end at version {held}, and this server's log names version {announced}"
    )]
    Older {
        /// Where the chain ends.
        held: u64,
        /// What the log names.
        announced: u64,
    },
    /// The server's own log, which is read where `state/` does not say what it names.
    #[error(transparent)]
    Log(Box<PublishError>),
    /// A file in `state/` is not what this program writes.
    #[error("{0} is damaged")]
    Damaged(&'static str),
}

impl KnownAuthority {
    /// What the server holds already; `None` if it never learned of a note.
    pub fn held(directory: &RoleDir) -> Result<Option<Self>, KnownAuthorityError> {
        let Some(anchor) = read_anchor(directory)? else { return Ok(None) };
        let anchor = Anchor::Fingerprint(anchor.0);
        let shown = open(&Location::Directory(directory.public()));
        let learned = open(&Location::Directory(learned(directory)));
        let read = match block_on(Self::read(&shown, &anchor)) {
            Err(error @ KnownAuthorityError::Chain(AuthorityError::NotFound { .. })) => {
                block_on(Self::read(&learned, &anchor)).map_err(|_| error)
            }
            read => read,
        };
        let mut known = read?;
        while block_on(known.step(&learned))?.is_some() {}
        known.look_what_is_shown(directory)?;
        Ok(Some(known))
    }

    /// What the server holds and, where the configuration says where, what the authority published
    /// since: new notes are kept, and readers see them after [`Self::show`]. If the authority cannot
    /// be reached, what is held is enough. Whoever learns holds the role's lock.
    pub fn learn(
        directory: &RoleDir,
        config: &ServerConfig,
        log: Log,
    ) -> Result<Self, KnownAuthorityError> {
        recall_announced(directory, log)?;
        drop_shown(directory)?;
        let place = config.authority.as_ref().map(|place| place.resolve(directory.path()));
        let held = Self::held(directory)?;
        let Some(place) = &place else {
            let config = directory.config().display().to_string();
            let known = held.ok_or(KnownAuthorityError::NotConfigured { config })?;
            known.check_floor(directory)?;
            return Ok(known);
        };
        let source = open(place);
        let mut writer = learned_writer(directory)?;
        let mut known = match held {
            Some(mut known) => {
                match block_on(known.go_on(&source, &mut writer)) {
                    Err(KnownAuthorityError::Chain(AuthorityError::Get(error)))
                        if error.is_unreachable() =>
                    {
                        known.unreachable = Some(error);
                    }
                    result => result?,
                }
                writer.sync()?;
                known
            }
            None => block_on(Self::first(directory, config, &source, &mut writer))?,
        };
        known.asked.push(source.name().to_owned());
        known.check_floor(directory)?;
        known.look_what_is_shown(directory)?;
        Ok(known)
    }

    /// Refuses to go on from an older version than one that was known before: a key that was retired
    /// since would count again.
    fn check_floor(&self, directory: &RoleDir) -> Result<(), KnownAuthorityError> {
        let (held, announced) = (self.chain().newest().version, read_announced(directory)?);
        if held < announced {
            return Err(KnownAuthorityError::Older { held, announced });
        }
        Ok(())
    }

    /// Looks for newer notes at another place that publishes them, such as the collection's public
    /// directory, and keeps them too.
    pub fn learn_from(
        &mut self,
        directory: &RoleDir,
        place: &Location,
    ) -> Result<(), KnownAuthorityError> {
        let (source, mut writer) = (open(place), learned_writer(directory)?);
        block_on(self.go_on(&source, &mut writer))?;
        writer.sync()?;
        if !self.asked.iter().any(|name| name == source.name()) {
            self.asked.push(source.name().to_owned());
        }
        self.look_what_is_shown(directory)
    }

    /// Where newer notes were looked for; nowhere if the configuration names no place.
    pub fn asked(&self) -> &[String] {
        &self.asked
    }

    /// Remembers why readers are not shown the newest note yet.
    pub fn wait_for(&mut self, why: String) {
        self.waits_for = Some(why);
    }

    /// Why readers are not shown the newest note yet, if so.
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        self.walk.chain()
    }

    /// Versions that cannot be accepted, to be named to a person.
    pub fn passed_over(&self) -> &[PassedOver] {
        self.walk.passed_over()
    }

    /// The fingerprint that was trusted because nothing else was known: to be shown to a person,
    /// who can compare it.
    pub fn trusted_now(&self) -> Option<Hash32> {
        self.trusted_now
    }

    /// Why the authority could not be asked for newer notes, if so.
    pub fn unreachable(&self) -> Option<&GetError> {
        self.unreachable.as_ref()
    }

    /// The accepted notes that the server's log does not name yet.
    pub fn unannounced(
        &self,
        directory: &RoleDir,
    ) -> Result<Vec<AuthorityReference>, KnownAuthorityError> {
        let announced = read_announced(directory)?;
        let new = self.accepted.iter().filter(|reference| reference.version > announced);
        Ok(new.cloned().collect())
    }

    async fn read(source: &Source, anchor: &Anchor) -> Result<Self, KnownAuthorityError> {
        let walk = Walk::begin(source, anchor).await?;
        let newest = walk.chain().newest().version;
        let first = AuthorityReference { version: newest, sha256: walk.chain().fingerprint() };
        let accepted = vec![first];
        let mut known = Self {
            walk,
            accepted,
            trusted_now: None,
            unreachable: None,
            shown: 0,
            waits_for: None,
            asked: Vec::new(),
        };
        while known.step(source).await?.is_some() {}
        Ok(known)
    }

    /// The first time: begins with what the configuration says, or else with version 1.
    async fn first(
        directory: &RoleDir,
        config: &ServerConfig,
        source: &Source,
        writer: &mut DirectoryWriter,
    ) -> Result<Self, KnownAuthorityError> {
        let anchor = match config.anchor {
            Some(fingerprint) => Anchor::Fingerprint(fingerprint.0),
            None => match get(source, 1).await? {
                Some(bytes) => Anchor::Note { bytes, file: layout::authority(1).to_string() },
                None => return Err(KnownAuthorityError::NothingPublished(source.name().into())),
            },
        };
        let mut known = Self::read(source, &anchor).await?;
        // those before the anchor too: there are clients that begin with them
        for version in 1..=known.chain().newest().version {
            let bytes = get(source, version).await?.unwrap_or_default();
            writer.put_immutable(&layout::authority(version), &bytes)?;
        }
        writer.sync()?;
        let first = known.accepted[0].sha256;
        let text = format!("{}\n", Fingerprint(first));
        directory.write(Path::new(ANCHOR), text.as_bytes(), Access::Private)?;
        known.trusted_now = config.anchor.is_none().then_some(first);
        Ok(known)
    }

    /// Goes to the end of the chain at `source` and keeps what is new. A version that cannot be
    /// accepted is kept once a later one is: until then it may be anybody's, and what is kept under
    /// a number is kept for good.
    async fn go_on(
        &mut self,
        source: &Source,
        writer: &mut DirectoryWriter,
    ) -> Result<(), KnownAuthorityError> {
        let mut waiting = Vec::new();
        while let Some((version, bytes)) = self.step(source).await? {
            waiting.push((version, bytes));
            if self.chain().newest().version == version {
                for (version, bytes) in waiting.drain(..) {
                    writer.put_immutable(&layout::authority(version), &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// One version further; `None` at the end.
    async fn step(
        &mut self,
        source: &Source,
    ) -> Result<Option<(u64, Vec<u8>)>, KnownAuthorityError> {
        match self.walk.step(source).await? {
            Step::Accepted { version, bytes } => {
                let note = Note::parse(&bytes, MAX_AUTHORITY_NOTE).expect("accepted as a note");
                let sha256 = fingerprint(note.text());
                self.accepted.push(AuthorityReference { version, sha256 });
                Ok(Some((version, bytes)))
            }
            Step::PassedOver { version, bytes } => Ok(Some((version, bytes))),
            Step::End => Ok(None),
        }
    }
}

fn open(location: &Location) -> Source {
    Source::open(location, &HttpOptions::default())
}

async fn get(source: &Source, version: u64) -> Result<Option<Vec<u8>>, AuthorityError> {
    let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
    match source.get(&layout::authority(version), &request).await? {
        Got::Whole { bytes, .. } => Ok(Some(bytes)),
        _ => Ok(None),
    }
}

fn read_anchor(directory: &RoleDir) -> Result<Option<Fingerprint>, KnownAuthorityError> {
    let damaged = || KnownAuthorityError::Damaged(ANCHOR);
    let text = directory.read(Path::new(ANCHOR), MAX_TEXT)?;
    let parse = |text: Vec<u8>| String::from_utf8(text).ok()?.trim_end().parse().ok();
    text.map(|text| parse(text).ok_or_else(damaged)).transpose()
}

impl From<KnownAuthorityError> for Failure {
    fn from(error: KnownAuthorityError) -> Self {
        let hint = match &error {
            KnownAuthorityError::NotConfigured { config } => {
                Some(format!("set `authority` in {config} to the authority's URL or directory"))
            }
            KnownAuthorityError::NothingPublished(_) => {
                Some("the authority must admit this server and publish its version 1 first".into())
            }
            KnownAuthorityError::Older { .. } => {
                Some("copy the missing files of public/authority/ back from the authority".into())
            }
            _ => None,
        };
        let exit = match &error {
            KnownAuthorityError::Chain(AuthorityError::Get(error)) if error.is_unreachable() => {
                ExitStatus::Unreachable
            }
            KnownAuthorityError::Chain(AuthorityError::Policy(_)) => ExitStatus::Signature,
            KnownAuthorityError::NotConfigured { .. } => ExitStatus::Configuration,
            KnownAuthorityError::Older { .. } => ExitStatus::RollbackOrFork,
            _ => ExitStatus::Failed,
        };
        match error {
            KnownAuthorityError::RoleDir(error) => error.into(),
            KnownAuthorityError::Log(error) => (*error).into(),
            error => Self::new(exit, error).maybe_hint(hint),
        }
    }
}
