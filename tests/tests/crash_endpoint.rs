//! The endpoint is killed at every named point of what it does; the next command ends at exactly
//! the old or exactly the new state.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_tests::crash::{at_every_point, covers, kill, points_in_order, side_by_side};
use countersign_tests::lab::{RECORDS, present};
use countersign_tests::run::Run;
use countersign_tests::tree::{Snapshot, snapshot};
use countersign_tests::{Background, Lab};

/// What the endpoint has: its files, and what its client says is installed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    files: Snapshot,
    installed: String,
}

fn old() -> Payload {
    Payload::new()
        .program("opt/acme/bin/agent", "#!/bin/sh\necho one\n")
        .file("opt/acme/share/data", "some data")
        .file("opt/acme/share/becomes-a-link", "a file")
        .file("opt/acme/old/goes-away", "for now")
        .config("opt/acme/etc/agent.conf", "level = 1\n")
        .link("opt/acme/current", "bin")
}

fn new() -> Payload {
    Payload::new()
        .program("opt/acme/bin/agent", "#!/bin/sh\necho two\n")
        .file("opt/acme/share/data", "some data")
        .link("opt/acme/share/becomes-a-link", "data")
        .file("opt/acme/new/comes", "from now on")
        .config("opt/acme/etc/agent.conf", "level = 2\n")
        .link("opt/acme/current", "share")
}

/// An enrolled endpoint, and a server with version 1.0.0 and, if so said, 2.0.0 in two ways.
fn laboratory(versions: u32) -> (Lab, Repository, Background) {
    let lab = Lab::new();
    let mut repository = present().build();
    let index = repository.collect(&PatchSpec::full("acme-agent", "1.0.0", &old()));
    repository.release(&[index]);
    repository.publish();
    if versions == 2 {
        publish_next(&mut repository);
    }
    lab.publish(&repository);
    let server = lab.serve("public");
    lab.enroll(server.url());
    (lab, repository, server)
}

fn publish_next(repository: &mut Repository) {
    repository.wait(10);
    let incremental = PatchSpec::incremental("acme-agent", "2.0.0", "=1.0.0", &old(), &new());
    let full = PatchSpec::full("acme-agent", "2.0.0", &new());
    let indexes = [repository.collect(&full), repository.collect(&incremental)];
    repository.release(&indexes);
    repository.publish();
}

/// One of the machines that are killed: a copy of the endpoint, in a directory of its own.
struct Machine<'l> {
    lab: &'l Lab,
    name: String,
}

impl<'l> Machine<'l> {
    /// A copy of what is in the laboratory's directory `template`, hard links and all.
    fn copy(lab: &'l Lab, template: &str, name: &str) -> Self {
        let (from, to) = (lab.path(template), lab.path(name));
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(copied.expect("cp is everywhere").success());
        Self { lab, name: name.to_owned() }
    }

    fn run(&self, line: &str) -> Run {
        self.lab.patchctl(&format!("--root {} --yes {line}", self.name))
    }

    fn state(&self) -> State {
        let installed = self.run("list --installed").done().stdout;
        State { files: snapshot(&self.lab.path(&self.name), RECORDS), installed }
    }

    /// The state after the next command has put right what was interrupted, with all that the
    /// client knows of it in order; and whether the command said that something was.
    fn recovered(&self, what: &str) -> (State, bool) {
        let next = self.run("update").outcome();
        assert_eq!(next.code, Some(0), "{what}\n{next}");
        let verified = self.run("verify").outcome();
        assert_eq!(verified.code, Some(0), "{what}\n{verified}");
        let staging = self.lab.path(&self.name).join(".patchctl/staging");
        let left = fs::read_dir(staging).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}: something is left in staging");
        (self.state(), next.stderr.contains("was interrupted; everything is as before it"))
    }

    fn remove(self) {
        fs::remove_dir_all(self.lab.path(&self.name)).expect("a test's directory can be removed");
    }
}

/// Kills `command` everywhere, just before and just after each step. Each time the next command must
/// find the old state or the new one, say so if a transaction was undone, as the history must; and
/// from the old state `command` must come to the new one. The endpoint ends up in the new state.
fn killed_anywhere(lab: &Lab, command: &str) -> usize {
    let old = Machine { lab, name: "endpoint".into() };
    let before = old.state();
    let whole = Machine::copy(lab, "endpoint", "whole");
    let points = points_in_order(&lab.path("reached"), whole.run(command), 0);
    let after = whole.state();
    assert_ne!(before, after, "{command} changes something");
    let place = |name: &str| points.iter().position(|point| point.name == name).expect(name);
    let (begins, ends) = (place("transaction.journalled"), place("transaction.committed"));
    let at_old = AtomicUsize::new(0);
    side_by_side(&points, |at, point| {
        let what = format!("{command} killed at {point}");
        let machine = Machine::copy(lab, "endpoint", &format!("machine-{at}"));
        kill(machine.run(command), point);
        let (recovered, is_said) = machine.recovered(&what);
        assert_eq!(recovered, if at < ends { before.clone() } else { after.clone() }, "{what}");
        assert_eq!(is_said, (begins..ends).contains(&at), "{what}: whether recovery is said");
        if is_said {
            machine.run("history --json").done().says("\"interrupted\"");
        }
        if at < ends {
            at_old.fetch_add(1, Ordering::Relaxed);
            let again = machine.run(command).outcome();
            assert_eq!(again.code, Some(0), "{what}, run again\n{again}");
            assert_eq!(machine.recovered(&what).0, after, "{what}, run again");
        }
        machine.remove();
    });
    old.remove();
    fs::rename(lab.path("whole"), lab.path("endpoint")).expect("it is free now");
    let (total, olds) = (points.len(), at_old.into_inner());
    println!("{command}: killed at {total} points; {olds} times old, {} times new", total - olds);
    assert!(olds > 20 && olds < total, "{command}: {points:?}");
    total
}

/// Kills the dropping of all backups everywhere. What is installed stays as it is, and run again it
/// leaves what it leaves undisturbed.
fn killed_while_backups_are_dropped(lab: &Lab) -> usize {
    let clean = "clean --all";
    let kept = |machine: &str| snapshot(&lab.path(machine).join(".patchctl"), &[]);
    let whole = Machine::copy(lab, "endpoint", "whole");
    let before = whole.state();
    let points = points_in_order(&lab.path("reached"), whole.run(clean), 0);
    assert_ne!(kept("endpoint"), kept("whole"), "there are backups to drop");
    side_by_side(&points, |at, point| {
        let what = format!("{clean} killed at {point}");
        let machine = Machine::copy(lab, "endpoint", &format!("machine-{at}"));
        kill(machine.run(clean), point);
        assert_eq!(machine.recovered(&what).0, before, "{what}");
        let again = machine.run(clean).outcome();
        assert_eq!(again.code, Some(0), "{what}, run again\n{again}");
        assert_eq!(kept(&machine.name), kept("whole"), "{what}, run again");
        machine.remove();
    });
    whole.remove();
    points.len()
}

#[test]
fn install_upgrade_rollback_and_remove_are_all_or_nothing() {
    let (lab, mut repository, _server) = laboratory(1);
    lab.endpoint("update").done();
    let mut total = killed_anywhere(&lab, "install acme-agent");
    publish_next(&mut repository);
    lab.publish(&repository);
    lab.endpoint("update").done();
    for command in ["upgrade", "rollback", "remove acme-agent"] {
        total += killed_anywhere(&lab, command);
    }
    total += killed_while_backups_are_dropped(&lab);
    println!("killed at {total} points in all, just before and just after each step");
    covers("crash_endpoint::install_upgrade_rollback_and_remove");
}

/// Recovery that is killed is recovered from, and so is the undoing of a transaction that failed.
#[test]
fn killed_while_putting_things_back_the_next_command_goes_on() {
    let (lab, _repository, _server) = laboratory(2);
    lab.endpoint("update").done();
    lab.endpoint("install acme-agent@1.0.0").done();
    let old = Machine { lab: &lab, name: "endpoint".into() }.state();
    let crashed = Machine::copy(&lab, "endpoint", "crashed");
    crashed.run("upgrade").env("COUNTERSIGN_CRASH_AT", "transaction.placed").outcome();
    let fail = ("COUNTERSIGN_FAIL_AT", "transaction.remove");
    for (template, command, variable) in
        [("crashed", "update", ("COUNTERSIGN_NONE", "")), ("endpoint", "upgrade", fail)]
    {
        let whole = Machine::copy(&lab, template, "whole");
        let code = if template == "endpoint" { 8 } else { 0 };
        let run = whole.run(command).env(variable.0, variable.1);
        let mut points = points_in_order(&lab.path("reached"), run, code);
        if let Some(failing) = points.iter().position(|point| point.name == variable.1) {
            points.drain(..=failing);
        }
        assert_eq!(whole.state(), old);
        whole.remove();
        side_by_side(&points, |at, point| {
            let what = format!("{command} killed at {point} while it puts things back");
            let machine = Machine::copy(&lab, template, &format!("machine-{at}"));
            kill(machine.run(command).env(variable.0, variable.1), point);
            assert_eq!(machine.recovered(&what).0, old, "{what}");
            machine.run("upgrade").done();
            machine.remove();
        });
        println!("{command}: killed at {} points while it puts things back", points.len());
        assert!(points.len() > 10, "{points:?}");
    }
    covers("crash_endpoint::while_it_puts_things_back");
}

#[test]
fn an_update_holds_the_old_index_or_the_new_one() {
    let (lab, mut repository, _server) = laboratory(1);
    let index = |lab: &Lab| lab.endpoint("list --available").outcome().stdout;
    lab.endpoint("update").done();
    let before = index(&lab);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    publish_next(&mut repository);
    lab.publish(&repository);
    let mut found = Vec::new();
    let points = at_every_point(
        &lab,
        "endpoint",
        || lab.endpoint("update"),
        |point| {
            let reading = index(&lab);
            lab.endpoint("update").done();
            found.push((point.clone(), reading, index(&lab)));
        },
    );
    let after = index(&lab);
    assert_ne!(before, after);
    for (point, reading, rerun) in found {
        assert!(reading == before || reading == after, "update killed at {point}:\n{reading}");
        assert_eq!(rerun, after, "update killed at {point} and run again");
    }
    println!("update: killed at {points} points");
    covers("crash_endpoint::update");
}
