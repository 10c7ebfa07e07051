//! Incremental patches: bytes beside those of other programs' deltas, and the time to apply them.
//!
//! `COUNTERSIGN_PAIRS=OLD:NEW,…` names pairs of trees to measure; without it the only pair is one of
//! our own programs and what it would be after a small change, linked anew.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Options;
use crate::measure::{Measured, Workshop, is_installed, measure, run as run_command};
use crate::ours::patchctl;
use crate::table::Table;

/// The pairs of trees to measure.
const PAIRS: &str = "COUNTERSIGN_PAIRS";

/// Prints a table of sizes, and one of times for each pair.
pub fn run(workshop: &Workshop, options: &Options) {
    let pairs = match std::env::var(PAIRS) {
        Ok(text) => text.split(',').map(Pair::named).collect(),
        Err(_) => vec![Pair::relinked(workshop)],
    };
    for (number, pair) in pairs.iter().enumerate() {
        let work = workshop.fresh(&format!("delta-{number}"));
        let [changes, whole] = [true, false].map(|deltas| Ours::new(workshop, pair, &work, deltas));
        println!("\n### incremental patch, {}\n", pair.title);
        println!("| | bytes | our bytes : theirs |");
        println!("|---|---:|---:|");
        let sizes =
            [("patchrepo", Some(changes.size)), ("patchrepo --deltas false", Some(whole.size))];
        for (program, size) in sizes.into_iter().chain(others(pair, &work)) {
            let Some(size) = size else { continue };
            #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
            let ratio = changes.size as f64 / size as f64;
            println!("| {program} | {size} | {ratio:.3} |");
        }
        let mut table = Table::new(format!("apply an incremental patch, {}", pair.title));
        table.row("patchctl", changes.measure(workshop, pair, options));
        table.row("patchctl, whole files", whole.measure(workshop, pair, options));
        table.print();
    }
}

/// A tree before and after.
struct Pair {
    title: String,
    old: PathBuf,
    new: PathBuf,
}

impl Pair {
    fn named(text: &str) -> Self {
        let (old, new) = text.split_once(':').expect("OLD:NEW");
        let name = Path::new(new).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { title: name, old: old.into(), new: new.into() }
    }

    /// Our own program, and the same with a function more: what lies behind it moved, and every
    /// thousandth or so word that may be an address of it moved too.
    fn relinked(workshop: &Workshop) -> Self {
        let work = workshop.fresh("relinked");
        let program = workshop.program("patchctl").get_program().to_owned();
        let bytes = fs::read(&program).expect("our own program");
        let middle = bytes.len() / 3;
        let mut linked = bytes[..middle].to_vec();
        linked.extend(
            (0..4_096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]),
        );
        linked.extend_from_slice(&bytes[middle..]);
        for word in linked.chunks_exact_mut(4) {
            let value = u32::from_le_bytes(word.try_into().expect("four bytes"));
            if value.wrapping_mul(2_246_822_519) >> 22 == 0 {
                word.copy_from_slice(&value.wrapping_add(4_096).to_le_bytes());
            }
        }
        let place = |name: &str, content: &[u8]| {
            let path = work.join(name).join("opt/acme/bin/patchctl");
            fs::create_dir_all(path.parent().expect("below the tree")).expect("made");
            fs::write(path, content).expect("written");
            work.join(name)
        };
        let (old, new) = (place("old", &bytes), place("new", &linked));
        Self { title: "our own program linked anew".into(), old, new }
    }
}

/// A repository with a full patch of the old tree and an incremental one to the new.
struct Ours {
    /// Bytes of the incremental archive.
    size: u64,
    /// A machine with the old tree that knows the incremental patch and has fetched it.
    machine: PathBuf,
}

impl Ours {
    fn new(workshop: &Workshop, pair: &Pair, work: &Path, deltas: bool) -> Self {
        let here = work.join(if deltas { "changes" } else { "whole" });
        fs::create_dir_all(&here).expect("made");
        let repository = here.join("repo");
        let patchrepo = |words: &str, more: &[&OsStr]| {
            let mut command = workshop.program("patchrepo");
            command.args(words.split(' ')).args(more).current_dir(&here);
            run_command(&mut command);
        };
        patchrepo("init repo --no-passphrase --name patches.example.org", &[]);
        let release = |version: &str| {
            patchrepo("collection publish repo/collection", &[]);
            patchrepo("distribution sync repo/distribution", &[]);
            let patch = format!("load@{version}");
            let words = "distribution release repo/distribution --ring stable";
            patchrepo(words, &[patch.as_ref()]);
            patchrepo("distribution publish repo/distribution", &[]);
        };
        let public = repository.join("distribution/public");
        let archives = || archives(&public.join("patches"));
        patchrepo(
            "collection add repo/collection --name load --version 1.0.0",
            &[pair.old.as_ref()],
        );
        release("1.0.0");
        let machine = here.join("machine");
        fs::create_dir_all(&machine).expect("made");
        let client = |words: &str, more: &[&OsStr]| {
            run_command(patchctl(workshop, &machine).args(words.split(' ')).args(more));
        };
        let anchor = repository.join("authority/public/authority/1");
        client("enroll --authority", &[anchor.as_ref(), public.as_ref()]);
        client("install load", &[]);
        let before = archives();
        let words =
            "collection add repo/collection --name load --version 1.1.0 --against load@1.0.0";
        let said = if deltas { "true" } else { "false" };
        patchrepo(words, &["--deltas".as_ref(), said.as_ref(), pair.new.as_ref()]);
        release("1.1.0");
        client("update", &[]);
        client("upgrade --download-only", &[]);
        let made: Vec<u64> = archives().difference(&before).map(|(_, size)| *size).collect();
        let [size] = made[..] else { panic!("one archive is new: {made:?}") };
        Self { size, machine }
    }

    fn measure(&self, workshop: &Workshop, pair: &Pair, options: &Options) -> Measured {
        let machine = workshop.path("upgraded");
        let prepare = || {
            workshop.set_aside(&machine);
            run_command(Command::new("cp").arg("-a").arg(&self.machine).arg(&machine));
        };
        let command = || {
            let mut command = patchctl(workshop, &machine);
            command.args(["upgrade", "--offline"]);
            command
        };
        let check = || {
            for entry in fs::read_dir(&pair.new).expect("the new tree") {
                let name = entry.expect("the new tree").file_name();
                let (new, is) = (pair.new.join(&name), machine.join(&name));
                run_command(Command::new("diff").arg("-r").arg(new).arg(is));
            }
        };
        measure(options.runs, prepare, command, check)
    }
}

/// The archives of a repository, and their bytes.
fn archives(patches: &Path) -> BTreeSet<(PathBuf, u64)> {
    files(patches)
        .into_iter()
        .filter(|(path, _)| path.extension() == Some("patch".as_ref()))
        .collect()
}

fn files(directory: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let (path, metadata) = {
            let entry = entry.expect("an entry");
            (entry.path(), entry.metadata().expect("metadata"))
        };
        if metadata.is_dir() {
            found.extend(files(&path));
        } else if metadata.is_file() {
            found.insert((path, metadata.len()));
        }
    }
    found
}

/// What other programs make of the same pair; nothing of those that are not installed.
fn others(pair: &Pair, work: &Path) -> Vec<(&'static str, Option<u64>)> {
    let tar = |tree: &Path, name: &str| {
        let tar = work.join(name);
        let mut command = Command::new("tar");
        command.args(["--sort=name", "--owner=0", "--group=0", "--mtime=@0", "-cf"]);
        run_command(command.arg(&tar).arg("-C").arg(tree).arg("."));
        tar
    };
    let (old, new) = (tar(&pair.old, "old.tar"), tar(&pair.new, "new.tar"));
    let made = work.join("made");
    let size = || fs::metadata(&made).expect("it was made").len();
    let with = |program: &str, arguments: &dyn Fn(&mut Command)| {
        is_installed(program).then(|| {
            let mut command = Command::new(program);
            arguments(&mut command);
            run_command(&mut command);
            size()
        })
    };
    let zstd = |level: &'static [&str]| {
        let old = old.display().to_string();
        with("zstd", &|command| {
            command.args(["-q", "-f", "--long=31"]).args(level);
            command.arg(format!("--patch-from={old}")).arg(&new).arg("-o").arg(&made);
        })
    };
    let bsdiff = |old: &Path, new: &Path| {
        with("bsdiff", &|command| {
            command.args([old, new, &made]);
        })
    };
    vec![
        ("zstd -19 --patch-from, tars", zstd(&["-19"])),
        ("zstd --ultra -22 --patch-from, tars", zstd(&["--ultra", "-22"])),
        ("bsdiff, tars", bsdiff(&old, &new)),
        ("bsdiff, each file that is in both", each(pair, &bsdiff)),
        ("xdelta3 -9, tars", {
            with("xdelta3", &|command| {
                command
                    .args(["-9", "-f", "-B", "1073741824", "-e", "-s"])
                    .args([&old, &new, &made]);
            })
        }),
        ("casync, new chunks", is_installed("casync").then(|| casync(pair, work))),
    ]
}

/// The sum over files that are in both trees, without what is new.
fn each(pair: &Pair, bsdiff: &dyn Fn(&Path, &Path) -> Option<u64>) -> Option<u64> {
    let mut sum = 0;
    for (new, size) in files(&pair.new) {
        let old = pair.old.join(new.strip_prefix(&pair.new).expect("below the tree"));
        if !old.is_file() {
            sum += size;
        } else if fs::read(&old).expect("read") != fs::read(&new).expect("read") {
            sum += bsdiff(&old, &new)?;
        }
    }
    Some(sum)
}

/// Bytes of the chunks of the new tree that the old one lacks, and of its index.
fn casync(pair: &Pair, work: &Path) -> u64 {
    let store = |tree: &Path, name: &str| {
        let (index, chunks) =
            (work.join(format!("{name}.caidx")), work.join(format!("{name}.castr")));
        let mut make = Command::new("casync");
        make.args(["make", "--with=unix", "--store"]).arg(&chunks).arg(&index).arg(tree);
        run_command(&mut make);
        let size = fs::metadata(&index).expect("made").len();
        (size, files(&chunks))
    };
    let ((_, old), (index, new)) = (store(&pair.old, "old"), store(&pair.new, "new"));
    let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
    let known: BTreeSet<_> = old.iter().map(|(path, _)| name(path)).collect();
    let chunks = new.iter().filter(|(path, _)| !known.contains(&name(path)));
    index + chunks.map(|(_, size)| size).sum::<u64>()
}
