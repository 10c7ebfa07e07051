//! Looking at what is known: lists, status, search.

use std::process::Command;

use crate::Options;
use crate::measure::{Workshop, measure};
use crate::ours::{Ours, patchctl};
use crate::peers::apt::{self, Apt};
use crate::peers::pacman::{self as pacman_module, Pacman, pacman};
use crate::server::Server;
use crate::table::Table;
use crate::update::{List, Updater, held, publish};

/// A word of the vocabulary that some summaries have.
const WORD: &str = "corde";

/// Prints a table for each command and size.
pub fn run(workshop: &Workshop, options: &Options) {
    let server = Server::start(&workshop.fresh("nginx"), &workshop.path("site"));
    for &size in &options.sizes {
        let list = List::of(size);
        publish(workshop, &Ours, list);
        let machine = held(workshop, &server, &Ours, list);
        let ours = |arguments: &[&str]| {
            let command = || {
                let mut command = patchctl(workshop, &machine);
                command.args(arguments);
                command
            };
            measure(options.runs, || (), command, || ())
        };
        let mut table = Table::new(format!("looking at what is known, {size} entries"));
        for arguments in [
            &["list", "--installed"][..],
            &["list", "--upgradable"],
            &["status"],
            &["check"],
            &["search", WORD],
            &["list"],
        ] {
            table.row(&format!("patchctl {}", arguments.join(" ")), ours(arguments));
        }
        if apt::is_there() {
            publish(workshop, &Apt, list);
            let machine = held(workshop, &server, &Apt, list);
            let command = || {
                let mut command = Command::new("apt-cache");
                command.args(apt::options(&machine)).args(["search", WORD]);
                command
            };
            let name = format!("{}-cache search {WORD}", Apt.name());
            table.row(&name, measure(options.runs, || (), command, || ()));
        }
        if pacman_module::is_there() {
            publish(workshop, &Pacman, list);
            let machine = held(workshop, &server, &Pacman, list);
            let command = || {
                let mut command = pacman(&machine);
                command.args(["-Ss", WORD]);
                command
            };
            table.row(&format!("pacman -Ss {WORD}"), measure(options.runs, || (), command, || ()));
        }
        table.print();
    }
}
