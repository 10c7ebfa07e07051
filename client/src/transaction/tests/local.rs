//! Machines that somebody changed by hand.

use std::fs;
use std::os::unix::fs::lchown;

use super::kit::{Machine, Patch, without_privilege};
use crate::db::history::Notice;
use crate::transaction::PrepareError;

fn first() -> Patch {
    Patch::new("acme", "1.0.0").file("opt/program", "one").config("etc/conf", "setting = 1\n")
}

fn second() -> Patch {
    first().next("1.1.0").file("opt/program", "two").config("etc/conf", "setting = 2\n")
}

#[test]
fn a_changed_configuration_stays_and_the_new_one_lies_beside() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.write("etc/conf", "setting = mine\n");
    let outcome = machine.install(second().since(&first()));
    assert_eq!(machine.read("etc/conf"), "setting = mine\n");
    assert_eq!(machine.read("etc/conf.patchctl-new"), "setting = 2\n");
    let expected =
        Notice::ConfigKept { path: "etc/conf".into(), shipped: "etc/conf.patchctl-new".into() };
    assert_eq!(outcome.notices, std::slice::from_ref(&expected));
    assert_eq!(machine.database.notices(outcome.transaction).expect("read"), [expected]);
    // a version that ships the same configuration has nothing to say
    let third = second().next("1.2.0").file("opt/program", "three");
    let outcome = machine.install(third.full());
    assert_eq!(outcome.notices, []);
    machine.rollback(Some(1));
    assert_eq!(machine.read("etc/conf"), "setting = mine\n");
    assert!(!machine.exists("etc/conf.patchctl-new"));
    assert_eq!(machine.read("opt/program"), "one");
}

#[test]
fn an_unchanged_configuration_is_replaced() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.install(second().since(&first()));
    assert_eq!(machine.read("etc/conf"), "setting = 2\n");
    assert!(!machine.exists("etc/conf.patchctl-new"));
    // what an administrator already changed to the new content is as wanted
    let third = second().next("1.2.0").config("etc/conf", "setting = 3\n");
    fs::write(machine.path("etc/conf"), "setting = 3\n").expect("written");
    let outcome = machine.install(third.since(&second()));
    assert_eq!((machine.read("etc/conf").as_str(), outcome.notices.len()), ("setting = 3\n", 0));
}

#[test]
fn a_configuration_that_was_there_before_the_patch_stays() {
    let mut machine = Machine::new();
    machine.write("etc/conf", "by hand");
    machine.install(first().full());
    assert_eq!(machine.read("etc/conf"), "by hand");
    assert_eq!(machine.read("etc/conf.patchctl-new"), "setting = 1\n");
}

fn copy_of(notices: &[Notice], wanted: &str) -> String {
    let found = notices.iter().find_map(|notice| match notice {
        Notice::KeptAside { path, copy } if path == wanted => Some(copy.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no copy of {wanted} in {notices:?}"))
}

#[test]
fn local_changes_are_kept_aside_and_brought_back() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.write("opt/program", "patched by hand");
    let outcome = machine.install(second().since(&first()));
    assert_eq!(machine.read("opt/program"), "two");
    let copy = copy_of(&outcome.notices, "opt/program");
    assert_eq!(machine.read(&copy), "patched by hand");
    crate::transaction::drop_backups(&machine.database, &machine.root, outcome.transaction)
        .expect("dropped");
    assert_eq!(machine.read(&copy), "patched by hand", "never lost");
    let error = machine.prepare_rollback(None).expect_err("refused");
    assert!(matches!(error, PrepareError::BackupsDropped(2)), "{error}");
}

#[test]
fn a_rollback_brings_back_what_was_there_local_changes_and_all() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.write("opt/program", "patched by hand");
    let before = machine.snapshot();
    machine.install(second().since(&first()));
    machine.write("opt/program", "patched again");
    let outcome = machine.rollback(None);
    assert_eq!(machine.snapshot(), before);
    let copy = copy_of(&outcome.notices, "opt/program");
    assert_eq!(machine.read(&copy), "patched again");
}

#[test]
fn a_file_that_was_nobody_s_is_kept_aside() {
    let mut machine = Machine::new();
    machine.write("opt/program", "from somewhere");
    let outcome = machine.install(first().full());
    let copy = copy_of(&outcome.notices, "opt/program");
    assert_eq!(machine.read(&copy), "from somewhere");
    machine.rollback(None);
    assert_eq!(machine.read("opt/program"), "from somewhere");
    assert!(!machine.exists("etc"));
}

#[test]
fn removing_keeps_local_changes_aside() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.write("etc/conf", "setting = mine\n");
    let outcome = machine.remove("acme");
    assert!(!machine.exists("etc/conf"));
    assert_eq!(machine.read(&copy_of(&outcome.notices, "etc/conf")), "setting = mine\n");
}

#[test]
fn what_an_incremental_patch_does_not_bring_is_left_and_said() {
    let mut machine = Machine::new();
    let one = first().file("opt/other", "other");
    let two = one.next("1.1.0").file("opt/program", "two");
    machine.install(one.full());
    machine.write("opt/other", "by hand");
    let outcome = machine.install(two.since(&one));
    let said: Vec<String> = outcome.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["/opt/other has local changes that were left alone: content differs (acme)"]);
    // a full patch brings it
    machine.install(two.next("1.2.0").full());
    assert_eq!(machine.read("opt/other"), "other");
}

#[test]
fn a_removed_file_that_became_something_else_is_said() {
    let mut machine = Machine::new();
    machine.install(first().full());
    fs::remove_file(machine.path("opt/program")).expect("removed");
    fs::create_dir(machine.path("opt/program")).expect("made");
    let outcome = machine.remove("acme");
    assert!(machine.exists("opt/program"));
    let expected = Notice::NotRemoved { path: "opt/program".into(), found: "a directory".into() };
    assert!(outcome.notices.contains(&expected), "{:?}", outcome.notices);
}

#[test]
fn planted_symlinks_steer_no_write() {
    let outside = tempfile::tempdir().expect("a directory");
    let mut machine = Machine::new();
    fs::create_dir_all(machine.path("opt")).expect("made");
    // one that root made leads beneath the root, wherever it points
    let target = outside.path().to_str().expect("UTF-8").to_owned();
    machine.link("opt/real", &target);
    let patch = Patch::new("acme", "1.0.0").file("opt/real/x", "x");
    machine.install(patch.full());
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);
    assert_eq!(machine.read(&format!("{}/x", &target[1..])), "x");
    machine.remove("acme");
    // a symlink in a file's place is replaced, not written through
    fs::write(outside.path().join("victim"), "victim").expect("written");
    machine.link("opt/link", &format!("{target}/victim"));
    machine.install(Patch::new("acme", "1.0.0").file("opt/link", "new").full());
    assert_eq!(fs::read_to_string(outside.path().join("victim")).expect("read"), "victim");
    assert_eq!(machine.read("opt/link"), "new");
    assert!(!fs::symlink_metadata(machine.path("opt/link")).expect("there").is_symlink());
    if without_privilege("giving a symlink away") {
        return;
    }
    machine.link("opt/planted", "/etc");
    lchown(machine.path("opt/planted"), Some(1000), Some(1000)).expect("given away");
    let patch = Patch::new("other", "1.0.0").file("opt/planted/x", "x").full();
    let error = machine.prepare(vec![patch]).expect_err("refused");
    assert!(error.to_string().contains("owned by user 1000, which is not followed"), "{error}");
}

#[test]
fn somebody_else_s_working_area_is_refused() {
    if without_privilege("giving a directory away") {
        return;
    }
    let mut machine = Machine::new();
    fs::create_dir(machine.path(".patchctl")).expect("made");
    lchown(machine.path(".patchctl"), Some(1000), Some(1000)).expect("given away");
    let error = machine.prepare(vec![first().full()]).expect_err("refused");
    assert!(error.to_string().contains("owned by user 1000"), "{error}");
}

#[test]
fn names_of_one_file_are_replaced_each() {
    let mut machine = Machine::new();
    machine.write("opt/one", "linked");
    fs::hard_link(machine.path("opt/one"), machine.path("opt/two")).expect("linked");
    fs::hard_link(machine.path("opt/one"), machine.path("opt/mine")).expect("linked");
    let patch = Patch::new("acme", "1.0.0").file("opt/one", "1").file("opt/two", "2");
    machine.install(patch.full());
    assert_eq!((machine.read("opt/one"), machine.read("opt/two")), ("1".into(), "2".into()));
    assert_eq!(machine.read("opt/mine"), "linked");
}
