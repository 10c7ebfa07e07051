//! What a copy remembers besides the files that it copies, below [`STATE`] in its directory, where
//! nobody else reads: it saves work and is trusted for nothing. Lost or wrong, a run does more.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::layout::Log;
use countersign_store::Validator;
use serde::{Deserialize, Serialize};

/// The directory.
pub(super) const STATE: &str = ".state";
/// There from the end of a run that ended well to the beginning of the next one: nothing is left
/// half written.
const TIDY: &str = "tidy";
/// What a server said of the heads that are held.
const VALIDATORS: &str = "validators";
const TYPE: &str = "validators/v1";
/// Longest of these files: a URL and two short texts.
const MAX_FILE: u64 = 16 * 1024;

/// What a copy remembers.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    validators: Validators,
}

/// What one server said of its heads.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
struct Validators {
    source: String,
    heads: Vec<Known>,
}

/// What a server gave along with a head.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Known {
    log: Log,
    /// Of the head's bytes.
    sha256: Hash32,
    validator: String,
}

impl State {
    /// The state of the copy below `root`; the directory is made.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join(STATE);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let validators = read(&folder.join(VALIDATORS)).unwrap_or_default();
        Ok(Self { folder, validators })
    }

    /// Where an index may lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a run. Whether the one before ended well, so that nothing of it is to be removed.
    pub(super) fn begin(&self) -> bool {
        fs::remove_file(self.folder.join(TIDY)).is_ok()
    }

    /// Ends a run that left nothing half written.
    pub(super) fn end(&self) {
        // without it the next run looks through all files, and finds nothing
        let _ = File::create(self.folder.join(TIDY));
    }

    /// What `source` gave along with a log's head, if that was these bytes.
    pub(super) fn validator(&self, source: &str, log: Log, head: &[u8]) -> Option<Validator> {
        let sha256 = Hash32::of(head);
        let is_it = |known: &&Known| known.log == log && known.sha256 == sha256;
        let known = self.validators.heads.iter().find(is_it)?;
        if self.validators.source == source { known.validator.parse().ok() } else { None }
    }

    /// Remembers what `source` gave along with heads.
    pub(super) fn remember(&mut self, source: &str, heads: &[(Log, &[u8], &Validator)]) {
        let known = |(log, head, validator): &(Log, &[u8], &Validator)| Known {
            log: *log,
            sha256: Hash32::of(head),
            validator: validator.to_string(),
        };
        let new =
            Validators { source: source.to_owned(), heads: heads.iter().map(known).collect() };
        if new != self.validators {
            // it costs a few bytes where it is not kept; one that is torn is none
            let new_file = self.folder.join("validators.new");
            let _ = fs::write(&new_file, json::print_line(TYPE, &new))
                .and_then(|()| fs::rename(&new_file, self.folder.join(VALIDATORS)));
            self.validators = new;
        }
    }
}

fn read(path: &Path) -> Option<Validators> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    json::parse(&bytes, TYPE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_is_of_one_server_and_one_head() {
        let root = tempfile::tempdir().expect("a directory");
        let validator: Validator = "\"abc\"".parse().expect("a validator");
        let mut state = State::open(root.path()).expect("opened");
        assert_eq!(state.validator("a", Log::Collection, b"head"), None);
        state.remember("a", &[(Log::Collection, b"head", &validator)]);
        let state = State::open(root.path()).expect("opened");
        let known = |source, log, head: &[u8]| state.validator(source, log, head);
        assert_eq!(known("a", Log::Collection, b"head"), Some(validator));
        assert_eq!(known("b", Log::Collection, b"head"), None);
        assert_eq!(known("a", Log::Distribution, b"head"), None);
        assert_eq!(known("a", Log::Collection, b"another"), None);
        fs::write(root.path().join(STATE).join(VALIDATORS), b"{\"type\":").expect("written");
        let torn = State::open(root.path()).expect("opened");
        assert_eq!(torn.validator("a", Log::Collection, b"head"), None);
    }

    #[test]
    fn only_a_run_that_ended_well_leaves_nothing_to_clean() {
        let root = tempfile::tempdir().expect("a directory");
        let state = State::open(root.path()).expect("opened");
        assert!(!state.begin(), "the first");
        assert!(!state.begin(), "the one before did not end");
        state.end();
        assert!(state.begin());
        assert!(!state.begin());
    }
}
