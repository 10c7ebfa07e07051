//! Why something could not be read.

use std::io;
use std::time::Duration;

use crate::http::secret::SecretError;
use crate::mirrors::Failover;

/// One object of one repository could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {location}")]
pub struct GetError {
    /// The URL or file that was asked for.
    pub location: String,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

/// What went wrong with one object.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection came about.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// The server's certificate or its TLS is not acceptable.
    #[error("no secure connection")]
    Tls(#[source] reqwest::Error),
    /// The connection broke before the answer was complete.
    #[error("connection broke after {received} bytes")]
    Broken {
        /// Bytes of the body that had come.
        received: u64,
        /// Why, where the transport says it.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The server did not begin to answer.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// The body came more slowly than the slowest rate that is waited for.
    #[error("transfer is too slow: {received} bytes in {within:?}, the least is {least}")]
    Stalled {
        /// Bytes that came from the server within the time below.
        received: u64,
        /// The time they were watched for.
        within: Duration,
        /// How many should have come.
        least: u64,
    },
    /// A small object took longer than its bound allows, tries and all.
    #[error("not complete within {0:?}")]
    TookTooLong(Duration),
    /// The server answered with a status that is neither the object nor its absence.
    #[error("server answered {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
        /// The server's `Retry-After`, where it is a number of seconds.
        retry_after: Option<Duration>,
    },
    /// The object is larger than it may be.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The object's size is not the one that is expected.
    #[error("{found} bytes long, expected {expected}")]
    WrongSize {
        /// The size that was expected.
        expected: u64,
        /// The size that the server says or sent.
        found: u64,
    },
    /// The answer to a range request is another range than the one asked for.
    #[error("asked for bytes {asked}, server sent {sent:?}")]
    WrongRange {
        /// The range of the request.
        asked: String,
        /// The `Content-Range` of the answer, cut to 80 characters; empty if there was none.
        sent: String,
    },
    /// The body has a content encoding, although none was asked for.
    #[error("body is encoded as {0:?}, although none was asked for")]
    Encoding(String),
    /// A redirect that is not followed.
    #[error("redirect to {to} is refused: {why}")]
    Redirect {
        /// Where the server wanted us to go, cut to 200 characters.
        to: String,
        /// Which rule it breaks.
        why: RedirectRule,
    },
    /// The file is a directory, a device, a pipe or a socket.
    #[error("not a regular file")]
    NotFile,
    /// The directory or file could not be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// What was read could not be written on this machine.
    #[error("what was fetched cannot be written")]
    Local(#[source] io::Error),
    /// The HTTP client could not be set up, as when its CA file cannot be read.
    #[error("HTTP cannot be set up")]
    Setup(#[source] SetupError),
}

/// Why the HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file with certificates to trust cannot be read.
    #[error("CA file {path} cannot be read")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file with certificates to trust holds none.
    #[error("CA file {path} has no certificate")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// The file with this machine's certificate cannot be read.
    #[error("client certificate {path} cannot be read")]
    ClientCertificate {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The two files hold no certificate and its key.
    #[error("{certificate} and {key} hold no certificate and its key")]
    NoIdentity {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// The client's key or the credentials are not used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A setting is not acceptable to the HTTP client.
    #[error("settings are not usable")]
    Settings(#[source] reqwest::Error),
}

/// The rules that a redirect may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRule {
    /// It names another host or port.
    #[error("it leads to another server")]
    OtherServer,
    /// It leaves HTTPS.
    #[error("it leaves HTTPS")]
    Plain,
    /// There were as many redirects before it as are followed.
    #[error("there were too many before it")]
    TooMany,
    /// It has no `Location`, or none that is a URL.
    #[error("it does not say where to")]
    Nowhere,
}

impl GetError {
    /// Whether the place could not be reached or did not serve in time, rather than serve
    /// something wrong.
    pub fn is_unreachable(&self) -> bool {
        self.cause.is_unreachable()
    }
}

impl Failover for GetError {
    fn is_worth_another_server(&self) -> bool {
        !matches!(self.cause, Cause::Local(_) | Cause::Setup(_))
    }
}

impl Cause {
    /// See [`GetError::is_unreachable`].
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Tls(_)
            | Self::Broken { .. }
            | Self::NoAnswer(_)
            | Self::Stalled { .. }
            | Self::TookTooLong(_)
            | Self::Status { .. }
            | Self::Read(_) => true,
            Self::TooLarge { .. }
            | Self::WrongSize { .. }
            | Self::WrongRange { .. }
            | Self::Encoding(_)
            | Self::Redirect { .. }
            | Self::NotFile
            | Self::Local(_)
            | Self::Setup(_) => false,
        }
    }

    /// Whether the same request to the same server may well succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            // a connection that timed out has been tried by TCP for all that time
            Self::Connect(error) => !error.is_timeout(),
            Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }
}
