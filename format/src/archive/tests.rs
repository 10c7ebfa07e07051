//! Archives that are good, and what the tests of bad ones share.

mod attacks;
mod exhaustive;

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::*;
use crate::manifest::{
    Delta, Deltas, FileEntry, FileKind, FileMeta, HookPath, Hooks, ManifestParts, Mode, Owner,
    Xattrs,
};
use crate::relpath::RelPath;
use crate::tree;

/// Files in memory and what a manifest says of them.
#[derive(Clone, Default)]
struct Payload {
    files: Vec<FileEntry>,
    hooks: BTreeMap<HookPath, Vec<u8>>,
    contents: BTreeMap<RelPath, Vec<u8>>,
    deltas: Option<Deltas>,
}

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits(bits).expect("a mode")
}

impl Payload {
    fn file(mut self, at: &str, bits: u32, content: &[u8]) -> Self {
        let kind = FileKind::File(FileMeta {
            mode: mode(bits),
            size: content.len() as u64,
            sha256: Hash32::of(content),
            config: false,
            owner: Owner::ROOT,
            xattrs: Xattrs::default(),
        });
        self.files.push(FileEntry { path: path(at), kind });
        self.contents.insert(path(at), content.to_vec());
        self
    }

    fn directory(mut self, at: &str) -> Self {
        let kind = FileKind::Directory { mode: mode(0o750), owner: Owner::ROOT };
        self.files.push(FileEntry { path: path(at), kind });
        self
    }

    fn link(mut self, at: &str, target: &str) -> Self {
        let kind = FileKind::Link { target: target.parse().expect("a target") };
        self.files.push(FileEntry { path: path(at), kind });
        self
    }

    fn hook(mut self, name: &str, content: &[u8]) -> Self {
        self.hooks.insert(name.parse().expect("a hook"), content.to_vec());
        self
    }

    /// The file at `at` comes as a delta of these bytes.
    fn delta(mut self, at: &str, bytes: &[u8]) -> Self {
        self.contents.insert(path(at), bytes.to_vec());
        let deltas = Deltas { bases: Hash32([7; 32]), files: BTreeMap::new() };
        let delta = Delta { from: None, bytes: bytes.len() as u64 };
        self.deltas.get_or_insert(deltas).files.insert(path(at), delta);
        self
    }

    fn manifest(&self) -> Manifest {
        let mut files = self.files.clone();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut hooks = self.hooks.keys().cloned();
        Manifest::new(ManifestParts {
            name: "acme".parse().expect("a name"),
            version: "2.1.1".parse().expect("a version"),
            base: self.deltas.as_ref().map(|_| "=2.1.0".parse().expect("a requirement")),
            platform: Platform::any(),
            tree: tree::listing_hash(&files),
            files: self.files.clone(),
            deltas: self.deltas.clone(),
            remove: Vec::new(),
            hooks: Hooks { check: hooks.next(), pre_install: hooks.next(), ..Hooks::default() },
        })
        .expect("a manifest")
    }

    fn pack_with(&self, options: WriteOptions) -> (Vec<u8>, Announced) {
        let mut bytes = Vec::new();
        let open = |entry: &FileEntry| Ok(self.contents[&entry.path].as_slice());
        let announced = write_archive(&self.manifest(), &self.hooks, open, options, &mut bytes)
            .expect("an archive");
        (bytes, announced)
    }

    fn pack(&self) -> (Vec<u8>, Announced) {
        self.pack_with(WriteOptions { level: 3, time: 0 })
    }
}

/// One of everything, in an order that is not that of the paths.
fn sample() -> Payload {
    Payload::default()
        .link("opt/acme/current", "../acme/bin")
        .file("opt/acme/bin/agent", 0o755, b"#!/bin/sh\n")
        .directory("opt/acme/var")
        .file("etc/acme.conf", 0o644, b"port = 1\n")
        .hook("hooks/check", b"#!/bin/sh\nexit 0\n")
        .hook("hooks/prepare", b"")
}

/// Reads an archive to its end: every file's content by path.
fn contents(
    bytes: &[u8],
    announced: &Announced,
) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let mut reader = ArchiveReader::open(bytes, announced)?;
    let mut read = BTreeMap::new();
    while let Some(member) = reader.next_member()? {
        let (name, mut content) = match member {
            Member::Hook { path, content } => (path.to_string(), content),
            Member::Entry { entry, content, .. } => (entry.path.to_string(), content),
        };
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|error| ArchiveError::from_io(error).expect("an archive error"))?;
        read.insert(name, bytes);
    }
    reader.finish()?;
    Ok(read)
}

#[test]
fn what_is_written_is_read() {
    let payload = sample();
    let (bytes, announced) = payload.pack();
    assert_eq!(announced.size, bytes.len() as u64);
    assert_eq!(announced.sha256, Hash32::of(&bytes));
    assert_eq!((announced.files, announced.unpacked), (4, 19));
    let read = contents(&bytes, &announced).expect("a good archive");
    assert_eq!(read["opt/acme/bin/agent"], b"#!/bin/sh\n");
    assert_eq!(read["hooks/check"], b"#!/bin/sh\nexit 0\n");
    let names: Vec<_> = read.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "etc/acme.conf",
            "hooks/check",
            "hooks/prepare",
            "opt/acme/bin/agent",
            "opt/acme/current",
            "opt/acme/var"
        ]
    );
    let checked = check(&bytes, &announced).expect("a good archive");
    assert_eq!(checked.manifest(), &payload.manifest());
    assert_eq!(check_unannounced(&bytes), Ok(checked));
}

#[test]
fn long_and_foreign_names_are_read_by_an_independent_reader() {
    let long = format!("{}/file", vec!["d".repeat(200); 20].join("/"));
    let payload = Payload::default()
        .file(&long, 0o644, b"deep")
        .file("größe/naïve", 0o4755, b"")
        .file(&"a".repeat(94), 0o644, b"just fits")
        .file(&"b".repeat(95), 0o644, b"just does not")
        .link("link", &"t".repeat(4096));
    let (bytes, announced) = payload.pack();
    assert_eq!(contents(&bytes, &announced).expect("a good archive")[&long], b"deep");
    let inflated = zstd::decode_all(&*bytes).expect("a frame");
    let mut archive = tar::Archive::new(&*inflated);
    let mut seen = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        let target = entry.link_name_bytes().map_or(0, |target| target.len());
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("content");
        seen.push((name, target, content));
    }
    let mut expected: Vec<_> = (payload.files.iter())
        .map(|entry| {
            let content = payload.contents.get(&entry.path).cloned().unwrap_or_default();
            let target = if entry.as_file().is_some() { 0 } else { 4096 };
            let content = String::from_utf8(content).expect("UTF-8");
            (format!("files/{}", entry.path), target, content)
        })
        .collect();
    expected.sort();
    assert_eq!(seen[0].0, "manifest.json");
    assert_eq!(seen[1..], expected);
}

#[test]
fn the_same_payload_packs_to_the_same_bytes() {
    // more than one of the encoder's pieces, and not too easy to compress
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 0x3f
        })
        .collect();
    let payload = sample().file("usr/noise", 0o644, &noise);
    let mut turned = payload.clone();
    turned.files.reverse();
    let (bytes, announced) = payload.pack();
    assert_eq!(turned.pack().0, bytes);
    // a source that gives a few bytes at a time
    let open =
        |entry: &FileEntry| Ok(Dribble { rest: payload.contents[&entry.path].as_slice(), step: 1 });
    let mut dribbled = Vec::new();
    let options = WriteOptions { level: 3, time: 0 };
    write_archive(&payload.manifest(), &payload.hooks, open, options, &mut dribbled)
        .expect("an archive");
    assert_eq!(dribbled, bytes);
    // the time is part of the bytes, and nothing else of the content
    let later = payload.pack_with(WriteOptions { level: 3, time: 1_700_000_000 });
    assert_ne!(later.0, bytes);
    assert_eq!(contents(&later.0, &later.1), contents(&bytes, &announced));
}

/// A source of ever changing short reads.
struct Dribble<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step = self.step % 997 + 1;
        let length = self.step.min(buffer.len());
        self.rest.read(&mut buffer[..length])
    }
}

#[test]
fn a_delta_takes_the_place_of_a_file() {
    let payload = sample().delta("opt/acme/bin/agent", b"changes");
    let (bytes, announced) = payload.pack();
    assert_eq!(announced.unpacked, sample().manifest().unpacked(), "as it will lie on the disk");
    let read = contents(&bytes, &announced).expect("a good archive");
    assert_eq!(read["opt/acme/bin/agent"], b"changes");
    let tar = zstd::decode_all(&*bytes).expect("a frame");
    let mut tar = tar::Archive::new(tar.as_slice());
    let members = tar.entries().expect("entries").map(|entry| {
        let entry = entry.expect("an entry");
        (String::from_utf8_lossy(&entry.path_bytes()).into_owned(), entry.size())
    });
    let members: Vec<_> = members.collect();
    assert!(members.contains(&("deltas/opt/acme/bin/agent".to_owned(), 7)), "{members:?}");
    assert!(!members.iter().any(|(name, _)| name == "files/opt/acme/bin/agent"));
    let mut reader = ArchiveReader::open(&*bytes, &announced).expect("a good archive");
    let mut deltas = 0;
    while let Some(member) = reader.next_member().expect("a good archive") {
        deltas += usize::from(matches!(member, Member::Entry { delta: Some(_), .. }));
    }
    assert_eq!(deltas, 1);
}

#[test]
fn content_that_is_not_read_is_checked_all_the_same() {
    let (bytes, announced) = sample().pack();
    let mut reader =
        ArchiveReader::open(Dribble { rest: &bytes, step: 1 }, &announced).expect("a good archive");
    let mut members = 0;
    while reader.next_member().expect("a good archive").is_some() {
        members += 1;
    }
    assert_eq!(members, 6);
    assert!(reader.next_member().expect("the end stays the end").is_none());
    assert!(reader.finish().is_ok());
}

#[test]
fn an_empty_archive_is_one() {
    let (bytes, announced) = Payload::default().pack();
    assert!(check(&bytes, &announced).is_ok());
}

#[test]
fn what_differs_from_the_manifest_is_not_written() {
    let payload = sample();
    let write = |content: &'static [u8], hooks: &BTreeMap<HookPath, Vec<u8>>, options| {
        write_archive(&payload.manifest(), hooks, |_| Ok(content), options, io::sink())
            .expect_err("refused")
    };
    let options = WriteOptions::default();
    let conf = path("etc/acme.conf");
    let error = write(b"port = 2\n", &payload.hooks, options);
    assert!(matches!(error, WriteError::Content { path, .. } if path == conf));
    for (content, more) in [(&b"port = 1"[..], "fewer"), (b"port = 1\n\n", "more")] {
        let error = write(content, &payload.hooks, options);
        assert!(matches!(
            error,
            WriteError::Size { path, expected: 9, comparison } if path == conf && comparison == more
        ));
    }
    let error = write(b"", &BTreeMap::new(), options);
    assert!(matches!(error, WriteError::HookMissing(path) if path.as_str() == "hooks/check"));
    let more = payload.clone().hook("hooks/zero", b"");
    let error = write(b"", &more.hooks, options);
    assert!(matches!(error, WriteError::HookUnlisted(path) if path.as_str() == "hooks/zero"));
    let large = payload.clone().hook("hooks/check", &vec![0; 1024 * 1024 + 1]);
    let error = write(b"", &large.hooks, options);
    assert!(matches!(error, WriteError::HookSize { size: 1_048_577, .. }));
    let error = write(b"", &payload.hooks, WriteOptions { level: 23, ..options });
    assert!(matches!(error, WriteError::Level(23)));
    let error = write(b"", &payload.hooks, WriteOptions { time: MAX_TIME + 1, ..options });
    assert!(matches!(error, WriteError::Time(_)));
}

#[test]
fn a_source_that_fails_is_not_a_bad_archive() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "gone"))
        }
    }
    let (bytes, announced) = sample().pack();
    let source = bytes[..bytes.len() / 2].chain(Failing);
    let error = ArchiveReader::open(source, &announced).and_then(ArchiveReader::finish);
    let expected = ArchiveError::Io { kind: io::ErrorKind::TimedOut, message: "gone".into() };
    assert_eq!(error, Err(expected));
}
