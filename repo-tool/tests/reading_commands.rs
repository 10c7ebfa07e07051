//! The commands that read repositories, as a person types them: `verify`, `mirror sync`, `inspect`,
//! `prove` and `serve`, the real program over loopback HTTP.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::layout::{self, Log};
use countersign_format::proof::Proof;
use countersign_format::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_patchrepo");

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_seconds(since.as_secs()).expect("before 9999")
}

fn add(repository: &mut Repository, version: &str) {
    let payload = Payload::new().program("opt/acme/agent", version).file("opt/acme/d", "same");
    let index = repository.collect(&PatchSpec::full("acme", version, &payload));
    repository.release(&[index]);
    repository.wait(1);
    repository.publish();
}

/// A published repository, the note to trust, and room for a mirror.
struct World {
    directory: TempDir,
    repository: Repository,
}

impl World {
    fn new() -> Self {
        // in the past, so that what is published later is not ahead of the clock
        let start = Timestamp::from_seconds(now().seconds() - 600).expect("a time");
        let mut repository = RepositoryBuilder::new().now(start).build();
        repository.publish_directory(1, &["https://192.0.2.10/"]);
        add(&mut repository, "1.0.0");
        let world = Self { directory: tempfile::tempdir().expect("a directory"), repository };
        fs::write(world.path("authority"), world.repository.enrolment()).expect("written");
        world.publish();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn publish(&self) {
        self.repository.write_to(&self.path("public"));
    }

    /// Runs the program; `{}` in words stands for the world's directory.
    fn run(&self, words: &str) -> Output {
        self.command(words).output().expect("the program runs")
    }

    fn command(&self, words: &str) -> Command {
        let directory = self.directory.path().to_str().expect("UTF-8");
        let mut command = Command::new(PROGRAM);
        command.args(words.split_whitespace().map(|word| word.replace("{}", directory)));
        command.env_remove("COUNTERSIGN_CRASH_AT");
        command
    }

    /// Runs the program, which must exit with `exit`, and returns its JSON document.
    #[track_caller]
    fn json(&self, words: &str, exit: i32) -> Value {
        let output = self.run(&format!("{words} --json"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{words}\n{stderr}");
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }
}

/// `patchrepo serve`, until it is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(directory).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the address");
        let url = line.split_whitespace().next_back().expect("it ends with the URL").to_owned();
        Self { child, url }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // it has no other end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_mirror_is_synced_and_served_and_verified_over_http() {
    let mut world = World::new();
    let server = Serving::start(&world.path("public"));
    let sync = format!("mirror sync {} {{}}/mirror --authority {{}}/authority", server.url);
    let first = world.json(&sync, 0);
    assert_eq!((&first["patches"], &first["logs"][0]["size"]), (&1.into(), &1.into()));
    let nothing = world.json(&sync, 0);
    assert_eq!(nothing["requests"], 3);
    add(&mut world.repository, "2.0.0");
    world.publish();
    let one = world.json(&sync, 0);
    assert_eq!(one["patches"], 1);
    assert!(one["requests"].as_u64().expect("a number") <= 12, "{one}");
    let mirror = Serving::start(&world.path("mirror"));
    for place in [server.url.as_str(), &mirror.url, "{}/public", "{}/mirror"] {
        let verified = world.json(&format!("verify {place} --authority {{}}/authority"), 0);
        assert_eq!((&verified["problems"], &verified["patches"]), (&0.into(), &2.into()));
        assert_eq!(verified["findings"], Value::Array(Vec::new()), "{place}");
    }
    let second = format!(
        "mirror sync {} {{}}/second --authority sha256:{}",
        mirror.url,
        fingerprint(&world)
    );
    assert_eq!(world.json(&second, 0)["patches"], 2);
}

fn fingerprint(world: &World) -> String {
    world.repository.enrolment_fingerprint().to_string()
}

#[test]
fn a_damaged_file_is_named_over_http_and_from_disk() {
    let world = World::new();
    let bundle = layout::bundle(Log::Collection, 0, 1);
    let mut bytes = world.repository.files()[&bundle].clone();
    bytes[40] ^= 1;
    fs::write(world.path("public").join(&bundle), bytes).expect("written");
    let server = Serving::start(&world.path("public"));
    for place in [server.url.as_str(), "{}/public"] {
        let verified = world.json(&format!("verify {place} --authority {{}}/authority"), 10);
        let findings = verified["findings"].as_array().expect("a list");
        assert_eq!(findings[0]["file"], bundle.as_str());
        assert_eq!(findings[0]["kind"], "damaged");
    }
    let output = world.run("verify {}/public --authority {}/authority");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(bundle.as_str()) && text.contains("problem"), "{text}");
    let sync = world.json("mirror sync {}/public {}/mirror --authority {}/authority", 12);
    assert!(sync["error"].as_str().expect("a text").contains("lead to root"), "{sync}");
    assert!(!world.path("mirror/collection/checkpoint").exists());
}

#[test]
fn errors_have_the_exit_codes_that_scripts_know() {
    let world = World::new();
    let other = RepositoryBuilder::new().valid_for(7).build();
    fs::write(world.path("other"), other.enrolment()).expect("written");
    world.json("verify {}/nowhere --authority {}/authority", 6);
    world.json("verify http://127.0.0.1:1/ --authority {}/authority", 6);
    world.json("mirror sync http://127.0.0.1:1/ {}/mirror --authority {}/authority", 6);
    world.json(&format!("verify {{}}/public --authority sha256:{}", "0".repeat(64)), 10);
    world.json("mirror sync {}/public {}/mirror --authority {}/other", 10);
    world.json("verify {}/public --authority {}/nowhere", 1);
    world.json("verify {}/public --authority {}/authority --distribution none", 2);
    world.json("prove {}/public acme@9.9.9", 104);
}

#[test]
fn files_are_inspected_by_path_and_by_url() {
    let world = World::new();
    let shown = world.json("inspect {}/public/collection/checkpoint", 0);
    assert_eq!(shown["kind"], "checkpoint");
    assert_eq!(shown["signatures"][1]["verdict"], "not_verified");
    let server = Serving::start(&world.path("public"));
    let at = format!("inspect {}collection/checkpoint --authority {{}}/authority", server.url);
    let shown = world.json(&at, 0);
    assert_eq!(shown["signatures"][1]["verdict"], "verified");
    assert_eq!(shown["signatures"][1]["type"], "timestamped signature");
    let copy = world.path("copy");
    let mut bytes = fs::read(world.path("public/collection/checkpoint")).expect("the checkpoint");
    let position = bytes.len() - 10;
    bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
    fs::write(copy, bytes).expect("written");
    world.json("inspect {}/copy --authority {}/authority", 10);
    world.json("inspect {}/nowhere", 1);
    world.json(&format!("inspect {}nothing", server.url), 2);
}

#[test]
fn a_proof_is_written_and_holds_the_signed_head() {
    let world = World::new();
    let proven = world.json("prove {}/public acme@1.0.0 -o {}/acme.tlog-proof", 0);
    assert_eq!(proven["index"], 0);
    let proof = Proof::parse(&fs::read(world.path("acme.tlog-proof")).expect("written"));
    let head = world.repository.note(&layout::checkpoint(Log::Collection));
    assert_eq!(proof.expect("a proof").checkpoint, head);
    let shown = world.json("inspect {}/acme.tlog-proof --authority {}/authority", 0);
    assert_eq!(shown["kind"], "proof of inclusion");
}

/// The names that a sync reaches, each with how often.
fn points(world: &World) -> Vec<(String, usize)> {
    let list = world.path("list");
    let output = world
        .command("mirror sync {}/public {}/probe --authority {}/authority")
        .env("COUNTERSIGN_CRASH_LIST", &list)
        .output()
        .expect("the program runs");
    assert!(output.status.success());
    let mut points: Vec<(String, usize)> = Vec::new();
    for name in fs::read_to_string(list).expect("a list").lines() {
        match points.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => points.push((name.to_owned(), 1)),
        }
    }
    points
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Killed anywhere, a mirror serves the head before or the new one, and the next run completes it.
#[test]
fn a_mirror_that_is_killed_anywhere_serves_one_view_and_is_completed() {
    let mut world = World::new();
    let sync = "mirror sync {}/public {}/mirror --authority {}/authority";
    world.json(sync, 0);
    copy_tree(&world.path("mirror"), &world.path("base"));
    copy_tree(&world.path("mirror"), &world.path("probe"));
    add(&mut world.repository, "2.0.0");
    world.publish();
    let heads = |name: &str| {
        Log::BOTH.map(|log| {
            fs::read(world.path(name).join(layout::checkpoint(log))).expect("a checkpoint")
        })
    };
    let points = points(&world);
    assert!(points.iter().any(|(name, _)| name == "mirror.heads"), "{points:?}");
    let (old, new) = (heads("base"), heads("probe"));
    let mut kills = 0;
    for (name, count) in points {
        // the first, the last, and one between: each is another file of the same kind
        let mut turns = vec![1, count.div_ceil(2), count];
        turns.dedup();
        for turn in turns {
            fs::remove_dir_all(world.path("mirror")).expect("removed");
            copy_tree(&world.path("base"), &world.path("mirror"));
            let killed = world
                .command(sync)
                .env("COUNTERSIGN_CRASH_AT", format!("{name}:{turn}"))
                .output()
                .expect("the program runs");
            assert_eq!(killed.status.code(), None, "{name}:{turn} was not reached");
            kills += 1;
            let served = heads("mirror");
            for (log, head) in served.iter().enumerate() {
                assert!(*head == old[log] || *head == new[log], "{name}:{turn}");
            }
            // the distribution's head never comes before the collection's
            assert!(served[1] == old[1] || served[0] == new[0], "{name}:{turn}");
            let verified = world.json("verify {}/mirror --authority {}/authority", 0);
            assert_eq!(verified["problems"], 0, "{name}:{turn}");
            world.json(sync, 0);
            assert_eq!(heads("mirror"), new, "{name}:{turn}");
            let verified = world.json("verify {}/mirror --authority {}/authority", 0);
            assert_eq!(verified["findings"], Value::Array(Vec::new()), "{name}:{turn}");
        }
    }
    assert!(kills >= 20, "{kills}");
}
