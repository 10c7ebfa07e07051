//! Copying a repository that is copied already: nothing new, one patch new, a hundred new.

mod side_by_side;

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::Options;
use crate::grown::{Grown, patchrepo, write_archive};
use crate::measure::{Measured, Workshop, measure, run as run_command};
use crate::server::Server;
use crate::table::Table;

/// How many more patches are released than the mirror has.
const NEW: [usize; 3] = [0, 1, 100];

/// Prints a table for each kind of news, with a row for each size.
pub fn run(workshop: &Workshop, options: &Options) {
    let mut tables: Vec<(usize, Vec<(u64, Measured)>)> =
        NEW.iter().map(|new| (*new, Vec::new())).collect();
    for &size in &options.sizes {
        let grown = Grown::new(workshop, size, false);
        let server = Server::start(&workshop.fresh("nginx"), &grown.role("distribution/public"));
        let held = workshop.path(&format!("mirror-{size}"));
        let sync = |at: &std::path::Path| {
            let mut command = workshop.program("patchrepo");
            command.args(["mirror", "sync", server.url()]).arg(at).arg("--authority");
            command.arg(grown.role("authority/public/authority/1"));
            command
        };
        if !held.exists() {
            run_command(&mut sync(&held));
        }
        for (new, rows) in &mut tables {
            publish(workshop, &grown, *new);
            let copy = workshop.path("mirror");
            let prepare = || {
                workshop.set_aside(&copy);
                run_command(Command::new("cp").arg("-a").arg(&held).arg(&copy));
            };
            let check = || {
                let newest = fs::read(grown.role("distribution/public/collection/checkpoint"));
                let copied = fs::read(copy.join("collection/checkpoint"));
                assert_eq!(copied.expect("a copy"), newest.expect("a head"), "it is behind");
            };
            let measured = measure(options.runs, prepare, || sync(&copy), check);
            prepare();
            server.forget();
            run_command(&mut sync(&copy));
            let network = Some(server.counted());
            rows.push((size, Measured { network, ..measured }));
            // the next kind of news is news to one that has these
            run_command(&mut sync(&held));
        }
    }
    let mut ours = HashMap::new();
    for (new, rows) in tables {
        let mut table = Table::new(format!("mirror sync, {new} new, growth"));
        for (size, measured) in rows {
            table.row(&format!("{size} entries"), measured);
            ours.insert((size, new), measured);
        }
        table.print();
    }
    side_by_side::run(workshop, options, &ours);
}

/// Publishes and releases so many new patches.
fn publish(workshop: &Workshop, grown: &Grown, count: usize) {
    if count == 0 {
        return;
    }
    let [before, _] = grown.served();
    let place = workshop.fresh("mirrored");
    let mut add = patchrepo(workshop, "collection add", &grown.role("collection"));
    let mut release = patchrepo(workshop, "distribution release", &grown.role("distribution"));
    for number in 0..count {
        let (name, path) = (format!("mirrored-{number}"), place.join(format!("{number}.patch")));
        let version = format!("{before}.0.0");
        write_archive(&name, &version, &path);
        add.arg(path);
        release.arg(format!("{name}@{version}"));
    }
    run_command(&mut add);
    run_command(&mut patchrepo(workshop, "collection publish", &grown.role("collection")));
    let distribution = grown.role("distribution");
    run_command(&mut patchrepo(workshop, "distribution sync", &distribution));
    run_command(&mut release);
    run_command(&mut patchrepo(workshop, "distribution publish", &distribution));
}
