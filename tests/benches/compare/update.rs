//! Learning what is new: the first time, when nothing is, when one is, when a hundred are.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::Apt;
use crate::items::{Item, items};
use crate::measure::{Measured, Workshop, measure, run as run_command};
use crate::ours::Ours;
use crate::pacman::Pacman;
use crate::server::Server;
use crate::table::Table;
use crate::{Options, apt, pacman};

/// How many more the newer states of the published lists have.
pub const GROWTHS: [u64; 3] = [0, 1, 100];

/// A program that learns from a server what there is.
pub trait Updater {
    /// Its name.
    fn name(&self) -> String;
    /// Writes what a server serves with these items.
    fn publish(&self, items: &[Item], site: &Path);
    /// Makes a machine that knows nothing yet.
    fn new_machine(&self, machine: &Path, url: &str);
    /// Its first update, and its later ones.
    fn update(&self, workshop: &Workshop, machine: &Path, first: bool) -> Command;
    /// How many items the machine knows.
    fn known(&self, workshop: &Workshop, machine: &Path) -> u64;
}

/// All updaters that are installed, ours first.
pub fn updaters() -> Vec<Box<dyn Updater>> {
    let mut found: Vec<Box<dyn Updater>> = vec![Box::new(Ours)];
    if apt::is_there() {
        found.push(Box::new(Apt));
    }
    if pacman::is_there() {
        found.push(Box::new(Pacman));
    }
    found
}

/// Prints a table for each size and each kind of news.
pub fn run(workshop: &Workshop, options: &Options) {
    let server = Server::start(&workshop.fresh("nginx"), &workshop.path("site"));
    for &size in &options.sizes {
        let peers = updaters();
        for peer in &peers {
            publish(workshop, &**peer, size, &GROWTHS);
        }
        for (title, growth, is_first) in [
            ("first update", 0, true),
            ("nothing new", 0, false),
            ("one new", 1, false),
            ("100 new", 100, false),
        ] {
            let mut table = Table::new(format!("{title}, {size} entries"));
            for peer in &peers {
                let case =
                    Case { workshop, server: &server, peer: &**peer, size, growth, is_first };
                table.row(&peer.name(), case.measure(options.runs));
            }
            table.print();
        }
    }
}

/// Writes what a server serves, for lists that have so many more items than `size`.
pub fn publish(workshop: &Workshop, peer: &dyn Updater, size: u64, growths: &[u64]) {
    let all = items(size + growths.iter().max().copied().unwrap_or_default());
    for growth in growths {
        let count = usize::try_from(size + growth).expect("held in memory");
        let place = workshop.path(&format!("site/{}/{size}+{growth}", peer.name()));
        if !place.exists() {
            fs::create_dir_all(&place).expect("a directory for the site");
            peer.publish(&all[..count], &place);
            // nginx tells files apart by their second and size alone
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
    }
}

/// A machine that knows `size` items, made if it is not there yet. Nobody changes it.
pub fn held(workshop: &Workshop, server: &Server, peer: &dyn Updater, size: u64) -> PathBuf {
    let name = peer.name();
    let held = workshop.path(&format!("machine-{name}-{size}"));
    if !held.exists() {
        serve(workshop, peer, size, 0);
        peer.new_machine(&held, &format!("{}{name}/current/", server.url()));
        run_command(&mut peer.update(workshop, &held, true));
    }
    held
}

/// Lets the server have the list with so many more than `size`.
fn serve(workshop: &Workshop, peer: &dyn Updater, size: u64, growth: u64) {
    let served = workshop.path("site").join(peer.name());
    let (current, new) = (served.join("current"), served.join("new"));
    symlink(format!("{size}+{growth}"), &new).expect("a link to what is served");
    fs::rename(new, current).expect("it can be replaced");
}

struct Case<'c> {
    workshop: &'c Workshop,
    server: &'c Server,
    peer: &'c dyn Updater,
    size: u64,
    growth: u64,
    is_first: bool,
}

impl Case<'_> {
    fn measure(&self, runs: usize) -> Measured {
        let Self { workshop, server, peer, size, growth, is_first } = *self;
        let name = peer.name();
        let machine = workshop.path(&format!("machine-{name}"));
        let held = held(workshop, server, peer, size);
        serve(workshop, peer, size, growth);
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
            assert_eq!(known, size + growth, "{name} does not know what there is");
        };
        let measured = measure(runs, prepare, command, check);
        prepare();
        server.forget();
        run_command(&mut command());
        Measured { network: Some(server.counted()), ..measured }
    }
}
