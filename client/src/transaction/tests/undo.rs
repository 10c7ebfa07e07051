//! What somebody does to a machine between a crash and the next start is not lost.

use std::fs;
use std::path::PathBuf;

use super::crash::{AGENT_ONE, Lab, Scenario, crash_at};
use super::kit::Machine;
use crate::db::history::Notice;
use crate::transaction::Recovered;

/// A machine whose upgrade from 1.0.0 to 1.1.0 was interrupted at `point`.
fn interrupted(point: &str) -> (Lab, PathBuf) {
    let scenario = Scenario::Upgrade;
    let mut lab = Lab::new(scenario);
    let base = lab.copy();
    Lab::spawn(&base, scenario.name(), &[crash_at(point)]);
    assert!(Machine::open(&base).database.unfinished().expect("read").is_some());
    (lab, base)
}

fn kept(recovered: &[Recovered], wanted: &str) -> Vec<String> {
    let notices = recovered.iter().flat_map(|recovered| &recovered.notices);
    notices
        .filter_map(|notice| match notice {
            Notice::KeptAside { path, copy } if path == wanted => Some(copy.clone()),
            _ => None,
        })
        .collect()
}

/// Recovers, requires the state before the upgrade, and what was at `path` in a copy.
fn recovers(base: &std::path::Path, path: &str, expected: &str) {
    let mut machine = Machine::open(base);
    let recovered = machine.recover();
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
    let copies = kept(&recovered, path);
    let [copy] = copies.as_slice() else { panic!("{path}: {recovered:?}") };
    assert_eq!(machine.read(copy), expected);
    let stored = machine.database.notices(recovered[0].transaction).expect("read");
    assert_eq!(stored, recovered[0].notices, "the history tells it too");
    // later starts do not clean it away
    machine.recover();
    assert_eq!(machine.read(copy), expected);
}

#[test]
fn a_new_file_that_was_changed_is_kept() {
    let (_lab, base) = interrupted("transaction.placed");
    Machine::open(&base).write("opt/acme/lib2/two.so", "by hand");
    recovers(&base, "opt/acme/lib2/two.so", "by hand");
    assert!(!Machine::open(&base).exists("opt/acme/lib2"));
}

#[test]
fn a_replaced_file_that_was_changed_is_kept() {
    let (_lab, base) = interrupted("transaction.placed");
    // as an editor does it
    let machine = Machine::open(&base);
    fs::remove_file(machine.path("opt/acme/bin/agent")).expect("removed");
    machine.write("opt/acme/bin/agent", "by hand");
    recovers(&base, "opt/acme/bin/agent", "by hand");
    assert_eq!(machine.read("opt/acme/bin/agent"), AGENT_ONE);
}

#[test]
fn a_file_in_the_place_of_a_removed_one_is_kept() {
    let (_lab, base) = interrupted("transaction.placed");
    let machine = Machine::open(&base);
    machine.write("opt/acme/lib/one.so", "by hand");
    recovers(&base, "opt/acme/lib/one.so", "by hand");
    assert_eq!(machine.read("opt/acme/lib/one.so"), "library");
}

#[test]
fn a_file_in_the_place_of_a_swapped_one_is_kept() {
    let (_lab, base) = interrupted("transaction.placed");
    let machine = Machine::open(&base);
    fs::write(machine.path("opt/acme/becomes-file"), "by hand").expect("written");
    recovers(&base, "opt/acme/becomes-file", "by hand");
    assert!(machine.exists("opt/acme/becomes-file/inner/deep"));
}

#[test]
fn what_was_put_into_a_new_directory_is_kept() {
    let (_lab, base) = interrupted("transaction.placed");
    Machine::open(&base).write("opt/acme/lib2/data", "by hand");
    let mut machine = Machine::open(&base);
    let recovered = machine.recover();
    let copies = kept(&recovered, "opt/acme/lib2");
    assert_eq!(machine.read(&format!("{}/data", copies[0])), "by hand");
    assert!(!machine.exists("opt/acme/lib2"));
}

#[test]
fn a_directory_that_was_made_again_stays_with_what_is_in_it() {
    let scenario = Scenario::Remove;
    let mut lab = Lab::new(scenario);
    let base = lab.copy();
    Lab::spawn(&base, scenario.name(), &[crash_at("transaction.placed")]);
    let mut machine = Machine::open(&base);
    machine.write("opt/acme/var/data", "by a daemon");
    machine.recover();
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
    assert_eq!(machine.read("opt/acme/var/data"), "by a daemon");
    assert_eq!(machine.read("opt/acme/bin/agent"), AGENT_ONE);
}

/// After a power cut before the first flush the staged objects may be gone, though the journal says
/// that the transaction had begun. What somebody put there since was never its own.
#[test]
fn what_was_never_placed_is_not_taken_for_the_transaction_s_own() {
    let (_lab, base) = interrupted("transaction.journalled");
    let machine = Machine::open(&base);
    fs::remove_dir_all(machine.path(".patchctl/staging/2")).expect("lost");
    fs::create_dir(machine.path(".patchctl/staging/2")).expect("made");
    machine.write("opt/acme/lib2/two.so", "by hand");
    recovers(&base, "opt/acme/lib2/two.so", "by hand");
}

#[test]
fn what_was_never_placed_is_undone_whatever_is_in_the_way_now() {
    use std::os::unix::fs::PermissionsExt as _;
    // a closed directory is in nobody's way who is root
    for way in ["file", "symlink", "closed directory"] {
        let (_lab, base) = interrupted("transaction.create:1");
        let mut machine = Machine::open(&base);
        let new = "opt/acme/lib2";
        match way {
            "file" => machine.write(new, "somebody's"),
            "symlink" => machine.link(new, "lib2"),
            _ => {
                fs::create_dir(machine.path(new)).expect("made");
                let closed = fs::Permissions::from_mode(0o000);
                fs::set_permissions(machine.path(new), closed).expect("closed");
            }
        }
        machine.recover();
        assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"), "{way}");
        assert!(fs::symlink_metadata(machine.path(new)).is_ok(), "{way}");
        assert!(machine.staged().is_empty(), "{way}");
    }
}
