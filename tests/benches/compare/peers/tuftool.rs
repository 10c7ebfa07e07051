//! tuftool, the tool of the `tough` library.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::items::Item;
use crate::measure::run;
use crate::peers::python_tuf::{newest_targets, write_targets};
use crate::peers::{Keeper, shell};

/// `tuftool`.
pub struct Tuftool;

const MAKE: &str = r#"tuftool root init root.json
tuftool root expire root.json 'in 52 weeks'
for role in root targets snapshot timestamp; do
    tuftool root set-threshold root.json $role 1
done
tuftool root gen-rsa-key root.json key.pem --role root --role targets --role snapshot --role timestamp
tuftool root sign root.json -k key.pem
tuftool create --root root.json --key key.pem --add-targets "$1" --outdir repository \
    --targets-expires 'in 4 weeks' --targets-version 1 \
    --snapshot-expires 'in 4 weeks' --snapshot-version 1 \
    --timestamp-expires 'in 4 weeks' --timestamp-version 1"#;
const ADD: &str = r#"version=$(ls repository/metadata | sed -n 's/\.targets\.json$//p' | sort -n | tail -1)
next=$((version + 1))
tuftool update --root root.json --key key.pem --add-targets "$1" --outdir repository \
    --metadata-url "file://$PWD/repository/metadata" \
    --targets-expires 'in 4 weeks' --targets-version $next \
    --snapshot-expires 'in 4 weeks' --snapshot-version $next \
    --timestamp-expires 'in 4 weeks' --timestamp-version $next"#;

impl Keeper for Tuftool {
    fn name(&self) -> String {
        "tuftool".into()
    }

    fn make(&self, place: &Path, items: &[Item]) {
        let targets = place.join("incoming");
        write_targets(&targets, items);
        run(&mut shell(place, MAKE, &[targets]));
    }

    fn add(&self, place: &Path, items: &[Item]) -> Command {
        // a directory for each addition: it takes all that is in one
        let first = &items[0];
        let targets = place.join(format!("incoming-{}-{}", first.name, first.version));
        write_targets(&targets, items);
        shell(place, ADD, &[targets])
    }

    fn list(&self, place: &Path) -> PathBuf {
        newest_targets(&place.join("repository/metadata"))
    }
}
