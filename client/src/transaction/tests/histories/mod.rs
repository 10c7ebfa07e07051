//! Random histories of machines, each step judged by a model.
//!
//! `COUNTERSIGN_HISTORIES` says how many (500), `COUNTERSIGN_SEED` with which seed they begin (1);
//! history n has the seed of the first plus n. A history that fails is shrunk to the steps that it
//! takes to fail, and those are printed.

mod machine;
mod model;
mod settle;
mod steps;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_format::time::Timestamp;
use countersign_store::crash::{Ended, Failure, with_crash, with_failure};

use self::machine::{compare, compare_aside, disk, notices, rework};
use self::model::{Model, Refused};
use self::steps::{Change, Random, Step, Trouble, steps};
use self::world::{Way, number};
use super::kit::{Machine, temporary, without_privilege};
use crate::db::hold::Hold;
use crate::journal;
use crate::report::Silent;
use crate::root::RootError;
use crate::transaction::{ApplyError, Outcome, PrepareError, Prepared};

/// How long a history is.
const LENGTH: usize = 10;
/// One history in this many has hooks, whose processes take most of the time.
const WITH_HOOKS: u64 = 8;

/// A machine, what it must be, and what happened to it.
struct History {
    base: tempfile::TempDir,
    machine: Machine,
    model: Model,
    /// The numbers of the transactions of `model.past`.
    numbers: Vec<i64>,
    happened: BTreeMap<&'static str, u64>,
}

/// What a step came to.
type Judged = Result<(), String>;

impl History {
    fn new(hooks: bool) -> Self {
        let base = temporary(hooks);
        let machine = Machine::create(base.path());
        if hooks {
            machine.add_shell();
        }
        let user = machine.root.user();
        let model = Model { user, ..Model::default() };
        Self { base, machine, model, numbers: Vec::new(), happened: BTreeMap::new() }
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn step(&mut self, step: &Step) -> Judged {
        match step {
            Step::Local(path, local) => {
                let user = self.model.user;
                let Some(next) = local.on(&self.model.disk, path, user) else { return Ok(()) };
                self.count("local changes");
                rework(&self.machine.path(""), &self.model.disk, &next);
                self.model.disk = next;
                assert_eq!(disk(&self.machine.path("")), self.model.disk, "the test is right");
                Ok(())
            }
            Step::Hold(name, held) => {
                self.count(if *held { "holds" } else { "holds ended" });
                self.hold(name, *held);
                compare(&self.machine, &self.model)
            }
            Step::Change(change, trouble) => match self.carry_out(change, *trouble) {
                Some(judged) => judged.and_then(|()| compare(&self.machine, &self.model)),
                None => Ok(()),
            },
        }
    }

    fn hold(&mut self, name: &str, held: bool) {
        let now = Timestamp::from_seconds(1_795_000_000).expect("a moment of this century");
        let names = [super::kit::name(name)];
        let database = &mut self.machine.database;
        if held {
            self.model.holds.insert(name.to_owned());
            let [name] = names;
            let one = Hold { name, version: None, until: None, reason: None, since: now };
            database.hold(&[one], now).expect("held");
        } else {
            self.model.holds.remove(name);
            // it is offered again what was rolled back, too
            self.model.held_back.retain(|(held, _)| held != name);
            database.unhold(&names, now).expect("not held any more");
        }
    }

    /// Does it, if it makes sense here.
    fn carry_out(&mut self, change: &Change, trouble: Trouble) -> Option<Judged> {
        let (what, wanted, task) = self.task(change, trouble)?;
        self.count(what);
        let Ok(next) = wanted else {
            self.count("refusals");
            return Some(self.refused(&task));
        };
        Some(match trouble {
            Trouble::None => {
                let done = task.carry_out(&mut self.machine).map_err(|error| format!("{error:?}"));
                done.and_then(|outcome| self.is_done(next, Some(&outcome)))
            }
            Trouble::Hook(hook) if matches!(task, Task::Install(_)) => self.hook_fails(&task, hook),
            Trouble::Hook(_) => return None,
            Trouble::Fault(failure) => self.fails(&task, next, failure),
            Trouble::Crash(at, again) => self.crashes(&task, next, at, again),
        })
    }

    fn is_done(&mut self, next: Model, outcome: Option<&Outcome>) -> Judged {
        let done = journal::finished(self.machine.database.connection()).expect("read");
        let Some((id, _)) = done.first().filter(|_| done.len() == next.past.len()) else {
            return Err(format!("{} transactions are done", done.len()));
        };
        self.model = next;
        self.numbers.push(*id);
        let told = notices(&self.machine, outcome, *id);
        compare_aside(&self.machine, &told, &self.model.past.last().expect("just done").aside)
    }

    fn refused(&mut self, task: &Task) -> Judged {
        match task.carry_out(&mut self.machine) {
            Err(Failed::Prepare(
                PrepareError::Refused(_) | PrepareError::Root(RootError::NotDirectory { .. }),
            )) => Ok(()),
            other => Err(format!("not refused: {other:?}")),
        }
    }

    fn hook_fails(&mut self, task: &Task, hook: &'static str) -> Judged {
        self.count("failing hooks");
        match task.carry_out(&mut self.machine) {
            Err(Failed::Apply(ApplyError::Hook { failure, .. }))
                if failure.to_string().starts_with(hook) =>
            {
                Ok(())
            }
            other => Err(format!("{hook} did not fail: {other:?}")),
        }
    }

    fn fails(&mut self, task: &Task, next: Model, failure: Failure) -> Judged {
        let (result, failed) = with_failure(failure, || task.carry_out(&mut self.machine));
        if failed.is_some() {
            self.count("failing calls");
        }
        match (result, failed) {
            (Ok(outcome), None | Some("transaction.clean")) => {
                self.machine.recover();
                self.is_done(next, Some(&outcome))
            }
            (Err(_), Some(_)) => {
                self.machine.recover();
                Ok(())
            }
            (result, failed) => Err(format!("{failed:?} failed, and it came to {result:?}")),
        }
    }

    fn crashes(&mut self, task: &Task, next: Model, at: u32, again: [Option<u32>; 2]) -> Judged {
        let machine = &mut self.machine;
        match with_crash(at, || task.carry_out(machine)) {
            Ended::Whole(Ok(outcome)) => return self.is_done(next, Some(&outcome)),
            Ended::Whole(Err(error)) => return Err(format!("{error:?}")),
            Ended::Crashed(_) => self.count("crashes"),
        }
        for at in again.into_iter().flatten() {
            self.machine = Machine::open(self.base.path());
            let machine = &mut self.machine;
            if let Ended::Crashed(_) = with_crash(at, || machine.recover()) {
                self.count("crashes of recovery");
            }
        }
        self.machine = Machine::open(self.base.path());
        self.machine.recover();
        let done = journal::finished(self.machine.database.connection()).expect("read");
        if done.len() == self.model.past.len() { Ok(()) } else { self.is_done(next, None) }
    }

    /// What a change comes to here, and how it is done; none where there is nothing to do.
    fn task(&self, change: &Change, trouble: Trouble) -> Option<Wanted> {
        let model = &self.model;
        Some(match change {
            Change::Full(plan) => self.install(
                "installations",
                plan.iter().map(|(name, to)| Way {
                    name,
                    from: None,
                    to: vec![*to],
                    failing: None,
                }),
                trouble,
            ),
            Change::Chain(plan) => {
                let ways: Vec<Way> =
                    plan.iter().filter_map(|(name, to)| self.chain(name, *to)).collect();
                if ways.is_empty() {
                    return None;
                }
                self.install("upgrades", ways.into_iter(), trouble)
            }
            Change::Remove(name) => {
                model.installed.get(*name)?;
                ("removals", model.remove(&[name]), Task::Remove(name))
            }
            Change::RollBack(back) => {
                let keep = model.past.len().checked_sub(back + 1)?;
                let to = if keep == 0 { 0 } else { self.numbers[keep - 1] };
                ("rollbacks", model.roll_back(keep), Task::RollBack(to))
            }
        })
    }

    fn install(
        &self,
        what: &'static str,
        ways: impl Iterator<Item = Way>,
        trouble: Trouble,
    ) -> Wanted {
        let mut ways: Vec<Way> = ways.collect();
        if let (Trouble::Hook(hook), Some(last)) = (trouble, ways.last_mut()) {
            last.failing = Some(hook);
        }
        let coming: Vec<_> = ways.iter().map(|way| way.coming(self.model.user)).collect();
        (what, self.model.install(&coming), Task::Install(ways))
    }

    /// The chain from what is installed of a name to a version, if that is newer.
    fn chain(&self, name: &'static str, to: usize) -> Option<Way> {
        let (version, _) = self.model.installed.get(name)?;
        let from = (0..to).find(|from| number(*from) == *version)?;
        Some(Way { name, from: Some(from), to: (from + 1..=to).collect(), failing: None })
    }
}

type Wanted = (&'static str, Result<Model, Refused>, Task);

/// What the client is to do.
#[derive(Debug)]
enum Task {
    Install(Vec<Way>),
    Remove(&'static str),
    RollBack(i64),
}

#[derive(Debug)]
#[allow(dead_code, reason = "shown where a test fails")]
enum Failed {
    Prepare(PrepareError),
    Apply(ApplyError),
}

impl Task {
    fn carry_out(&self, machine: &mut Machine) -> Result<Outcome, Failed> {
        let prepared: Result<Prepared<'_>, _> = match self {
            Self::Install(ways) => machine.prepare(ways.iter().flat_map(Way::patches).collect()),
            Self::Remove(name) => machine.prepare_remove(name),
            Self::RollBack(to) => machine.prepare_rollback(Some(*to)),
        };
        prepared.map_err(Failed::Prepare)?.apply(&mut Silent).map_err(Failed::Apply)
    }
}

/// Lives through the steps; says at which it went wrong, and how.
fn live(steps: &[Step], hooks: bool) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut history = History::new(hooks);
    for (at, step) in steps.iter().enumerate() {
        let judged = catch_unwind(AssertUnwindSafe(|| history.step(step)));
        judged
            .unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                Err(format!("panicked: {}", text.unwrap_or_default()))
            })
            .map_err(|wrong| format!("step {at}, {step:?}:\n{wrong}"))?;
    }
    Ok(history.happened)
}

/// Leaves out whatever is not needed for it to go wrong.
fn shrink(mut steps: Vec<Step>, hooks: bool) -> (Vec<Step>, String) {
    let mut wrong = String::new();
    let mut at = 0;
    while at < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(at);
        match live(&fewer, hooks) {
            Err(still) => {
                (steps, wrong, at) = (fewer, still, 0);
            }
            Ok(_) => at += 1,
        }
    }
    (steps, wrong)
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn one(seed: u64, is_privileged: bool) -> BTreeMap<&'static str, u64> {
    let hooks = is_privileged && seed.is_multiple_of(WITH_HOOKS);
    let steps = steps(&mut Random(seed), LENGTH, hooks);
    match live(&steps, hooks) {
        Ok(happened) => happened,
        Err(wrong) => {
            let (least, again) = shrink(steps, hooks);
            panic!("seed {seed}: {wrong}\nthe least that fails so is {least:#?}\n{again}");
        }
    }
}

#[test]
fn random_histories_end_as_a_simple_model_says() {
    let (histories, first) =
        (setting("COUNTERSIGN_HISTORIES", 500), setting("COUNTERSIGN_SEED", 1));
    let is_privileged = !without_privilege("histories with hooks");
    let next = AtomicU64::new(0);
    let work = || {
        let mut happened: BTreeMap<&'static str, u64> = BTreeMap::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= histories {
                return happened;
            }
            for (what, count) in one(first + at, is_privileged) {
                *happened.entry(what).or_default() += count;
            }
        }
    };
    let mut happened: BTreeMap<&'static str, u64> = BTreeMap::new();
    std::thread::scope(|scope| {
        for thread in [scope.spawn(work), scope.spawn(work)] {
            for (what, count) in
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            {
                *happened.entry(what).or_default() += count;
            }
        }
    });
    println!("{histories} histories from seed {first}: {happened:?}");
}
