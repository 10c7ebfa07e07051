//! Small file systems under the state, the cache and the root, with little room from the beginning or
//! filled up while a patch is fetched: what does not fit is refused or fails cleanly, and goes well
//! once there is room.
//!
//! Mounting needs a mount namespace of its own, which the test's process enters by `unshare`; where
//! that is not allowed nothing is tried, and that is said.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_tests::Lab;
use countersign_tests::lab::present;
use countersign_tests::proxy::Proxy;
use countersign_tests::run::Outcome;
use countersign_tests::tree::{Snapshot, noise};

/// Set where the test runs in a mount namespace of its own.
const INSIDE: &str = "COUNTERSIGN_TEST_MOUNTS";

/// The size of each small file system.
const SIZE: u64 = 6 * 1024 * 1024;
/// How many inodes it has.
const INODES: u32 = 300;
/// What it is filled up with.
const FILLER: &str = "filler";

/// What is left of a file system.
#[derive(Clone, Copy)]
enum Left {
    Bytes(u64),
    Inodes(u32),
}

/// Nothing; room for the lock's text, for some of what SQLite writes, for all of that and some of a
/// patch. What a refusal says is needed comes to these.
const LEFT: [Left; 9] = [
    Left::Bytes(0),
    Left::Bytes(4 * 1024),
    Left::Bytes(24 * 1024),
    Left::Bytes(64 * 1024),
    Left::Bytes(280 * 1024),
    Left::Inodes(0),
    Left::Inodes(1),
    Left::Inodes(3),
    Left::Inodes(7),
];

impl fmt::Display for Left {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "{bytes} bytes"),
            Self::Inodes(inodes) => write!(formatter, "{inodes} inodes"),
        }
    }
}

/// Runs the test of this name again where it may mount, with its temporary files in memory. True
/// where that was done, or cannot be.
fn is_outside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let scratch = tempfile::tempdir().expect("temporary files can be made");
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    let namespace: &[&str] = if is_root { &["--mount"] } else { &["--mount", "--map-root-user"] };
    let mounting = "mount -t tmpfs -o mode=700 tmpfs \"$TMPDIR\" && exec \"$@\"";
    let inside = || {
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", mounting, "sh"]).env("TMPDIR", scratch.path());
        command
    };
    if !inside().arg("true").output().is_ok_and(|output| output.status.success()) {
        println!("not run: {test}, since nothing can be mounted here");
        return true;
    }
    let again = inside()
        .arg(std::env::current_exe().expect("it runs"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(again.expect("it just ran").success(), "{test} in a mount namespace");
    true
}

/// A small file system, mounted until this is dropped.
struct Small {
    at: PathBuf,
}

impl Small {
    /// Puts one over a directory, with the same in it.
    fn over(directory: &Path) -> Self {
        let held = directory.with_extension("held");
        fs::create_dir_all(directory).expect("made");
        copy(directory, &held);
        let size = format!("size={SIZE},nr_inodes={INODES},mode=755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory));
        run(Command::new("cp").arg("-a").arg(held.join(".")).arg(directory));
        fs::remove_dir_all(&held).expect("removed");
        Self { at: directory.to_owned() }
    }

    fn fill(&self, left: Left) {
        fill(&self.at, left);
    }

    fn empty(&self) {
        fs::remove_dir_all(self.at.join(FILLER)).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Fills up a file system but for some of it.
fn fill(at: &Path, left: Left) {
    let filler = at.join(FILLER);
    fs::create_dir(&filler).expect("made");
    match left {
        Left::Bytes(left) => {
            let mut file = File::create(filler.join("bytes")).expect("made");
            let block = vec![0; 4096];
            while file.write_all(&block).is_ok() {}
            let length = file.metadata().expect("there").len();
            file.set_len(length.saturating_sub(left) / 4096 * 4096).expect("cut");
        }
        Left::Inodes(left) => {
            let file = |at: u32| filler.join(at.to_string());
            let made = (0..INODES).take_while(|at| File::create(file(*at)).is_ok()).count();
            let made = u32::try_from(made).expect("no more than the file system has");
            assert!(made > left && made < INODES, "{made} of {INODES} were free");
            (made - left..made).for_each(|at| fs::remove_file(file(at)).expect("removed"));
        }
    }
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it is everywhere").success(), "{command:?}");
}

/// Hard links and all.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn payload(version: u64) -> Payload {
    (0..4).fold(Payload::new(), |payload, at| {
        payload.file(&format!("opt/acme/{at}"), noise(50_000, version * 10 + at))
    })
}

/// What the client says is there and what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct State(Snapshot, String);

/// The parties, and how often what was tried.
struct Trials {
    lab: Lab,
    repository: Repository,
    /// Where a file system is to be filled up as soon as an archive is asked for.
    surprise: Arc<Mutex<Option<(PathBuf, Left)>>>,
    refused: usize,
    failed: usize,
    done: usize,
}

impl Trials {
    fn state(&self) -> State {
        let mut files = self.lab.installed();
        files.retain(|path, _| !path.starts_with(FILLER));
        let list = |line| self.lab.endpoint(line).outcome().stdout;
        State(files, list("list --installed") + &list("list --available"))
    }

    fn publish(&mut self, version: u64, entries: u64) {
        self.repository.wait(10);
        self.repository.collect_history(entries);
        let spec = PatchSpec::full("acme-agent", &format!("{version}.0.0"), &payload(version));
        let index = self.repository.collect(&spec);
        self.repository.release(&[index]);
        self.repository.publish();
        self.lab.publish(&self.repository);
    }

    /// Tries a command with every small file system below `places`, then does it.
    fn all(&mut self, command: &str, places: &[&str]) {
        let (endpoint, template) = (self.lab.path("endpoint"), self.lab.path("template"));
        copy(&endpoint, &template);
        let before = self.state();
        for below in places {
            let mut needed = Vec::new();
            for left in LEFT {
                needed.extend(self.one(command, below, left, false, &before));
            }
            // just too little and just enough for what it says it needs
            needed.sort_unstable();
            if let Some(needed) = needed.pop() {
                let page = needed.next_multiple_of(4096);
                for left in [page - 4096, page, page + 4096] {
                    self.one(command, below, Left::Bytes(left), false, &before);
                }
            }
            if command != "update" {
                for left in LEFT {
                    self.one(command, below, left, true, &before);
                }
            }
        }
        self.lab.endpoint(command).done();
        fs::remove_dir_all(&template).expect("removed");
    }

    /// Tries a command with little room, from the beginning or from when the archive is fetched; then
    /// with enough. The endpoint is as before afterwards. Returns how many bytes it says it needs.
    fn one(
        &mut self,
        command: &str,
        below: &str,
        left: Left,
        is_surprise: bool,
        before: &State,
    ) -> Option<u64> {
        let when = if is_surprise { " once it fetches" } else { "" };
        let what = format!("{command} with {left} left of /{below}{when}");
        let endpoint = self.lab.path("endpoint");
        let small = Small::over(&endpoint.join(below));
        if is_surprise {
            *self.surprise.lock().expect("unharmed") = Some((small.at.clone(), left));
        } else {
            small.fill(left);
        }
        let outcome = self.lab.endpoint(command).outcome();
        let mut needed = None;
        if outcome.code == Some(0) {
            self.done += 1;
        } else {
            needed = self.failed_cleanly(&outcome, &what);
            assert_eq!(self.state(), *before, "{what}\n{outcome}");
            small.empty();
            let again = self.lab.endpoint(command).outcome();
            assert_eq!(again.code, Some(0), "{what}, with room\n{again}");
        }
        self.lab.endpoint("verify").done();
        drop(small);
        fs::remove_dir_all(&endpoint).expect("removed");
        copy(&self.lab.path("template"), &endpoint);
        needed
    }

    /// A command that found no room says so, and what to do.
    fn failed_cleanly(&mut self, outcome: &Outcome, what: &str) -> Option<u64> {
        let said = &outcome.stderr;
        assert!(matches!(outcome.code, Some(1 | 8)), "{what}\n{outcome}");
        assert!(said.contains("error: ") && said.contains("hint: "), "{what}\n{outcome}");
        let Some((_, refusal)) = said.split_once(" free, ") else {
            let full = ["No space left on device", "are needed, ", "is full"];
            assert!(full.iter().any(|why| said.contains(why)), "{what}\n{outcome}");
            self.failed += 1;
            return None;
        };
        self.refused += 1;
        let mut words = refusal.split_whitespace();
        let number: f64 = words.next()?.parse().ok()?;
        let unit = match words.next()? {
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            _ => return None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        Some((number * unit) as u64)
    }
}

#[test]
fn file_systems_that_are_too_small_are_refused_or_fail_cleanly() {
    if is_outside("file_systems_that_are_too_small_are_refused_or_fail_cleanly") {
        return;
    }
    let lab = Lab::new();
    let mut repository = present().build();
    repository.publish();
    lab.publish(&repository);
    let server = lab.serve("public");
    let surprise = Arc::new(Mutex::new(None::<(PathBuf, Left)>));
    let planned = Arc::clone(&surprise);
    let proxy = Proxy::watched(server.address(), move |request| {
        if request.contains(".patch ")
            && let Some((at, left)) = planned.lock().expect("unharmed").take()
        {
            fill(&at, left);
        }
    });
    lab.enroll(proxy.url());
    let mut trials = Trials { lab, repository, surprise, refused: 0, failed: 0, done: 0 };
    trials.publish(1, 200);
    trials.all("update", &["var/lib/patchctl", ""]);
    trials.all("install acme-agent", &["var/lib/patchctl", "var/cache/patchctl", ""]);
    trials.publish(2, 0);
    trials.lab.endpoint("update").done();
    trials.all("upgrade", &["var/lib/patchctl", "var/cache/patchctl", ""]);
    let Trials { refused, failed, done, .. } = trials;
    println!("small file systems: {refused} refused, {failed} failed cleanly, {done} found room");
    assert!(refused > 20 && failed > 20 && done > 10, "{refused}, {failed}, {done}");
}
