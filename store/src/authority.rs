//! Reading the chain of authority notes (SPEC §5.2).
//!
//! A [`Walk`] begins with the note that was had out of band and goes on, version by version, to the
//! newest that can be accepted. Whether a note may follow is decided by
//! [`countersign_format::policy::Chain`]; here is where the notes come from, and how many.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_format::authority::fingerprint;
use countersign_format::hash::{Hash32, HashError};
use countersign_format::layout;
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_ENROLL_SEARCH, MAX_PASSED_OVER};
use countersign_format::note::Note;
use countersign_format::policy::{Chain, PolicyError};
use countersign_format::words::{WordsError, from_words};

use crate::error::{Cause, GetError};
use crate::mirrors::Failover;
use crate::source::{Get, Got, Source};

/// What a person says the chain begins with: `FILE` or `sha256:HEX`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnchorText {
    /// A file that holds the note.
    File(PathBuf),
    /// The SHA-256 of the note's text, written as `sha256:HEX` or in words.
    Fingerprint(Hash32),
}

/// What a chain begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Anchor {
    /// The note.
    Note {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Where it was had from, for messages.
        file: String,
    },
    /// The SHA-256 of the note's text; the note is looked for.
    Fingerprint(Hash32),
}

/// A way along the chain.
#[derive(Clone, Debug)]
pub struct Walk {
    chain: Chain,
    /// The version to be looked at next.
    next: u64,
    passed_over: Vec<PassedOver>,
}

/// A version that cannot be accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassedOver {
    /// The version, by its file's name.
    pub version: u64,
    /// Why.
    pub why: Unacceptable,
}

/// Why a version cannot be accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unacceptable {
    /// The policy refuses it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It is longer than an authority note may be.
    #[error("{0} is longer than {MAX_AUTHORITY_NOTE} bytes")]
    TooLarge(String),
}

/// What became of the next version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It is accepted, and the newest of the chain now.
    Accepted {
        /// Its version.
        version: u64,
        /// The note as it came.
        bytes: Vec<u8>,
    },
    /// It is passed over.
    PassedOver {
        /// Its version.
        version: u64,
        /// The file as it came; empty where it was too long.
        bytes: Vec<u8>,
    },
    /// There is no such version: the chain ends here.
    End,
}

/// Why the chain could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The note that the chain begins with is refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// No version has the fingerprint and the signatures of its own keys.
    #[error("{source_name} has no good authority note with the fingerprint sha256:{fingerprint}")]
    NotFound {
        /// The source's name.
        source_name: String,
        /// What was looked for.
        fingerprint: Hash32,
        /// Why the note that has the fingerprint is refused, if there is one.
        #[source]
        refused: Option<Box<PolicyError>>,
    },
    /// More versions on end than may be passed over.
    #[error("{source_name} has {MAX_PASSED_OVER} authority notes on end that cannot be accepted")]
    TooManyPassedOver {
        /// The source's name.
        source_name: String,
        /// Why the last of them cannot.
        #[source]
        last: Box<Unacceptable>,
    },
}

/// Why a text does not say what a chain begins with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorTextError {
    /// The text is empty.
    #[error("neither a file nor sha256:HEX")]
    Empty,
    /// What follows `sha256:` is no SHA-256 value.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Words that are no SHA-256 value.
    #[error(transparent)]
    Words(#[from] WordsError),
}

/// From as many words on a text is meant as a fingerprint: no file is called so.
const FEWEST_WORDS: usize = 12;

fn is_words(text: &str) -> bool {
    text.split_whitespace().count() >= FEWEST_WORDS
        && text.chars().all(|c| c.is_ascii_alphabetic() || c.is_whitespace())
}

impl FromStr for AnchorText {
    type Err = AnchorTextError;

    fn from_str(text: &str) -> Result<Self, AnchorTextError> {
        match text.strip_prefix("sha256:") {
            Some(hex) => Ok(Self::Fingerprint(hex.parse()?)),
            None if is_words(text) => Ok(Self::Fingerprint(from_words(text)?)),
            None if text.is_empty() => Err(AnchorTextError::Empty),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl AnchorText {
    /// Reads the file, if it is one. A file longer than a note may be is refused as a note.
    pub fn read(&self) -> io::Result<Anchor> {
        match self {
            Self::File(path) => Anchor::read(path),
            Self::Fingerprint(fingerprint) => Ok(Anchor::Fingerprint(*fingerprint)),
        }
    }
}

impl Anchor {
    fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_AUTHORITY_NOTE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Self::Note { bytes, file: path.display().to_string() })
    }
}

impl Walk {
    /// Begins at the enrolled note. A note that is known by its fingerprint only is looked for at
    /// `source` from version 1 up, at most [`MAX_ENROLL_SEARCH`] versions.
    pub async fn begin(source: &Source, anchor: &Anchor) -> Result<Self, AuthorityError> {
        match anchor {
            Anchor::Note { bytes, file } => Ok(Self::after(Chain::enroll(bytes, file)?)),
            Anchor::Fingerprint(fingerprint) => {
                let (version, bytes) = find(source, fingerprint).await?;
                let file = layout::authority(version);
                Ok(Self::after(Chain::enroll(&bytes, file.as_str())?))
            }
        }
    }

    /// Goes on from a chain that is held already.
    pub fn after(chain: Chain) -> Self {
        let next = chain.newest().version.saturating_add(1);
        Self { chain, next, passed_over: Vec::new() }
    }

    /// Looks at one more version.
    pub async fn step(&mut self, source: &Source) -> Result<Step, AuthorityError> {
        let version = self.next;
        let path = layout::authority(version);
        let (bytes, why) = match get(source, version).await? {
            Version::None => return Ok(Step::End),
            Version::TooLarge => (Vec::new(), Unacceptable::TooLarge(path.to_string())),
            Version::Note(bytes) => match self.chain.follow(&bytes, path.as_str(), version) {
                Ok(chain) => {
                    self.chain = chain;
                    self.next = version.saturating_add(1);
                    return Ok(Step::Accepted { version, bytes });
                }
                Err(error) => (bytes, error.into()),
            },
        };
        if version - self.chain.newest().version > MAX_PASSED_OVER {
            let source_name = source.name().to_owned();
            return Err(AuthorityError::TooManyPassedOver { source_name, last: Box::new(why) });
        }
        self.next = version.saturating_add(1);
        self.passed_over.push(PassedOver { version, why });
        Ok(Step::PassedOver { version, bytes })
    }

    /// Goes to the end of the chain.
    pub async fn finish(mut self, source: &Source) -> Result<Self, AuthorityError> {
        while self.step(source).await? != Step::End {}
        Ok(self)
    }

    /// The chain so far.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The version that [`Self::step`] looks at next.
    pub fn next_version(&self) -> u64 {
        self.next
    }

    /// The versions that were passed over, to be named to a person.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }
}

impl Failover for AuthorityError {
    fn is_worth_another_server(&self) -> bool {
        match self {
            Self::Get(error) => error.is_worth_another_server(),
            Self::NotFound { .. } | Self::TooManyPassedOver { .. } => true,
            // an enrolled file is no server's word
            Self::Policy(_) => false,
        }
    }
}

/// What a source has under the name of one version.
enum Version {
    Note(Vec<u8>),
    TooLarge,
    None,
}

async fn get(source: &Source, version: u64) -> Result<Version, GetError> {
    let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
    match source.get(&layout::authority(version), &request).await {
        Ok(Got::Whole { bytes, .. } | Got::Part { bytes, .. }) => Ok(Version::Note(bytes)),
        Ok(Got::NotFound | Got::NotModified) => Ok(Version::None),
        Err(GetError { cause: Cause::TooLarge { .. }, .. }) => Ok(Version::TooLarge),
        Err(error) => Err(error),
    }
}

/// Looks for the note whose text has this SHA-256, from version 1 up, at most
/// [`MAX_ENROLL_SEARCH`] versions. Returns its version and its bytes: a note that begins a chain.
///
/// The fingerprint covers neither signatures nor path, so a server that spoils these is passed over
/// as one without the note is.
pub async fn find(source: &Source, wanted: &Hash32) -> Result<(u64, Vec<u8>), AuthorityError> {
    let mut refused = None;
    for version in 1..=MAX_ENROLL_SEARCH {
        let bytes = match get(source, version).await? {
            Version::Note(bytes) if has_fingerprint(&bytes, wanted) => bytes,
            Version::Note(_) | Version::TooLarge => continue,
            Version::None => break,
        };
        match Chain::enroll(&bytes, layout::authority(version).as_str()) {
            Ok(chain) if chain.newest().version == version => return Ok((version, bytes)),
            Ok(_) => {}
            Err(error) => refused = Some(Box::new(error)),
        }
    }
    let source_name = source.name().to_owned();
    Err(AuthorityError::NotFound { source_name, fingerprint: *wanted, refused })
}

fn has_fingerprint(bytes: &[u8], wanted: &Hash32) -> bool {
    Note::parse(bytes, MAX_AUTHORITY_NOTE).is_ok_and(|note| fingerprint(note.text()) == *wanted)
}
