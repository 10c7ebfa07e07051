//! Paths that become objects of another kind.

use super::kit::{Machine, Patch};
use crate::transaction::{PrepareError, Refusal};

/// Each kind that `x` can be, with what comes with it.
fn shapes() -> Vec<(&'static str, Patch)> {
    let base = Patch::new("acme", "1.0.0").file("opt/keep", "keep").file("opt/real/inner", "real");
    vec![
        ("file", base.clone().file("opt/x", "a file")),
        ("link to a file", base.clone().link("opt/x", "keep")),
        ("link to a directory", base.clone().link("opt/x", "real")),
        ("empty directory", base.clone().directory("opt/x", 0o755)),
        ("directory", base.clone().file("opt/x/inner", "inner").directory("opt/x/deep", 0o700)),
        ("deep directory", base.clone().file("opt/x/inner/a/b", "deep").link("opt/x/l", "inner")),
        ("nothing", base),
    ]
}

#[test]
fn every_kind_becomes_every_other_and_goes_back() {
    let mut pairs = 0;
    for (from_name, from) in shapes() {
        for (to_name, to) in shapes() {
            let what = format!("{from_name} to {to_name}");
            let to = to.next("2.0.0").file("opt/version", "2");
            let mut machine = Machine::new();
            machine.install(from.full());
            let before = (machine.snapshot(), machine.installed());
            machine.install(to.since(&from));
            let mut fresh = Machine::new();
            fresh.install(to.full());
            assert_eq!(machine.snapshot(), fresh.snapshot(), "{what}");
            assert_eq!(machine.installed(), fresh.installed(), "{what}");
            machine.rollback(None);
            let mut after = (machine.snapshot(), machine.installed());
            assert_eq!(after, before, "{what}, and back");
            machine.rollback(None);
            after = (machine.snapshot(), machine.installed());
            assert_eq!(after, (fresh.snapshot(), fresh.installed()), "{what}, back, and forth");
            machine.rollback(Some(1));
            assert_eq!((machine.snapshot(), machine.installed()), before, "{what}, to the first");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 49);
}

#[test]
fn a_directory_with_foreign_files_does_not_become_a_file() {
    let mut machine = Machine::new();
    let one = Patch::new("acme", "1.0.0").file("opt/x/a", "a");
    machine.install(one.full());
    machine.write("opt/x/mine", "mine");
    let before = machine.snapshot();
    let two = one.next("2.0.0").without("opt/x/a").file("opt/x", "file");
    let PrepareError::Refused(refusals) =
        machine.prepare(vec![two.since(&one)]).expect_err("refused")
    else {
        panic!("another error");
    };
    let [Refusal::NotEmpty { foreign, .. }] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!(foreign, "opt/x/mine");
    assert_eq!(machine.snapshot(), before);
}

#[test]
fn what_is_nobody_s_is_not_made_a_directory() {
    let mut machine = Machine::new();
    machine.write("opt/x", "mine");
    let error = machine
        .prepare(vec![Patch::new("acme", "1.0.0").directory("opt/x", 0o755).full()])
        .expect_err("refused");
    let PrepareError::Refused(refusals) = error else { panic!("{error}") };
    assert!(matches!(refusals[..], [Refusal::InTheWay { .. }]), "{refusals:?}");
    let below = Patch::new("acme", "1.0.0").file("opt/x/a", "a").full();
    let error = machine.prepare(vec![below]).expect_err("refused");
    assert!(error.to_string().contains("/opt/x is a file, not a directory"), "{error}");
}

#[test]
fn local_files_in_a_directory_that_goes_stay() {
    let mut machine = Machine::new();
    let one = Patch::new("acme", "1.0.0").file("opt/x/a", "a");
    machine.install(one.full());
    machine.write("opt/x/mine", "mine");
    let outcome = machine.remove("acme");
    assert_eq!(machine.read("opt/x/mine"), "mine");
    assert!(!machine.exists("opt/x/a"));
    let said: Vec<String> = outcome.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["/opt/x is not empty and stays", "/opt is not empty and stays"]);
}
