//! Checking what is installed, and starting a program.

use std::process::Command;

use crate::Options;
use crate::install;
use crate::measure::{Workshop, is_installed, measure, run as run_command};
use crate::ours::patchctl;
use crate::table::Table;

/// `verify` of an installed tree, against hashing the same files and nothing else.
pub fn run(workshop: &Workshop, options: &Options) {
    let built = install::large(workshop);
    let mut command = patchctl(workshop, &built.machine);
    run_command(command.arg("install").args(&built.patches));
    let mut table = Table::new("verify 256 MiB in 2,048 installed files");
    let verify = || {
        let mut command = patchctl(workshop, &built.machine);
        command.arg("verify");
        command
    };
    table.row("patchctl verify", measure(options.runs, || (), verify, || ()));
    for (program, hash) in [("sha256sum", "sha256sum"), ("openssl", "openssl dgst -sha256 -r")] {
        if !is_installed(program) {
            continue;
        }
        for processes in [1, 2] {
            let command = || {
                let each =
                    format!("find opt -type f -print0 | xargs -0 -n 64 -P {processes} {hash}");
                let mut command = Command::new("sh");
                command.arg("-c").arg(each).current_dir(&built.machine);
                command
            };
            let name = format!("{hash}, {processes} at a time");
            table.row(&name, measure(options.runs, || (), command, || ()));
        }
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
