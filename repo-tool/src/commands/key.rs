//! `patchrepo key …`: ordinary Ed25519 keys, wherever they live.

use countersign_format::key::{KeyName, Vkey};
use countersign_terminal::{Output, Report};
use serde::Serialize;

use crate::key_store::KeyLocation;

pub mod generate;
pub mod show;

/// A key and where it lives.
#[derive(Serialize)]
struct KeyReport {
    signer: KeyLocation,
    name: KeyName,
    key: Vkey,
}

impl Report for KeyReport {
    fn print(&self, output: &Output) {
        output.print_line(&self.key);
    }
}
