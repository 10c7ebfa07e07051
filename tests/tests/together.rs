//! Several `patchctl` on one machine at once: those that change something wait for each other and say
//! for whom, those that read wait for nobody and see the old state or the new one, and one that is
//! killed is in nobody's way.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_tests::lab::present;
use countersign_tests::{Background, Lab, Outcome, Proxy, Run};

/// Says that somebody is there, and hears when to go on.
type Ends = (Sender<()>, Receiver<()>);

/// Stops the first request after it was closed until it is opened again, and with it the client.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Option<Ends>>>);

/// A gate that is closed.
struct Closed {
    arrived: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    fn close(&self) -> Closed {
        let (arrive, arrived) = channel();
        let (open, opened) = channel();
        *self.0.lock().expect("unharmed") = Some((arrive, opened));
        Closed { arrived, open }
    }

    fn pass(&self) {
        let closed = self.0.lock().expect("unharmed").take();
        if let Some((arrive, opened)) = closed {
            arrive.send(()).expect("somebody waits for it");
            // dropped where the client was killed
            let _ = opened.recv();
        }
    }
}

/// An endpoint that knows two components in two versions, with a gate before its server.
struct Scene {
    lab: Lab,
    repository: Repository,
    gate: Gate,
    _server: Background,
}

impl Scene {
    fn new() -> Self {
        let (lab, gate) = (Lab::new(), Gate::default());
        let mut repository = present().build();
        repository.publish();
        lab.publish(&repository);
        let server = lab.serve("public");
        let at_gate = gate.clone();
        let proxy = Proxy::watched(server.address(), move |_| at_gate.pass());
        let mut scene = Self { lab, repository, gate, _server: server };
        scene.release("1.0.0");
        scene.lab.enroll(proxy.url());
        scene
    }

    fn release(&mut self, version: &str) {
        self.repository.wait(10);
        let indexes = ["acme-agent", "acme-shell"].map(|name| {
            let payload = (0..20).fold(Payload::new(), |payload, at| {
                payload.file(&format!("opt/{name}/{at}"), format!("{name} {version} {at}"))
            });
            self.repository.collect(&PatchSpec::full(name, version, &payload))
        });
        self.repository.release(&indexes);
        self.repository.publish();
        self.lab.publish(&self.repository);
    }

    /// A command that holds the state and is stopped at its first request.
    fn stopped(&self, run: Run) -> (Running, Closed) {
        let closed = self.gate.close();
        let running = Running::start(run);
        closed.arrived.recv().expect("it asks the server");
        (running, closed)
    }

    /// Exactly these are installed, and just as they were signed.
    fn has(&self, installed: &[&str]) {
        let listed = self.lab.endpoint("list --installed --json").done().json();
        let found = listed["patches"].as_array().expect("a list").iter();
        let found: Vec<String> = found
            .map(|patch| {
                let word = |name: &str| patch[name].as_str().expect("a text").to_owned();
                format!("{}@{}", word("name"), word("installed"))
            })
            .collect();
        assert_eq!(found, installed);
        self.lab.endpoint("verify").done();
    }
}

/// A command that runs.
struct Running {
    child: Child,
    command: String,
    said: String,
}

impl Running {
    fn start(run: Run) -> Self {
        let (mut command, shown) = run.into_command();
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.expect("it starts"), command: shown, said: String::new() }
    }

    /// Waits until it says that it waits, and returns for whom.
    fn waits(&mut self) -> String {
        let mut stream = BufReader::new(self.child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("waiting for ") {
            line.clear();
            let length = stream.read_line(&mut line).expect("text");
            assert!(length > 0, "{} ended without waiting:\n{}", self.command, self.said);
            self.said.push_str(&line);
        }
        // the reader is given up only once nothing more is in it
        assert!(stream.buffer().is_empty());
        self.child.stderr = Some(stream.into_inner());
        line
    }

    fn ended(self) -> Outcome {
        let output = self.child.wait_with_output().expect("it ends");
        Outcome {
            command: self.command,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: self.said + &String::from_utf8_lossy(&output.stderr),
        }
    }
}

#[test]
fn two_that_change_something_go_one_after_the_other() {
    let scene = Scene::new();
    let (first, closed) = scene.stopped(scene.lab.endpoint("install acme-agent"));
    let mut second = Running::start(scene.lab.endpoint("install acme-shell"));
    let who = second.waits();
    assert!(who.contains(&format!("process {} (", first.child.id())), "{who}");
    assert!(who.contains("install acme-agent), which began at "), "{who}");
    closed.open.send(()).expect("it waits there");
    first.ended().exits(0).says("acme-agent 1.0.0 installed");
    second.ended().exits(0).says("acme-shell 1.0.0 installed");
    scene.has(&["acme-agent@1.0.0", "acme-shell@1.0.0"]);

    // the same twice: the second finds it done
    scene.lab.endpoint("remove acme-agent").done();
    let (first, closed) = scene.stopped(scene.lab.endpoint("install acme-agent"));
    let mut second = Running::start(scene.lab.endpoint("install acme-agent"));
    second.waits();
    closed.open.send(()).expect("it waits there");
    first.ended().exits(0);
    second.ended().exits(0).says("nothing to do");
    scene.has(&["acme-agent@1.0.0", "acme-shell@1.0.0"]);
}

#[test]
fn two_updates_at_once_both_end_well() {
    let mut scene = Scene::new();
    scene.release("2.0.0");
    let (first, closed) = scene.stopped(scene.lab.endpoint("update"));
    let mut second = Running::start(scene.lab.endpoint("update"));
    assert!(second.waits().contains(" update), which began at "));
    closed.open.send(()).expect("it waits there");
    first.ended().exits(0);
    second.ended().exits(0);
    scene.lab.endpoint("install acme-agent acme-shell").done();
    scene.has(&["acme-agent@2.0.0", "acme-shell@2.0.0"]);
}

#[test]
fn one_that_is_killed_is_in_nobodys_way() {
    let scene = Scene::new();
    // while it holds the lock and before it began: there is nothing to be put right
    let (mut killed, closed) = scene.stopped(scene.lab.endpoint("install acme-agent"));
    killed.child.kill().expect("it runs");
    killed.child.wait().expect("it ends");
    drop(closed);
    let next = scene.lab.endpoint("install acme-shell --lock-timeout 0s").done();
    assert!(!next.stderr.contains("waiting for"), "{next}");
    scene.has(&["acme-shell@1.0.0"]);

    // in the middle of its transaction, while somebody waits
    let install = scene.lab.endpoint("install acme-agent");
    let install = install.env("COUNTERSIGN_CRASH_AT", "transaction.placed");
    let (killed, closed) = scene.stopped(install);
    let mut next = Running::start(scene.lab.endpoint("update"));
    next.waits();
    closed.open.send(()).expect("it waits there");
    assert_eq!(killed.ended().code, None, "it is killed once it has placed its files");
    next.ended().exits(0).says("was interrupted; everything is as before it");
    scene.has(&["acme-shell@1.0.0"]);
    scene.lab.endpoint("install acme-agent").done();
    scene.has(&["acme-agent@1.0.0", "acme-shell@1.0.0"]);
}

/// What is done, one after the other, and which version of both components is there then.
const CHANGES: [(&str, Option<&str>); 6] = [
    ("install acme-agent@1.0.0 acme-shell@1.0.0", Some("1.0.0")),
    ("upgrade", Some("2.0.0")),
    ("rollback", Some("1.0.0")),
    ("install acme-agent@2.0.0 acme-shell@2.0.0", Some("2.0.0")),
    ("update", Some("2.0.0")),
    ("remove acme-agent acme-shell", None),
];

/// Which of [`CHANGES`] are done and under way: even while nothing is.
struct Progress {
    at: AtomicUsize,
    is_over: AtomicBool,
}

/// The versions of which there may be readings between two moments of the progress.
fn possible(from: usize, to: usize) -> BTreeSet<Option<&'static str>> {
    let after = |done: usize| done.checked_sub(1).and_then(|last| CHANGES[last % CHANGES.len()].1);
    (from / 2..=to.div_ceil(2)).map(after).collect()
}

#[test]
fn readers_see_the_old_state_or_the_new_one_and_wait_for_nobody() {
    let mut scene = Scene::new();
    scene.release("2.0.0");
    scene.lab.endpoint("update").done();
    let progress = Progress { at: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
    let readers: [(&str, &[i32]); 3] = [
        ("list --installed --json", &[0]),
        ("status --json", &[0, 100, 110]),
        ("check", &[0, 100, 110]),
    ];
    let counts = thread::scope(|scope| {
        let threads = readers.map(|(command, codes)| {
            let (lab, progress) = (&scene.lab, &progress);
            scope.spawn(move || read(lab, command, codes, progress))
        });
        let changing = scope.spawn(|| change(&scene.lab, &progress));
        let changed = changing.join();
        progress.is_over.store(true, Ordering::SeqCst);
        changed.expect("every change is made");
        threads.map(|thread| thread.join().expect("every reading is good"))
    });
    for ((command, _), (all, during)) in readers.iter().zip(counts) {
        println!("{command}: {all} readings, {during} while something was changed");
        assert!(during > 3, "{command}: {all} readings, {during} while something was changed");
    }
}

fn change(lab: &Lab, progress: &Progress) {
    for (command, _) in CHANGES.iter().chain(&CHANGES) {
        progress.at.fetch_add(1, Ordering::SeqCst);
        lab.endpoint(command).done();
        progress.at.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads until it is over. Returns how many readings there were, and how many of them while something
/// was changed.
fn read(lab: &Lab, command: &str, codes: &[i32], progress: &Progress) -> (usize, usize) {
    let (mut all, mut during) = (0, 0);
    while !progress.is_over.load(Ordering::SeqCst) {
        let from = progress.at.load(Ordering::SeqCst);
        let outcome = lab.endpoint(command).words("--lock-timeout 0s").outcome();
        let to = progress.at.load(Ordering::SeqCst);
        let code = outcome.code.expect("nobody kills it");
        assert!(codes.contains(&code), "{outcome}");
        let is_silent = ["waiting for", "error:"].iter().all(|word| !outcome.stderr.contains(word));
        assert!(is_silent, "{outcome}");
        if command.starts_with("list") {
            let listed = outcome.json();
            let patches = listed["patches"].as_array().expect("a list");
            let seen: BTreeSet<_> =
                patches.iter().map(|patch| patch["installed"].as_str()).collect();
            assert!(
                patches.len().is_multiple_of(2) && seen.len() <= 1,
                "half of a change:\n{outcome}"
            );
            let seen = seen.into_iter().next().flatten();
            assert!(possible(from, to).contains(&seen), "{seen:?} between {from} and {to}");
        }
        all += 1;
        during += usize::from(from % 2 == 1 || from != to);
    }
    (all, during)
}
