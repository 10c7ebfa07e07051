//! What happens to a machine: by its client, by people, by crashes.

use countersign_store::crash::Failure;

use super::model::{Disk, Object};
use super::world::{NAMES, PATHS, VERSIONS};

/// One thing that happens. Each can be tried in every state, so that any of them can be left out
/// of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The client changes something.
    Change(Change, Trouble),
    /// Somebody changes something by hand.
    Local(&'static str, Local),
    /// Somebody holds a patch, or does not any more.
    Hold(&'static str, bool),
}

/// What the client is told to do.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Bring names to versions by full patches.
    Full(Vec<(&'static str, usize)>),
    /// Bring names to versions by chains of incremental patches from what is installed.
    Chain(Vec<(&'static str, usize)>),
    /// Remove a name.
    Remove(&'static str),
    /// Undo this many transactions and one more.
    RollBack(usize),
}

/// What goes wrong meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// The process is killed at this place, and recovery at the next ones, each with the number of
    /// places before it.
    Crash(u32, [Option<u32>; 2]),
    /// A system call fails.
    Fault(Failure),
    /// A hook of the last patch fails.
    Hook(&'static str),
}

/// What somebody does at a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Local {
    Write(u64),
    SetMode(u32),
    GiveAway,
    Delete,
    Link(&'static str),
    Directory,
}

/// Numbers from a seed (splitmix64, Steele 2014).
#[derive(Debug)]
pub(super) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn count(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(bound as usize)).expect("below a u32")
    }
}

/// The steps of one history.
pub(super) fn steps(random: &mut Random, length: usize, hooks: bool) -> Vec<Step> {
    // most start with something that is there
    let first = (0..random.below(3)).map(|_| {
        let names = NAMES.iter().map(|name| (*name, 0)).collect();
        Step::Change(Change::Full(names), Trouble::None)
    });
    let mut steps: Vec<Step> = first.take(1).collect();
    while steps.len() < length {
        steps.push(step(random, hooks));
    }
    steps
}

fn step(random: &mut Random, hooks: bool) -> Step {
    match random.below(20) {
        0..9 => Step::Change(change(random), trouble(random, hooks)),
        9 => Step::Hold(random.one_of(&NAMES), random.is(2)),
        _ => Step::Local(random.one_of(&PATHS), local(random)),
    }
}

fn change(random: &mut Random) -> Change {
    let name = random.one_of(&NAMES);
    let mut plan = vec![(name, random.below(VERSIONS))];
    if random.is(3) {
        let other = random.one_of(&NAMES);
        if other != name {
            plan.push((other, random.below(VERSIONS)));
        }
    }
    match random.below(10) {
        0..3 => Change::Full(plan),
        3..6 => Change::Chain(plan),
        6 => Change::Remove(name),
        _ => Change::RollBack(if random.is(2) { 0 } else { random.below(5) }),
    }
}

fn trouble(random: &mut Random, hooks: bool) -> Trouble {
    const ERRORS: [i32; 5] = [28, 5, 30, 24, 13];
    match random.below(if hooks { 12 } else { 10 }) {
        0..5 => Trouble::None,
        5..8 => {
            let mut again = || random.is(2).then(|| random.count(40));
            let again = [again(), again()];
            Trouble::Crash(random.count(120), again)
        }
        8..10 => {
            let (after, errno) = (random.count(50), random.one_of(&ERRORS));
            Trouble::Fault(Failure { after, errno, done: random.is(2) })
        }
        _ => Trouble::Hook(random.one_of(&["pre-install", "post-install", "check"])),
    }
}

fn local(random: &mut Random) -> Local {
    match random.below(12) {
        0..5 => Local::Write(random.next() % 1000),
        5 => Local::SetMode(random.one_of(&[0o600, 0o644, 0o711, 0o755])),
        6 => Local::GiveAway,
        7..9 => Local::Delete,
        9 => Local::Link(random.one_of(&["bin", "elsewhere"])),
        _ => Local::Directory,
    }
}

impl Local {
    /// What a disk is after this was done at a path; none where it cannot be.
    pub fn on(self, disk: &Disk, path: &str, user: u32) -> Option<Disk> {
        let mut next = disk.clone();
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        for parent in parents {
            let missing = Object::Directory { mode: 0o755, owner: user };
            if !next.entry(parent.to_owned()).or_insert(missing).is_directory() {
                return None;
            }
        }
        let there = next.get(path).cloned();
        let put = match (self, there) {
            (Self::Write(content), None) => {
                let content = format!("by hand {content}");
                Object::File { mode: 0o644, owner: user, content }
            }
            (Self::Write(content), Some(Object::File { mode, owner, .. })) => {
                Object::File { mode, owner, content: format!("by hand {content}") }
            }
            (Self::SetMode(mode), Some(Object::File { owner, content, .. })) => {
                Object::File { mode, owner, content }
            }
            (Self::SetMode(mode), Some(Object::Directory { owner, .. })) => {
                Object::Directory { mode: mode | 0o700, owner }
            }
            (Self::GiveAway, Some(Object::File { mode, content, .. })) if user == 0 => {
                // a new owner takes set-id bits away
                Object::File { mode: mode & 0o777, owner: 1000, content }
            }
            (Self::Delete, Some(_)) => {
                next.retain(|inner, _| inner != path && !inner.starts_with(&format!("{path}/")));
                return Some(next);
            }
            // one that leads somewhere would be followed where it is in a directory's place
            (Self::Link(target), Some(Object::File { content, .. }))
                if target == "elsewhere" || !content.starts_with("by hand") =>
            {
                Object::Link(target.into())
            }
            (Self::Directory, None | Some(Object::File { .. })) => {
                Object::Directory { mode: 0o755, owner: user }
            }
            _ => return None,
        };
        next.insert(path.to_owned(), put);
        Some(next)
    }
}
