//! Installing: one large archive, one of many small files, many small ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_fixtures::{PatchSpec, Payload};
use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_tests::lab::present;

use crate::Options;
use crate::measure::{Contender, Workshop, is_installed, measure_in_turns, run as run_command};
use crate::ours::patchctl;
use crate::peers::apt;
use crate::peers::pacman::{self as pacman_module, pacman};
use crate::table::Table;

/// What is installed: so many archives with so many files of so many bytes each.
pub struct Load {
    title: &'static str,
    name: &'static str,
    archives: usize,
    files: usize,
    bytes: usize,
}

const LOADS: [Load; 3] = [
    Load {
        title: "install one archive, 256 MiB in 2,048 files",
        name: "large",
        archives: 1,
        files: 2_048,
        bytes: 128 * 1024,
    },
    Load {
        title: "install one archive, 10,000 small files",
        name: "small",
        archives: 1,
        files: 10_000,
        bytes: 2 * 1024,
    },
    Load {
        title: "install 100 small archives",
        name: "many",
        archives: 100,
        files: 5,
        bytes: 4096,
    },
];

/// Prints a table for each load.
pub fn run(workshop: &Workshop, options: &Options) {
    for load in &LOADS {
        let built = Built::new(workshop, load);
        let machine = workshop.path("installed");
        let contenders = contenders(workshop, &built, &machine);
        let check = || same(&built.tree, &machine);
        let measured = measure_in_turns(options.runs, &contenders, check);
        let mut table = Table::new(load.title);
        for (contender, measured) in contenders.iter().zip(measured) {
            table.row(&contender.name, measured);
        }
        table.print();
    }
}

/// Everybody who can install the load on `machine`; we come first.
fn contenders<'c>(
    workshop: &'c Workshop,
    built: &'c Built,
    machine: &'c Path,
) -> Vec<Contender<'c>> {
    let mut all = vec![Contender {
        name: "patchctl".into(),
        prepare: Box::new(move || {
            workshop.set_aside(machine);
            run_command(Command::new("cp").arg("-a").arg(&built.machine).arg(machine));
        }),
        command: Box::new(move || {
            let mut command = patchctl(workshop, machine);
            command.arg("install").args(&built.patches);
            command
        }),
    }];
    if is_installed("dpkg-deb") {
        all.extend(debian(workshop, built, machine));
    }
    if pacman_module::is_there() {
        all.push(Contender {
            name: "pacman".into(),
            prepare: Box::new(move || {
                workshop.set_aside(machine);
                fs::create_dir_all(machine.join("db/local")).expect("a directory");
                fs::write(machine.join("pacman.conf"), "[options]\nSigLevel = Never\n")
                    .expect("written");
            }),
            command: Box::new(move || {
                let mut command = pacman(machine);
                command.arg("--root").arg(machine).arg("-U").args(&built.packages);
                command
            }),
        });
    }
    for (name, last) in [("tar --zstd -x", ""), ("tar --zstd -x, sync", "; sync -f .")] {
        all.push(Contender {
            name: name.into(),
            prepare: Box::new(move || {
                workshop.set_aside(machine);
                fs::create_dir_all(machine).expect("a directory");
            }),
            command: Box::new(move || {
                let mut command = Command::new("sh");
                let each = r#"for archive in "$@"; do tar --zstd -xf "$archive" || exit; done"#;
                command.arg("-c").arg(format!("{each}{last}")).arg("sh").args(&built.tars);
                command.current_dir(machine);
                command
            }),
        });
    }
    all
}

/// dpkg, and apt on top of it.
fn debian<'c>(workshop: &'c Workshop, built: &'c Built, machine: &'c Path) -> [Contender<'c>; 2] {
    let prepare = move || {
        workshop.set_aside(machine);
        apt::new_dpkg(machine);
    };
    let dpkg = move || {
        let mut command = Command::new("dpkg");
        command.arg("--root").arg(machine).arg("--install").args(&built.debs);
        command
    };
    let apt = move || {
        let mut command = Command::new("apt-get");
        command.args(apt::options(machine));
        command.arg("-o").arg(format!("DPkg::Options::=--root={}", machine.display()));
        command.args(["-q", "-y", "install"]).args(&built.debs);
        command
    };
    [
        Contender { name: "dpkg".into(), prepare: Box::new(prepare), command: Box::new(dpkg) },
        Contender { name: "apt".into(), prepare: Box::new(prepare), command: Box::new(apt) },
    ]
}

/// The large load, as our programs take it.
pub fn large(workshop: &Workshop) -> Built {
    Built::new(workshop, &LOADS[0])
}

/// One load as each program takes it.
pub struct Built {
    /// All that is to be there afterwards.
    pub tree: PathBuf,
    /// A machine that knows our patches.
    pub machine: PathBuf,
    /// Our archives.
    pub patches: Vec<PathBuf>,
    debs: Vec<PathBuf>,
    packages: Vec<PathBuf>,
    tars: Vec<PathBuf>,
}

impl Built {
    fn new(workshop: &Workshop, load: &Load) -> Self {
        let work = workshop.fresh(&format!("load-{}", load.name));
        let mut built = Self {
            tree: work.join("tree"),
            machine: work.join("machine"),
            patches: Vec::new(),
            debs: Vec::new(),
            packages: Vec::new(),
            tars: Vec::new(),
        };
        let mut repository = present().build();
        let mut hashes = Vec::new();
        for number in 0..load.archives {
            let name = format!("load-{}-{number}", load.name);
            let mut payload = Payload::new();
            let part = work.join(format!("part-{number}"));
            for file in 0..load.files {
                let path = format!("opt/{name}/d{}/f{file}", file / 100);
                let content = content(number * load.files + file, load.bytes);
                write(&part.join(&path), &content);
                write(&built.tree.join(&path), &content);
                payload = payload.file(&path, content);
            }
            let index = repository.collect(&PatchSpec::full(&name, "1.0.0", &payload));
            repository.release(&[index]);
            hashes.push(entry_hash(&repository, index));
            built.pack(&part, &name, number, &work);
        }
        repository.publish();
        let site = work.join("site");
        repository.write_to(&site);
        fs::write(work.join("authority.note"), repository.enrolment()).expect("written");
        fs::create_dir_all(&built.machine).expect("a directory");
        let mut enroll = patchctl(workshop, &built.machine);
        run_command(
            enroll.arg("enroll").arg(&site).arg("--authority").arg(work.join("authority.note")),
        );
        built.patches = hashes.iter().map(|hash| site.join(layout::archive(hash))).collect();
        built
    }

    /// Packs a part of the tree for each peer.
    fn pack(&mut self, part: &Path, name: &str, number: usize, work: &Path) {
        let tar = work.join(format!("{number}.tar.zst"));
        let pack = |meta: &[&str], target: &Path| {
            run_command(
                Command::new("tar")
                    .args(["--use-compress-program", "zstd -3", "--owner=0", "--group=0", "-cf"])
                    .arg(target)
                    .args(meta)
                    .arg("opt")
                    .current_dir(part),
            );
        };
        pack(&[], &tar);
        self.tars.push(tar);
        if is_installed("dpkg-deb") {
            let control = format!(
                "Package: {name}\nVersion: 1.0.0\nArchitecture: all\nMaintainer: M <m@example.org>\n\
                 Description: load\n"
            );
            write(&part.join("DEBIAN/control"), control.as_bytes());
            let deb = work.join(format!("{number}.deb"));
            let mut build = Command::new("dpkg-deb");
            build.args(["--root-owner-group", "-Zzstd", "-z3", "--build"]).arg(part).arg(&deb);
            run_command(&mut build);
            fs::remove_dir_all(part.join("DEBIAN")).expect("it was made here");
            self.debs.push(deb);
        }
        if pacman_module::is_there() {
            let information = format!(
                "pkgname = {name}\npkgbase = {name}\npkgver = 1.0.0-1\npkgdesc = load\nurl = \n\
                 builddate = 1795392000\npackager = M <m@example.org>\nsize = 1\narch = any\n"
            );
            write(&part.join(".PKGINFO"), information.as_bytes());
            let package = work.join(format!("{name}-1.0.0-1-any.pkg.tar.zst"));
            pack(&[".PKGINFO"], &package);
            self.packages.push(package);
        }
    }
}

fn entry_hash(repository: &countersign_fixtures::Repository, index: u64) -> Hash32 {
    let at = usize::try_from(index).expect("held in memory");
    let bytes = &repository.collection.entries()[at];
    let entry = countersign_format::entry::PatchEntry::parse(bytes).expect("a patch's entry");
    entry.archive.sha256
}

/// Half of it compresses well and half does not, as in programs.
fn content(number: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut block = 0;
    while bytes.len() < length {
        let hash = Hash32::of(format!("{number}/{block}").as_bytes()).0;
        bytes.extend_from_slice(&hash);
        bytes.extend_from_slice(b"a line of text that comes again.");
        block += 1;
    }
    bytes.truncate(length);
    bytes
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("it is below a directory")).expect("a directory");
    fs::write(path, content).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("its mode can be set");
}

/// Requires that all that is to be there is there.
fn same(tree: &Path, machine: &Path) {
    run_command(Command::new("diff").arg("-r").arg(tree.join("opt")).arg(machine.join("opt")));
}
