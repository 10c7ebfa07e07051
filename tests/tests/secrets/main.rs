//! Nothing secret shows: not in command lines, environments, what is said, JSON, logs, repositories,
//! records, or core files; of the whole path from the keys to an installed patch, with passphrases,
//! a token, a signer behind a command, and a client with credentials.

mod derive;
mod parties;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use countersign_tests::tree::files_below;
use countersign_tests::{Lab, Outcome, Program, Programs, Run, Secrets};

use parties::{Parties, TOKEN};

/// Where the secrets are that people keep, and the token's own store.
const KEPT: &[&str] = &["secret", "tokens", "pin"];

#[test]
fn nothing_secret_shows_on_the_whole_path() {
    let parties = Parties::new();
    parties.set_up();
    parties.publish();
    parties.install();
    let secrets = parties.secrets();
    assert!(secrets.count() > 20, "{}", secrets.count());

    // what was said, and what the command that signs saw of itself and of who called it
    let said = parties.said();
    assert!(said.len() > 10_000, "much was said");
    assert_eq!(secrets.find(said.as_bytes()), Vec::<&str>::new(), "said");
    let seen = fs::read(parties.lab.path("seen")).expect("the command was called");
    assert!(String::from_utf8_lossy(&seen).contains("COUNTERSIGN_PURPOSE"));
    assert_eq!(secrets.find(&seen), Vec::<&str>::new(), "seen by a command that signs");

    // every file: repositories, records, settings, locks, the client's state; key files are encrypted
    let (files, found) = secrets.find_below(parties.lab.directory(), KEPT);
    assert!(found.is_empty(), "{found:#?}");
    assert!(files > 100, "{files}");
    let keys = key_files(&parties.lab);
    assert!(keys.len() >= 7, "{keys:?}");
    println!("{} secrets in none of {files} files, nor in what was said", secrets.count());
}

/// The key files: each of mode 0600 in a directory of mode 0700, and none below what is served.
fn key_files(lab: &Lab) -> Vec<std::path::PathBuf> {
    let mut keys = files_below(lab.directory(), KEPT);
    keys.retain(|path| path.extension().is_some_and(|ending| ending == "pem"));
    for path in &keys {
        let file = lab.directory().join(path);
        let mode =
            |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
        let directory = file.parent().expect("it is in one");
        assert_eq!((mode(&file), mode(directory)), (0o600, 0o700), "{}", path.display());
        assert!(!path.iter().any(|part| part == "public"), "{}", path.display());
        let text = fs::read_to_string(&file).expect("PEM");
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY"), "{}", path.display());
    }
    keys
}

/// The search finds what it is to find: a key file without a passphrase, and what somebody lets slip.
#[test]
fn the_search_finds_secrets_where_they_are() {
    let lab = Lab::new();
    let generate = "key generate --no-passphrase --name example.org/x --signer file:keys/key.pem";
    lab.patchrepo(generate).done();
    let mut secrets = Secrets::default();
    for (what, secret) in derive::of_file(&lab.path("keys/key.pem"), None, None) {
        secrets.add(&what, &secret);
    }
    secrets.add("token", TOKEN.as_bytes());
    fs::write(lab.path("log"), format!("Authorization: Bearer {TOKEN}\n")).expect("written");
    let (_, found) = secrets.find_below(lab.directory(), &[]);
    let found: Vec<_> = found.iter().map(|(file, what)| (file.as_str(), what.as_str())).collect();
    assert_eq!(found, [("keys/key.pem", "seed of key.pem in base64"), ("log", "token")]);
}

/// A shell that runs a program with room for core files, whatever the test runs with.
fn with_cores(lab: &Lab, program: &Path, line: &str) -> Run {
    let shell = Run::new(Path::new("/bin/sh"), "-c", lab.directory());
    let script =
        "ulimit -c unlimited 2>/dev/null || ulimit -c \"$(ulimit -Hc)\"; exec \"$0\" \"$@\"";
    shell.arg(script).arg(program).words(line)
}

fn cores(lab: &Lab) -> Vec<std::path::PathBuf> {
    let mut files = files_below(lab.directory(), &["secret", "tokens"]);
    files.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"))
    });
    files
}

/// A command that holds a key, and a point at which it does.
const HOLDING: &[(&str, &str, &str)] = &[
    ("collection", "collection refresh collection --force", "publish.head:1"),
    ("distribution", "distribution refresh distribution --force", "publish.head:1"),
    (
        "witness",
        "witness run witness distribution/public --authority newest.note -o lines",
        "witness.recorded:1",
    ),
];

#[test]
fn a_program_that_holds_a_key_leaves_no_core_file_and_shows_nothing_of_it() {
    let parties = Parties::new();
    parties.set_up();
    parties.publish();
    let lab = &parties.lab;
    // whether this machine makes core files at all, in the directory where a program runs
    let control = with_cores(lab, Path::new("/bin/sh"), "-c").arg("kill -ABRT $$").outcome();
    assert_eq!(control.code, None, "{control}");
    let makes_cores = !cores(lab).is_empty();
    for path in cores(lab) {
        fs::remove_file(lab.directory().join(path)).expect("removed");
    }
    let program = Programs::get().path(Program::Patchrepo);
    let secrets = parties.secrets();
    for (role, line, point) in HOLDING {
        let run = || parties.with_passphrase(with_cores(lab, &program, line), role);
        let aborted = run().env("COUNTERSIGN_CRASH_AT", point);
        let aborted = aborted.env("COUNTERSIGN_CRASH_WITH", "abort").outcome();
        assert_eq!(aborted.code, None, "{line} was not ended at {point}\n{aborted}");
        assert_eq!(cores(lab), Vec::<std::path::PathBuf>::new(), "{line}");
        quiet(&secrets, &aborted);

        let stopped =
            run().env("COUNTERSIGN_CRASH_AT", point).env("COUNTERSIGN_CRASH_WITH", "stop");
        let stopped = Stopped::new(stopped);
        let limit = stopped.read("limits");
        let limit = limit.lines().find(|line| line.starts_with("Max core file size"));
        let words: Vec<_> = limit.expect("a limit").split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{line}: {limit:?}");
        for file in ["cmdline", "environ"] {
            let text = stopped.read(file);
            assert!(
                text.contains("patchrepo") || text.contains("PATCHREPO_PASSPHRASE_FILE"),
                "{text}"
            );
            assert_eq!(secrets.find(text.as_bytes()), Vec::<&str>::new(), "{file} of {line}");
        }
        drop(stopped);
        quiet(&secrets, &run().done());
    }
    println!(
        "core files {}",
        if makes_cores { "are made here, and none was" } else { "are not made here" }
    );
}

#[track_caller]
fn quiet(secrets: &Secrets, outcome: &Outcome) {
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(secrets.find(said.as_bytes()), Vec::<&str>::new(), "{outcome}");
}

/// A process that has stopped at a point, and is killed when this is dropped.
struct Stopped(Child);

impl Stopped {
    fn new(run: Run) -> Self {
        let (mut command, shown): (Command, String) = run.into_command();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let stopped = Self(child.unwrap_or_else(|error| panic!("{shown}: {error}")));
        // a minute at most: what never stops fails the test
        for _ in 0..6000 {
            let stat = stopped.read("stat");
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
            match state {
                Some(Some('T')) => return stopped,
                Some(Some('Z')) | None => panic!("{shown} ended and did not stop"),
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        panic!("{shown} did not stop");
    }

    /// What the system says of it.
    fn read(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.0.id());
        // what a program that may not be looked at keeps from us shows nothing
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
