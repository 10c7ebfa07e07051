//! Directories that are not there come whole, by one rename, with all that is in them.

use std::os::unix::fs::MetadataExt as _;

use super::kit::{Machine, Patch, name};
use crate::journal::Operation;
use crate::report::Silent;
use crate::transaction::{ApplyError, Change, Prepared};
use crate::verify::verify_installed;

fn acme() -> Patch {
    Patch::new("acme", "1.0.0")
        .directory("opt/acme", 0o750)
        .program("opt/acme/bin/agent", "agent")
        .file("opt/acme/lib/deep/one", "one")
        .file("opt/acme/lib/two", "two")
        .link("opt/acme/current", "lib")
        .directory("opt/acme/var", 0o700)
        .file("etc/acme", "acme")
}

/// The paths of the steps that rename something to where nothing was.
fn created(prepared: &Prepared<'_>) -> Vec<String> {
    let steps = prepared.steps().iter();
    let created = steps.filter(|step| step.operation == Operation::Create);
    created.map(|step| step.path.to_string()).collect()
}

#[track_caller]
fn is_as_installed(machine: &Machine) {
    let found = verify_installed(&machine.database, &machine.root, &[], &mut Silent);
    assert_eq!(found.expect("compared"), []);
}

fn inode(machine: &Machine, path: &str) -> u64 {
    std::fs::symlink_metadata(machine.path(path)).expect("there").ino()
}

#[test]
fn one_rename_brings_a_directory_and_all_below_it() {
    let mut machine = Machine::new();
    machine.write("etc/mine", "mine");
    let prepared = machine.prepare(vec![acme().full()]).expect("prepared");
    assert_eq!(created(&prepared), ["opt", "etc/acme"]);
    assert_eq!(prepared.steps().len(), 11);
    prepared.apply(&mut Silent).expect("applied");
    is_as_installed(&machine);
    assert!(machine.staged().is_empty());
    // what comes later into the directory comes by itself
    let next = acme().next("1.1.0").file("opt/acme/lib/three", "three").file("opt/acme/new/f", "f");
    let prepared = machine.prepare(vec![next.full()]).expect("prepared");
    assert_eq!(created(&prepared), ["opt/acme/new", "opt/acme/lib/three"]);
    prepared.apply(&mut Silent).expect("applied");
    is_as_installed(&machine);
    machine.rollback(Some(0));
    let left: Vec<_> = machine.snapshot().into_keys().collect();
    assert_eq!(left, ["etc", "etc/mine"]);
}

#[test]
fn several_components_share_a_directory_that_comes_whole() {
    let mut machine = Machine::new();
    let other = Patch::new("other", "1.0.0")
        .directory("opt/acme", 0o750)
        .file("opt/acme/lib/deep/other", "other")
        .file("opt/other/file", "file");
    let prepared = machine.prepare(vec![acme().full(), other.full()]).expect("prepared");
    assert_eq!(created(&prepared), ["etc", "opt"]);
    prepared.apply(&mut Silent).expect("applied");
    is_as_installed(&machine);
    machine.remove("acme");
    assert_eq!(machine.read("opt/acme/lib/deep/other"), "other");
    assert!(!machine.exists("opt/acme/bin"));
}

#[test]
fn a_directory_that_appeared_meanwhile_is_left_alone() {
    let mut machine = Machine::new();
    machine.write("etc/mine", "mine");
    let appears = machine.path("opt/acme/data");
    let prepared = machine.prepare(vec![acme().full()]).expect("prepared");
    std::fs::create_dir_all(appears.parent().expect("a parent")).expect("made");
    std::fs::write(&appears, "somebody's").expect("written");
    let error = prepared.apply(&mut Silent).expect_err("it is in the way");
    assert!(matches!(error, ApplyError::RolledBack { .. }), "{error}");
    let left: Vec<_> = machine.snapshot().into_keys().collect();
    assert_eq!(left, ["etc", "etc/mine", "opt", "opt/acme", "opt/acme/data"]);
    assert_eq!(machine.read("opt/acme/data"), "somebody's");
    assert!(machine.staged().is_empty());
    machine.install(acme().full());
    is_as_installed(&machine);
    assert_eq!(machine.read("opt/acme/data"), "somebody's");
}

#[test]
fn a_symlink_that_appeared_meanwhile_is_not_followed() {
    let mut machine = Machine::new();
    machine.write("elsewhere/file", "somebody's");
    let root = machine.path("");
    let prepared = machine.prepare(vec![acme().full()]).expect("prepared");
    std::os::unix::fs::symlink("elsewhere", root.join("opt")).expect("linked");
    prepared.apply(&mut Silent).expect_err("it is in the way");
    let left: Vec<_> = machine.snapshot().into_keys().collect();
    assert_eq!(left, ["elsewhere", "elsewhere/file", "opt"]);
}

/// Each link of a chain stages what it brings; only what the last one leaves is placed.
#[test]
fn of_a_chain_only_the_last_tree_comes() {
    let mut machine = Machine::new();
    let first = acme()
        .file("opt/acme/becomes-directory", "file")
        .file("opt/acme/becomes-file/inner", "inner")
        .file("opt/acme/goes/file", "goes")
        .file("opt/acme/replaced", "one, and much that stays as it is");
    let second = first
        .next("1.1.0")
        .without("opt/acme/becomes-directory")
        .file("opt/acme/becomes-directory/inner", "inner")
        .without("opt/acme/becomes-file/inner")
        .file("opt/acme/becomes-file", "file")
        .without("opt/acme/goes/file")
        .file("opt/acme/replaced", "two, and much that stays as it is, and more")
        .without("opt/acme/lib/two")
        .link("opt/acme/lib/two", "deep/one");
    let chain = vec![
        first.full(),
        second.changes_since(&first, &[("opt/acme/replaced", "opt/acme/replaced")]),
    ];
    let prepared = machine.prepare(chain).expect("prepared");
    assert_eq!(created(&prepared), ["etc", "opt"]);
    prepared.apply(&mut Silent).expect("applied");
    is_as_installed(&machine);
    assert_eq!(machine.read("opt/acme/replaced"), "two, and much that stays as it is, and more");
    assert_eq!(machine.read("opt/acme/becomes-directory/inner"), "inner");
    assert!(!machine.exists("opt/acme/goes"));
    machine.rollback(Some(0));
    assert!(machine.snapshot().is_empty(), "{:?}", machine.snapshot());
}

#[test]
fn where_a_directory_leads_elsewhere_in_the_end_its_files_come_one_by_one() {
    let mut machine = Machine::new();
    let first = Patch::new("acme", "1.0.0")
        .link("opt/acme/current", "not-there")
        .file("opt/acme/file", "file");
    machine.install(first.full());
    // seen from now, what is below the symlink is for a directory that is not there
    let second = first
        .next("1.1.0")
        .without("opt/acme/current")
        .file("opt/acme/current/inner", "inner")
        .file("opt/acme/current/deep/inner", "deep");
    let prepared = machine.prepare(vec![second.full()]).expect("prepared");
    assert_eq!(created(&prepared), ["opt/acme/current/deep", "opt/acme/current/inner"]);
    prepared.apply(&mut Silent).expect("applied");
    is_as_installed(&machine);
    assert!(!machine.exists("opt/acme/not-there"));
    machine.rollback(None);
    is_as_installed(&machine);
}

#[test]
fn deleted_configuration_stays_deleted_where_its_directory_is_gone_too() {
    let mut machine = Machine::new();
    let first = acme().config("etc/acme.d/acme.conf", "one");
    machine.install(first.full());
    std::fs::remove_dir_all(machine.path("etc/acme.d")).expect("removed");
    machine.install(first.next("1.1.0").config("etc/acme.d/acme.conf", "two").full());
    assert!(!machine.exists("etc/acme.d/acme.conf"));
    assert_eq!(machine.read("etc/acme.d/acme.conf.patchctl-new"), "two");
}

#[test]
fn a_rollback_brings_a_removed_directory_back_whole() {
    let mut machine = Machine::new();
    machine.write("etc/mine", "mine");
    machine.install(acme().full());
    let before = machine.snapshot();
    machine.remove("acme");
    assert!(!machine.exists("opt"));
    let prepared = machine.prepare_rollback(None).expect("prepared");
    assert_eq!(created(&prepared), ["opt", "etc/acme"]);
    prepared.apply(&mut Silent).expect("applied");
    assert_eq!(machine.snapshot(), before);
    is_as_installed(&machine);
}

#[test]
fn what_passes_to_another_component_comes_with_its_new_directory() {
    let mut machine = Machine::new();
    machine.install(Patch::new("old", "1.0.0").file("srv/old/file", "file").full());
    let new = Patch::new("new", "1.0.0").file("srv/new/file", "new").link("srv/old", "new");
    let change =
        Change { install: vec![new.full()], remove: vec![name("old")], ..Change::default() };
    let outcome = machine.prepare_change(change).expect("prepared").apply(&mut Silent);
    outcome.expect("applied");
    is_as_installed(&machine);
    assert_eq!(machine.read("srv/old/file"), "new");
    let before = inode(&machine, "srv/new/file");
    machine.recover();
    assert_eq!(inode(&machine, "srv/new/file"), before);
}

#[test]
fn an_archive_that_turns_out_to_be_another_leaves_nothing() {
    let mut machine = Machine::new();
    let spoiled = super::kit::spoiled(acme().file("opt/acme/z", &"z".repeat(10_000)).full());
    machine.prepare(vec![spoiled]).expect_err("refused");
    assert!(machine.snapshot().is_empty());
    assert!(machine.staged().is_empty());
}

#[test]
fn a_tree_that_is_deeper_than_descriptors_are_open_at_a_time_comes_and_goes() {
    let mut machine = Machine::new();
    let file = format!("{}f", "d/".repeat(150));
    let patch = Patch::new("acme", "1.0.0").file(&file, &"deep".repeat(10_000));
    machine.prepare(vec![super::kit::spoiled(patch.full())]).expect_err("refused");
    assert!(machine.snapshot().is_empty());
    assert!(machine.staged().is_empty());
    machine.install(patch.full());
    is_as_installed(&machine);
    machine.rollback(Some(0));
    assert!(!machine.exists("d"));
    assert!(machine.staged().is_empty());
}
