//! A laboratory: all parties of a repository in one temporary directory.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_fixtures::{Repository, RepositoryBuilder};
use countersign_format::layout::Place;
use countersign_format::time::Timestamp;
use tempfile::TempDir;

use crate::background::Background;
use crate::programs::{Program, Programs};
use crate::run::{Outcome, Run};
use crate::tree::{Snapshot, Tree, snapshot};

/// Where an endpoint's client keeps its own records, below the endpoint's root.
pub const RECORDS: &[&str] =
    &[".patchctl", "etc/patchctl", "var/lib/patchctl", "var/cache/patchctl"];

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
    /// `repo/collection` and `repo/distribution`, with keys that have no passphrase, and the
    /// authority's first note as `authority.note`.
    pub fn with_repository() -> Self {
        let lab = Self::new();
        lab.patchrepo("init repo --no-passphrase --name").arg(Self::NAME).done();
        fs::copy(lab.path("repo/authority/public/authority/1"), lab.path("authority.note"))
            .expect("the authority has published");
        lab
    }

    /// Takes a patch of `acme-agent` into the collection: a tree and what is said of it.
    pub fn collect(&self, words: &str) -> Outcome {
        self.patchrepo("collection add repo/collection --name acme-agent").words(words).done()
    }

    /// Publishes what was collected with the first signature, and releases `patch` to `stable` with
    /// the second.
    pub fn release(&self, patch: &str) {
        self.patchrepo("collection publish repo/collection").done();
        self.patchrepo("distribution sync repo/distribution").done();
        let release = "distribution release repo/distribution --ring stable";
        self.patchrepo(release).arg(patch).done();
        self.patchrepo("distribution publish repo/distribution").done();
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

    /// Writes what a repository of the fixtures publishes to `public`, new and changed files over
    /// what is there, and its first authority note to `authority.note`.
    pub fn publish(&self, repository: &Repository) {
        repository.write_to(&self.path("public"));
        fs::write(self.path("authority.note"), repository.enrolment()).expect("it can be written");
    }

    /// The endpoint's `patchctl`, its root being `endpoint`, answering every question with yes.
    pub fn endpoint(&self, line: &str) -> Run {
        self.patchctl(&format!("--root endpoint --yes {line}"))
    }

    /// An endpoint that trusts `authority.note` and fetches from `url`.
    pub fn enroll(&self, url: &str) {
        fs::create_dir_all(self.path("endpoint")).expect("a test's directory can be made");
        self.endpoint("enroll --authority authority.note").arg(url).done();
    }

    /// What is installed at the endpoint: all files but the client's own records.
    pub fn installed(&self) -> Snapshot {
        snapshot(&self.path("endpoint"), RECORDS)
    }

    /// The laboratory's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Whether `file`, below the repository in the directory `root`, belongs to an earlier head of its
    /// log than the published one: such files are kept a while for who still reads that head.
    pub fn is_of_earlier_head(&self, root: &str, file: &Path) -> bool {
        let text = file.to_str().expect("repository paths are ASCII");
        let Some((log, _)) = text.split_once('/') else { return false };
        let size = || {
            let checkpoint = fs::read_to_string(self.path(root).join(log).join("checkpoint"));
            let checkpoint = checkpoint.expect("it is published");
            checkpoint.lines().nth(1).expect("a size").parse::<u64>().expect("a number")
        };
        match Place::parse(text) {
            Some(Place::TailPack { size: of, .. }) => of < size(),
            Some(
                Place::Tile { level: 0, index, width, .. } | Place::Bundle { index, width, .. },
            ) => width < 256 && index * 256 + u64::from(width) < size(),
            _ => false,
        }
    }
}

/// Fixtures that are published at the present moment, as the programs under test know no other.
pub fn present() -> RepositoryBuilder {
    // a minute ago, so that a test can publish again without a signature of the future
    let moment = Timestamp::from_seconds(now().seconds() - 60).expect("a moment of this century");
    RepositoryBuilder::new().now(moment)
}

/// What the clock says.
pub fn now() -> Timestamp {
    countersign_store::clock::now().expect("a clock after 1970")
}
