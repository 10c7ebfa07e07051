//! The units for systemd that come with the project: every command in them is one that the programs
//! take, and systemd reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_tests::programs::{Program, Programs, workspace};

fn units() -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace().join("contrib/systemd")).expect("it can be listed");
    let mut units: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    units.sort();
    units
}

/// The commands of a unit.
fn commands(unit: &Path) -> Vec<String> {
    let text = fs::read_to_string(unit).expect("a unit");
    text.lines().filter_map(|line| line.strip_prefix("ExecStart=").map(str::to_owned)).collect()
}

#[test]
fn every_command_of_a_unit_is_one_that_the_program_takes() {
    let mut count = 0;
    for unit in units() {
        for line in commands(&unit) {
            let mut words = line.split_whitespace();
            let program = match words.next() {
                Some("/usr/bin/patchrepo") => Program::Patchrepo,
                Some("/usr/bin/patchctl") => Program::Patchctl,
                other => panic!("{}: {other:?}", unit.display()),
            };
            // a directory that is not there is refused only after the words were understood
            let lab = tempfile::tempdir().expect("a directory");
            let missing = lab.path().join("missing").display().to_string();
            let words = words.map(|word| match word {
                word if word.starts_with("https://") => "http://127.0.0.1:9/".to_owned(),
                word if word.starts_with("/etc/") || word.starts_with("/srv/") => missing.clone(),
                word => word.to_owned(),
            });
            let mut command = Command::new(Programs::get().path(program));
            if matches!(program, Program::Patchctl) {
                command.arg("--root").arg(lab.path());
            }
            let output = command.args(words).current_dir(lab.path()).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            // what every mistake in the words of a command line ends with
            assert!(!said.contains("try '--help'"), "{line}: {said}");
            assert_ne!(output.status.code(), Some(0), "{line}: nothing is there to be done");
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

#[test]
fn every_service_has_its_timer() {
    let names: Vec<_> = units().iter().map(|path| path.display().to_string()).collect();
    for name in names.iter().filter_map(|name| name.strip_suffix(".service")) {
        assert!(names.contains(&format!("{name}.timer")), "{name}");
    }
}

#[test]
fn systemd_reads_them() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    // it wants the programs to be where units say
    let lab = tempfile::tempdir().expect("a directory");
    let copies: Vec<_> = units()
        .iter()
        .map(|unit| {
            let text = fs::read_to_string(unit).expect("a unit");
            let text = text
                .replace("/usr/bin/patchrepo", &path_of(Program::Patchrepo))
                .replace("/usr/bin/patchctl", &path_of(Program::Patchctl));
            let copy = lab.path().join(unit.file_name().expect("a name"));
            fs::write(&copy, text).expect("written");
            copy
        })
        .collect();
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let lab = lab.path().display().to_string();
    let wrong: Vec<_> = said.lines().filter(|line| line.contains(&lab)).collect();
    assert_eq!(wrong, [""; 0], "{said}");
}

fn path_of(program: Program) -> String {
    Programs::get().path(program).display().to_string()
}
