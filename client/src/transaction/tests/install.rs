//! Installing, upgrading by full and incremental patches, removing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::kit::{Machine, Patch, name, spoiled, without_privilege};
use crate::db::history::TransactionState;
use crate::object::Kind::{Directory, File};
use crate::report::Silent;
use crate::transaction::{PrepareError, Refusal};
use crate::verify::{Deviation, verify_installed};

fn first() -> Patch {
    Patch::new("acme", "1.0.0")
        .program("opt/acme/bin/agent", "agent one")
        .file("opt/acme/lib/parser.so", "parser one")
        .file("opt/acme/share/same", "same")
        .directory("opt/acme/var", 0o750)
        .link("opt/acme/current", "bin")
        .config("etc/acme.conf", "setting = 1\n")
}

fn second() -> Patch {
    first()
        .next("1.1.0")
        .program("opt/acme/bin/agent", "agent two")
        .without("opt/acme/lib/parser.so")
        .file("opt/acme/lib2/parser.so", "parser two")
        .link("opt/acme/current", "lib2")
        .config("etc/acme.conf", "setting = 2\n")
}

fn third() -> Patch {
    second().next("1.2.0").program("opt/acme/bin/agent", "agent three").file("opt/acme/new", "new")
}

fn differences(machine: &Machine) -> Vec<String> {
    verify_installed(&machine.database, &machine.root, &[], &mut Silent)
        .expect("compared")
        .into_iter()
        .map(|found| format!("{} {}", found.path, found.deviation))
        .collect()
}

#[test]
fn a_fresh_install_is_exactly_the_tree() {
    let mut machine = Machine::new();
    let outcome = machine.install(first().full());
    assert_eq!(outcome.changes[0].old, None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
    assert_eq!(machine.read("opt/acme/bin/agent"), "agent one");
    let mode =
        |path: &str| fs::metadata(machine.path(path)).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode("opt/acme/bin/agent"), 0o755);
    assert_eq!(mode("opt/acme/var"), 0o750);
    assert_eq!(mode("opt/acme"), 0o755, "an undeclared directory");
    assert_eq!(mode("etc/acme.conf"), 0o640);
    assert_eq!(mode(".patchctl"), 0o700);
    assert_eq!(fs::read_link(machine.path("opt/acme/current")).expect("a link").as_os_str(), "bin");
    assert!(differences(&machine).is_empty());
    assert!(machine.staged().is_empty(), "staging is cleaned");
    let history = machine.database.history().expect("read");
    assert_eq!(history[0].state, TransactionState::Done);
    assert_eq!(
        machine.database.owners_of(&"etc/acme.conf".parse().expect("a path")).expect("read"),
        [name("acme")]
    );
}

#[test]
fn full_and_incremental_upgrades_end_alike() {
    let (mut by_full, mut by_incremental, mut by_chain) =
        (Machine::new(), Machine::new(), Machine::new());
    for machine in [&mut by_full, &mut by_incremental, &mut by_chain] {
        machine.install(first().full());
    }
    by_full.install(third().full());
    by_incremental.install(second().since(&first()));
    by_incremental.install(third().since(&second()));
    let outcome = by_chain
        .try_install(vec![second().since(&first()), third().since(&second())])
        .expect("applied");
    assert_eq!(outcome.changes.len(), 1);
    let links: Vec<String> = by_chain
        .database
        .links(outcome.transaction)
        .expect("read")
        .iter()
        .map(|link| format!("{:?}>{}", link.old.as_ref().map(ToString::to_string), link.version))
        .collect();
    assert_eq!(links, ["Some(\"1.0.0\")>1.1.0", "Some(\"1.1.0\")>1.2.0"]);
    for machine in [&by_full, &by_incremental, &by_chain] {
        assert_eq!(machine.version("acme").as_deref(), Some("1.2.0"));
        assert!(differences(machine).is_empty());
        assert!(!machine.exists("opt/acme/lib"), "an emptied directory goes");
        assert_eq!(machine.snapshot(), by_full.snapshot());
        assert_eq!(machine.installed(), by_full.installed());
        assert!(machine.staged().is_empty());
    }
}

#[test]
fn an_unchanged_file_is_not_touched() {
    let mut machine = Machine::new();
    machine.install(first().full());
    let inode =
        |machine: &Machine| fs::metadata(machine.path("opt/acme/share/same")).expect("there").ino();
    let before = inode(&machine);
    machine.install(second().full());
    assert_eq!(inode(&machine), before);
}

#[test]
fn removing_leaves_the_machine_as_it_was() {
    let mut machine = Machine::new();
    machine.write("opt/other", "mine");
    let before = machine.snapshot();
    machine.install(first().full());
    machine.remove("acme");
    assert_eq!(machine.snapshot(), before);
    assert_eq!(machine.version("acme"), None);
    assert!(machine.installed().is_empty());
    let error = machine.prepare_remove("acme").expect_err("refused");
    assert!(matches!(error, PrepareError::NotInstalled(_)));
}

#[test]
fn shared_directories_stay_until_the_last_goes() {
    let mut machine = Machine::new();
    let one = Patch::new("one", "1.0.0").directory("srv/data", 0o755).file("srv/data/one", "1");
    let two = Patch::new("two", "1.0.0").directory("srv/data", 0o755).file("srv/data/two", "2");
    machine.install(one.full());
    machine.install(two.full());
    machine.remove("one");
    assert!(machine.exists("srv/data/two") && !machine.exists("srv/data/one"));
    machine.remove("two");
    assert!(!machine.exists("srv"));
    let differs = Patch::new("three", "1.0.0").directory("srv/data", 0o700);
    machine.install(one.full());
    let error = machine.prepare(vec![differs.full()]).expect_err("refused");
    let PrepareError::Refused(refusals) = error else { panic!("{error}") };
    assert!(matches!(refusals[..], [Refusal::DirectoryDiffers { .. }]), "{refusals:?}");
}

#[test]
fn another_patch_s_file_is_refused_on_its_resolved_path() {
    let mut machine = Machine::new();
    fs::create_dir_all(machine.path("usr/lib")).expect("made");
    machine.link("lib", "usr/lib");
    machine.install(Patch::new("one", "1.0.0").file("usr/lib/x", "1").full());
    let before = machine.snapshot();
    let error = machine
        .prepare(vec![Patch::new("two", "1.0.0").file("lib/x", "2").full()])
        .expect_err("refused");
    let PrepareError::Refused(refusals) = error else { panic!("{error}") };
    assert_eq!(
        refusals,
        [Refusal::Owned { path: "usr/lib/x".into(), name: name("two"), owner: name("one") }]
    );
    assert_eq!(machine.snapshot(), before);
    assert!(machine.staged().is_empty());
    // through the symlink is a good way for what is nobody's
    machine.install(Patch::new("two", "1.0.0").file("lib/y", "2").full());
    assert_eq!(machine.read("usr/lib/y"), "2");
    assert!(differences(&machine).is_empty());
}

#[test]
fn a_path_passes_between_patches_of_one_plan() {
    let mut machine = Machine::new();
    let (one, two) = (Patch::new("one", "1.0.0"), Patch::new("two", "1.0.0"));
    machine.install(one.clone().file("opt/tool", "old").file("opt/one", "1").full());
    machine.install(two.clone().file("opt/two", "2").full());
    let plan = vec![
        two.next("2.0.0").file("opt/two", "2").file("opt/tool", "new").full(),
        one.next("2.0.0").file("opt/one", "1").full(),
    ];
    machine.try_install(plan).expect("applied");
    assert_eq!(machine.read("opt/tool"), "new");
    let owners = machine.database.owners_of(&"opt/tool".parse().expect("a path")).expect("read");
    assert_eq!(owners, [name("two")]);
    machine.rollback(None);
    assert_eq!(machine.read("opt/tool"), "old");
    let owners = machine.database.owners_of(&"opt/tool".parse().expect("a path")).expect("read");
    assert_eq!(owners, [name("one")]);
    // both bring it: neither may
    let both = vec![
        one.next("3.0.0").file("opt/same", "1").full(),
        two.next("3.0.0").file("opt/same", "2").full(),
    ];
    let PrepareError::Refused(refusals) = machine.prepare(both).expect_err("refused") else {
        panic!("another error");
    };
    assert!(matches!(refusals[..], [Refusal::Twice { .. }]), "{refusals:?}");
}

#[test]
fn nothing_is_touched_before_every_archive_passed() {
    let mut machine = Machine::new();
    machine.install(first().full());
    let (before, installed) = (machine.snapshot(), machine.installed());
    let good = Patch::new("other", "1.0.0").file("opt/other", "other").full();
    let error = machine.prepare(vec![good, spoiled(second().full())]).expect_err("refused");
    assert!(matches!(error, PrepareError::Archive { .. }), "{error}");
    assert_eq!((machine.snapshot(), machine.installed()), (before, installed));
    assert!(machine.staged().is_empty());
    assert_eq!(machine.database.history().expect("read").len(), 1);
}

#[test]
fn an_incremental_patch_needs_its_base() {
    let mut machine = Machine::new();
    let error = machine.prepare(vec![second().since(&first())]).expect_err("refused");
    assert!(matches!(error, PrepareError::Base { found: None, .. }), "{error}");
    machine.install(first().full());
    let error = machine.prepare(vec![third().since(&second())]).expect_err("refused");
    assert_eq!(error.to_string(), "acme 1.2.0 is a patch for =1.1.0, but 1.0.0 is there");
    // made for another tree than its base says
    let wrong = third().since_base(&second(), "^1");
    let error = machine.prepare(vec![wrong]).expect_err("refused");
    assert!(matches!(error, PrepareError::Tree { .. }), "{error}");
}

#[test]
fn verification_names_each_difference() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.write("opt/acme/bin/agent", "tampered!");
    fs::remove_file(machine.path("opt/acme/share/same")).expect("removed");
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(machine.path("opt/acme/var"), mode).expect("set");
    fs::remove_file(machine.path("opt/acme/current")).expect("removed");
    machine.link("opt/acme/current", "elsewhere");
    fs::remove_file(machine.path("opt/acme/lib/parser.so")).expect("removed");
    fs::create_dir(machine.path("opt/acme/lib/parser.so")).expect("made");
    machine.write("etc/acme.conf", "mine");
    let found = verify_installed(&machine.database, &machine.root, &[name("acme")], &mut Silent)
        .expect("compared");
    let short: Vec<_> = found
        .iter()
        .map(|one| (one.path.as_str(), std::mem::discriminant(&one.deviation), one.config))
        .collect();
    let kind = |deviation: Deviation| std::mem::discriminant(&deviation);
    assert_eq!(
        short,
        [
            ("etc/acme.conf", kind(Deviation::Content), true),
            ("opt/acme/bin/agent", kind(Deviation::Content), false),
            (
                "opt/acme/current",
                kind(Deviation::Target { expected: String::new(), found: String::new() }),
                false
            ),
            (
                "opt/acme/lib/parser.so",
                kind(Deviation::Kind { expected: File, found: Directory }),
                false
            ),
            ("opt/acme/share/same", kind(Deviation::Missing), false),
            ("opt/acme/var", kind(Deviation::Mode { expected: 0, found: 0 }), false),
        ]
    );
}

#[test]
fn owners_and_attributes_are_set_by_root() {
    if without_privilege("giving files away") {
        return;
    }
    let mut machine = Machine::new();
    machine.write("etc/passwd", "acme:x:990:991::/:/bin/false\n");
    machine.write("etc/group", "staff:x:50:\n");
    let patch = Patch::new("acme", "1.0.0")
        .file("opt/acme/data", "data")
        .owned("opt/acme/data", "acme:staff")
        .file("opt/acme/marked", "marked")
        .attribute("opt/acme/marked", "user.origin", "acme");
    machine.install(patch.full());
    let status = fs::metadata(machine.path("opt/acme/data")).expect("there");
    assert_eq!((status.uid(), status.gid()), (990, 50));
    assert!(differences(&machine).is_empty());
    std::os::unix::fs::chown(machine.path("opt/acme/data"), Some(0), None).expect("given");
    rustix::fs::removexattr(machine.path("opt/acme/marked"), "user.origin").expect("removed");
    assert_eq!(
        differences(&machine),
        [
            "opt/acme/data owner is 0:50, not acme:staff",
            "opt/acme/marked extended attribute user.origin differs"
        ]
    );
    let unknown = patch.next("1.1.0").file("opt/acme/x", "x").owned("opt/acme/x", "nobody:staff");
    let error = machine.prepare(vec![unknown.full()]).expect_err("refused");
    let text = crate::transaction::error::chain(&error);
    for word in ["/opt/acme/x of acme", "nobody:staff", "\"nobody\" is not in etc/passwd"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn a_closed_directory_is_filled_before_it_is_closed() {
    let mut machine = Machine::new();
    let patch =
        Patch::new("acme", "1.0.0").directory("opt/closed", 0o555).file("opt/closed/x", "x");
    machine.install(patch.full());
    assert!(differences(&machine).is_empty());
    assert_eq!(machine.read("opt/closed/x"), "x");
    // so that the test's own files can be removed
    fs::set_permissions(machine.path("opt/closed"), fs::Permissions::from_mode(0o755))
        .expect("set");
    let bad = patch.next("1.1.0").file("opt/closed/x", "y").full();
    machine.install(bad);
    assert!(differences(&machine).is_empty());
    fs::set_permissions(machine.path("opt/closed"), fs::Permissions::from_mode(0o755))
        .expect("set");
}

#[test]
fn a_directory_that_nobody_declares_any_more_is_as_if_nobody_ever_did() {
    let mut machine = Machine::new();
    machine.write("srv/mine/file", "mine");
    let mode = |machine: &Machine, path: &str| {
        fs::metadata(machine.path(path)).expect("there").permissions().mode() & 0o7777
    };
    let closed = Patch::new("acme", "1.0.0")
        .file("opt/acme/data", "data")
        .directory("opt/acme", 0o700)
        .file("opt/shared/one", "one")
        .directory("opt/shared", 0o750)
        .file("srv/mine/ours", "ours")
        .directory("srv/mine", 0o711);
    let other = Patch::new("other", "1.0.0").directory("opt/shared", 0o750);
    machine.install(closed.full());
    machine.install(other.full());
    let open = closed.next("1.1.0").without("opt/acme").without("opt/shared").without("srv/mine");
    machine.install(open.since(&closed));
    assert_eq!(mode(&machine, "opt/acme"), 0o755);
    assert_eq!(mode(&machine, "opt/shared"), 0o750, "another component declares it");
    assert_eq!(mode(&machine, "srv/mine"), 0o711, "it was there before");
    machine.rollback(None);
    assert_eq!(mode(&machine, "opt/acme"), 0o700);
}
