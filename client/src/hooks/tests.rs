//! Hooks that end well, fail, hang, flood and leave children.

use super::process::LOOK;
use super::*;
use std::os::unix::fs::PermissionsExt;

fn run(script: &str, limits: HookLimits) -> HookRun {
    run_until(script, limits, &|| false)
}

fn run_until(script: &str, limits: HookLimits, must_stop: &dyn Fn() -> bool) -> HookRun {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("hook");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("set");
    let call = HookCall {
        name: "acme".parse().expect("a name"),
        kind: HookKind::Check,
        action: Action::Upgrade,
        old: Some("1.0.0".parse().expect("a version")),
        new: Some("1.1.0".parse().expect("a version")),
    };
    let environment = HookEnvironment { inside: None };
    for _ in 0..100 {
        let run = environment.run(&program, call.clone(), limits, must_stop);
        // another test's child may hold the script open for writing for an instant
        if run.outcome != HookOutcome::NotRun("Text file busy (os error 26)".into()) {
            return run;
        }
        std::thread::sleep(LOOK);
    }
    panic!("the hook's file stays busy");
}

fn limits(milliseconds: u64, output: usize) -> HookLimits {
    HookLimits { time: Duration::from_millis(milliseconds), output }
}

#[test]
fn tells_a_hook_what_it_must_know_and_nothing_else() {
    let run = run("env | sort; echo to stderr >&2; pwd", limits(60_000, 4096));
    assert_eq!(run.outcome, HookOutcome::Success);
    let output = String::from_utf8(run.output).expect("text");
    for line in [
        "PATCHCTL_ACTION=upgrade",
        "PATCHCTL_NAME=acme",
        "PATCHCTL_NEW_VERSION=1.1.0",
        "PATCHCTL_OLD_VERSION=1.0.0",
        "PATCHCTL_ROOT=/",
        "to stderr",
        "/",
    ] {
        assert!(output.lines().any(|found| found == line), "{line} in {output}");
    }
    assert!(!output.contains("CARGO"), "the caller's environment must not leak: {output}");
}

#[test]
fn says_how_a_hook_failed() {
    assert_eq!(run("exit 3", limits(60_000, 10)).outcome, HookOutcome::Exit(3));
    assert_eq!(run("kill -9 $$", limits(60_000, 10)).outcome, HookOutcome::Signal(9));
    let hung = run("echo begun; sleep 600", limits(300, 100));
    assert_eq!(hung.outcome, HookOutcome::TimedOut(Duration::from_millis(300)));
    assert_eq!(hung.output, b"begun\n");
}

#[test]
fn is_killed_when_a_person_asks_for_it() {
    let asked = std::cell::Cell::new(0);
    let third_look = || asked.replace(asked.get() + 1) >= 2;
    let run = run_until("echo begun; sleep 600", limits(600_000, 100), &third_look);
    assert_eq!(run.outcome, HookOutcome::Interrupted);
    assert!(!run.outcome.is_success());
}

#[test]
fn keeps_a_bounded_beginning_of_a_flood() {
    let run = run("echo first; while :; do echo flood; done", limits(300, 1000));
    assert!(matches!(run.outcome, HookOutcome::TimedOut(_)));
    assert_eq!(run.output.len(), 1000);
    assert!(run.truncated);
    assert!(run.output.starts_with(b"first\nflood\n"));
    // many times what a pipe holds, then a good end
    let flood = "i=0; while [ $i -lt 20000 ]; do echo 0123456789abcdef; i=$((i+1)); done";
    let whole = self::run(flood, limits(60_000, 100));
    assert_eq!((whole.outcome, whole.truncated), (HookOutcome::Success, true));
}

#[test]
fn leaves_no_children() {
    let directory = tempfile::tempdir().expect("a directory");
    let pid = directory.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; exit 0", pid.display());
    let run = run(&script, limits(60_000, 100));
    assert_eq!(run.outcome, HookOutcome::Success);
    let child: i32 = std::fs::read_to_string(&pid).expect("read").trim().parse().expect("a number");
    // killed, though perhaps not yet reaped by whoever inherited it
    let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..200 {
        if gone() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    panic!("process {child} still runs");
}
