//! Our own repository and machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_tests::lab::present;

use crate::items::Item;
use crate::measure::Workshop;
use crate::update::{Updater, wait_for_another_second};

/// The level at which `patchrepo` compresses packs.
const PACK_LEVEL: i32 = 19;

/// `patchctl`.
pub struct Ours;

impl Updater for Ours {
    fn name(&self) -> String {
        "patchctl".into()
    }

    fn publish(&self, items: &[Item], sites: &[(usize, PathBuf)]) {
        let mut repository = present().build();
        repository.collection.set_pack_level(PACK_LEVEL);
        let mut filled = 0;
        for (count, site) in sites {
            fill(&mut repository, &items[filled..*count]);
            filled = *count;
            repository.publish();
            repository.write_to(site);
            let anchor = site.join("authority.note");
            fs::write(anchor, repository.enrolment()).expect("it can be written");
            repository.wait(1);
            wait_for_another_second();
        }
    }

    fn new_machine(&self, machine: &Path, url: &str) {
        fs::create_dir_all(machine).expect("a directory for the machine");
        fs::write(machine.join("url"), url).expect("it can be written");
    }

    fn update(&self, workshop: &Workshop, machine: &Path, first: bool) -> Command {
        let mut command = patchctl(workshop, machine);
        if first {
            let url = fs::read_to_string(machine.join("url")).expect("written above");
            let anchor = workshop.path("site/patchctl/current/authority.note");
            command.args(["enroll", &url, "--authority"]).arg(anchor);
        } else {
            command.arg("update");
        }
        command
    }

    fn known(&self, workshop: &Workshop, machine: &Path) -> u64 {
        let output = patchctl(workshop, machine).args(["status", "--json"]).output();
        let output = output.expect("it was built").stdout;
        let status: serde_json::Value = serde_json::from_slice(&output).expect("a document");
        // less the entries that are no patches: there are none
        status["sources"][0]["collection"]["size"].as_u64().expect("a number")
    }
}

/// `patchctl` on a machine, never asking.
pub fn patchctl(workshop: &Workshop, machine: &Path) -> Command {
    let mut command = workshop.program("patchctl");
    command.env_clear().arg("--root").arg(machine).args(["--yes", "--no-progress"]);
    command
}

/// Collects and releases the items, whose archives exist nowhere.
fn fill(repository: &mut Repository, items: &[Item]) {
    let first = repository.collection.size();
    for item in items {
        let mut entry = PatchSpec::full(&item.name, &item.version, &Payload::new()).entry;
        entry.summary = item.summary.parse().expect("a line of words");
        entry.collected = repository.now;
        entry.archive.sha256 = item.sha256;
        (entry.archive.size, entry.archive.unpacked) = (item.size, item.unpacked);
        repository.collect_history_of(entry);
    }
    let all: Vec<u64> = (first..repository.collection.size()).collect();
    repository.release(&all);
}
