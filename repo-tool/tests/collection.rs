//! The collection's commands, run as a person runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::CollectionEntry;
use countersign_format::layout::{self, Log};
use countersign_format::note::Note;
use countersign_format::tile;
use tempfile::TempDir;

/// A directory with `repo/` of `patchrepo init` and trees of two versions.
struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().expect("a directory"));
        lab.run("init repo --name example.org --no-passphrase");
        for (version, content) in [("one", "alpha"), ("two", "beta")] {
            fs::create_dir_all(lab.path(version).join("opt/acme")).expect("made");
            fs::write(lab.path(version).join("opt/acme/a"), content).expect("written");
            fs::write(lab.path(version).join("opt/acme/same"), "same").expect("written");
        }
        lab
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
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

    /// The entries that readers of the collection see; fails if anything of them is missing.
    fn entries(&self) -> Vec<String> {
        let public = self.path("repo/collection/public");
        let read = |path: &dyn AsRef<Path>| fs::read(public.join(path)).expect("a file");
        let note = Note::parse(&read(&layout::checkpoint(Log::Collection)), 65_536);
        let note = note.expect("a note");
        let head = Checkpoint::parse(note.text()).expect("a checkpoint");
        let width = u16::try_from(head.size).expect("a small log");
        assert_eq!(
            read(&layout::tile(Log::Collection, 0, 0, width)).len(),
            usize::from(width) * 32
        );
        let bundle = read(&layout::bundle(Log::Collection, 0, width));
        let entries = tile::parse_entries(&bundle, width.into()).expect("entries");
        let name = |entry: &&[u8]| match CollectionEntry::parse(entry).expect("an entry") {
            CollectionEntry::Patch(patch) => {
                let note = read(&layout::patch_note(&patch.archive.sha256));
                assert!(note.starts_with(entry), "the note's text is the entry");
                let archive = read(&layout::archive(&patch.archive.sha256));
                assert_eq!(archive.len() as u64, patch.archive.size);
                patch.identity().to_string()
            }
            CollectionEntry::Revoke(revoke) => format!("revoke {}", revoke.patch),
            CollectionEntry::Authority(authority) => format!("authority {}", authority.version),
        };
        entries.iter().map(name).collect()
    }
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn from_a_tree_to_the_first_signature() {
    let lab = Lab::new();
    fs::write(lab.path("patch.toml"), "name = \"acme\"\nsummary = \"First\"\n").expect("written");
    lab.run("collection add repo/collection one --version 1.0.0");
    lab.run(
        "collection add repo/collection two --version 1.1.0 --against acme@1.0.0 --severity low",
    );
    let listed = lab.json("collection list repo/collection");
    assert_eq!(listed["incoming"][1]["base"], "=1.0.0");
    let tested = lab.json("collection test repo/collection acme@1.0.0 -- cat opt/acme/a");
    assert_eq!((&tested["outcome"], &tested["exit"]), (&"passed".into(), &0.into()));
    let published = lab.json("collection publish repo/collection");
    assert_eq!((&published["size"], &published["patches"][1]["index"]), (&3.into(), &2.into()));
    let shown = lab.json("collection show repo/collection acme@1.0.0");
    assert_eq!(shown["patches"][0]["summary"], "First");
    assert_eq!(shown["patches"][0]["evidence"][0]["sha256"], tested["evidence"]);
    lab.run("collection revoke repo/collection acme@1.1.0 --reason bad");
    let listed = lab.json("collection list repo/collection --published");
    assert_eq!(listed["published"][1]["revoked"], 3);
    let names = ["authority 1", "acme@1.0.0", "acme@1.1.0 for =1.0.0", "revoke 2"];
    assert_eq!(lab.entries(), names);

    let again = lab.output("collection add repo/collection one --version 1.0.0");
    assert_eq!(again.status.code(), Some(1));
    assert!(error(&again).contains("acme@1.0.0 is published already, as entry 1"));
    assert!(error(&again).contains("\nhint: "));
    let missing = lab.output("collection show repo/collection acme@9.0.0");
    assert_eq!(missing.status.code(), Some(104));
    fs::remove_file(lab.path("repo/collection/state/collection-head")).expect("removed");
    let restored = lab.output("collection refresh repo/collection");
    assert_eq!(restored.status.code(), Some(12));
    assert!(error(&restored).contains("--adopt-public-head"));
    lab.run("collection refresh repo/collection --adopt-public-head");
}

#[test]
fn killed_at_every_named_point_the_rerun_completes() {
    let lab = Lab::new();
    lab.run("collection add repo/collection one --name acme --version 1.0.0");
    lab.run("collection publish repo/collection");
    lab.run("collection add repo/collection two --name acme --version 1.1.0");
    let list = lab.path("reached");
    copy(&lab.path("repo/collection"), &lab.path("before"));
    let publish = || lab.command("collection publish repo/collection");
    let status = publish().env("COUNTERSIGN_CRASH_LIST", &list).status();
    assert!(status.expect("it runs").success());
    let expected = lab.entries();
    assert_eq!(expected[1..], ["acme@1.0.0", "acme@1.1.0"]);

    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for name in fs::read_to_string(&list).expect("listed").lines() {
        *reached.entry(name.to_owned()).or_default() += 1;
    }
    for point in
        ["patches", "head", "staged", "flushed", "sealed", "checkpoint", "marked", "cleaned"]
    {
        assert!(reached.contains_key(&format!("publish.{point}")), "{point} of {reached:?}");
    }
    let mut killed = 0;
    for (name, count) in reached {
        for nth in 1..=count {
            fs::remove_dir_all(lab.path("repo/collection")).expect("removed");
            copy(&lab.path("before"), &lab.path("repo/collection"));
            let status = publish().env("COUNTERSIGN_CRASH_AT", format!("{name}:{nth}")).status();
            assert_eq!(status.expect("it runs").code(), None, "killed at {name}:{nth}");
            killed += 1;
            let seen = lab.entries();
            assert!(seen == expected || seen[..] == expected[..2], "{name}:{nth} {seen:?}");
            lab.run("collection publish repo/collection");
            assert_eq!(lab.entries(), expected, "{name}:{nth}");
            assert_eq!(
                lab.json("collection list repo/collection")["incoming"],
                serde_json::json!([])
            );
            lab.run("collection refresh repo/collection --force");
            let left = find_temporaries(&lab.path("repo/collection"));
            assert_eq!(left, Vec::<PathBuf>::new(), "{name}:{nth}");
        }
    }
    assert!(killed > 30, "{killed}");
}

#[test]
fn two_publishers_wait_for_each_other() {
    let lab = Lab::new();
    for (tree, version) in [("one", "1.0.0"), ("two", "1.1.0")] {
        lab.run(&format!("collection add repo/collection {tree} --name acme --version {version}"));
    }
    let start = |version: &str| -> Child {
        let line = format!("collection publish repo/collection acme@{version}");
        lab.command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
    };
    let both = [start("1.0.0"), start("1.1.0")];
    for mut child in both {
        assert!(child.wait().expect("it ends").success());
    }
    let mut names = lab.entries();
    names.sort();
    assert_eq!(names, ["acme@1.0.0", "acme@1.1.0", "authority 1"]);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.expect("cp runs").success());
}

fn find_temporaries(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with(".tmp-") {
            found.push(entry.path());
        } else if entry.path().is_dir() {
            found.extend(find_temporaries(&entry.path()));
        }
    }
    found
}
