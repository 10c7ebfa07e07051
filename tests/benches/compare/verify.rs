//! Checking what is installed, and starting a program.

use std::process::Command;

use crate::Options;
use crate::install;
use crate::measure::{
    Contender, Workshop, is_installed, measure, measure_in_turns, run as run_command,
};
use crate::ours::patchctl;
use crate::table::Table;

/// `verify` of an installed tree, against hashing the same files and nothing else.
pub fn run(workshop: &Workshop, options: &Options) {
    let built = &install::large(workshop);
    let mut command = patchctl(workshop, &built.machine);
    run_command(command.arg("install").args(&built.patches));
    let mut contenders = vec![Contender {
        name: "patchctl verify".into(),
        prepare: Box::new(|| ()),
        command: Box::new(|| {
            let mut command = patchctl(workshop, &built.machine);
            command.arg("verify");
            command
        }),
    }];
    for (program, hash) in [("sha256sum", "sha256sum"), ("openssl", "openssl dgst -sha256 -r")] {
        if !is_installed(program) {
            continue;
        }
        for processes in [1, 2] {
            let each = format!("find opt -type f -print0 | xargs -0 -n 64 -P {processes} {hash}");
            contenders.push(Contender {
                name: format!("{hash}, {processes} at a time"),
                prepare: Box::new(|| ()),
                command: Box::new(move || {
                    let mut command = Command::new("sh");
                    command.arg("-c").arg(&each).current_dir(&built.machine);
                    command
                }),
            });
        }
    }
    let measured = measure_in_turns(options.runs, &contenders, || ());
    let mut table = Table::new("verify 256 MiB in 2,048 installed files");
    for (contender, measured) in contenders.iter().zip(measured) {
        table.row(&contender.name, measured);
    }
    table.print();
}

/// How long either program takes to say its version.
pub fn start(workshop: &Workshop, options: &Options) {
    let mut table = Table::new("--version");
    for name in ["patchctl", "patchrepo"] {
        let command = || {
            let mut command = workshop.program(name);
            command.env_clear().arg("--version");
            command
        };
        table.row(name, measure(options.runs.max(21), || (), command, || ()));
    }
    table.print();
}
