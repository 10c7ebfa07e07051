//! apt: a flat repository with a signed index, as `apt-ftparchive` and `gpg` make it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data_directory;
use crate::items::Item;
use crate::measure::{Workshop, is_installed, run};
use crate::peers::{Keeper, deb, shell};
use crate::update::{Updater, wait_for_another_second};

/// `apt-get`.
pub struct Apt;

/// Whether all that is needed is installed.
pub fn is_there() -> bool {
    ["apt-get", "apt-ftparchive", "gpg", "zstd"].into_iter().all(is_installed)
}

impl Updater for Apt {
    fn name(&self) -> String {
        "apt".into()
    }

    fn publish(&self, items: &[Item], sites: &[(usize, PathBuf)]) {
        for (count, site) in sites {
            publish(&items[..*count], site);
            wait_for_another_second();
        }
    }

    fn new_machine(&self, machine: &Path, url: &str) {
        new_dpkg(machine);
        let key = signing_home().join("key.gpg");
        let source = format!("deb [signed-by={}] {url} ./\n", key.display());
        fs::write(machine.join("etc/apt/sources.list"), source).expect("it can be written");
    }

    fn update(&self, _: &Workshop, machine: &Path, _: bool) -> Command {
        let mut command = Command::new("apt-get");
        command.args(options(machine)).args(["-q", "update"]);
        command
    }

    fn known(&self, _: &Workshop, machine: &Path) -> u64 {
        let lists = fs::read_dir(machine.join("var/lib/apt/lists")).expect("apt keeps lists there");
        let mut paths = lists.map(|entry| entry.expect("it can be read").path());
        let is_list = |path: &PathBuf| path.to_string_lossy().ends_with("_Packages");
        let path = paths.find(is_list).expect("apt keeps a list");
        let text = fs::read(path).expect("it can be read");
        text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Package: ")).count()
            as u64
    }
}

/// A flat repository that an operator keeps with `apt-ftparchive`, which remembers what it has read.
pub struct Flat;

const ADD: &str = r#"mv "$@" pool/
apt-ftparchive --db cache.db packages pool >Packages
gzip -kf Packages
apt-ftparchive release . >Release.new
mv Release.new Release
gpg --batch --yes --quiet --clearsign -o InRelease Release"#;

impl Keeper for Flat {
    fn name(&self) -> String {
        "apt-ftparchive, gpg".into()
    }

    fn make(&self, place: &Path, items: &[Item]) {
        let (last, others) = items.split_last().expect("some items");
        deb::write_all(others, &place.join("pool"));
        run(&mut self.add(place, std::slice::from_ref(last)));
    }

    fn add(&self, place: &Path, items: &[Item]) -> Command {
        add_signed(place, ADD, items)
    }

    fn list(&self, place: &Path) -> PathBuf {
        place.join("Packages")
    }
}

/// A script that takes packages of `items` as arguments and signs.
pub fn add_signed(place: &Path, script: &str, items: &[Item]) -> Command {
    let packages = deb::write_all(items, &place.join("incoming"));
    let mut command = shell(place, script, &packages);
    sign_with_key(&mut command);
    command
}

/// Lets `gpg` find the signing key.
pub fn sign_with_key(command: &mut Command) -> &mut Command {
    command.env("GNUPGHOME", signing_home())
}

/// A list with the members that Debian's own have, compressed as well as zstd can.
fn publish(items: &[Item], site: &Path) {
    let mut text = String::new();
    for item in items {
        let Item { name, version, summary, size, unpacked, sha256 } = item;
        let kilobytes = unpacked / 1024;
        let md5 = &sha256.to_string()[32..];
        write!(
            text,
            "Package: {name}\nVersion: {version}\nInstalled-Size: {kilobytes}\n\
             Maintainer: Maintainers <maintainers@example.org>\nArchitecture: all\n\
             Description: {summary}\nSection: misc\nPriority: optional\n\
             Filename: ./{name}_{version}_all.deb\nSize: {size}\nMD5sum: {md5}\n\
             SHA256: {sha256}\n\n"
        )
        .expect("a String takes all");
    }
    fs::write(site.join("Packages"), text).expect("it can be written");
    run(Command::new("zstd").args(["-q", "-19", "-T2", "Packages"]).current_dir(site));
    let release = Command::new("apt-ftparchive")
        .args(["-o", "APT::FTPArchive::Release::Suite=x", "release", "."])
        .current_dir(site)
        .output()
        .expect("apt-ftparchive is installed");
    fs::write(site.join("Release"), release.stdout).expect("it can be written");
    let home = signing_home();
    run(gpg(&home).args(["--clearsign", "-o", "InRelease", "Release"]).current_dir(site));
}

/// Makes a machine on which nothing is installed.
pub fn new_dpkg(machine: &Path) {
    for directory in [
        "etc/apt",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/triggers",
        "var/log",
    ] {
        fs::create_dir_all(machine.join(directory)).expect("a directory for the machine");
    }
    for file in ["status", "available"] {
        fs::write(machine.join("var/lib/dpkg").join(file), "").expect("it can be written");
    }
}

/// Lets apt work on a machine of its own, as whoever runs this.
pub fn options(machine: &Path) -> Vec<String> {
    let machine = machine.display();
    [
        format!("Dir={machine}/"),
        format!("Dir::State::status={machine}/var/lib/dpkg/status"),
        "Dir::Etc::sourceparts=/nowhere".into(),
        "Dir::Etc::parts=/nowhere".into(),
        "Dir::Etc::main=/nowhere".into(),
        "Acquire::Languages=none".into(),
        "Acquire::GzipIndexes=false".into(),
        "APT::Sandbox::User=".into(),
        "APT::Architecture=amd64".into(),
        "Debug::NoLocking=1".into(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

/// A place with a signing key, made once.
fn signing_home() -> PathBuf {
    let home = data_directory().join("gpg");
    if home.join("key.gpg").exists() {
        return home;
    }
    fs::create_dir_all(&home).expect("a directory for the key");
    run(Command::new("chmod").arg("700").arg(&home));
    let identity = "benchmarks@example.org";
    run(gpg(&home).args([
        "--passphrase",
        "",
        "--quick-gen-key",
        identity,
        "ed25519",
        "sign",
        "never",
    ]));
    run(gpg(&home).args(["--export", "-o"]).arg(home.join("key.gpg")));
    home
}

fn gpg(home: &Path) -> Command {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--yes", "--quiet", "--homedir"]).arg(home);
    command
}
