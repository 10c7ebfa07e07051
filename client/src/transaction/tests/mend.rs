//! Taking over what is there, and putting right what is installed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use super::kit::{Machine, Patch, name, without_privilege};
use crate::db::history::Notice;
use crate::hooks::Action;
use crate::report::Silent;
use crate::transaction::{ConfigPolicy, PrepareError, Refusal, Scope};
use crate::verify::{Deviation, verify_installed};

fn acme() -> Patch {
    Patch::new("acme", "1.0.0")
        .program("opt/acme/bin/acme", "acme\n")
        .file("opt/acme/share/text", "text\n")
        .config("etc/acme.conf", "setting = 1\n")
        .directory("opt/acme/spool", 0o750)
        .link("opt/acme/current", "bin/acme")
}

/// Puts the files of a patch in place by another hand.
fn by_hand(machine: &mut Machine, patch: &Patch) {
    machine.install(patch.full());
    // what a copy of the machine's files would be: all of it, and no record
    let copy = machine.path("").with_file_name("copy");
    fs::rename(machine.path("opt"), &copy).expect("moved");
    let conf = fs::read(machine.path("etc/acme.conf")).expect("read");
    machine.remove("acme");
    fs::rename(&copy, machine.path("opt")).expect("moved back");
    fs::create_dir_all(machine.path("etc")).expect("made");
    fs::write(machine.path("etc/acme.conf"), conf).expect("written");
    fs::set_permissions(machine.path("etc/acme.conf"), fs::Permissions::from_mode(0o640))
        .expect("set");
}

fn adopted() -> Machine {
    let mut machine = Machine::new();
    by_hand(&mut machine, &acme());
    machine.adopt(acme().full());
    machine
}

fn verified(machine: &Machine) -> Vec<String> {
    let found = verify_installed(&machine.database, &machine.root, &[], &mut Silent);
    found.expect("compared").iter().map(|found| found.path.to_string()).collect()
}

#[test]
fn what_is_there_is_taken_over_and_let_go_untouched() {
    let mut machine = Machine::new();
    by_hand(&mut machine, &acme());
    let before = machine.snapshot();
    let inode = fs::metadata(machine.path("opt/acme/bin/acme")).expect("there").ino();
    let outcome = machine.adopt(acme().full());
    assert_eq!((outcome.paths, outcome.notices.len()), (0, 0));
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
    let record = machine.database.transaction(outcome.transaction).expect("read").expect("there");
    assert_eq!(record.action, Action::Adopt);
    assert_eq!(verified(&machine), [""; 0]);
    machine.rollback(None);
    assert_eq!(machine.version("acme"), None);
    assert!(machine.database.held_back().expect("read").is_empty());
    machine.rollback(None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"), "and again");
    assert_eq!(machine.snapshot(), before);
    assert_eq!(fs::metadata(machine.path("opt/acme/bin/acme")).expect("there").ino(), inode);
}

#[test]
fn what_was_adopted_is_upgraded_removed_and_rolled_back_like_anything_else() {
    let mut machine = adopted();
    let before = machine.snapshot();
    let next = acme().next("1.1.0").program("opt/acme/bin/acme", "acme 1.1\n");
    machine.install(next.since(&acme()));
    assert_eq!(machine.read("opt/acme/bin/acme"), "acme 1.1\n");
    let adoption = machine.database.history().expect("read")[1].id;
    machine.rollback(Some(adoption - 1));
    assert_eq!((machine.version("acme"), machine.snapshot()), (None, before.clone()));
    machine.rollback(None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.1.0"));
    machine.rollback(Some(adoption));
    assert_eq!(machine.snapshot(), before);
    machine.remove("acme");
    assert!(!machine.exists("opt/acme/bin/acme") && !machine.exists("etc/acme.conf"));
}

#[test]
fn adopting_runs_no_hook_and_letting_go_runs_that_of_what_stays() {
    if without_privilege("running hooks inside a root") {
        return;
    }
    let with_hooks = |patch: Patch| {
        ["pre-install", "post-install", "check", "pre-remove"].into_iter().fold(
            patch,
            |patch, kind| {
                let version = patch.version();
                patch.hook(kind, &format!("echo {kind} of {version} $PATCHCTL_ACTION >> /log"))
            },
        )
    };
    let mut machine = Machine::with_shell();
    by_hand(&mut machine, &acme());
    machine.adopt(with_hooks(acme()).full());
    machine.rollback(None);
    machine.rollback(None);
    assert!(!machine.exists("log"), "{}", machine.read("log"));
    let adoption = machine.database.history().expect("read")[2].id;
    machine.install(with_hooks(acme().next("1.1.0").file("opt/acme/share/text", "2\n")).full());
    fs::remove_file(machine.path("log")).expect("removed");
    machine.rollback(Some(adoption - 1));
    assert_eq!(
        machine.read("log"),
        "pre-install of 1.0.0 rollback\npost-install of 1.0.0 rollback\ncheck of 1.0.0 rollback\n"
    );
}

#[test]
fn each_difference_is_told_and_nothing_is_taken_over() {
    let mut machine = Machine::new();
    by_hand(&mut machine, &acme());
    machine.write("opt/acme/share/text", "another\n");
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(machine.path("opt/acme/bin/acme"), mode).expect("set");
    fs::remove_file(machine.path("opt/acme/current")).expect("removed");
    machine.link("opt/acme/current", "elsewhere");
    fs::remove_dir(machine.path("opt/acme/spool")).expect("removed");
    let before = machine.snapshot();
    let Err(PrepareError::Differs(found)) = machine.prepare_adopt(acme().full()) else {
        panic!("it was taken over")
    };
    let found: Vec<(&str, &Deviation)> =
        found.iter().map(|found| (found.path.as_str(), &found.deviation)).collect();
    assert_eq!(
        found,
        [
            ("opt/acme/bin/acme", &Deviation::Mode { expected: 0o755, found: 0o700 }),
            (
                "opt/acme/current",
                &Deviation::Target { expected: "bin/acme".into(), found: "elsewhere".into() }
            ),
            ("opt/acme/share/text", &Deviation::Content),
            ("opt/acme/spool", &Deviation::Missing),
        ]
    );
    assert_eq!((machine.version("acme"), machine.snapshot()), (None, before));
}

#[test]
fn an_owner_is_a_difference() {
    if without_privilege("changing owners") {
        return;
    }
    let mut machine = Machine::new();
    by_hand(&mut machine, &acme());
    chown(machine.path("opt/acme/share/text"), Some(7), Some(7)).expect("set");
    assert!(matches!(machine.prepare_adopt(acme().full()), Err(PrepareError::Differs(_))));
}

#[test]
fn a_configuration_may_differ_and_is_noted() {
    for content in [Some("mine\n"), None] {
        let mut machine = Machine::new();
        by_hand(&mut machine, &acme());
        match content {
            Some(content) => machine.write("etc/acme.conf", content),
            None => fs::remove_file(machine.path("etc/acme.conf")).expect("removed"),
        }
        let outcome = machine.adopt(acme().full());
        assert!(
            matches!(&outcome.notices[..], [Notice::LocalChangeLeft { path, .. }] if path == "etc/acme.conf"),
            "{:?}",
            outcome.notices
        );
        assert_eq!(machine.exists("etc/acme.conf"), content.is_some());
    }
}

#[test]
fn what_is_another_s_or_installed_or_incremental_is_not_adopted() {
    let mut machine = Machine::new();
    by_hand(&mut machine, &acme());
    machine.install(Patch::new("other", "1.0.0").file("opt/acme/share/text", "text\n").full());
    let Err(PrepareError::Refused(refusals)) = machine.prepare_adopt(acme().full()) else {
        panic!("it was taken over")
    };
    assert!(matches!(&refusals[..], [Refusal::Owned { owner, .. }] if *owner == name("other")));
    let mut machine = adopted();
    let again = machine.prepare_adopt(acme().full());
    assert!(matches!(again, Err(PrepareError::IsInstalled { .. })));
    let next = acme().next("1.1.0").file("opt/acme/new", "new\n");
    let mut machine = Machine::new();
    let incremental = machine.prepare_adopt(next.since(&acme()));
    assert!(matches!(incremental, Err(PrepareError::NotFull { .. })));
}

/// Spoils everything that can be spoiled, as a careless hand would.
fn spoil(machine: &Machine) {
    machine.write("opt/acme/bin/acme", "patched by hand\n");
    fs::remove_file(machine.path("opt/acme/share/text")).expect("removed");
    fs::remove_file(machine.path("opt/acme/current")).expect("removed");
    machine.link("opt/acme/current", "elsewhere");
    fs::remove_dir(machine.path("opt/acme/spool")).expect("removed");
    machine.write("opt/acme/spool", "a file\n");
    machine.write("etc/acme.conf", "mine\n");
}

fn aside(machine: &Machine, notices: &[Notice]) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for notice in notices {
        let Notice::KeptAside { path, copy } = notice else { panic!("{notice:?}") };
        let content = fs::read_to_string(machine.path(copy)).unwrap_or_else(|_| "a link".into());
        kept.push((path.clone(), content));
    }
    kept.sort();
    kept
}

#[test]
fn what_differs_is_put_right_and_what_was_there_is_kept() {
    let mut machine = Machine::new();
    machine.install(acme().full());
    let whole = machine.snapshot();
    let untouched = fs::metadata(machine.path("opt/acme")).expect("there").ino();
    spoil(&machine);
    let spoiled = machine.snapshot();
    let outcome = machine.repair(acme().full());
    assert_eq!(
        aside(&machine, &outcome.notices),
        [
            ("opt/acme/bin/acme".to_owned(), "patched by hand\n".to_owned()),
            ("opt/acme/current".to_owned(), "a link".to_owned()),
            ("opt/acme/spool".to_owned(), "a file\n".to_owned()),
        ]
    );
    assert_eq!(verified(&machine), ["etc/acme.conf"], "a configuration is an administrator's");
    assert_eq!(machine.read("etc/acme.conf"), "mine\n");
    machine.write("etc/acme.conf", "setting = 1\n");
    assert_eq!(machine.snapshot(), whole);
    assert_eq!(fs::metadata(machine.path("opt/acme")).expect("there").ino(), untouched);
    let record = machine.database.transaction(outcome.transaction).expect("read").expect("there");
    assert_eq!(record.action, Action::Repair);
    machine.write("etc/acme.conf", "mine\n");
    machine.rollback(None);
    assert_eq!(machine.snapshot(), spoiled, "a repair can be rolled back");
}

#[test]
fn a_configuration_is_put_right_where_that_is_asked_for() {
    let mut machine = Machine::new();
    machine.install(acme().full());
    machine.write("etc/acme.conf", "mine\n");
    let keeping = machine.prepare_mend(acme().full(), Scope::Differing, ConfigPolicy::Keep);
    assert!(matches!(keeping, Err(PrepareError::Empty)), "there is nothing else to do");
    let taking = machine.prepare_mend(acme().full(), Scope::Differing, ConfigPolicy::New);
    let outcome = taking.expect("prepared").apply(&mut Silent).expect("applied");
    assert_eq!(machine.read("etc/acme.conf"), "setting = 1\n");
    assert_eq!(
        aside(&machine, &outcome.notices),
        [("etc/acme.conf".to_owned(), "mine\n".to_owned())]
    );
}

#[test]
fn only_what_differs_is_placed_unless_all_is() {
    let mut machine = Machine::new();
    machine.install(acme().full());
    let inode =
        |machine: &Machine| fs::metadata(machine.path("opt/acme/bin/acme")).expect("there").ino();
    let first = inode(&machine);
    machine.write("opt/acme/share/text", "changed\n");
    machine.repair(acme().full());
    assert_eq!(inode(&machine), first);
    let all =
        machine.prepare_mend(acme().full(), Scope::All, ConfigPolicy::Keep).expect("prepared");
    let outcome = all.apply(&mut Silent).expect("applied");
    assert_ne!(inode(&machine), first);
    assert_eq!(outcome.notices, [], "nothing was changed by hand");
    let record = machine.database.transaction(outcome.transaction).expect("read").expect("there");
    assert_eq!(record.action, Action::Reinstall);
}

#[test]
fn a_component_is_put_right_by_its_own_version_whole() {
    let mut machine = Machine::new();
    machine.install(acme().full());
    machine.write("opt/acme/share/text", "changed\n");
    let mut mend = |patch| machine.prepare_mend(patch, Scope::Differing, ConfigPolicy::Keep).err();
    let next = acme().next("1.1.0").file("opt/acme/share/text", "2\n");
    assert!(matches!(mend(next.full()), Some(PrepareError::OtherVersion { .. })));
    assert!(matches!(mend(next.since(&acme())), Some(PrepareError::NotFull { .. })));
    let other = acme().file("opt/acme/share/text", "for another platform\n");
    assert!(matches!(mend(other.full()), Some(PrepareError::OtherTree(_))));
    let absent = Patch::new("absent", "1.0.0").file("absent", "absent");
    assert!(matches!(mend(absent.full()), Some(PrepareError::NotInstalled(_))));
    assert!(mend(acme().full()).is_none());
}
