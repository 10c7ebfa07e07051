//! What collections and distributions have in common: how they come to their keys.

use std::path::{Path, PathBuf};

use countersign_format::issue::Request;
use countersign_terminal::{Failure, Output, Report};
use serde::Serialize;

use crate::role_dir::{self, RoleDir};
use crate::server::REQUEST;

pub mod accept;
pub mod init;
pub mod renew;

/// The report of `init` and `renew`.
#[derive(Serialize)]
struct Asked {
    directory: PathBuf,
    /// Where the request is.
    file: PathBuf,
    request: Request,
}

impl Asked {
    fn new(directory: &RoleDir, request: Request, copy: Option<&Path>) -> Result<Self, Failure> {
        let path = directory.path().to_owned();
        let Some(copy) = copy else {
            return Ok(Self { file: path.join(REQUEST), directory: path, request });
        };
        role_dir::write_file(copy, &request.to_bytes())?;
        Ok(Self { file: copy.to_owned(), directory: path, request })
    }
}

impl Report for Asked {
    fn print(&self, output: &Output) {
        output.note(format!("The request of {} is in {}.", self.request.id, self.file.display()));
        output.note(
            "Next: take it to the authority (patchrepo authority issue) and accept its grant.",
        );
    }
}
