//! Who waits for whom: a kernel lock for those that change something, nobody for readers.

mod common;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Machine, read, two_versions};

/// An update of a machine whose server takes connections and says nothing: it holds the state.
fn hanging_update(machine: &Machine, silent: &TcpListener) -> Child {
    let file = machine.root("etc/patchctl/sources.d/patches.example.org.toml");
    let public = machine.path("public").display().to_string();
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    std::fs::write(&file, read(&file).replace(&public, &url)).expect("written");
    let child = machine.command(&["update"]).stderr(Stdio::null()).spawn().expect("it starts");
    let lock = machine.root("var/lib/patchctl/lock");
    while !read(&lock).contains(&format!("pid {}\n", child.id())) {
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_waiter_names_the_holder_and_goes_on_when_it_is_killed() {
    let machine = Machine::enrolled(&two_versions());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut holder = hanging_update(&machine, &silent);
    let who = format!("process {} (", holder.id());
    let refused = machine.run(&["update", "--lock-timeout", "0s"]).code(7);
    refused.says(&who).says("update").says("which began at 20");
    for reader in [&["list"][..], &["status"], &["sources"], &["history"], &["show", "acme-agent"]]
    {
        let ended = machine.run(&[reader, &["--lock-timeout", "0s"]].concat());
        assert!(!ended.stderr.contains("waiting for"), "{reader:?}: {}", ended.stderr);
        assert_ne!(ended.code, 7, "{reader:?}");
    }
    let mut waiter = machine
        .command(&["sources", "ring", "patches.example.org", "canary"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = waiter.stderr.take().expect("a pipe");
    let mut first = String::new();
    BufReader::new(said).read_line(&mut first).expect("a line");
    assert!(first.starts_with(&format!("waiting for {who}")), "{first}");
    assert!(first.contains("which began at"), "{first}");
    holder.kill().expect("killed with a signal that nobody handles");
    holder.wait().expect("gone");
    assert!(waiter.wait().expect("ended").success());
}

#[test]
fn readers_bear_with_a_writer_and_see_the_state_before_it() {
    let machine = Machine::enrolled(&two_versions());
    let path = machine.root("var/lib/patchctl/state.db");
    let writer = rusqlite::Connection::open(&path).expect("a state");
    // changes that are not committed lie in the writer's memory
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM patch_lines").expect("begun");
    machine.run(&["list", "--available"]).success().says("acme-agent");
    // while it commits nobody can read, for as long as that takes
    writer.execute_batch("ROLLBACK; BEGIN EXCLUSIVE").expect("exclusive");
    let reader = machine.command(&["list", "--available"]).stdout(Stdio::piped()).spawn();
    let reader = reader.expect("it starts");
    std::thread::sleep(Duration::from_millis(300));
    writer.execute_batch("COMMIT").expect("ended");
    let ended = reader.wait_with_output().expect("ended");
    assert!(ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stdout).contains("acme-agent"));
}
