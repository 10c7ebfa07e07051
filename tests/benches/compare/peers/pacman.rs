//! pacman: a database of descriptions in one compressed tar, not signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::items::Item;
use crate::measure::{Workshop, is_installed};
use crate::update::{Updater, wait_for_another_second};

/// `pacman`.
pub struct Pacman;

/// Whether it is installed.
pub fn is_there() -> bool {
    is_installed("pacman")
}

impl Updater for Pacman {
    fn name(&self) -> String {
        "pacman".into()
    }

    fn publish(&self, items: &[Item], sites: &[(usize, PathBuf)]) {
        for (count, site) in sites {
            publish(&items[..*count], site);
            wait_for_another_second();
        }
    }

    fn new_machine(&self, machine: &Path, url: &str) {
        fs::create_dir_all(machine.join("db/sync")).expect("a directory for the machine");
        let text = format!(
            "[options]\nArchitecture = any\nSigLevel = Never\n[x]\nServer = {}\n",
            url.trim_end_matches('/')
        );
        fs::write(machine.join("pacman.conf"), text).expect("it can be written");
    }

    fn update(&self, _: &Workshop, machine: &Path, _: bool) -> Command {
        let mut command = pacman(machine);
        command.arg("-Sy");
        command
    }

    fn known(&self, _: &Workshop, machine: &Path) -> u64 {
        let output = pacman(machine).arg("-Ssq").output().expect("pacman is installed");
        output.stdout.split(|byte| *byte == b'\n').count() as u64 - 1
    }
}

/// A database as `repo-add` makes it.
fn publish(items: &[Item], site: &Path) {
    let file = fs::File::create(site.join("x.db")).expect("it can be written");
    let compressed = zstd::Encoder::new(file, 19).expect("zstd compresses");
    let mut archive = tar::Builder::new(compressed);
    for Item { name, version, summary, size, unpacked, sha256 } in items {
        let text = format!(
            "%FILENAME%\n{name}-{version}-1-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n\
             %VERSION%\n{version}-1\n\n%DESC%\n{summary}\n\n%CSIZE%\n{size}\n\n\
             %ISIZE%\n{unpacked}\n\n%SHA256SUM%\n{sha256}\n\n%ARCH%\nany\n\n\
             %BUILDDATE%\n1795392000\n\n%PACKAGER%\nPackagers <packagers@example.org>\n\n"
        );
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("{name}-{version}-1/desc");
        archive.append_data(&mut header, path, text.as_bytes()).expect("tar takes it");
    }
    let compressed = archive.into_inner().expect("tar ends");
    compressed.finish().expect("zstd ends");
}

/// `pacman` on a machine of its own.
pub fn pacman(machine: &Path) -> Command {
    let mut command = Command::new("pacman");
    command.arg("--config").arg(machine.join("pacman.conf"));
    command.arg("--dbpath").arg(machine.join("db"));
    command.arg("--cachedir").arg(machine.join("cache"));
    command.arg("--logfile").arg(machine.join("pacman.log"));
    command.args(["--noconfirm", "--noprogressbar", "--disable-download-timeout"]);
    command
}
