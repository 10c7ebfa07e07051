//! aptly: a database of packages, published as dists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::items::Item;
use crate::measure::run;
use crate::peers::apt::{add_signed, sign_with_key};
use crate::peers::{Keeper, deb, shell};

/// `aptly`.
pub struct Aptly;

const MAKE: &str = r#"aptly -config=aptly.conf repo create x
aptly -config=aptly.conf repo add x "$@"
aptly -config=aptly.conf publish repo -batch -distribution=x x"#;
const ADD: &str = r#"aptly -config=aptly.conf repo add x "$@"
aptly -config=aptly.conf publish update -batch x"#;

impl Keeper for Aptly {
    fn name(&self) -> String {
        "aptly".into()
    }

    fn make(&self, place: &Path, items: &[Item]) {
        let settings = serde_json::json!({
            "rootDir": "root",
            "architectures": ["amd64"],
            "gpgProvider": "gpg",
        });
        fs::write(place.join("aptly.conf"), settings.to_string()).expect("it can be written");
        deb::write_all(items, &place.join("debs"));
        run(sign_with_key(&mut shell(place, MAKE, &[place.join("debs")])));
    }

    fn add(&self, place: &Path, items: &[Item]) -> Command {
        add_signed(place, ADD, items)
    }

    fn list(&self, place: &Path) -> PathBuf {
        place.join("root/public/dists/x/main/binary-amd64/Packages")
    }
}
