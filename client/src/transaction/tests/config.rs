//! Configuration files that an administrator changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::kit::{Machine, Patch, without_privilege};
use crate::db::history::Notice;

const CONF: &str = "etc/acme/conf";
const BESIDE: &str = "etc/acme/conf.patchctl-new";

fn version(number: u32) -> Patch {
    Patch::new("acme", &format!("1.{number}.0"))
        .file("opt/program", &format!("program {number}\n"))
        .config(CONF, &format!("setting = {number}\n"))
}

/// The next version, with the configuration of another.
fn with_config_of(number: u32, config: u32) -> Patch {
    version(number).config(CONF, &format!("setting = {config}\n"))
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.install(version(1).full());
    machine
}

fn aside(notices: &[Notice]) -> Vec<&str> {
    let mut paths = Vec::new();
    for notice in notices {
        if let Notice::KeptAside { path, .. } = notice {
            paths.push(path.as_str());
        }
    }
    paths
}

#[test]
fn changed_here_or_there_both_or_neither() {
    // (changed here, another is shipped, what is there afterwards, what lies beside it)
    let cases = [
        (false, false, "setting = 1\n", None),
        (false, true, "setting = 2\n", None),
        (true, false, "mine\n", None),
        (true, true, "mine\n", Some("setting = 2\n")),
    ];
    for (here, there, expected, beside) in cases {
        for full in [false, true] {
            let mut machine = machine();
            if here {
                machine.write(CONF, "mine\n");
            }
            let next = with_config_of(2, if there { 2 } else { 1 });
            machine.install(if full { next.full() } else { next.since(&version(1)) });
            let case = format!("changed here {here}, there {there}, full patch {full}");
            assert_eq!(machine.read(CONF), expected, "{case}");
            assert_eq!(machine.exists(BESIDE), beside.is_some(), "{case}");
            if let Some(beside) = beside {
                assert_eq!(machine.read(BESIDE), beside, "{case}");
            }
        }
    }
}

#[test]
fn a_mode_is_a_local_change() {
    let mut machine = machine();
    fs::set_permissions(machine.path(CONF), fs::Permissions::from_mode(0o600)).expect("set");
    machine.install(version(2).full());
    assert_eq!(machine.read(CONF), "setting = 1\n");
    assert_eq!(machine.read(BESIDE), "setting = 2\n");
    let mode = fs::metadata(machine.path(CONF)).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn an_owner_is_a_local_change() {
    if without_privilege("changing owners") {
        return;
    }
    let mut machine = machine();
    chown(machine.path(CONF), Some(7), Some(7)).expect("set");
    machine.install(version(2).full());
    assert_eq!(
        (machine.read(CONF).as_str(), machine.read(BESIDE).as_str()),
        ("setting = 1\n", "setting = 2\n")
    );
}

#[test]
fn the_new_one_is_taken_where_that_is_asked_for() {
    let mut machine = machine();
    machine.write(CONF, "mine\n");
    let before = machine.snapshot();
    let outcome = machine.install_new_config(version(2).full());
    assert_eq!(machine.read(CONF), "setting = 2\n");
    assert!(!machine.exists(BESIDE));
    let [Notice::KeptAside { path, copy }] = &outcome.notices[..] else {
        panic!("{:?}", outcome.notices)
    };
    assert_eq!((path.as_str(), machine.read(copy).as_str()), (CONF, "mine\n"));
    machine.rollback(None);
    assert_eq!(machine.snapshot(), before);
}

#[test]
fn what_is_shipped_as_before_is_no_news() {
    for full in [false, true] {
        let mut machine = machine();
        machine.write(CONF, "mine\n");
        let next = with_config_of(2, 1);
        let patch = if full { next.full() } else { next.since(&version(1)) };
        let outcome = machine.install_new_config(patch);
        assert_eq!((machine.read(CONF).as_str(), outcome.notices.len()), ("mine\n", 0), "{full}");
    }
}

#[test]
fn a_deleted_one_stays_deleted() {
    for full in [false, true] {
        let mut machine = machine();
        fs::remove_file(machine.path(CONF)).expect("removed");
        let same = with_config_of(2, 1);
        let outcome = machine.install(if full { same.full() } else { same.since(&version(1)) });
        assert!(!machine.exists(CONF) && !machine.exists(BESIDE), "full patch {full}");
        assert_eq!(outcome.notices, []);
        let next = version(3);
        let outcome = machine.install(if full { next.full() } else { next.since(&same) });
        assert!(!machine.exists(CONF), "full patch {full}");
        assert_eq!(machine.read(BESIDE), "setting = 3\n");
        let expected = Notice::ConfigDeleted { path: CONF.into(), shipped: BESIDE.into() };
        assert_eq!(outcome.notices, [expected]);
        machine.install_new_config(version(4).full());
        assert_eq!(machine.read(CONF), "setting = 4\n");
        assert!(!machine.exists(BESIDE), "it has served");
    }
}

#[test]
fn what_lies_beside_goes_when_it_has_served() {
    for full in [false, true] {
        let mut machine = machine();
        machine.write(CONF, "mine\n");
        machine.install(version(2).full());
        // the administrator takes over what was shipped
        fs::copy(machine.path(BESIDE), machine.path(CONF)).expect("copied");
        let next = with_config_of(3, 2);
        machine.install(if full { next.full() } else { next.since(&version(2)) });
        assert!(!machine.exists(BESIDE), "full patch {full}");
        assert_eq!(machine.read(CONF), "setting = 2\n");
        machine.rollback(None);
        assert_eq!(machine.read(BESIDE), "setting = 2\n", "a rollback brings it back");
    }
}

#[test]
fn a_newer_one_takes_the_place_of_what_lies_beside() {
    let mut machine = machine();
    machine.write(CONF, "mine\n");
    machine.install(version(2).full());
    let outcome = machine.install(version(3).full());
    assert_eq!(machine.read(BESIDE), "setting = 3\n");
    assert_eq!(aside(&outcome.notices), Vec::<&str>::new(), "nobody worked in it");
    machine.write(BESIDE, "half merged\n");
    let outcome = machine.install(version(4).full());
    assert_eq!(machine.read(BESIDE), "setting = 4\n");
    assert_eq!(aside(&outcome.notices), [BESIDE]);
}

#[test]
fn what_somebody_worked_in_stays() {
    let mut machine = machine();
    machine.write(CONF, "mine\n");
    machine.install(version(2).full());
    machine.write(BESIDE, "half merged\n");
    machine.install_new_config(version(3).full());
    assert_eq!(machine.read(CONF), "setting = 3\n");
    assert_eq!(machine.read(BESIDE), "half merged\n");
}

#[test]
fn what_lies_beside_goes_with_the_component() {
    let mut machine = machine();
    machine.write(CONF, "mine\n");
    machine.install(version(2).full());
    let outcome = machine.remove("acme");
    assert_eq!(aside(&outcome.notices), [CONF]);
    assert!(!machine.exists("etc"), "and so does the directory");
    machine.rollback(None);
    assert_eq!(
        (machine.read(CONF).as_str(), machine.read(BESIDE).as_str()),
        ("mine\n", "setting = 2\n")
    );
}

#[test]
fn a_rollback_lays_the_older_one_beside_what_was_changed_since() {
    let mut machine = machine();
    machine.install(version(2).full());
    machine.write(CONF, "mine\n");
    machine.install(version(3).full());
    assert_eq!(machine.read(BESIDE), "setting = 3\n");
    let outcome = machine.rollback(Some(1));
    assert_eq!(machine.read("opt/program"), "program 1\n");
    assert_eq!(machine.read(CONF), "mine\n");
    assert_eq!(machine.read(BESIDE), "setting = 1\n");
    assert_eq!(aside(&outcome.notices), Vec::<&str>::new());
}
