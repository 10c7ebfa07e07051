//! End-to-end tests of `patchctl` and `patchrepo`, and what they are made with.
//!
//! In scope: finding and running the real programs, a laboratory with all parties of a repository,
//! a web server in the background, a proxy that counts bytes, tokens, payload trees, and comparing what
//! lies on disk, and looking there for secrets. Out of scope: anything that a unit test of a crate can say better.

#![forbid(unsafe_code)]

pub mod background;
pub mod crash;
pub mod document;
pub mod lab;
pub mod programs;
pub mod proxy;
pub mod run;
pub mod secrets;
pub mod softhsm;
pub mod tree;

pub use background::Background;
pub use lab::Lab;
pub use programs::{Program, Programs};
pub use proxy::Proxy;
pub use run::{Outcome, Run};
pub use secrets::Secrets;
pub use softhsm::SoftHsm;
