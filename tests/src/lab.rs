//! A laboratory: all parties of a repository in one temporary directory.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::background::Background;
use crate::programs::{Program, Programs};
use crate::run::Run;
use crate::tree::{Snapshot, Tree, snapshot};

/// A temporary directory in which commands are run; paths in their command lines are below it.
#[derive(Debug)]
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    /// The name of every laboratory's repository.
    pub const NAME: &'static str = "patches.example.org";

    /// An empty laboratory.
    #[expect(clippy::new_without_default, reason = "making one writes to disk")]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir();
        Self { directory: directory.expect("temporary files can be made") }
    }

    /// A laboratory with a repository in which nothing is published yet: `repo/authority`,
    /// `repo/collection` and `repo/distribution`, with keys that have no passphrase.
    pub fn with_repository() -> Self {
        let lab = Self::new();
        lab.patchrepo("init repo --no-passphrase --name").arg(Self::NAME).done();
        lab
    }

    /// A path below the laboratory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// A new tree below the laboratory.
    pub fn tree(&self, path: &str) -> Tree {
        Tree::new(self.path(path))
    }

    /// `patchrepo` with these blank-separated words.
    pub fn patchrepo(&self, line: &str) -> Run {
        self.run(Program::Patchrepo, line)
    }

    /// `patchctl` with these blank-separated words.
    pub fn patchctl(&self, line: &str) -> Run {
        self.run(Program::Patchctl, line)
    }

    fn run(&self, program: Program, line: &str) -> Run {
        let path = Programs::get().path(program);
        Run::new(&path, &format!("--no-progress {line}"), self.directory.path())
    }

    /// Serves a directory of the laboratory over HTTP on a port of its own.
    pub fn serve(&self, path: &str) -> Background {
        Background::serve(self.patchrepo("serve --listen 127.0.0.1:0").arg(path))
    }

    /// What lies below a directory of the laboratory, but for the names in `without`.
    pub fn snapshot(&self, path: &str, without: &[&str]) -> Snapshot {
        snapshot(&self.path(path), without)
    }

    /// The laboratory's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
