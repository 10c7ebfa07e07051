//! Ctrl-C in the middle of a transaction.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Machine, repository};
use countersign_fixtures::{PatchSpec, Payload};
use rustix::process::{Pid, Signal, kill_process};

/// A shell and what it needs, so that hooks can run inside the root.
fn add_shell(machine: &Machine) {
    let listed = Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/bin/sh"]).map(Path::new) {
        let target =
            machine.root(file.strip_prefix("/").expect("absolute").to_str().expect("text"));
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("made");
        std::fs::copy(file, target).expect("copied");
    }
}

#[test]
fn a_transaction_is_brought_to_its_end() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: running hooks inside a root needs root");
        return;
    }
    // waits for the test to say that it has sent its signals
    let hook = "#!/bin/sh\numask > /umask\necho > /started\nwhile ! test -e /go; do :; done\n";
    let payload = Payload::new().file("opt/acme/program", "one");
    let patch = PatchSpec::full("acme", "1.0.0", &payload).hook("post-install", hook);
    let mut repository = repository();
    let index = repository.collect(&patch);
    repository.release(&[index]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    add_shell(&machine);
    let mut install = Command::new("sh");
    install.args(["-c", "umask 077; exec \"$0\" \"$@\""]);
    let program = machine.command(&["install", "acme", "--yes"]);
    install.arg(program.get_program()).args(program.get_args());
    let mut install = install.spawn().expect("started");
    while !machine.root("started").exists() {
        assert_eq!(install.try_wait().expect("waited"), None, "it must reach its hook");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_child(&install);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        kill_process(pid, signal).expect("sent");
    }
    std::fs::write(machine.root("go"), "").expect("written");
    assert!(install.wait().expect("waited").success());
    assert!(machine.root("opt/acme/program").exists());
    assert_eq!(common::read(machine.root("umask")).trim(), "0022");
    let installed = machine.run(&["list", "--installed"]).success();
    assert!(installed.stdout.contains("acme"), "{}", installed.stdout);
}
