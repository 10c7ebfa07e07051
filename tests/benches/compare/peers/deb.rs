//! Packages of Debian's form, as small as they can be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::items::Item;

/// Writes a package for each item into `place`, and tells where they are.
pub fn write_all(items: &[Item], place: &Path) -> Vec<PathBuf> {
    fs::create_dir_all(place).expect("a directory for packages");
    let write = |item: &Item| {
        let path = place.join(format!("{}_{}_all.deb", item.name, item.version));
        fs::write(&path, package(item)).expect("it can be written");
        path
    };
    items.iter().map(write).collect()
}

/// An archive of `ar` with three members (deb(5)).
fn package(item: &Item) -> Vec<u8> {
    let Item { name, version, summary, .. } = item;
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nSection: misc\nPriority: optional\n\
         Maintainer: Maintainers <maintainers@example.org>\nDescription: {summary}\n"
    );
    let content = format!("{name} {version}\n");
    let path = format!("./opt/{name}/agent");
    let mut package = b"!<arch>\n".to_vec();
    member(&mut package, "debian-binary", b"2.0\n");
    member(&mut package, "control.tar", &tar_of("./control", control.as_bytes()));
    member(&mut package, "data.tar", &tar_of(&path, content.as_bytes()));
    package
}

fn member(package: &mut Vec<u8>, name: &str, content: &[u8]) {
    let head =
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len());
    package.extend_from_slice(head.as_bytes());
    package.extend_from_slice(content);
    if !content.len().is_multiple_of(2) {
        package.push(b'\n');
    }
}

/// A tar of one file.
fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content).expect("tar takes it");
    archive.into_inner().expect("tar ends")
}
