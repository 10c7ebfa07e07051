//! What collections and distributions have in common: how they come to their keys.

use std::path::{Path, PathBuf};

use countersign_format::authority::PointText;
use countersign_format::issue::Request;
use countersign_format::key::KeyName;
use countersign_terminal::{Failure, Output, Report};
use serde::Serialize;

use crate::commands::Compared;
use crate::key_store::KeyLocation;
use crate::role_dir::{self, RoleDir};
use crate::server::{Asked, REQUEST};

pub mod accept;
pub mod init;
pub mod renew;
pub mod restart;

/// The authority's public point, as an argument.
fn parse_point(text: &str) -> Result<PointText, String> {
    text.trim().parse().map_err(|_| {
        "the authority's public point is 44 characters, 32 bytes in base64, as authority init \
         prints it"
            .to_owned()
    })
}

/// The report of `init` and `renew`.
#[derive(Serialize)]
struct AskedReport {
    directory: PathBuf,
    /// Where the request is.
    file: PathBuf,
    /// Where an ordinary key lives, which asks to be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<KeyLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
    /// To be compared with what the authority's people see.
    #[serde(flatten)]
    fingerprint: Compared,
    #[serde(skip)]
    id: KeyName,
}

impl AskedReport {
    fn new(
        directory: &RoleDir,
        id: &KeyName,
        asked: Asked,
        signer: Option<&KeyLocation>,
        copy: Option<&Path>,
    ) -> Result<Self, Failure> {
        let path = directory.path().to_owned();
        let file = match copy {
            None => path.join(REQUEST),
            Some(copy) => {
                role_dir::write_file(copy, &asked.to_bytes())?;
                copy.to_owned()
            }
        };
        let fingerprint = Compared::of(&asked.to_bytes());
        let request = match asked {
            Asked::PartialKey(request) => Some(request),
            Asked::OrdinaryKey(_) => None,
        };
        let (signer, id) = (signer.cloned(), id.clone());
        Ok(Self { directory: path, file, signer, request, fingerprint, id })
    }
}

impl Report for AskedReport {
    fn print(&self, output: &Output) {
        output.note(format!("The request of {} is in {}.", self.id, self.file.display()));
        self.fingerprint.say(output);
        output.note(match &self.signer {
            None => {
                "Next: take it to the authority (patchrepo authority issue) and accept its grant."
            }
            Some(_) => {
                "Next: take it to the authority, in person if you can: it lists the key by its own \
                 word alone (patchrepo authority admit --ordinary-key)."
            }
        });
    }
}
