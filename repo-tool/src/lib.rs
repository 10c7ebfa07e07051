//! `patchrepo`: the tool of the repository's side.
//!
//! In scope: what an authority, a directory, a collection, a distribution and a mirror do. Library
//! modules return values and errors; [`commands`] print.

#![forbid(unsafe_code)]

pub mod authority;
pub mod blocking;
pub mod catalogue;
pub mod cli;
pub mod collection;
pub mod commands;
pub mod config;
mod decisions;
pub mod delta;
pub mod directory;
pub mod directory_copy;
pub mod distribution;
pub mod history;
pub mod index;
pub mod inspect;
pub mod key_store;
pub mod known_authority;
pub mod lab;
pub mod life;
pub mod mirror;
pub mod patch_selector;
pub mod prove;
pub mod publish;
pub mod rehearsal;
pub mod replica;
pub mod role_dir;
pub mod rotation;
pub mod round;
pub mod serve;
pub mod server;
mod side_by_side;
mod tree;
pub mod tree_scan;
pub mod verify;
pub mod watch;
pub mod witness;
