//! Bytes and types of Countersign repositories.
//!
//! In scope: notes and their three kinds of signature line, keys and their certificateless issue,
//! logs (trees, tiles, packs, proofs), entries, authority and directory notes, archives, repository
//! paths, and the one policy that decides whether signatures suffice.
//!
//! Out of scope: files, network, clocks, randomness, environment, logging. Whatever is needed of
//! them comes in as a value, a [`std::io::Read`] or a [`std::io::Write`].
//!
//! The specification is `format/SPEC.md`; section numbers in these documents are its.

#![forbid(unsafe_code)]

pub mod archive;
pub mod authority;
mod base64;
pub mod checkpoint;
pub mod delta;
pub mod directory;
pub mod entry;
pub mod hash;
pub mod implicit_key;
pub mod issue;
pub mod json;
pub mod key;
pub mod layout;
pub mod limits;
pub mod manifest;
pub mod merkle;
pub mod name;
pub mod note;
pub mod pack;
pub mod policy;
pub mod proof;
pub mod relpath;
pub mod signature;
pub mod text;
pub mod tile;
pub mod time;
pub mod tree;
pub mod words;
