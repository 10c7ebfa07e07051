//! A machine in a temporary directory, with the real program and repositories made of fixtures.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::layout::{self, Log};
use countersign_format::time::Timestamp;
use tempfile::TempDir;

/// A machine with its own root, and a repository below the same temporary directory.
pub struct Machine {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Machine {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("root")).expect("a root");
        Self { directory }
    }

    /// A machine that is enrolled with this repository.
    pub fn enrolled(repository: &Repository) -> Self {
        let machine = Self::new();
        machine.publish(repository);
        machine.enroll(repository).success();
        machine
    }

    pub fn enroll(&self, repository: &Repository) -> Ended {
        let fingerprint = format!("sha256:{}", repository.enrolment_fingerprint());
        let public = self.path("public");
        let public = public.to_str().expect("UTF-8");
        self.run(&["enroll", public, "--authority", &fingerprint])
    }

    /// Writes what the repository serves, over what it served before.
    pub fn publish(&self, repository: &Repository) {
        let public = self.path("public");
        if public.exists() {
            std::fs::remove_dir_all(&public).expect("removed");
        }
        repository.write_to(&public);
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    pub fn root(&self, below: &str) -> PathBuf {
        self.path("root").join(below)
    }

    /// The program with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchctl"));
        command
            .arg("--root")
            .arg(self.path("root"))
            .args(arguments)
            .current_dir(self.directory.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// As [`Self::run`], but with no root unless the arguments name one.
    pub fn run_anywhere(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchctl"));
        ended(command.args(arguments).current_dir(self.directory.path()))
    }

    /// Lets the held heads be so many seconds older, as if that time had gone by: they are made
    /// anew, with the repository's keys.
    pub fn age(&self, seconds: u64, repository: &Repository) {
        let mut old = repository.clone();
        old.now = ago(seconds);
        old.publish();
        let state = self.state();
        for log in Log::BOTH {
            let checkpoint = &old.files()[&layout::checkpoint(log)];
            let update = "UPDATE log SET checkpoint = ?1 WHERE log = ?2";
            state.execute(update, rusqlite::params![checkpoint, log.as_str()]).expect("changed");
        }
        let update = "UPDATE signer_time SET time = time - ?1";
        let seconds = i64::try_from(seconds).expect("a span");
        state.execute(update, [seconds]).expect("changed");
    }

    /// Puts these checkpoints into the state, unverified, as signed so many seconds after now.
    pub fn hold_future(&self, seconds: u64, repository: &Repository) {
        let mut later = repository.clone();
        later.now = patchctl::clock::now().plus(seconds);
        later.publish();
        let state = self.state();
        for log in Log::BOTH {
            let checkpoint = &later.files()[&layout::checkpoint(log)];
            let update = "UPDATE log SET checkpoint = ?1 WHERE log = ?2";
            state.execute(update, rusqlite::params![checkpoint, log.as_str()]).expect("changed");
        }
    }

    /// The state, to be looked at and changed behind the program's back.
    pub fn state(&self) -> rusqlite::Connection {
        let path = self.root("var/lib/patchctl/state.db");
        rusqlite::Connection::open(path).expect("a state")
    }

    /// The document that a command prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended {
        code: output.status.code().expect("no signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Ended {
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "{text:?} is not in:\n{all}");
        self
    }
}

pub fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).expect("a file")
}

/// A repository that signs now.
pub fn repository() -> Repository {
    RepositoryBuilder::new().now(patchctl::clock::now()).build()
}

/// So many seconds before now.
pub fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(patchctl::clock::now().seconds() - seconds).expect("after 1970")
}

/// Version `n` of a component: a program, a file that never changes, a configuration.
pub fn agent(version: &str) -> Payload {
    Payload::new()
        .program("opt/acme/agent", version)
        .file("opt/acme/data", "the same".repeat(2000))
        .config("etc/acme.conf", "setting = 1\n")
}

/// A repository with `acme-agent` 1.0.0 in full, and 1.1.0 in full and from 1.0.0, of which the
/// newer closes an advisory. Both are released.
pub fn two_versions() -> Repository {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    release_second(&mut repository);
    repository
}

pub fn release_second(repository: &mut Repository) {
    let closes = |spec: PatchSpec| {
        spec.with(|entry| {
            entry.severity = countersign_format::entry::Severity::Critical;
            entry.advisories = vec!["CVE-2026-0001".parse().expect("an advisory")];
            entry.summary = "Closes a heap overflow in the parser".parse().expect("a line");
        })
    };
    let two = repository.collect(&closes(full("acme-agent", "1.1.0")));
    let step =
        PatchSpec::incremental("acme-agent", "1.1.0", "=1.0.0", &agent("1.0.0"), &agent("1.1.0"));
    let step = repository.collect(&closes(step));
    repository.release(&[two, step]);
    repository.publish();
}

pub fn full(name: &str, version: &str) -> PatchSpec {
    PatchSpec::full(name, version, &agent(version))
}
