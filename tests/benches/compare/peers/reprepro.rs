//! reprepro: a database of packages beside a pool and dists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::items::Item;
use crate::measure::run;
use crate::peers::apt::{add_signed, sign_with_key};
use crate::peers::{Keeper, deb, shell};

/// `reprepro`.
pub struct Reprepro;

const SETTINGS: &str = "Codename: x\nComponents: main\nArchitectures: amd64\nSignWith: yes\n";
const MAKE: &str = r#"find "$1" -name '*.deb' -exec reprepro -b . includedeb x {} +"#;
const ADD: &str = r#"reprepro -b . includedeb x "$@""#;

impl Keeper for Reprepro {
    fn name(&self) -> String {
        "reprepro".into()
    }

    fn make(&self, place: &Path, items: &[Item]) {
        fs::create_dir_all(place.join("conf")).expect("a directory for the settings");
        fs::write(place.join("conf/distributions"), SETTINGS).expect("it can be written");
        deb::write_all(items, &place.join("debs"));
        run(sign_with_key(&mut shell(place, MAKE, &[place.join("debs")])));
    }

    fn add(&self, place: &Path, items: &[Item]) -> Command {
        add_signed(place, ADD, items)
    }

    fn list(&self, place: &Path) -> PathBuf {
        place.join("dists/x/main/binary-amd64/Packages")
    }
}
