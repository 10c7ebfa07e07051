//! Incremental patches with files as changes to others.

use std::fs::File;
use std::io::Read as _;

use countersign_format::archive::{ArchiveReader, Member, check_unannounced};
use countersign_format::delta::DeltaReader;
use countersign_format::manifest::Manifest;

use super::*;

const ACME_1_TOML: &str =
    "name = \"acme\"\nversion = \"1.0.0\"\nconfig_files = [\"etc/acme.conf\"]\n";
const ACME_2_TOML: &str =
    "name = \"acme\"\nversion = \"1.1.0\"\nconfig_files = [\"etc/acme.conf\"]\n";

/// Lines that do not compress to nothing.
fn text(seed: u32, lines: u32) -> String {
    let line = |at: u32| {
        let mixed = (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
        format!("{mixed:08x}{:08x}\n", mixed.wrapping_mul(2_246_822_519))
    };
    (0..lines).map(line).collect()
}

fn two_trees(lab: &Lab) -> (PathBuf, PathBuf) {
    let (agent, library, conf) = (text(1, 900), text(2, 700), text(3, 200));
    let old = [
        ("bin/agent", agent.as_str()),
        ("lib/a.so.1", library.as_str()),
        ("etc/acme.conf", conf.as_str()),
    ];
    let agent = agent.replacen('0', "1", 9);
    let (library, conf) = (format!("{library}more\n"), format!("{conf}more\n"));
    let new = [
        ("bin/agent", agent.as_str()),
        ("lib/a.so.2", library.as_str()),
        ("etc/acme.conf", conf.as_str()),
        ("share/new", "what was not there\n"),
    ];
    (lab.tree("one", &old), lab.tree("two", &new))
}

fn manifest(draft: &Draft) -> Manifest {
    let bytes = fs::read(draft.archive()).expect("read");
    check_unannounced(&bytes).expect("good").into_manifest()
}

fn deltas(manifest: &Manifest) -> Vec<(String, String)> {
    let deltas = manifest.deltas.iter().flat_map(|deltas| &deltas.files);
    deltas.map(|(path, delta)| (path.to_string(), delta.base(path).to_string())).collect()
}

#[test]
fn changes_are_made_where_the_base_is_one_version() {
    let lab = Lab::new();
    let (one, two) = two_trees(&lab);
    lab.add(&one, &addition(ACME_1_TOML, None)).expect("added");
    let against = Some(Against::Patch(selector("acme@1.0.0")));
    let draft = lab.add(&two, &addition(ACME_2_TOML, against.clone())).expect("added");
    let manifest = manifest(&draft);
    let expected = [("bin/agent", "bin/agent"), ("lib/a.so.2", "lib/a.so.1")];
    let expected = expected.map(|(path, from)| (path.to_owned(), from.to_owned()));
    assert_eq!(deltas(&manifest), expected);
    let incoming: Vec<_> = fs::read_dir(draft.archive().parent().expect("a directory"))
        .expect("read")
        .map(|found| found.expect("read").file_name())
        .collect();
    assert_eq!(incoming.len(), 3, "an archive a draft, the list and nothing else: {incoming:?}");
    // the same again, and made of the trees themselves
    let bytes = fs::read(draft.archive()).expect("read");
    lab.collection().discard(&[draft]).expect("removed");
    let again = Addition {
        against: Some(Against::Tree(one.clone())),
        ..addition(&format!("{ACME_2_TOML}base = \"=1.0.0\"\n"), None)
    };
    let draft = lab.add(&two, &again).expect("added");
    assert!(fs::read(draft.archive()).expect("read") == bytes);
    // every delta makes its file of its base
    let mut reader = ArchiveReader::open_unannounced(bytes.as_slice()).expect("good");
    let mut made = 0;
    while let Some(member) = reader.next_member().expect("good") {
        let Member::Entry { entry, delta: Some(delta), content } = member else { continue };
        let base = fs::read(one.join(delta.base(&entry.path))).expect("read");
        let read = |to: &mut [u8], at: u64| {
            let at = usize::try_from(at).expect("small");
            to.copy_from_slice(&base[at..at + to.len()]);
            Ok(())
        };
        let file = entry.as_file().expect("a file");
        let mut found = Vec::new();
        let size = base.len() as u64;
        DeltaReader::new(content, read, size, &entry.path, file)
            .read_to_end(&mut found)
            .expect("made");
        assert_eq!(found, fs::read(two.join(&entry.path)).expect("read"));
        made += 1;
    }
    assert_eq!(made, 2);
}

#[test]
fn changes_are_made_or_not_as_it_is_said() {
    let lab = Lab::new();
    let (one, two) = two_trees(&lab);
    lab.add(&one, &addition(ACME_1_TOML, None)).expect("added");
    let against = || Some(Against::Patch(selector("acme@1.0.0")));
    let added = |text: &str| {
        let draft = lab.add(&two, &addition(text, against())).expect("added");
        let made = deltas(&manifest(&draft)).len();
        let size = File::open(draft.archive()).expect("open").metadata().expect("a size").len();
        lab.collection().discard(&[draft]).expect("removed");
        (made, size)
    };
    let (made, with) = added(ACME_2_TOML);
    assert_eq!(made, 2);
    let (made, without) = added(&format!("{ACME_2_TOML}deltas = false\n"));
    assert_eq!(made, 0);
    assert!(with + 5_000 < without, "{with} {without}");
    // there is another version that it may be installed on, whose files may be others
    let other = lab.tree("other", &[("bin/agent", "another")]);
    lab.add(&other, &addition("name = \"acme\"\nversion = \"1.0.1\"\n", None)).expect("added");
    let range = format!("{ACME_2_TOML}base = \"^1\"\n");
    assert_eq!(added(&range).0, 0);
    assert_eq!(added(&format!("{range}deltas = true\n")).0, 2);
    assert_eq!(added(ACME_2_TOML).0, 2, "exactly 1.0.0");
}

#[test]
fn a_test_sees_the_finished_files() {
    let lab = Lab::new();
    let (one, two) = two_trees(&lab);
    lab.add(&one, &addition(ACME_1_TOML, None)).expect("added");
    lab.publish().expect("published");
    let against = Some(Against::Patch(selector("acme@1.0.0")));
    let draft = lab.add(&two, &addition(ACME_2_TOML, against)).expect("added");
    assert_eq!(deltas(&manifest(&draft)).len(), 2);
    let compare = format!("diff -r . {} && test $PATCH_COMPLETE = 1", two.display());
    let command = ["sh".to_owned(), "-c".to_owned(), compare];
    let run = lab.collection().test(&draft, &command, TestLimits::default(), now).expect("run");
    assert_eq!(run.record.outcome, Outcome::Passed, "{run:?}");
}
