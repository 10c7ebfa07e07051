//! Where the files of a Countersign repository live, and how they are read and written there.
//!
//! In scope: reading from a directory, over HTTP(S) and from memory, with a bound on everything
//! that a server may send and on the time it may take; several servers with failover; durable
//! writing in the order that readers rely on; locks between processes; named points at which tests
//! kill a process or make a system call fail; the clock.
//!
//! Out of scope: what the bytes mean. Nothing here checks a signature; whoever reads through this
//! crate trusts nothing that it returns.
//!
//! Section numbers in these documents are those of `format/SPEC.md`.

#![forbid(unsafe_code)]

pub mod authority;
pub mod clock;
pub mod crash;
mod directory;
pub mod durable;
pub mod error;
pub mod follow;
mod http;
pub mod location;
pub mod lock;
pub mod memory;
pub mod mirrors;
pub mod sink;
pub mod source;
pub mod statistics;

pub use error::{Cause, GetError};
pub use http::options::{ClientCertificate, CredentialsFile, HttpOptions};
pub use http::proxy::{Proxies, ProxyAddress, ProxyError};
pub use http::rate::{MIN_RATE, RateLimit};
pub use http::secret::SecretError;
pub use location::Location;
pub use lock::{Holder, Lock, LockError};
pub use memory::MemoryRepository;
pub use mirrors::{AllFailed, Failover, Mirrors};
pub use sink::{DirectoryWriter, Put, Sink, WriteError};
pub use source::{ByteRange, Download, Get, Got, Source, Validator};
pub use statistics::Statistics;
