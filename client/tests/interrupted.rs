//! Ctrl-C in the middle of a transaction.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
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

/// A machine on which an installation has reached its hook, which waits until the test says `go`.
struct Waiting {
    machine: Machine,
    install: Child,
}

impl Waiting {
    /// None where hooks cannot be run inside a root.
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: running hooks inside a root needs root");
            return None;
        }
        let hook = "#!/bin/sh\numask > /umask\necho $$ > /pid\necho > /started\n\
                    while ! test -e /go; do :; done\n";
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
        install.arg(program.get_program()).args(program.get_args()).stderr(Stdio::piped());
        let mut install = install.spawn().expect("started");
        while !machine.root("started").exists() {
            assert_eq!(install.try_wait().expect("waited"), None, "it must reach its hook");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { machine, install })
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.install), signal).expect("sent");
    }

    /// Reads what the program says until it says this; returns what else it has to say.
    fn hears(&mut self, text: &str) -> BufReader<ChildStderr> {
        let mut said = BufReader::new(self.install.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("read"), 0, "it never said {text:?}");
        }
        said
    }
}

#[test]
fn asked_once_it_brings_the_transaction_to_its_end() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(mut waiting) = Waiting::start() else { return };
        waiting.send(signal);
        let _said = waiting.hears("once more kills a running hook");
        std::fs::write(waiting.machine.root("go"), "").expect("written");
        assert!(waiting.install.wait().expect("waited").success(), "{signal:?}");
        let Waiting { machine, .. } = waiting;
        assert!(machine.root("opt/acme/program").exists());
        assert_eq!(common::read(machine.root("umask")).trim(), "0022");
        let installed = machine.run(&["list", "--installed"]).success();
        assert!(installed.stdout.contains("acme"), "{}", installed.stdout);
    }
}

#[test]
fn asked_twice_it_kills_the_hook_and_undoes_everything() {
    let Some(mut waiting) = Waiting::start() else { return };
    waiting.send(Signal::INT);
    let mut said = waiting.hears("once more kills a running hook");
    let hook = common::read(waiting.machine.root("pid"));
    let hook = Path::new("/proc").join(hook.trim());
    assert!(hook.exists(), "asked once, the hook is let end");
    waiting.send(Signal::INT);
    let ended = waiting.install.wait().expect("waited");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("read");
    assert_eq!(ended.code(), Some(15), "{rest}");
    assert!(rest.contains("post-install of acme failed: killed, as was asked for"), "{rest}");
    assert!(!hook.exists(), "the hook is left");
    let Waiting { machine, .. } = waiting;
    assert!(!machine.root("opt").exists(), "the files are left");
    let staging = std::fs::read_dir(machine.root(".patchctl/staging")).expect("an area");
    assert_eq!(staging.count(), 0, "staging is left");
    assert_eq!(machine.json(&["history", "1"])["state"], "undone");
    assert_eq!(machine.json(&["list", "--installed"])["patches"], serde_json::json!([]));
    // and nothing stands in the way of the next
    std::fs::write(machine.root("go"), "").expect("written");
    machine.run(&["install", "acme", "--yes"]).success();
}
