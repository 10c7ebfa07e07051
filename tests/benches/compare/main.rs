//! Countersign and its peers side by side, in one run on one machine.
//!
//! `cargo bench --bench compare` builds the data, starts nginx on the loopback, lets each program do
//! its own equivalent of each piece of work, checks that the result is right, and prints the tables of
//! `docs/performance.md` with ratios, the machine and the versions. Peers that are not installed are
//! named and left out. Options: `--sizes 1000,10000,100000` (entries), `--runs 5`, `--tuf` (tuftool and
//! python-tuf take part), `--keep` (leave the data), and the names of tables (`update`, `list`, `install`, `publish`, `mirror`, `verify`, `start`,
//! `delta`; all unless named).
//!
//! A tree is never deleted just before another is extracted, since recently freed inodes slow down
//! extraction on ext4 by a factor of ten: it is renamed aside and deleted at the end.

#![forbid(unsafe_code)]

mod delta;
mod grown;
mod install;
mod items;
mod list;
mod machine;
mod measure;
mod mirror;
mod ours;
mod peers;
mod publish;
mod server;
mod table;
mod update;
mod verify;

use std::path::PathBuf;

use measure::Workshop;

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// Numbers of entries.
    pub sizes: Vec<u64>,
    /// Runs of each piece of work, of which the median counts.
    pub runs: usize,
    /// Whether the tools of The Update Framework take part.
    pub tuf: bool,
    keep: bool,
    tables: Vec<String>,
}

/// What prints a table or more.
type Run = fn(&Workshop, &Options);

const TABLES: &[(&str, Run)] = &[
    ("start", verify::start),
    ("update", update::run),
    ("list", list::run),
    ("install", install::run),
    ("publish", publish::run),
    ("mirror", mirror::run),
    ("verify", verify::run),
    ("delta", delta::run),
];

fn main() {
    let Some(options) = Options::read() else { return };
    let workshop = Workshop::new(options.keep);
    machine::print(&workshop);
    for (name, run) in TABLES {
        if options.tables.is_empty() || options.tables.iter().any(|table| table == name) {
            run(&workshop, &options);
        }
    }
}

impl Options {
    /// Reads the command line. `None` where cargo only wants to know what tests there are.
    fn read() -> Option<Self> {
        let mut options = Self {
            sizes: vec![1_000, 10_000, 100_000],
            runs: 5,
            tuf: false,
            keep: false,
            tables: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} VALUE"));
            match argument.as_str() {
                "--bench" => {}
                "--test" | "--list" => return None,
                "--sizes" => {
                    let number = |text: &str| text.parse().expect("a number of entries");
                    options.sizes = value().split(',').map(number).collect();
                }
                "--runs" => options.runs = value().parse().expect("a number of runs"),
                "--tuf" => options.tuf = true,
                "--keep" => options.keep = true,
                name if TABLES.iter().any(|(table, _)| *table == name) => {
                    options.tables.push(name.to_owned());
                }
                other => panic!("{other}: see the head of tests/benches/compare/main.rs"),
            }
        }
        Some(options)
    }
}

/// The directory below the workspace's target directory in which everything is built: on a disk,
/// as repositories and machines are.
fn data_directory() -> PathBuf {
    let running = std::env::current_exe().expect("the running program has a path");
    let target = running.ancestors().nth(3).expect("cargo builds into target/PROFILE/deps");
    target.join("compare")
}
