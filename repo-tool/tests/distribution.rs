//! The commands of a distribution, as a person types them, and the program killed at every point
//! that has a name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

struct Lab(TempDir);

impl Lab {
    /// All roles; 1.0.0 is collected.
    fn new() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let lab = Self(memory.expect("a directory"));
        lab.run("init repo --name example.org --no-passphrase");
        lab.collect("1.0.0");
        lab
    }

    fn collect(&self, version: &str) {
        fs::create_dir_all(self.path(version)).expect("made");
        fs::write(self.path(version).join("agent"), version).expect("written");
        self.run(&format!(
            "collection add repo/collection {version} --name acme --version {version} \
             --severity high --summary Parser"
        ));
        self.run("collection publish repo/collection");
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn copy(&self, from: &str, to: &str) {
        let status = Command::new("cp").arg("-a").args([self.path(from), self.path(to)]).status();
        assert!(status.expect("cp runs").success());
    }

    fn restore(&self, kept: &str, to: &str) {
        fs::remove_dir_all(self.path(to)).expect("removed");
        self.copy(kept, to);
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchrepo"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().expect("it runs")
    }

    /// Runs a command that must succeed; what it printed.
    fn run(&self, line: &str) -> String {
        let output = self.output(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.run(&format!("--json {line}"))).expect("JSON")
    }

    /// What fails: exit code and what is said.
    fn fail(&self, line: &str) -> (i32, String) {
        let output = self.output(line);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().expect("not killed"), errors)
    }

    /// That an independent part of the program accepts all that is public.
    fn verify(&self) {
        self.run("verify repo/distribution/public --authority repo/authority/public/authority/1");
    }

    /// What is decided about each patch.
    fn states(&self) -> Vec<String> {
        let listed = self.json("distribution list repo/distribution");
        let patches = listed["patches"].as_array().expect("a list");
        patches.iter().map(|patch| format!("{} {}", patch["version"], patch["rings"])).collect()
    }

    /// The named points that a command passes, each with how often.
    fn points(&self, line: &str) -> BTreeMap<String, u32> {
        let list = self.path("points");
        let output = self.command(line).env("COUNTERSIGN_CRASH_LIST", &list).output();
        assert!(output.expect("it runs").status.success(), "{line}");
        let mut points = BTreeMap::new();
        for point in fs::read_to_string(&list).expect("read").lines() {
            // the steps of durable writing fail one by one in the library's tests
            if !point.starts_with("durable.") {
                *points.entry(point.to_owned()).or_default() += 1;
            }
        }
        fs::remove_file(list).expect("removed");
        points
    }

    /// Kills the command at every point it passes, runs it again, and returns how many points.
    fn kill_everywhere(&self, line: &str, expected: &[&str]) -> u32 {
        self.copy("repo", "before");
        let points = self.points(line);
        for point in expected {
            assert!(points.contains_key(*point), "{point} of {points:?}");
        }
        let done = self.states();
        let mut count = 0;
        for (point, times) in points {
            for time in 1..=times {
                self.restore("before", "repo");
                let at = format!("{point}:{time}");
                let killed = self.command(line).env("COUNTERSIGN_CRASH_AT", &at).output();
                assert_eq!(killed.expect("it runs").status.signal(), Some(9), "{at}");
                self.verify();
                self.run(line);
                self.verify();
                assert_eq!(self.states(), done, "{at}");
                count += 1;
            }
        }
        fs::remove_dir_all(self.path("before")).expect("removed");
        count
    }
}

#[test]
fn from_the_first_signature_to_the_second() {
    let lab = Lab::new();
    let synced = lab.json("distribution sync repo/distribution");
    assert_eq!(synced["patches"][0]["signed_by"][0], "example.org/collection");
    assert_eq!(synced["patches"][0]["severity"], "high");
    let text = lab.run("distribution list repo/distribution --undecided");
    assert!(text.contains("acme@1.0.0") && text.contains("held"), "{text}");
    let (exit, said) = lab.fail("distribution release repo/distribution acme@2.0.0");
    assert_eq!(exit, 104);
    assert!(said.contains("error: no patch acme@2.0.0") && said.contains("hint: "), "{said}");
    lab.run("distribution release repo/distribution acme@1.0.0 --ring stable");
    let published = lab.json("distribution publish repo/distribution");
    assert_eq!(published["countersigned"][0]["name"], "acme");
    assert_eq!(published["entries"][1]["type"], "release");
    lab.verify();

    lab.collect("1.1.0");
    lab.run("distribution sync repo/distribution --from repo/collection/public");
    lab.run("distribution release repo/distribution --all --percent 50 --ramp 24h");
    lab.run("distribution publish repo/distribution");
    let shown = lab.json("distribution show repo/distribution acme@1.1.0");
    let ring = &shown["patches"][0]["rings"][0];
    assert_eq!((&ring["decision"], &ring["published"]), (&"released".into(), &true.into()));
    assert_eq!((&ring["percent"], &ring["ramp"]), (&50.into(), &86_400.into()));
    lab.run("distribution withdraw repo/distribution acme@1.1.0 --reason stalls");
    let text = lab.run("distribution show repo/distribution acme@1.1.0");
    assert!(text.contains("to withdraw, stalls"), "{text}");
    lab.run("distribution publish repo/distribution");
    let head = lab.path("repo/distribution/public/distribution/checkpoint");
    let signed = fs::read(&head).expect("read");
    let idle = lab.output("distribution refresh repo/distribution");
    assert_eq!((idle.stdout.len(), idle.stderr.len()), (0, 0), "nothing is due: a timer is silent");
    assert_eq!(fs::read(&head).expect("read"), signed);
    lab.run("distribution refresh repo/distribution --if-older-than 0s");
    lab.verify();

    lab.run("collection revoke repo/collection acme@1.0.0 --reason spooler");
    let text = lab.run("distribution sync repo/distribution");
    assert!(text.contains("revoked: acme@1.0.0 (full): spooler"), "{text}");
    let (exit, said) = lab.fail("distribution release repo/distribution acme@1.0.0");
    assert_eq!(exit, 1);
    assert!(said.contains("was revoked by the collection: spooler"), "{said}");
}

#[test]
fn the_collection_has_to_be_somewhere() {
    let lab = Lab::new();
    let (exit, _) = lab.fail("distribution publish repo/distribution");
    assert_eq!(exit, 1, "nothing was fetched");
    let config = lab.path("repo/distribution/config.toml");
    let text = fs::read_to_string(&config).expect("read");
    let lines = text.lines().filter(|line| !line.starts_with("collection"));
    fs::write(&config, lines.collect::<Vec<_>>().join("\n")).expect("written");
    let (exit, said) = lab.fail("distribution sync repo/distribution");
    assert_eq!(exit, 3);
    assert!(said.contains("--from"), "{said}");
    let (exit, _) = lab.fail("distribution sync repo/distribution --from http://127.0.0.1:9/");
    assert_eq!(exit, 6);
    lab.run("distribution sync repo/distribution --from repo/collection/public");
}

#[test]
fn killed_anywhere_the_next_run_completes() {
    let lab = Lab::new();
    lab.run("distribution sync repo/distribution");
    lab.run("distribution release repo/distribution --all");
    lab.run("distribution publish repo/distribution");
    lab.collect("1.1.0");
    let sync = ["sync.patch", "sync.entries", "sync.times", "sync.checkpoint"];
    let mut count = lab.kill_everywhere("distribution sync repo/distribution", &sync);
    lab.run("distribution release repo/distribution acme@1.1.0");
    lab.run("distribution withdraw repo/distribution acme@1.0.0 --reason old");
    let publish = [
        "distribution.patches",
        "distribution.collection-head",
        "publish.head",
        "publish.staged",
        "publish.flushed",
        "publish.sealed",
        "publish.checkpoint",
        "distribution.marked",
        "publish.finished",
    ];
    count += lab.kill_everywhere("distribution publish repo/distribution", &publish);
    let refresh = ["distribution.collection-head", "publish.head", "publish.checkpoint"];
    count += lab.kill_everywhere("distribution refresh repo/distribution --force", &refresh);
    assert!(count >= 15, "{count}");
}
