//! python-tuf, by a script that uses its metadata API and its client.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data_directory;
use crate::items::Item;
use crate::measure::{Workshop, run};
use crate::peers::Keeper;
use crate::update::{Updater, wait_for_another_second};

/// `python-tuf`.
pub struct PythonTuf;

/// Whether it is installed.
pub fn is_there() -> bool {
    let asked = Command::new("python3").args(["-c", "import tuf.ngclient"]).output();
    asked.is_ok_and(|output| output.status.success())
}

impl Keeper for PythonTuf {
    fn name(&self) -> String {
        "python-tuf".into()
    }

    fn make(&self, place: &Path, items: &[Item]) {
        make(items, &[(items.len(), place.to_owned())]);
    }

    fn add(&self, place: &Path, items: &[Item]) -> Command {
        let targets = write_targets(&place.join("incoming"), items);
        let mut command = script("add");
        command.arg(keys()).arg(place).args(targets);
        command
    }

    fn list(&self, place: &Path) -> PathBuf {
        newest_targets(place)
    }
}

impl Updater for PythonTuf {
    fn name(&self) -> String {
        "python-tuf".into()
    }

    fn publish(&self, items: &[Item], sites: &[(usize, PathBuf)]) {
        for (_, site) in sites {
            fs::create_dir_all(site).expect("a directory for the site");
            wait_for_another_second();
        }
        make(items, sites);
    }

    fn new_machine(&self, machine: &Path, url: &str) {
        fs::create_dir_all(machine.join("metadata")).expect("a directory for the machine");
        fs::write(machine.join("url"), url).expect("it can be written");
        let root = data_directory().join("site/python-tuf/current/1.root.json");
        fs::copy(root, machine.join("root.json")).expect("its root is published");
    }

    fn update(&self, _: &Workshop, machine: &Path, _: bool) -> Command {
        let url = fs::read_to_string(machine.join("url")).expect("written above");
        let mut command = script("update");
        command.arg(machine).arg(url);
        command
    }

    fn known(&self, _: &Workshop, machine: &Path) -> u64 {
        let output = script("known").arg(machine).output().expect("python is installed");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
    }
}

/// The metadata that says what there is, of the newest version.
pub fn newest_targets(metadata: &Path) -> PathBuf {
    let version = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_suffix(".targets.json")?.parse().ok()
    };
    let found = fs::read_dir(metadata).expect("it was made");
    let paths = found.map(|entry| entry.expect("it can be read").path());
    paths.max_by_key(version).expect("it is published")
}

/// A small file for each item.
pub fn write_targets(place: &Path, items: &[Item]) -> Vec<PathBuf> {
    fs::create_dir_all(place).expect("a directory for targets");
    let write = |Item { name, version, .. }: &Item| {
        let path = place.join(format!("{name}-{version}.patch"));
        fs::write(&path, format!("{name} {version}\n")).expect("it can be written");
        path
    };
    items.iter().map(write).collect()
}

fn make(items: &[Item], sites: &[(usize, PathBuf)]) {
    let mut text = String::new();
    for Item { name, version, summary, size, sha256, .. } in items {
        writeln!(text, "{name}\t{version}\t{size}\t{sha256}\t{summary}").expect("it takes all");
    }
    let list = data_directory().join("python-tuf-items");
    fs::write(&list, text).expect("it can be written");
    let mut command = script("make");
    command.arg(keys()).arg(list);
    for (count, site) in sites {
        command.arg(format!("{count}:{}", site.display()));
    }
    run(&mut command);
}

fn keys() -> PathBuf {
    data_directory().join("python-tuf-keys")
}

fn script(command: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/peers/python_tuf.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(command);
    python
}
