//! Publishing one more patch, and a thousand at once, as an operator does: collection add and
//! publish, distribution sync, release and publish, each a program that is started.

mod side_by_side;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Options;
use crate::grown::{Grown, patchrepo, write_archive};
use crate::measure::{Measured, Workshop, run as run_command};
use crate::table::{Table, time};

/// The size up to which the others are measured: making a larger repository takes them most of an
/// hour.
pub const AT_MOST: u64 = 10_000;
/// Patches that are published at once.
const MANY: usize = 1_000;
/// Most times that so many are: each needs other archives.
const MANY_RUNS: usize = 5;

/// Prints the growth over the sizes: of one patch, of its steps, of a thousand patches.
pub fn run(workshop: &Workshop, options: &Options) {
    let mut one = Table::new("publish one, all five steps, growth");
    let mut many = Table::new(format!("publish {MANY} at once, all five steps, growth"));
    let mut lines = Vec::new();
    let mut ours = Vec::new();
    for &size in &options.sizes {
        let grown = Grown::new(workshop, size, true);
        let line = format!("{size} entries");
        let mut steps = Vec::new();
        let measured = measure(workshop, &grown, options.runs, 1, &mut steps);
        ours.push((size, measured));
        one.row(&line, measured);
        lines.push((line.clone(), steps));
        many.row(
            &line,
            measure(workshop, &grown, options.runs.min(MANY_RUNS), MANY, &mut Vec::new()),
        );
    }
    many.row("reading and hashing their archives", hashing(workshop));
    one.print();
    println!("\n### publish one, each step, medians\n");
    println!("| | add | publish | sync | release | publish |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (line, steps) in lines {
        let step = |at: usize| {
            let mut walls: Vec<Duration> = steps.iter().map(|run| run[at]).collect();
            walls.sort_unstable();
            time(walls[walls.len() / 2])
        };
        let row: Vec<String> = (0..5).map(step).collect();
        println!("| {line} | {} |", row.join(" | "));
    }
    many.print();
    side_by_side::run(workshop, options, &ours);
}

/// Publishes `count` patches `runs` times, each time other ones; `steps` are the times of each.
fn measure(
    workshop: &Workshop,
    grown: &Grown,
    runs: usize,
    count: usize,
    steps: &mut Vec<[Duration; 5]>,
) -> Measured {
    let mut walls = Vec::new();
    // the first one brings the indexes up to date, as any earlier use did
    for number in 0..=runs {
        let version = version(count, number);
        let archives = archives(workshop, count, &version);
        let before = grown.served();
        let [collection, distribution] = ["collection", "distribution"].map(|it| grown.role(it));
        let mut add = patchrepo(workshop, "collection add", &collection);
        add.args(&archives);
        let mut release = patchrepo(workshop, "distribution release", &distribution);
        match count {
            1 => release.arg(format!("bench-0@{version}")),
            _ => release.arg("--all"),
        };
        let commands = [
            add,
            patchrepo(workshop, "collection publish", &collection),
            patchrepo(workshop, "distribution sync", &distribution),
            release,
            patchrepo(workshop, "distribution publish", &distribution),
        ];
        run_command(&mut Command::new("sync"));
        let times = commands.map(|mut command| {
            let begun = Instant::now();
            run_command(&mut command);
            begun.elapsed()
        });
        let expected = [before[0] + count as u64, before[1] + 1];
        assert_eq!(grown.served(), expected, "it is not all published");
        if number > 0 {
            walls.push(times.iter().sum());
            steps.push(times);
        }
    }
    walls.sort_unstable();
    let range = (walls[0], walls[walls.len() - 1]);
    Measured { wall: walls[walls.len() / 2], range, ..Measured::default() }
}

/// What no publisher can do without.
fn hashing(workshop: &Workshop) -> Measured {
    let archives = archives(workshop, MANY, &version(MANY, 0));
    let begun = Instant::now();
    run_command(Command::new("sha256sum").args(&archives));
    let wall = begun.elapsed();
    Measured { wall, range: (wall, wall), ..Measured::default() }
}

/// A version for each publication: sizes are measured with others in between.
fn version(count: usize, number: usize) -> String {
    format!("{count}.{number}.0")
}

fn archives(workshop: &Workshop, count: usize, version: &str) -> Vec<PathBuf> {
    let place = workshop.path(&format!("archives-{version}"));
    let path = |number: usize| place.join(format!("{number}.patch"));
    if !place.exists() {
        fs::create_dir_all(&place).expect("a place for the archives");
        for number in 0..count {
            write_archive(&format!("bench-{number}"), version, &path(number));
        }
    }
    (0..count).map(path).collect()
}
