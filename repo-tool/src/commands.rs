//! What each command of `patchrepo` does: reads its arguments, calls the library, prints.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_format::time::Timestamp;
use countersign_store::{Holder, Lock, clock};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output};
use serde::Serialize;

use crate::role_dir::{self, RoleDir};

pub use compared::Compared;

pub mod authority;
pub mod collection;
mod compared;
pub mod completions;
pub mod directory;
pub mod distribution;
mod due;
pub mod init;
pub mod inspect;
pub mod key;
pub mod man;
pub mod mirror;
pub mod narrow;
pub mod prove;
pub mod round;
mod say;
pub mod serve;
pub mod server;
pub mod sign;
pub mod trust;
pub mod verify;
pub mod witness;

/// Where a command writes the one file that it makes.
#[derive(Args, Debug, Clone)]
pub struct DestinationArgs {
    /// Write it to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The file that a command made, in its report.
#[derive(Serialize, Debug)]
#[serde(untagged)]
pub enum Delivered {
    /// It was written to this file.
    File {
        /// The file.
        file: PathBuf,
    },
    /// It is part of the report, and was printed.
    Text {
        /// The file's text.
        text: String,
    },
}

impl DestinationArgs {
    /// Writes the file, or prints it.
    pub fn deliver(&self, bytes: &[u8], output: &Output) -> Result<Delivered, Failure> {
        match &self.output {
            Some(path) if path != Path::new("-") => {
                role_dir::write_file(path, bytes)?;
                Ok(Delivered::File { file: path.clone() })
            }
            _ => {
                output.print_raw(bytes);
                Ok(Delivered::Text { text: String::from_utf8_lossy(bytes).into_owned() })
            }
        }
    }
}

/// What the machine's clock says.
pub fn now() -> Result<Timestamp, Failure> {
    clock::now().ok_or("the machine's clock is before 1970").or_fail(ExitStatus::Failed)
}

/// Waits for what goes on over the network. One thread is enough: it waits, it does not work.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.or_fail(ExitStatus::Failed)?.block_on(future))
}

/// Keeps other processes from changing the directory; says for whom it waits.
pub fn lock(directory: &RoleDir, output: &Output) -> Result<Lock, Failure> {
    let arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let command = arguments.collect::<Vec<_>>().join(" ");
    let lock = directory.lock(&command, now()?, |holder: Option<&Holder>| {
        let holder = holder.map_or_else(|| "another process".to_owned(), Holder::to_string);
        output.note(format!("waiting for {holder}, which changes {}", directory.path().display()));
    })?;
    Ok(lock)
}
