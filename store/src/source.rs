//! One place that a repository is read from, whatever kind of place it is.

use std::fmt;
use std::fs::File;
use std::str::FromStr;

use countersign_format::layout::RepoPath;

use crate::directory::DirectorySource;
use crate::error::{Cause, GetError};
use crate::http::HttpSource;
use crate::http::options::HttpOptions;
use crate::location::Location;
use crate::memory::MemoryRepository;
use crate::statistics::{Counters, Statistics};

/// Longest validator that is kept: servers use a few dozen bytes.
pub const MAX_VALIDATOR: usize = 256;

/// What to read of a small object, and how much of it at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Get {
    /// Most bytes that the object, or the part of it that is asked for, may have.
    pub limit: u64,
    /// The part that is wanted; without it the whole object.
    pub range: Option<ByteRange>,
    /// What the caller holds: the answer is [`Got::NotModified`] where that is still so.
    pub known: Option<Validator>,
}

/// A part of an object, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// The first byte that is wanted.
    pub start: u64,
    /// How many bytes are wanted, at least 1; without it all up to the end.
    pub length: Option<u64>,
}

/// The answer to a [`Get`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Got {
    /// The whole object. It is also the answer of a server that does not know ranges.
    Whole {
        /// The object's bytes, at most [`Get::limit`].
        bytes: Vec<u8>,
        /// What to give as [`Get::known`] the next time, where the source can tell a change.
        validator: Option<Validator>,
    },
    /// The part asked for: from the start of the range to its end or that of the object, whichever
    /// comes first; nothing if the object ends before the range starts.
    Part {
        /// The part's bytes, at most [`Get::limit`].
        bytes: Vec<u8>,
        /// The size of the whole object, where the server says it.
        total: Option<u64>,
    },
    /// The object is what [`Get::known`] describes.
    NotModified,
    /// There is no such object, which for much of a repository is a normal answer.
    NotFound,
}

/// What a source gave along with an object, to ask later whether it changed: over HTTP an `ETag`
/// or a `Last-Modified`. Opaque; kept and given back as text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Validator(String);

/// Why a text is no validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorError {
    /// The text is empty or longer than [`MAX_VALIDATOR`] bytes.
    #[error("validator is {0} bytes long, the limits are 1 and {MAX_VALIDATOR}")]
    Length(usize),
    /// The text has characters that are not printable ASCII.
    #[error("validator has a character that is not printable ASCII")]
    Character,
}

/// A large object to be fetched into a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Download {
    /// The object's size in bytes, from a signed value. More is never read.
    pub size: u64,
}

/// One place that a repository is read from.
#[derive(Debug)]
pub struct Source {
    name: String,
    kind: Kind,
    counters: Counters,
}

#[derive(Debug)]
enum Kind {
    Directory(DirectorySource),
    Http(Box<HttpSource>),
    Memory(MemoryRepository),
}

impl Get {
    /// The whole object, if it has at most `limit` bytes.
    pub fn up_to(limit: u64) -> Self {
        Self { limit, range: None, known: None }
    }

    /// The part that begins at `start` and has `length` bytes, or goes to the end.
    #[must_use]
    pub fn range(mut self, start: u64, length: Option<u64>) -> Self {
        self.range = Some(ByteRange { start, length });
        self
    }

    /// Only if it is no longer what `known` describes.
    #[must_use]
    pub fn unless(mut self, known: Option<Validator>) -> Self {
        self.known = known;
        self
    }
}

impl ByteRange {
    /// The first byte beyond the range in an object of `size` bytes, or `None` where the object
    /// ends before the range starts.
    pub(crate) fn end_within(self, size: u64) -> Option<u64> {
        let end = self.length.map_or(size, |length| self.start.saturating_add(length).min(size));
        (self.start < end).then_some(end)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-", self.start)?;
        match self.length {
            Some(length) => self.start.saturating_add(length).saturating_sub(1).fmt(formatter),
            None => Ok(()),
        }
    }
}

impl Validator {
    /// The validator as text, to be kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an entity tag, rather than a date.
    pub(crate) fn is_entity_tag(&self) -> bool {
        self.0.ends_with('"')
    }

    /// Whether equal validators mean equal bytes (RFC 9110 §8.8.1).
    pub(crate) fn is_strong(&self) -> bool {
        self.0.starts_with('"')
    }
}

impl FromStr for Validator {
    type Err = ValidatorError;

    fn from_str(text: &str) -> Result<Self, ValidatorError> {
        if text.is_empty() || text.len() > MAX_VALIDATOR {
            return Err(ValidatorError::Length(text.len()));
        }
        if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(ValidatorError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Source {
    /// The place at `location`. Nothing is read or connected to before the first request.
    pub fn open(location: &Location, options: &HttpOptions) -> Self {
        let kind = match location {
            Location::Http(base) => Kind::Http(Box::new(HttpSource::new(base, options))),
            Location::Directory(root) => Kind::Directory(DirectorySource::new(root)),
        };
        Self { name: location.to_string(), kind, counters: Counters::default() }
    }

    /// A repository in memory, under a name for messages.
    pub fn memory(name: &str, repository: &MemoryRepository) -> Self {
        let kind = Kind::Memory(repository.clone());
        Self { name: name.to_owned(), kind, counters: Counters::default() }
    }

    /// The location, as people are told it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was asked of this source since it was opened.
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// What the server's clock said in its last answer, in seconds since 1970: its `Date`. Nobody
    /// vouches for it; it is good for a word to a person whose own clock may be wrong.
    pub fn server_time(&self) -> Option<u64> {
        self.counters.server_time()
    }

    /// Reads a small object into memory: at most [`Get::limit`] bytes, and over HTTP within a time
    /// that follows from it.
    pub async fn get(&self, path: &RepoPath, request: &Get) -> Result<Got, GetError> {
        let answer = match &self.kind {
            Kind::Directory(directory) => directory.get(path, request, &self.counters),
            Kind::Http(http) => http.get(path, request, &self.counters).await,
            Kind::Memory(memory) => memory.get(path, request, &self.counters),
        };
        answer.map_err(|cause| self.error(path, cause))
    }

    /// Fetches a large object into `file`, from the length that the file already has on, and calls
    /// `progress` with the length it has come to. `Ok(false)` says that there is no such object.
    ///
    /// On success the file has exactly [`Download::size`] bytes; whether they are the right ones
    /// is the caller's to check. On failure the file keeps what has come, so that another try, or
    /// another source, goes on from there.
    pub async fn download(
        &self,
        path: &RepoPath,
        request: &Download,
        file: &mut File,
        mut progress: impl FnMut(u64),
    ) -> Result<bool, GetError> {
        let answer = match &self.kind {
            Kind::Directory(directory) => {
                directory.download(path, request, file, &mut progress, &self.counters).await
            }
            Kind::Http(http) => {
                http.download(path, request, file, &mut progress, &self.counters).await
            }
            Kind::Memory(memory) => {
                memory.download(path, request, file, &mut progress, &self.counters)
            }
        };
        answer.map_err(|cause| self.error(path, cause))
    }

    fn error(&self, path: &RepoPath, cause: Cause) -> GetError {
        let slash = if self.name.ends_with('/') { "" } else { "/" };
        GetError { location: format!("{}{slash}{path}", self.name), cause }
    }
}
