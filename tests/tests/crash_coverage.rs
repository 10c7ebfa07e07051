//! No named point of the programs without a test that kills them there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::crash::COVERED;
use countersign_tests::programs::workspace;

const CALL: &str = "crash_point(\"";

/// The names in the source of the programs. Those of tests have no dot.
fn named(directory: &Path, names: &mut BTreeSet<String>) {
    let entries = fs::read_dir(directory).expect("the source is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            named(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("source is text");
            let calls = text.split(CALL).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(calls.filter(|name| name.contains('.')).map(str::to_owned));
        }
    }
}

#[test]
fn every_named_point_is_one_at_which_a_test_kills() {
    let mut names = BTreeSet::new();
    for part in ["client/src", "repo-tool/src", "store/src"] {
        named(&workspace().join(part), &mut names);
    }
    assert!(names.len() > 40, "{names:?}");
    let covered = || COVERED.iter().flat_map(|(_, names)| names.iter().copied());
    let listed: BTreeSet<String> = covered().map(str::to_owned).collect();
    assert_eq!(covered().count(), listed.len(), "a name stands in the table twice");
    let missing: Vec<_> = names.difference(&listed).collect();
    assert!(missing.is_empty(), "no test kills a program at {missing:?}: see crash::COVERED");
    let gone: Vec<_> = listed.difference(&names).collect();
    assert!(gone.is_empty(), "the source has no point {gone:?} any more");
}
