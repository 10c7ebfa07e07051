//! Learning what is new: the first time, when nothing is, when one is, when a hundred are.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::Options;
use crate::items::{Item, items};
use crate::measure::{Measured, Workshop, measure, run as run_command};
use crate::ours::Ours;
use crate::peers::apt::{self, Apt};
use crate::peers::pacman::{self, Pacman};
use crate::peers::python_tuf::{self, PythonTuf};
use crate::server::Server;
use crate::table::Table;

/// How many more the newer states of the published lists have.
const GROWTHS: [u64; 3] = [0, 1, 100];

/// A program that learns from a server what there is.
pub trait Updater {
    /// Its name.
    fn name(&self) -> String;
    /// Writes what a server serves with the first so many items, for each of the places in turn: the
    /// later ones are what was published later.
    fn publish(&self, items: &[Item], sites: &[(usize, PathBuf)]);
    /// Makes a machine that knows nothing yet.
    fn new_machine(&self, machine: &Path, url: &str);
    /// Its first update, and its later ones.
    fn update(&self, workshop: &Workshop, machine: &Path, first: bool) -> Command;
    /// How many items the machine knows.
    fn known(&self, workshop: &Workshop, machine: &Path) -> u64;
}

/// All updaters that are installed, ours first.
pub fn updaters(options: &Options) -> Vec<Box<dyn Updater>> {
    let mut found: Vec<Box<dyn Updater>> = vec![Box::new(Ours)];
    if apt::is_there() {
        found.push(Box::new(Apt));
    }
    if pacman::is_there() {
        found.push(Box::new(Pacman));
    }
    if options.tuf && python_tuf::is_there() {
        found.push(Box::new(PythonTuf));
    }
    found
}

/// What a server publishes.
#[derive(Clone, Copy)]
pub struct List {
    /// How many items, before it grows.
    pub size: u64,
    /// Whether they have full descriptions.
    pub is_described: bool,
}

impl List {
    /// Items with a line each.
    pub fn of(size: u64) -> Self {
        Self { size, is_described: false }
    }

    /// How many more its states have. Nobody looks at later states of one with descriptions.
    fn growths(self) -> &'static [u64] {
        if self.is_described { &GROWTHS[..1] } else { &GROWTHS }
    }

    fn name(self) -> String {
        let described = if self.is_described { "-described" } else { "" };
        format!("{}{described}", self.size)
    }
}

/// Prints a table for each size and each kind of news.
pub fn run(workshop: &Workshop, options: &Options) {
    let server = Server::start(&workshop.fresh("nginx"), &workshop.path("site"));
    for &size in &options.sizes {
        let list = List::of(size);
        for (title, growth, is_first) in [
            ("first update", 0, true),
            ("nothing new", 0, false),
            ("one new", 1, false),
            ("100 new", 100, false),
        ] {
            let title = format!("{title}, {size} entries");
            compare(workshop, options, &server, &title, list, growth, is_first);
        }
        let described = List { is_described: true, ..list };
        let title = format!("first update, {size} entries with full descriptions");
        compare(workshop, options, &server, &title, described, 0, true);
    }
}

fn compare(
    workshop: &Workshop,
    options: &Options,
    server: &Server,
    title: &str,
    list: List,
    growth: u64,
    is_first: bool,
) {
    let mut table = Table::new(title);
    for peer in updaters(options) {
        publish(workshop, &*peer, list);
        let case = Case { workshop, server, peer: &*peer, list, growth, is_first };
        table.row(&peer.name(), case.measure(options.runs));
    }
    table.print();
}

/// Writes what a server serves: the list, and what becomes of it.
pub fn publish(workshop: &Workshop, peer: &dyn Updater, list: List) {
    let name = peer.name();
    let place = |growth: u64| workshop.path(&format!("site/{name}/{}+{growth}", list.name()));
    if list.growths().iter().all(|growth| place(*growth).exists()) {
        return;
    }
    let count = |growth: u64| usize::try_from(list.size + growth).expect("held in memory");
    workshop.set_aside(&workshop.path(&format!("machine-{name}-{}", list.name())));
    // all at once: what is published later goes on from what was published before
    let sites: Vec<_> =
        list.growths().iter().map(|growth| (count(*growth), place(*growth))).collect();
    for (_, site) in &sites {
        workshop.set_aside(site);
        fs::create_dir_all(site).expect("a directory for the site");
    }
    let most = list.growths().iter().max().copied().unwrap_or_default();
    peer.publish(&items(list.size + most, list.is_described), &sites);
}

/// Lets some time pass between two publications: nginx tells files apart by their second and their
/// size alone.
pub fn wait_for_another_second() {
    thread::sleep(Duration::from_millis(1100));
}

/// A machine that knows a list, made if it is not there yet. Nobody changes it.
pub fn held(workshop: &Workshop, server: &Server, peer: &dyn Updater, list: List) -> PathBuf {
    let name = peer.name();
    let held = workshop.path(&format!("machine-{name}-{}", list.name()));
    if !held.exists() {
        serve(workshop, peer, list, 0);
        peer.new_machine(&held, &format!("{}{name}/current/", server.url()));
        run_command(&mut peer.update(workshop, &held, true));
    }
    held
}

/// Lets the server have the list with so many more than `size`.
fn serve(workshop: &Workshop, peer: &dyn Updater, list: List, growth: u64) {
    let served = workshop.path("site").join(peer.name());
    let (current, new) = (served.join("current"), served.join("new"));
    symlink(format!("{}+{growth}", list.name()), &new).expect("a link to what is served");
    fs::rename(new, current).expect("it can be replaced");
}

struct Case<'c> {
    workshop: &'c Workshop,
    server: &'c Server,
    peer: &'c dyn Updater,
    list: List,
    growth: u64,
    is_first: bool,
}

impl Case<'_> {
    fn measure(&self, runs: usize) -> Measured {
        let Self { workshop, server, peer, list, growth, is_first } = *self;
        let name = peer.name();
        let machine = workshop.path(&format!("machine-{name}"));
        let held = held(workshop, server, peer, list);
        serve(workshop, peer, list, growth);
        let prepare = || {
            workshop.set_aside(&machine);
            if is_first {
                peer.new_machine(&machine, &format!("{}{name}/current/", server.url()));
            } else {
                run_command(Command::new("cp").arg("-a").arg(&held).arg(&machine));
            }
        };
        let command = || peer.update(workshop, &machine, is_first);
        let check = || {
            let known = peer.known(workshop, &machine);
            assert_eq!(known, list.size + growth, "{name} does not know what there is");
        };
        let measured = measure(runs, prepare, command, check);
        prepare();
        server.forget();
        run_command(&mut command());
        Measured { network: Some(server.counted()), ..measured }
    }
}
