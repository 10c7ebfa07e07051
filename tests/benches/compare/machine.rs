//! What was measured, and on what.

use std::fs;
use std::process::Command;

use crate::measure::{Workshop, is_installed};

/// Prints machine facts and versions.
pub fn print(workshop: &Workshop) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, Into::into);
    let has_sha = field("flags").split(' ').any(|flag| flag == "sha_ni");
    let sha = if has_sha { "with" } else { "without" };
    println!("## Machine and versions\n");
    println!("- {cores} cores, {}, {sha} SHA instructions", field("model name"));
    println!("- {}", said("uname", &["-sr"]));
    let directory = workshop.path("").display().to_string();
    let disk = said("findmnt", &["--noheadings", "--output", "FSTYPE", "--target", &directory]);
    println!("- data on {disk}");
    let ours = workshop.program("patchctl").arg("--version").output().expect("it was built");
    println!("- {}", String::from_utf8_lossy(&ours.stdout).trim());
    for (program, arguments) in
        [("nginx", ["-v"]), ("apt-get", ["--version"]), ("dpkg", ["--version"])]
    {
        println!("- {}", said(program, &arguments));
    }
    // both draw around their version
    for (program, name) in [("pacman", "Pacman"), ("zstd", "Zstandard")] {
        let line = said(program, &["--version"]);
        println!("- {}", line.find(name).map_or(&*line, |at| &line[at..]));
    }
}

/// The first line that a program prints that has a digit in it.
fn said(program: &str, arguments: &[&str]) -> String {
    if !is_installed(program) {
        return format!("{program}: not installed, left out");
    }
    let path = if program == "nginx" { "/usr/sbin/nginx" } else { program };
    let output = Command::new(path).args(arguments).output().expect("it is installed");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_alphanumeric()));
    line.unwrap_or_default().trim().to_owned()
}
