//! Kills a process at every named point of a transaction and requires that the next one ends at
//! exactly the old or exactly the new state.
//!
//! The tests run their own binary again as the process that is killed: [`child`] is its entry.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::kit::{Machine, Patch, temporary, without_privilege};

const BASE: &str = "PATCHCTL_TEST_BASE";
const SCENARIO: &str = "PATCHCTL_TEST_SCENARIO";

/// Hooks that stop and start a service, which a file stands for.
const STOPPED: &str = "echo stopped > /service";
const RUNNING: &str = "read -r agent < /opt/acme/bin/agent; echo \"runs $agent\" > /service";

/// The first version's program.
pub(super) const AGENT_ONE: &str = "agent one\nwith much that stays";

fn first() -> Patch {
    Patch::new("acme", "1.0.0")
        .program("opt/acme/bin/agent", AGENT_ONE)
        .file("opt/acme/lib/one.so", "library")
        .file("opt/acme/becomes-directory", "file")
        .file("opt/acme/becomes-file/inner/deep", "deep")
        .link("opt/acme/current", "lib")
        .directory("opt/acme/var", 0o750)
        .config("etc/acme.conf", "one")
}

fn second() -> Patch {
    first()
        .next("1.1.0")
        .program("opt/acme/bin/agent", "agent two\nwith much that stays")
        .without("opt/acme/lib/one.so")
        .file("opt/acme/lib2/two.so", "library")
        .without("opt/acme/becomes-directory")
        .file("opt/acme/becomes-directory/inner", "inner")
        .without("opt/acme/becomes-file/inner/deep")
        .file("opt/acme/becomes-file", "file")
        .link("opt/acme/current", "lib2")
        .directory("opt/acme/var", 0o700)
        .config("etc/acme.conf", "two")
}

fn third() -> Patch {
    second()
        .next("1.2.0")
        .file("opt/acme/third", "third")
        .program("opt/acme/bin/agent", "agent III\nwith much that stays")
}

/// What a machine goes through, and what it is then asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Install,
    Upgrade,
    Chain,
    /// A chain onto an empty machine: what its links stage for one new directory gets in each
    /// other's way.
    Fresh,
    Remove,
    Rollback,
    /// With hooks, which need privilege.
    Hooks,
}

impl Scenario {
    const ALL: [Self; 7] = [
        Self::Install,
        Self::Upgrade,
        Self::Chain,
        Self::Fresh,
        Self::Remove,
        Self::Rollback,
        Self::Hooks,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Chain => "chain",
            Self::Fresh => "fresh",
            Self::Remove => "remove",
            Self::Rollback => "rollback",
            Self::Hooks => "hooks",
        }
    }

    fn set_up(self, machine: &mut Machine) {
        machine.write("opt/mine", "mine");
        if matches!(self, Self::Install | Self::Fresh) {
            return;
        }
        if self == Self::Hooks {
            machine.add_shell();
            machine.write("etc/group", "root:x:0:\n");
            let back = format!("{RUNNING}; echo root:x:0:0::/: > /etc/passwd");
            machine.install(first().hook("post-install", &back).full());
            return;
        }
        machine.install(first().full());
        machine.write("etc/acme.conf", "by hand");
        if self == Self::Rollback {
            machine.install(second().since(&first()));
            machine.write("opt/acme/bin/agent", "changed by hand");
        }
    }

    fn carry_out(self, machine: &mut Machine) {
        match self {
            Self::Install => drop(machine.install(first().full())),
            Self::Upgrade => drop(machine.install(second().full())),
            Self::Chain => {
                // the first link's changes are to what is installed, the second's to what is staged
                let agent = [("opt/acme/bin/agent", "opt/acme/bin/agent")];
                let one = second().changes_since(&first(), &agent);
                let other = third().changes_since(&second(), &agent);
                machine.try_install(vec![one, other]).expect("applied");
            }
            Self::Fresh => {
                let chain = vec![first().full(), second().since(&first())];
                machine.try_install(chain).expect("applied");
            }
            Self::Remove => drop(machine.remove("acme")),
            Self::Rollback => drop(machine.rollback(None)),
            Self::Hooks => {
                let begin = format!("{STOPPED}; echo acme:x:990:0::/: >> /etc/passwd");
                let next = second()
                    .entry("opt/acme/helper", "helper", 0o4750, false)
                    .owned("opt/acme/helper", "acme:root")
                    .owned("opt/acme/lib2/two.so", "acme:root");
                let next = next.hook("pre-install", &begin).hook("post-install", RUNNING);
                machine.install(next.full());
            }
        }
    }
}

/// The process that is killed. Does nothing as an ordinary test.
#[test]
fn child() {
    let Some(base) = std::env::var_os(BASE) else { return };
    let wanted = std::env::var(SCENARIO).expect("a scenario");
    let mut machine = Machine::open(Path::new(&base));
    machine.recover();
    if let Some(scenario) = Scenario::ALL.into_iter().find(|one| one.name() == wanted) {
        scenario.carry_out(&mut machine);
    }
}

pub(super) struct Lab {
    directory: tempfile::TempDir,
    runs: usize,
}

/// Where a process is killed, or made to fail.
pub(super) type Wishes<'w> = &'w [(&'static str, String)];

impl Lab {
    pub fn new(scenario: Scenario) -> Self {
        let lab = Self { directory: temporary(scenario == Scenario::Hooks), runs: 0 };
        let template = lab.path("template");
        std::fs::create_dir(&template).expect("made");
        scenario.set_up(&mut Machine::create(&template));
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A machine as the scenario finds it.
    pub fn copy(&mut self) -> PathBuf {
        self.copy_of(&self.path("template"))
    }

    fn copy_of(&mut self, base: &Path) -> PathBuf {
        self.runs += 1;
        let copy = self.path(&format!("run-{}", self.runs));
        let status = Command::new("cp").arg("-a").arg(base).arg(&copy).status().expect("cp");
        assert!(status.success());
        copy
    }

    pub fn spawn(base: &Path, scenario: &str, wishes: Wishes<'_>) -> ExitStatus {
        Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "transaction::tests::crash::child", "--test-threads=1", "--quiet"])
            .env(BASE, base)
            .env(SCENARIO, scenario)
            .env("RUST_BACKTRACE", "0")
            .envs(wishes.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("run")
            .status
    }

    /// Every point that a run passes, each with its count: `NAME:N`.
    fn points(&mut self, base: &Path, scenario: &str, wishes: Wishes<'_>) -> Vec<String> {
        let list = self.path("list");
        let _ = std::fs::remove_file(&list);
        let mut wishes = wishes.to_vec();
        wishes.push(("COUNTERSIGN_CRASH_LIST", list.to_str().expect("UTF-8").into()));
        Self::spawn(base, scenario, &wishes);
        let mut counts: HashMap<String, u32> = HashMap::new();
        let text = std::fs::read_to_string(&list).expect("a list");
        text.lines()
            .map(|name| {
                let count = counts.entry(name.into()).or_default();
                *count += 1;
                format!("{name}:{count}")
            })
            .collect()
    }
}

type State = (std::collections::BTreeMap<String, String>, Vec<String>);

fn state(base: &Path) -> State {
    let machine = Machine::open(base);
    (machine.snapshot(), machine.installed())
}

pub(super) fn crash_at(point: &str) -> (&'static str, String) {
    ("COUNTERSIGN_CRASH_AT", point.to_owned())
}

/// Recovers a machine in this process; says which state it ended at.
fn ends_at(base: &Path, old: &State, new: &State, what: &str) -> bool {
    let mut machine = Machine::open(base);
    machine.recover();
    let found = (machine.snapshot(), machine.installed());
    assert!(machine.staged().is_empty(), "{what}: staging is left");
    assert!(machine.database.unfinished().expect("read").is_none());
    let is_new = found == *new;
    if !is_new {
        assert_eq!(found, *old, "{what}: neither old nor new");
    }
    is_new
}

#[test]
fn killed_anywhere_the_rerun_ends_at_the_old_or_the_new_state() {
    let mut total = 0;
    for scenario in Scenario::ALL {
        if scenario == Scenario::Hooks && without_privilege("running hooks inside a root") {
            continue;
        }
        let name = scenario.name();
        let mut lab = Lab::new(scenario);
        let (template, whole) = (lab.path("template"), lab.copy());
        let points = lab.points(&whole, name, &[]);
        let (old, new) = (state(&template), state(&whole));
        assert_ne!(old, new);
        if scenario == Scenario::Fresh {
            for place in ["transaction.gather:1", "transaction.weed.done:1"] {
                assert!(points.iter().any(|point| point == place), "{place}: {points:?}");
            }
        }
        let (mut at_old, mut at_new) = (0, 0);
        for point in &points {
            let what = format!("{name} killed at {point}");
            let base = lab.copy();
            let status = Lab::spawn(&base, name, &[crash_at(point)]);
            assert_eq!(status.signal(), Some(9), "{what}");
            if ends_at(&base, &old, &new, &what) {
                at_new += 1;
            } else {
                at_old += 1;
                let mut machine = Machine::open(&base);
                scenario.carry_out(&mut machine);
                assert_eq!((machine.snapshot(), machine.installed()), new, "{what}, again");
            }
            std::fs::remove_dir_all(&base).expect("removed");
        }
        println!("{name}: killed at {} points, {at_old} old, {at_new} new", points.len());
        assert!(at_old > 10 && at_new > 0, "{name}: {points:?}");
        total += points.len();
    }
    println!("killed at {total} points in all");
    assert!(total > 150, "{total}");
}

#[test]
fn killed_while_recovering_the_next_start_recovers() {
    let mut total = 0;
    for scenario in [Scenario::Upgrade, Scenario::Rollback] {
        let name = scenario.name();
        let mut lab = Lab::new(scenario);
        let (template, whole) = (lab.path("template"), lab.copy());
        scenario.carry_out(&mut Machine::open(&whole));
        let (old, new) = (state(&template), state(&whole));
        let crashed = lab.copy();
        Lab::spawn(&crashed, name, &[crash_at("transaction.placed")]);
        let probe = lab.copy_of(&crashed);
        let points = lab.points(&probe, "only recover", &[]);
        assert_eq!(state(&probe), old);
        for point in &points {
            let what = format!("{name}, recovery killed at {point}");
            let base = lab.copy_of(&crashed);
            let status = Lab::spawn(&base, "only recover", &[crash_at(point)]);
            assert_eq!(status.signal(), Some(9), "{what}");
            assert!(!ends_at(&base, &old, &new, &what), "{what}");
            std::fs::remove_dir_all(&base).expect("removed");
        }
        total += points.len();
    }
    println!("recovery killed at {total} points");
    assert!(total > 20, "{total}");
}

#[test]
fn killed_while_undoing_a_failed_step_the_next_start_ends_it() {
    let scenario = Scenario::Upgrade;
    let name = scenario.name();
    let mut lab = Lab::new(scenario);
    let (template, whole) = (lab.path("template"), lab.copy());
    scenario.carry_out(&mut Machine::open(&whole));
    let (old, new) = (state(&template), state(&whole));
    let fail = ("COUNTERSIGN_FAIL_AT", "transaction.remove:1".to_owned());
    let probe = lab.copy();
    let points = lab.points(&probe, name, std::slice::from_ref(&fail));
    assert_eq!(state(&probe), old);
    let from = points.iter().position(|point| point == "transaction.remove:1").expect("failed");
    let undoing = &points[from + 1..];
    for point in undoing {
        let what = format!("undoing killed at {point}");
        let base = lab.copy();
        let status = Lab::spawn(&base, name, &[fail.clone(), crash_at(point)]);
        assert_eq!(status.signal(), Some(9), "{what}");
        assert!(!ends_at(&base, &old, &new, &what), "{what}");
        std::fs::remove_dir_all(&base).expect("removed");
    }
    println!("undoing killed at {} points", undoing.len());
    assert!(undoing.len() > 10, "{undoing:?}");
}

/// What a machine finds after a power cut follows from the order of these.
#[test]
fn everything_is_flushed_before_the_first_rename_and_before_the_commit() {
    let renames = ["create", "replace", "exchange", "remove", "remove-directory", "metadata"];
    for scenario in Scenario::ALL {
        if scenario == Scenario::Hooks && without_privilege("running hooks inside a root") {
            continue;
        }
        let mut lab = Lab::new(scenario);
        let base = lab.copy();
        let points = lab.points(&base, scenario.name(), &[]);
        let places = |wanted: &[&str]| -> Vec<usize> {
            let is_wanted = |point: &str| {
                let name = point.strip_prefix("transaction.").unwrap_or(point);
                let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
                wanted.contains(&name)
            };
            (0..points.len()).filter(|at| is_wanted(&points[*at])).collect()
        };
        let flushes = places(&["flush"]);
        let [before, after] = flushes.as_slice() else { panic!("{scenario:?}: {points:?}") };
        let ready = places(&[
            "area",
            "stage",
            "write",
            "weed",
            "gather",
            "journalled",
            "back-up",
            "lay-ready",
            "give-away",
        ]);
        assert!(ready.iter().all(|at| at < before), "{scenario:?}: {points:?}");
        let done = places(&renames);
        assert!(done.len() > 1 && done.iter().all(|at| before < at && at < after));
        assert!(places(&["hook"]).iter().all(|at| at < after), "{scenario:?}: {points:?}");
        assert!(places(&["commit"]).iter().all(|at| after < at), "{scenario:?}: {points:?}");
        assert!(places(&["clean"]).iter().all(|at| after < at), "{scenario:?}: {points:?}");
    }
}
