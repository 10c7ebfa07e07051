//! Writing a repository: whole or not at all, in the order that readers rely on.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_store::durable::{self, Access};
use countersign_store::memory::WriteFault;
use countersign_store::{DirectoryWriter, MemoryRepository, Put, Sink, WriteError};
use support::checkpoint;

/// Publishes version `number`: a bundle, an archive, a tile, and last the checkpoint that names
/// them.
fn publish(sink: &mut dyn Sink, number: u64) -> Result<(), WriteError> {
    for (path, bytes) in immutable(number) {
        sink.put_immutable(&path, &bytes)?;
    }
    let mut archive = tempfile::tempfile().expect("a file");
    archive.write_all(&number.to_le_bytes()).expect("written");
    sink.put_immutable_file(&archive_path(number), &mut archive)?;
    sink.put_mutable(&checkpoint(), &number.to_le_bytes())?;
    sink.put_mutable(&layout::checkpoint(Log::Distribution), &number.to_le_bytes())
}

fn immutable(number: u64) -> [(RepoPath, Vec<u8>); 2] {
    let bundle = layout::bundle(Log::Collection, number, 256);
    let tile = layout::tile(Log::Collection, 0, number, 256);
    [(bundle, vec![7; 100_000]), (tile, number.to_le_bytes().to_vec())]
}

fn archive_path(number: u64) -> RepoPath {
    layout::archive(&Hash32::of(&number.to_le_bytes()))
}

/// The newest version that readers see of each log, after checking that all it names is there.
fn newest(sink: &dyn Sink) -> [Option<u64>; 2] {
    Log::BOTH.map(|log| {
        let bytes = sink.read(&layout::checkpoint(log), 100).expect("readable")?;
        let number = u64::from_le_bytes(bytes.try_into().expect("never torn"));
        for present in 1..=number {
            for (path, bytes) in immutable(present) {
                assert_eq!(sink.read(&path, 1 << 20).expect("readable"), Some(bytes), "{path}");
            }
            let bytes = present.to_le_bytes().to_vec();
            assert_eq!(sink.read(&archive_path(present), 100).expect("readable"), Some(bytes));
        }
        Some(number)
    })
}

/// Every file below a directory, with its mode.
fn tree(root: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("metadata");
        found.insert(entry.path(), metadata.permissions().mode());
        if metadata.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found
}

fn temporaries(root: &Path) -> usize {
    let is_temporary = |path: &PathBuf| path.file_name().is_some_and(durable::is_temporary);
    tree(root).into_keys().filter(is_temporary).count()
}

#[test]
fn files_are_for_everybody_or_for_the_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    publish(&mut DirectoryWriter::new(directory.path()), 1).expect("published");
    for (path, mode) in tree(directory.path()) {
        let expected = if path.is_dir() { 0o40_755 } else { 0o100_644 };
        assert_eq!(mode, expected, "{}", path.display());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = Path::new("keys/server.key");
    durable::write_atomic(directory.path(), path, b"secret", Access::Private).expect("written");
    let modes: Vec<_> = tree(directory.path()).into_values().collect();
    assert_eq!(modes, [0o40_700, 0o100_600]);
}

fn check_rules(sink: &mut dyn Sink) {
    let path = layout::authority(1);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"note").expect("written");
    assert_eq!(sink.put_immutable_file(&path, &mut file).expect("staged"), Put::Written);
    // staged is not seen, but known
    assert_eq!(sink.read(&path, 9).expect("readable"), None);
    assert_eq!(sink.put_immutable(&path, b"note").expect("the same"), Put::Unchanged);
    let other = sink.put_immutable(&path, b"Note").expect_err("other bytes");
    assert!(matches!(other, WriteError::Conflict(_)), "{other:?}");
    sink.sync().expect("synced");
    assert_eq!(sink.size(&path).expect("there"), Some(4));
    for bytes in [b"not".as_slice(), b"notes", b""] {
        let other = sink.put_immutable(&path, bytes).expect_err("other bytes");
        assert!(matches!(other, WriteError::Conflict(_)), "{other:?}");
    }
    assert_eq!(sink.put_immutable(&path, b"note").expect("the same"), Put::Unchanged);
    assert_eq!(sink.put_immutable_file(&path, &mut file).expect("the same"), Put::Unchanged);
    assert_eq!(sink.read(&path, 4).expect("readable"), Some(b"note".to_vec()));
    let large = sink.read(&path, 3).expect_err("too large");
    assert!(matches!(large, WriteError::TooLarge { limit: 3, .. }), "{large:?}");
    // a mutable file brings with it what was staged before
    sink.put_immutable(&layout::authority(2), b"next").expect("staged");
    sink.put_mutable(&checkpoint(), b"head").expect("written");
    sink.put_mutable(&checkpoint(), b"next head").expect("written");
    assert_eq!(sink.size(&layout::authority(2)).expect("there"), Some(4));
    assert_eq!(sink.read(&checkpoint(), 99).expect("readable"), Some(b"next head".to_vec()));
    for _ in 0..2 {
        sink.remove(&path).expect("removed");
        assert_eq!(sink.size(&path).expect("gone"), None);
    }
}

#[test]
fn a_directory_and_memory_follow_the_same_rules() {
    let directory = tempfile::tempdir().expect("a directory");
    check_rules(&mut DirectoryWriter::new(directory.path()));
    assert_eq!(temporaries(directory.path()), 0);
    check_rules(&mut MemoryRepository::new());
}

#[test]
fn a_file_gets_another_name_or_is_copied_where_that_cannot_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let (root, from) = (directory.path().join("public"), directory.path().join("archive"));
    fs::create_dir(&root).expect("made");
    fs::write(&from, b"archive").expect("written");
    let inode = |path: &Path| fs::metadata(path).expect("there").ino();
    let link = |number: u64| {
        fs::set_permissions(&from, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
        let mut writer = DirectoryWriter::new(&root);
        let path = archive_path(number);
        assert_eq!(writer.put_immutable_link(&path, &from).expect("staged"), Put::Written);
        assert_eq!(writer.read(&path, 99).expect("readable"), None);
        assert_eq!(writer.put_immutable(&path, b"archive").expect("the same"), Put::Unchanged);
        let synced = writer.sync();
        assert_eq!(temporaries(&root), 0);
        let mode = |path: PathBuf| fs::metadata(path).expect("there").mode() & 0o7777;
        synced.map(|()| {
            assert_eq!(writer.read(&path, 99).expect("readable"), Some(b"archive".to_vec()));
            assert_eq!(mode(root.join(&path)), 0o644);
            inode(&root.join(&path)) == inode(&from)
        })
    };
    assert!(link(1).expect("synced"));
    #[cfg(debug_assertions)]
    {
        use countersign_store::crash::{Failure, with_failures};
        // the directory and its mode, the file's mode, a flush
        let failures = |errno| [Failure { after: 4, errno, done: false }];
        let (linked, failed) = with_failures(&failures(18), || link(2));
        assert_eq!((linked.expect("copied"), failed), (false, vec!["durable.link"]));
        let (linked, failed) = with_failures(&failures(28), || link(3));
        assert_eq!((linked.is_err(), failed), (true, vec!["durable.link"]));
        // somebody else's file
        let failure = Failure { after: 2, errno: 1, done: false };
        let (linked, failed) = with_failures(&[failure], || link(4));
        assert_eq!((linked.expect("copied"), failed), (false, vec!["durable.chmod"]));
    }
    assert!(link(3).expect("the rerun"));
    fs::remove_file(&from).expect("one of its names");
    fs::write(&from, b"another").expect("written");
    let other = DirectoryWriter::new(&root).put_immutable_link(&archive_path(1), &from);
    assert!(matches!(other, Err(WriteError::Conflict(_))), "{other:?}");
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut writer = DirectoryWriter::new(directory.path());
    writer.put_immutable(&layout::authority(1), b"note").expect("staged");
    assert_eq!(temporaries(directory.path()), 1);
    drop(writer);
    assert_eq!(temporaries(directory.path()), 0);
}

#[test]
fn leftovers_of_the_killed_are_removed_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    publish(&mut DirectoryWriter::new(directory.path()), 1).expect("published");
    let before = tree(directory.path());
    for place in ["", "collection", "collection/tile/entries"] {
        fs::write(directory.path().join(place).join(".tmp-99-1"), b"left").expect("written");
    }
    assert_eq!(durable::clean_temporaries(directory.path()).expect("cleaned"), 3);
    assert_eq!(tree(directory.path()), before);
}

#[cfg(debug_assertions)]
#[test]
fn whichever_step_fails_no_temporary_is_left_and_the_rerun_succeeds() {
    use countersign_store::crash::{Failure, with_failure};
    let mut names = std::collections::BTreeSet::new();
    for done in [false, true] {
        for after in 0.. {
            let directory = tempfile::tempdir().expect("a directory");
            publish(&mut DirectoryWriter::new(directory.path()), 1).expect("the first version");
            let (result, failed) = with_failure(Failure { after, errno: 28, done }, || {
                publish(&mut DirectoryWriter::new(directory.path()), 2)
            });
            let Some(name) = failed else {
                result.expect("no step failed");
                assert!(after > 20, "{after} steps");
                break;
            };
            names.insert(name);
            let error = result.expect_err(name);
            let WriteError::System { source, .. } = &error else { panic!("{error:?}") };
            assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{name}");
            assert_eq!(temporaries(directory.path()), 0, "{name}");
            let writer = &mut DirectoryWriter::new(directory.path());
            // the one is written before the other, each whole
            let [collection, distribution] = newest(writer);
            assert!(collection >= distribution && distribution >= Some(1), "{name}");
            publish(writer, 2).expect("the rerun");
            assert_eq!(newest(writer), [Some(2), Some(2)], "{name}");
        }
    }
    let reached: Vec<_> = names.into_iter().collect();
    assert_eq!(
        reached,
        [
            "durable.chmod",
            "durable.fsync",
            "durable.fsync-directory",
            "durable.mkdir",
            "durable.open",
            "durable.rename",
            "durable.syncfs-bytes",
            "durable.syncfs-names",
            "durable.write",
        ]
    );
}

#[cfg(debug_assertions)]
mod killed {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    const DIRECTORY: &str = "COUNTERSIGN_TEST_DIRECTORY";

    /// Not a test of its own: the process that [`wherever_it_is_killed`] starts.
    #[test]
    fn publisher() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        publish(&mut DirectoryWriter::new(Path::new(&directory)), 2).expect("published");
    }

    fn start_publisher(directory: &Path, variable: &str, value: &str) -> std::process::ExitStatus {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "killed::publisher"]).env(DIRECTORY, directory);
        command.env(variable, value).output().expect("started").status
    }

    #[test]
    fn wherever_it_is_killed() {
        let list = tempfile::NamedTempFile::new().expect("a file");
        let prepared = || {
            let directory = tempfile::tempdir().expect("a directory");
            publish(&mut DirectoryWriter::new(directory.path()), 1).expect("the first version");
            directory
        };
        let shown = list.path().to_str().expect("a path");
        assert!(start_publisher(prepared().path(), "COUNTERSIGN_CRASH_LIST", shown).success());
        let points = fs::read_to_string(list.path()).expect("the list");
        let mut count = BTreeMap::new();
        for name in points.lines() {
            let nth = count.entry(name).or_insert(0);
            *nth += 1;
            let directory = prepared();
            let point = format!("{name}:{nth}");
            let status = start_publisher(directory.path(), "COUNTERSIGN_CRASH_AT", &point);
            assert_eq!(status.signal(), Some(9), "{point}");
            let writer = &mut DirectoryWriter::new(directory.path());
            let [collection, distribution] = newest(writer);
            assert!(collection >= distribution && distribution >= Some(1), "{point}");
            durable::clean_temporaries(directory.path()).expect("cleaned");
            publish(writer, 2).expect("the rerun");
            assert_eq!(newest(writer), [Some(2), Some(2)], "{point}");
            assert_eq!(temporaries(directory.path()), 0, "{point}");
        }
        assert!(count.len() >= 8, "{count:?}");
    }
}

#[test]
fn whatever_a_power_loss_takes_the_checkpoint_names_what_is_there() {
    for after in 0.. {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..32 {
            let mut repository = MemoryRepository::new();
            publish(&mut repository, 1).expect("the first version");
            repository.fail_write(after, WriteFault::PowerLoss { seed });
            let result = publish(&mut repository, 2);
            if repository.has_fault_to_come() {
                assert_eq!(after, 10, "writes of a publication");
                return result.expect("no write failed");
            }
            result.expect_err("the power failed");
            publish(&mut repository, 2).expect_err("the power is off");
            repository.restart();
            let [collection, distribution] = newest(&repository);
            assert!(collection >= distribution && distribution >= Some(1));
            outcomes.insert(repository.files().into_keys().collect::<Vec<_>>());
            publish(&mut repository, 2).expect("the rerun");
            assert_eq!(newest(&repository), [Some(2), Some(2)]);
        }
        // what is shown and not yet durable is lost or not, each for itself
        let shown = match after {
            3..=5 => after - 2,
            6 => 3,
            _ => 0,
        };
        assert_eq!(outcomes.len(), 1 << shown, "after {after}");
    }
}

#[test]
fn memory_writes_fail_on_cue_and_a_rerun_completes_them() {
    for fault in
        [WriteFault::Error, WriteFault::DoneButError].map(|fault| fault(io::ErrorKind::StorageFull))
    {
        for after in 0.. {
            let mut repository = MemoryRepository::new();
            publish(&mut repository, 1).expect("the first version");
            repository.fail_write(after, fault);
            let result = publish(&mut repository.clone(), 2);
            if repository.has_fault_to_come() {
                result.expect("no write failed");
                break;
            }
            let error = result.expect_err("a write failed");
            assert!(matches!(error, WriteError::System { .. }), "{error:?}");
            newest(&repository);
            publish(&mut repository, 2).expect("the rerun");
            assert_eq!(newest(&repository), [Some(2), Some(2)]);
        }
    }
}
