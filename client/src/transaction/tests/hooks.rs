//! Hooks inside transactions.

use std::time::Duration;

use super::kit::{Machine, Patch, without_privilege};
use crate::db::history::{Notice, TransactionState};
use crate::hooks::HookLimits;
use crate::transaction::{ApplyError, Failure, PrepareError};

/// A version whose hooks write down that they ran, and what they saw.
fn version(number: u32) -> Patch {
    let note = |kind: &str| {
        format!(
            "read -r seen < /opt/acme/program || seen=nothing\n\
             echo \"{kind} $PATCHCTL_ACTION $PATCHCTL_OLD_VERSION>$PATCHCTL_NEW_VERSION $seen\" >> /log"
        )
    };
    Patch::new("acme", &format!("1.{number}.0"))
        .file("opt/acme/program", &format!("program {number}\n"))
        .hook("pre-install", &note("pre-install"))
        .hook("post-install", &note("post-install"))
        .hook("check", &note("check"))
        .hook("pre-remove", &note("pre-remove"))
}

fn machine() -> Option<Machine> {
    if without_privilege("running hooks inside a root") {
        return None;
    }
    Some(Machine::with_shell())
}

/// What the hooks wrote since the last call.
fn log(machine: &Machine) -> Vec<String> {
    let text = std::fs::read_to_string(machine.path("log")).unwrap_or_default();
    let _ = std::fs::remove_file(machine.path("log"));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn hooks_run_in_order_with_their_links_versions() {
    let Some(mut machine) = machine() else { return };
    machine.install(version(0).full());
    assert_eq!(
        log(&machine),
        [
            "pre-install install >1.0.0 nothing",
            "post-install install >1.0.0 program 0",
            "check install >1.0.0 program 0"
        ]
    );
    machine
        .try_install(vec![version(1).since(&version(0)), version(2).since(&version(1))])
        .expect("applied");
    assert_eq!(
        log(&machine),
        [
            "pre-install upgrade 1.0.0>1.1.0 program 0",
            "pre-install upgrade 1.1.0>1.2.0 program 0",
            "post-install upgrade 1.0.0>1.1.0 program 2",
            "post-install upgrade 1.1.0>1.2.0 program 2",
            "check upgrade 1.1.0>1.2.0 program 2"
        ]
    );
    machine.rollback(None);
    assert_eq!(
        log(&machine),
        [
            "pre-install rollback 1.2.0>1.0.0 program 2",
            "post-install rollback 1.2.0>1.0.0 program 0",
            "check rollback 1.2.0>1.0.0 program 0"
        ]
    );
    machine.remove("acme");
    assert_eq!(log(&machine), ["pre-remove remove 1.0.0> program 0"]);
    // going back to before the removal brings the hooks back with it
    machine.rollback(None);
    log(&machine);
    machine.remove("acme");
    assert_eq!(log(&machine), ["pre-remove remove 1.0.0> program 0"]);
}

#[test]
fn a_failing_hook_undoes_everything_and_the_old_version_goes_on() {
    let Some(mut machine) = machine() else { return };
    machine.install(version(0).full());
    log(&machine);
    let before = (machine.snapshot(), machine.installed());
    for kind in ["pre-install", "post-install", "check"] {
        let bad = version(1).hook(kind, "echo it does not work; exit 7");
        let error = machine.try_install(vec![bad.since(&version(0))]).expect_err("failed");
        let ApplyError::Hook { transaction, failure } = &error else { panic!("{error}") };
        assert_eq!(failure.to_string(), format!("{kind} of acme failed: exit status 7"));
        assert_eq!(
            log(&machine).last().expect("a line"),
            "post-install recover 1.1.0>1.0.0 program 0"
        );
        assert_eq!((machine.snapshot(), machine.installed()), before, "{kind}");
        assert!(machine.staged().is_empty());
        let record = machine.database.transaction(*transaction).expect("read").expect("there");
        assert_eq!(record.state, TransactionState::Undone);
        assert!(record.error.expect("a reason").contains(kind));
        let runs = machine.database.hook_runs(*transaction).expect("read");
        let failed = runs.iter().find(|run| run.hook == kind).expect("recorded");
        assert_eq!(failed.output, b"it does not work\n");
    }
    machine.install(version(1).since(&version(0)));
}

#[test]
fn a_hanging_flooding_hook_is_ended() {
    let Some(mut machine) = machine() else { return };
    let before = machine.snapshot();
    machine.limits = HookLimits { time: Duration::from_millis(300), output: 1000 };
    let bad = version(0).hook("check", "while :; do echo flood; done");
    let error = machine.try_install(vec![bad.full()]).expect_err("failed");
    let ApplyError::Hook { transaction, .. } = error else { panic!("{error}") };
    assert_eq!(log(&machine).len(), 2, "pre-install and post-install ran");
    assert_eq!(machine.snapshot(), before);
    let runs = machine.database.hook_runs(transaction).expect("read");
    let last = runs.last().expect("recorded");
    assert_eq!((last.output.len(), last.truncated), (1000, true));
    assert_eq!(last.outcome, "still running after 0.3 s");
}

#[test]
fn what_a_hook_makes_does_not_survive_a_rollback_of_its_directory() {
    let Some(mut machine) = machine() else { return };
    let before = machine.snapshot();
    let bad = version(0)
        .directory("opt/acme/cache", 0o755)
        .hook("post-install", "echo generated > /opt/acme/cache/file")
        .hook("check", "exit 1");
    machine.try_install(vec![bad.full()]).expect_err("failed");
    log(&machine);
    assert_eq!(machine.snapshot(), before);
}

#[test]
fn a_hook_that_breaks_the_tree_is_caught() {
    let Some(mut machine) = machine() else { return };
    machine.install(version(0).full());
    log(&machine);
    let before = (machine.snapshot(), machine.installed());
    let bad = version(1).hook("post-install", "echo broken > /opt/acme/program");
    let error = machine.try_install(vec![bad.since(&version(0))]).expect_err("failed");
    let ApplyError::RolledBack { failure, .. } = error else { panic!("{error}") };
    assert_eq!(
        failure.to_string(),
        "what was installed is not the patch's tree: /opt/acme/program: content differs"
    );
    log(&machine);
    assert_eq!((machine.snapshot(), machine.installed()), before);
    // an untouched file is watched too
    let keep = version(0).file("opt/acme/keep", "keep").full();
    machine.install(keep);
    let bad = version(2)
        .file("opt/acme/keep", "keep")
        .hook("post-install", "echo broken > /opt/acme/keep");
    let base = version(0).file("opt/acme/keep", "keep");
    let error = machine.try_install(vec![bad.since(&base)]).expect_err("failed");
    assert!(matches!(error, ApplyError::RolledBack { .. }), "{error}");
    // a configuration file is a hook's to fill in
    let config = base.next("1.3.0").config("etc/acme", "name = @NAME@\n");
    machine.install(config.hook("post-install", "echo name = here > /etc/acme").full());
    assert_eq!(machine.read("etc/acme"), "name = here\n");
}

#[test]
fn a_hook_that_gets_in_the_way_is_told() {
    let Some(mut machine) = machine() else { return };
    machine.install(version(0).full());
    log(&machine);
    let change = "echo changed > /opt/acme/program";
    let bad = version(1).hook("pre-install", change);
    let error = machine.try_install(vec![bad.since(&version(0))]).expect_err("failed");
    let ApplyError::RolledBack { failure, .. } = error else { panic!("{error}") };
    assert!(matches!(*failure, Failure::Interference(_)), "{failure}");
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
}

#[test]
fn a_recovery_hook_that_fails_is_noted() {
    let Some(mut machine) = machine() else { return };
    let first = version(0).hook("post-install", "test $PATCHCTL_ACTION != recover");
    machine.install(first.full());
    let bad = version(1).hook("check", "exit 1");
    let error = machine.try_install(vec![bad.since(&first)]).expect_err("failed");
    let ApplyError::Hook { transaction, .. } = error else { panic!("{error}") };
    let notices = machine.database.notices(transaction).expect("read");
    assert!(matches!(notices[..], [Notice::RecoveryHookFailed { .. }]), "{notices:?}");
}

#[test]
fn without_privilege_hooks_are_refused_before_anything_changes() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: this is about users without privilege");
        return;
    }
    let mut machine = Machine::new();
    let error = machine.prepare(vec![version(0).full()]).expect_err("refused");
    assert!(matches!(error, PrepareError::Hooks(_)), "{error}");
    assert!(machine.snapshot().is_empty());
}

/// A version whose files belong to a user that its `pre-install` creates by `script`.
fn of_a_service(script: &str) -> Patch {
    Patch::new("acme", "1.0.0")
        .entry("opt/acme/helper", "helper", 0o6750, false)
        .owned("opt/acme/helper", "acme:staff")
        .directory("var/lib/acme", 0o2770)
        .owned("var/lib/acme", "acme:staff")
        .directory("var/lib/shared", 0o1777)
        .owned("var/lib/shared", "acme:staff")
        .config("etc/acme.conf", "one")
        .owned("etc/acme.conf", "root:staff")
        .hook("pre-install", script)
}

const CREATE: &str = "echo acme:x:990:50::/: >> /etc/passwd; echo staff:x:50: >> /etc/group";

fn owner_and_mode(machine: &Machine, path: &str) -> (u32, u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let status = std::fs::symlink_metadata(machine.path(path)).expect("there");
    (status.uid(), status.gid(), status.mode() & 0o7777)
}

#[test]
fn owners_may_be_created_by_the_first_hook() {
    let Some(mut machine) = machine() else { return };
    machine.write("etc/passwd", "root:x:0:0::/:\n");
    machine.write("etc/group", "root:x:0:\n");
    machine.write("var/lib/shared/mine", "mine");
    let before = machine.snapshot();
    machine.install(of_a_service(CREATE).full());
    assert_eq!(owner_and_mode(&machine, "opt/acme/helper"), (990, 50, 0o6750));
    assert_eq!(owner_and_mode(&machine, "var/lib/acme"), (990, 50, 0o2770));
    assert_eq!(owner_and_mode(&machine, "var/lib/shared"), (990, 50, 0o1777), "was there");
    assert_eq!(owner_and_mode(&machine, "etc/acme.conf"), (0, 50, 0o640));
    // the journal knows whose they are: what a rollback takes away is not taken for changed
    let outcome = machine.rollback(None);
    assert_eq!(outcome.notices, []);
    let hidden = ["etc/passwd", "etc/group"];
    let left = machine.snapshot().into_iter().filter(|(path, _)| !hidden.contains(&&**path));
    let was = before.into_iter().filter(|(path, _)| !hidden.contains(&&**path));
    assert_eq!(left.collect::<Vec<_>>(), was.collect::<Vec<_>>());
    machine.rollback(None);
    assert_eq!(owner_and_mode(&machine, "opt/acme/helper"), (990, 50, 0o6750));
}

#[test]
fn an_owner_that_no_hook_creates_undoes_everything() {
    let Some(mut machine) = machine() else { return };
    machine.write("etc/passwd", "root:x:0:0::/:\n");
    machine.write("etc/group", "root:x:0:\n");
    let before = machine.snapshot();
    let bad = of_a_service("echo acme:x:990:50::/: > /etc/passwd; exit 0");
    let error = machine.try_install(vec![bad.full()]).expect_err("undone");
    let ApplyError::RolledBack { failure, .. } = &error else { panic!("{error}") };
    let text = crate::transaction::error::chain(&**failure);
    for word in ["/var/lib/acme of acme", "acme:staff", "\"staff\" is not in etc/group"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    machine.write("etc/passwd", "root:x:0:0::/:\n");
    assert_eq!(machine.snapshot(), before);
    assert!(machine.staged().is_empty());
    // and where no hook could, nothing is begun
    let none = Patch::new("acme", "1.0.0").file("opt/data", "data").owned("opt/data", "acme:staff");
    let error = machine.prepare(vec![none.full()]).expect_err("refused");
    let PrepareError::Owner(missing) = &error else { panic!("{error}") };
    assert_eq!((&*missing.path, &*missing.owner), ("opt/data", "acme:staff"));
    assert_eq!(machine.snapshot(), before);
}
