//! `patchrepo mirror sync`: a copy that can be trusted no less than what it is copied from.

mod copies;
mod costs;
mod interrupted;
mod packs;
mod refused;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use countersign_fixtures::{NOW, PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::layout::{self, Log, Place, RepoPath};
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;
use countersign_store::authority::Anchor;
use countersign_store::memory::Files;
use countersign_store::{HttpOptions, Location, Mirrors, Source};
use countersign_terminal::{ExitStatus, Progress};
use patchrepo::mirror::{MirrorOptions, Synced, sync};
use patchrepo::replica::{NoSource, ReplicaError};
use patchrepo::verify::{VerifyOptions, verify};
use tempfile::TempDir;

fn payload(version: &str) -> Payload {
    Payload::new().program("opt/acme/agent", version).file("opt/acme/data", "the same")
}

fn patch(version: &str) -> PatchSpec {
    PatchSpec::full("acme", version, &payload(version))
}

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let first = repository.collect(&patch("1.0.0"));
    repository.collect(&PatchSpec::full("other", "1.0.0", &payload("not released")));
    repository.release(&[first]);
    repository.publish_directory(1, &["https://192.0.2.10/"]);
    repository.publish();
    repository
}

/// Adds and releases one patch.
fn add(repository: &mut Repository, version: &str) {
    let index = repository.collect(&patch(version));
    repository.release(&[index]);
    repository.wait(60);
    repository.publish();
}

struct Mirror {
    directory: TempDir,
    options: MirrorOptions,
}

impl Mirror {
    fn new(repository: &Repository) -> Self {
        let options = MirrorOptions {
            anchor: Anchor::Note { bytes: repository.enrolment(), file: "enrolled".into() },
            distribution: None,
            clock: Clock::local(Timestamp::from_seconds(NOW).expect("a time").plus(3600)),
            repairs: false,
        };
        Self { directory: tempfile::tempdir().expect("a directory"), options }
    }

    /// A mirror that has been synced.
    fn of(repository: &Repository) -> Self {
        let mirror = Self::new(repository);
        mirror.sync(repository).expect("synced");
        mirror
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn sync(&self, repository: &Repository) -> Result<Synced, ReplicaError> {
        self.sync_from(Source::memory("memory", &repository.memory()))
    }

    fn sync_from(&self, source: Source) -> Result<Synced, ReplicaError> {
        let synced = self.sync_from_any(vec![source]);
        synced.map_err(|NoSource(failed)| failed.into_last().expect("one source"))
    }

    fn sync_from_any(&self, sources: Vec<Source>) -> Result<Synced, NoSource> {
        let sources = Mirrors::new(sources);
        run(sync(&sources, self.path(), &self.options, &Progress::hidden()))
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        list(self.path(), "", &mut files);
        files
    }

    /// Asserts that what it holds is the source's to the byte, and passes every check.
    #[track_caller]
    fn assert_faithful(&self, repository: &Repository) {
        let files = self.files();
        for (path, bytes) in &files {
            assert_eq!(Some(bytes), repository.files().get(path), "{path}");
        }
        assert!(!self.path().join(".incoming").exists());
        let source = self.as_source();
        let options = VerifyOptions {
            anchor: self.options.anchor.clone(),
            distribution: None,
            clock: self.options.clock,
        };
        let verified = run(verify(source, Some(self.path()), &options, &Progress::hidden()));
        assert_eq!(verified.expect("a chain").findings, []);
    }

    fn as_source(&self) -> Source {
        Source::open(&Location::Directory(self.path().to_owned()), &HttpOptions::default())
    }
}

/// All files but those that are the copy's own business.
fn list(directory: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(directory).expect("listed") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if [".evidence", ".incoming", ".state"].contains(&path.as_str()) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            list(&entry.path(), &format!("{path}/"), files);
        } else {
            let place = Place::parse(&path).unwrap_or_else(|| panic!("{path} is there"));
            files.insert(place.path(), fs::read(entry.path()).expect("read"));
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// The paths that a reader of the newest head may ask for: no partial files and tails of earlier heads.
fn current(files: &Files) -> BTreeSet<RepoPath> {
    let is_earlier = |path: &&RepoPath| {
        let text = path.as_str();
        if let Some(Place::TailPack { log, size }) = Place::parse(text) {
            return files.keys().any(|other| {
                matches!(Place::parse(other.as_str()), Some(Place::TailPack { log: of, size: later })
                    if of == log && later > size)
            });
        }
        let Some((stem, width)) = text.split_once(".p/") else { return false };
        let width = width.parse::<u16>().expect("a width");
        files.keys().any(|other| match other.as_str().split_once(".p/") {
            Some((other_stem, other_width)) => {
                let other_width: u16 = other_width.parse().expect("a width");
                other_stem == stem && other_width > width
            }
            None => other.as_str() == stem,
        })
    };
    files.keys().filter(|path| !is_earlier(path)).cloned().collect()
}

/// Asserts that `spoiled` is refused and that the mirror serves what it served.
#[track_caller]
fn assert_refused(mirror: &Mirror, spoiled: &Repository, exit: ExitStatus) -> ReplicaError {
    let before = mirror.files();
    let error = mirror.sync(spoiled).expect_err("must be refused");
    let heads = |files: &Files| Log::BOTH.map(|log| files[&layout::checkpoint(log)].clone());
    assert_eq!(heads(&mirror.files()), heads(&before));
    for (path, bytes) in before {
        assert_eq!(mirror.files()[&path], bytes, "{path}");
    }
    let error_text = format!("{error:?}");
    let failure: countersign_terminal::Failure = mirror.sync(spoiled).expect_err("again").into();
    assert_eq!(failure.exit(), exit, "{error_text}");
    error
}
