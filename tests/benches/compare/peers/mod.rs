//! The other programs: how their repositories are made, and what of their commands does what ours do.

pub mod apt;
pub mod aptly;
pub mod deb;
pub mod pacman;
pub mod python_tuf;
pub mod reprepro;
pub mod tuftool;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Options;
use crate::items::{Item, items};
use crate::measure::{Workshop, is_installed};

/// A program that keeps a repository and adds to it.
pub trait Keeper {
    /// Its name.
    fn name(&self) -> String;
    /// Makes a repository with the items in `place`, a new directory.
    fn make(&self, place: &Path, items: &[Item]);
    /// What an operator types to publish more, which are not in the repository yet.
    fn add(&self, place: &Path, items: &[Item]) -> Command;
    /// Where the list of what is there lies after so many additions.
    fn list(&self, place: &Path) -> PathBuf;
}

/// All keepers that are installed; those of The Update Framework only where they were asked for.
pub fn keepers(options: &Options) -> Vec<Box<dyn Keeper>> {
    let mut found: Vec<Box<dyn Keeper>> = Vec::new();
    if options.tuf && is_installed("tuftool") {
        found.push(Box::new(tuftool::Tuftool));
    }
    if options.tuf && python_tuf::is_there() {
        found.push(Box::new(python_tuf::PythonTuf));
    }
    if apt::is_there() {
        found.push(Box::new(apt::Flat));
    }
    if is_installed("aptly") && is_installed("gpg") {
        found.push(Box::new(aptly::Aptly));
    }
    if is_installed("reprepro") && is_installed("gpg") {
        found.push(Box::new(reprepro::Reprepro));
    }
    found
}

/// Whether the list of `keeper` names `item`.
pub fn has(keeper: &dyn Keeper, place: &Path, item: &Item) -> bool {
    let list = fs::read(keeper.list(place)).expect("it keeps a list");
    String::from_utf8_lossy(&list).contains(&item.name)
}

/// The repository of `keeper` with so many items, made if it is not there yet.
pub fn kept(workshop: &Workshop, keeper: &dyn Keeper, size: u64) -> PathBuf {
    let name = format!("keeper-{}-{size}", keeper.name().replace([',', ' '], ""));
    let place = workshop.path(&name);
    if !place.exists() {
        // what a run that was broken off has left is not taken for a repository
        let unfinished = workshop.fresh("keeper");
        keeper.make(&unfinished, &items(size, false));
        fs::rename(unfinished, &place).expect("it is on the same file system");
    }
    place
}

/// The number of the first item that the repository of so many does not have yet.
pub fn first_new(keeper: &dyn Keeper, place: &Path, size: u64) -> u64 {
    let mut number = size;
    while has(keeper, place, &item(number)) {
        number += 1;
    }
    number
}

/// The item of that number, counted from 0.
pub fn item(number: u64) -> Item {
    items(number + 1, false).pop().expect("there is at least one")
}

/// A command of the shell with `arguments`, in `place`.
fn shell(place: &Path, script: &str, arguments: &[PathBuf]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script, "sh"]).args(arguments).current_dir(place);
    command
}
