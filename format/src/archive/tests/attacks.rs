//! Each hostile archive is refused with the error that names it.

use super::*;
use crate::archive::header::{BLOCK, Block, FILES, Header, checksum, field};
use crate::manifest::ManifestError;
use crate::relpath::RelPathError;

const AGENT: &str = "files/opt/acme/bin/agent";
const CONF: &str = "files/etc/acme.conf";
const LINK: &str = "files/opt/acme/current";
const VAR: &str = "files/opt/acme/var";

/// A frame around `tar`, announced as what it is.
fn seal(tar: &[u8], announced: &Announced) -> (Vec<u8>, Announced) {
    announce(zstd::encode_all(tar, 3).expect("a frame"), announced)
}

fn announce(bytes: Vec<u8>, announced: &Announced) -> (Vec<u8>, Announced) {
    let (size, sha256) = (bytes.len() as u64, Hash32::of(&bytes));
    (bytes, Announced { size, sha256, ..announced.clone() })
}

fn sample_tar() -> (Vec<u8>, Announced) {
    let (bytes, announced) = sample().pack();
    (zstd::decode_all(&*bytes).expect("a frame"), announced)
}

/// Where the header of `member` is.
fn place(tar: &[u8], member: &str) -> usize {
    let is_header =
        |block: &[u8]| block.starts_with(member.as_bytes()) && block.get(member.len()) == Some(&0);
    tar.chunks(BLOCK).position(is_header).expect("a member") * BLOCK
}

fn fix_checksum(tar: &mut [u8], at: usize) {
    let block: &mut Block = (&mut tar[at..at + BLOCK]).try_into().expect("a block");
    let sum = format!("{:06o}\0 ", checksum(block));
    block[field::CHECKSUM].copy_from_slice(sum.as_bytes());
}

/// The verdict on the sample after its tar was changed, sizes and hash announced anew.
fn verdict(change: impl FnOnce(&mut Vec<u8>)) -> ArchiveError {
    let (mut tar, announced) = sample_tar();
    change(&mut tar);
    let (bytes, announced) = seal(&tar, &announced);
    check(&bytes, &announced).expect_err("refused")
}

/// The verdict after one field of one member was changed, with a fitting checksum.
fn verdict_field(member: &str, field: std::ops::Range<usize>, value: &[u8]) -> ArchiveError {
    verdict(|tar| {
        let at = place(tar, member);
        tar[at + field.start..at + field.end].fill(0);
        tar[at + field.start..at + field.start + value.len()].copy_from_slice(value);
        fix_checksum(tar, at);
    })
}

fn unsafe_path(member: &str, reason: RelPathError) -> ArchiveError {
    ArchiveError::UnsafePath { member: member.into(), reason }
}

#[test]
fn the_unchanged_sample_is_good() {
    let (tar, announced) = sample_tar();
    let (bytes, announced) = seal(&tar, &announced);
    assert!(check(&bytes, &announced).is_ok());
}

#[test]
fn names_that_lead_out() {
    let cases = [
        ("files/../acme.conf", RelPathError::Part),
        ("files/..", RelPathError::Part),
        ("files/./acme.conf", RelPathError::Part),
        ("files//etc/acme.conf", RelPathError::Absolute),
        ("files/etc//acme.conf", RelPathError::Part),
        ("files/etc/acme.conf/", RelPathError::Part),
        ("files/", RelPathError::Empty),
        ("/etc/passwd", RelPathError::Absolute),
        ("../etc/passwd", RelPathError::Part),
        ("", RelPathError::Empty),
        ("files/a\nb", RelPathError::Control),
    ];
    for (name, reason) in cases {
        let error = verdict_field(CONF, field::NAME, name.as_bytes());
        assert_eq!(error, unsafe_path(name, reason));
    }
    let error = verdict_field(CONF, field::NAME, b"files/a\xff");
    assert_eq!(error, unsafe_path("files/a\u{fffd}", RelPathError::Utf8));
}

#[test]
fn names_that_are_not_listed() {
    let cases = [
        "files/etc/ACME.conf",
        "files/etc/acme.conf ",
        "etc/acme.conf",
        "hooks/other",
        "Files/etc/acme.conf",
        "files",
        "manifest.json",
    ];
    for name in cases {
        let error = verdict_field(CONF, field::NAME, name.as_bytes());
        assert_eq!(error, ArchiveError::Unlisted(name.into()));
    }
    // what follows a zero byte in a name is no part of the name, and may not be there
    let error = verdict_field(CONF, field::NAME, b"files/etc/acme.conf\0x");
    assert!(matches!(error, ArchiveError::Unlisted(_) | ArchiveError::Repeated(_)), "{error:?}");
    // a name that is spread over name and prefix fields
    let error = verdict_field(CONF, 345..500, b"..");
    assert_eq!(error, ArchiveError::Header { member: CONF.into(), field: "spelling" });
}

#[test]
fn kinds_that_no_archive_holds() {
    let cases = [
        (b'1', "a hard link"),
        (b'3', "a character device"),
        (b'4', "a block device"),
        (b'6', "a FIFO"),
        (b'7', "a contiguous file"),
        (b'g', "a global extended header"),
        (b'L', "a GNU long name"),
        (b'K', "a GNU long link"),
        (b'S', "a GNU sparse file"),
        (0, "of an unknown kind"),
        (b'D', "of an unknown kind"),
    ];
    for (flag, kind) in cases {
        let error = verdict_field(AGENT, field::KIND..field::KIND + 1, &[flag]);
        assert_eq!(error, ArchiveError::Forbidden { member: AGENT.into(), kind });
    }
}

#[test]
fn kinds_unlike_the_manifest() {
    let kind = |member: &str, flag, expected, found| {
        let error = verdict_field(member, field::KIND..field::KIND + 1, &[flag]);
        assert_eq!(error, ArchiveError::Kind { member: member.into(), expected, found });
    };
    kind(AGENT, b'2', "a file", "a symlink");
    kind(VAR, b'2', "a directory", "a symlink");
    kind(LINK, b'0', "a symlink", "a file");
    kind(LINK, b'5', "a symlink", "a directory");
}

#[test]
fn fields_unlike_the_manifest() {
    let member = || AGENT.to_string();
    let expected = mode(0o755);
    assert_eq!(
        verdict_field(AGENT, field::MODE, b"0004755\0"),
        ArchiveError::Mode { member: member(), expected, found: 0o4755 }
    );
    assert_eq!(
        verdict_field(AGENT, field::SIZE, b"00000000013\0"),
        ArchiveError::Size { member: member(), expected: 10, found: 11 }
    );
    assert_eq!(
        verdict_field(AGENT, field::USER, b"0001750\0"),
        ArchiveError::Ids { member: member(), user: 1000, group: 0 }
    );
    assert_eq!(
        verdict_field(AGENT, field::GROUP, b"0000001\0"),
        ArchiveError::Ids { member: member(), user: 0, group: 1 }
    );
    assert_eq!(
        verdict_field(LINK, field::TARGET, b"/etc"),
        ArchiveError::Target {
            member: LINK.into(),
            expected: "../acme/bin".into(),
            found: "/etc".into()
        }
    );
    let header = |field| ArchiveError::Header { member: member(), field };
    assert_eq!(verdict_field(AGENT, field::TIME, b"00000000001\0"), header("modification time"));
    assert_eq!(verdict_field(AGENT, field::MAGIC, b"ustar  \0"), header("magic"));
    // the same number in another spelling, a user's name, a device number
    assert_eq!(verdict_field(AGENT, field::MODE, b"   0755\0"), header("spelling"));
    assert_eq!(
        verdict_field(AGENT, field::SIZE, b"\x80\0\0\0\0\0\0\0\0\0\0\x0a"),
        header("spelling")
    );
    assert_eq!(verdict_field(AGENT, 265..297, b"daemon"), header("spelling"));
    assert_eq!(verdict_field(AGENT, 329..337, b"0000001\0"), header("spelling"));
    let error = verdict(|tar| {
        let at = place(tar, AGENT);
        tar[at + 148] ^= 1;
    });
    assert_eq!(error, header("checksum"));
}

#[test]
fn content_unlike_the_manifest() {
    let error = verdict(|tar| {
        let at = place(tar, AGENT) + BLOCK;
        tar[at] = b'%';
    });
    let (expected, found) = (Hash32::of(b"#!/bin/sh\n"), Hash32::of(b"%!/bin/sh\n"));
    assert_eq!(error, ArchiveError::Content { path: path("opt/acme/bin/agent"), expected, found });
    let error = verdict(|tar| {
        let at = place(tar, AGENT) + BLOCK;
        tar[at + 10] = 1;
    });
    assert_eq!(error, ArchiveError::Padding(AGENT.into()));
}

#[test]
fn bad_content_is_never_given_out_whole() {
    let (mut tar, announced) = sample_tar();
    let at = place(&tar, CONF) + BLOCK;
    tar[at] = b'P';
    let (bytes, announced) = seal(&tar, &announced);
    let mut reader = ArchiveReader::open(&*bytes, &announced).expect("a good manifest");
    let mut given = Vec::new();
    let error = loop {
        match reader.next_member().expect("members up to the bad one") {
            Some(Member::Entry { mut content, .. }) => {
                break content.read_to_end(&mut given).expect_err("refused");
            }
            Some(Member::Hook { .. }) => {}
            None => panic!("no payload"),
        }
    };
    assert!(given.is_empty());
    let error = ArchiveError::from_io(error).expect("an archive error");
    assert!(matches!(error, ArchiveError::Content { .. }));
    // and no later call passes over it
    assert_eq!(reader.next_member().expect_err("refused"), error);
    assert_eq!(reader.finish(), Err(error));
}

#[test]
fn members_too_many_too_few_and_out_of_order() {
    let member = |tar: &[u8], name: &str| {
        let at = place(tar, name);
        let blocks = if name == AGENT || name == CONF { 2 } else { 1 };
        at..at + blocks * BLOCK
    };
    let dropped = |name: &str| {
        verdict(|tar| {
            let range = member(tar, name);
            tar.drain(range);
        })
    };
    for name in [CONF, AGENT, LINK, VAR] {
        assert_eq!(dropped(name), ArchiveError::Missing(name.into()));
    }
    // only a header goes: its content stands where the next header should
    let error = dropped("hooks/check");
    assert!(matches!(error, ArchiveError::Header { field: "checksum", .. }), "{error:?}");
    let twice = verdict(|tar| {
        let range = member(tar, CONF);
        let copy = tar[range.clone()].to_vec();
        tar.splice(range.end..range.end, copy);
    });
    assert_eq!(twice, ArchiveError::Repeated(CONF.into()));
    let swapped = verdict(|tar| {
        let (link, var) = (member(tar, LINK), member(tar, VAR));
        let blocks = [&tar[var.clone()], &tar[link.clone()]].concat();
        tar.splice(link.start..var.end, blocks);
    });
    assert_eq!(swapped, ArchiveError::Missing(LINK.into()));
    let extra = verdict(|tar| {
        let more = Payload::default().file("zzz", 0o644, b"").files.remove(0);
        let block = Header::entry(&more, None).blocks(0)[0];
        let end = tar.len() - 2 * BLOCK;
        tar.splice(end..end, block);
    });
    assert_eq!(extra, ArchiveError::Unlisted(format!("{FILES}zzz")));
    let again = verdict(|tar| {
        let copy = tar[member(tar, VAR)].to_vec();
        let end = tar.len() - 2 * BLOCK;
        tar.splice(end..end, copy);
    });
    assert_eq!(again, ArchiveError::Repeated(VAR.into()));
}

#[test]
fn extended_headers_that_say_more() {
    // a second name for a member that needs none
    let error = verdict(|tar| {
        let at = place(tar, AGENT);
        let record = b"22 path=files/../evil\n";
        let mut extended = Header { kind: b'x', ..Header::manifest(record.len() as u64) }.blocks(0);
        let mut block = [0; BLOCK];
        block[..record.len()].copy_from_slice(record);
        extended.push(block);
        tar.splice(at..at, extended.concat());
    });
    let expected = ArchiveError::Header { member: AGENT.into(), field: "extended header" };
    assert_eq!(error, expected);
    // another name in the extended header of one that does need one
    let long = "l".repeat(150);
    let (bytes, announced) = Payload::default().file(&long, 0o644, b"").pack();
    let mut tar = zstd::decode_all(&*bytes).expect("a frame");
    let at = place(&tar, "see-pax-header") + BLOCK;
    let member = format!("{FILES}{long}");
    for (offset, byte) in [(20, b'm'), (20, 0), (20, b'/'), (0, b'9'), (510, b'x')] {
        let before = std::mem::replace(&mut tar[at + offset], byte);
        let (bytes, announced) = seal(&tar, &announced);
        let expected = ArchiveError::Header { member: member.clone(), field: "extended header" };
        assert_eq!(check(&bytes, &announced), Err(expected), "{offset} {byte}");
        tar[at + offset] = before;
    }
    // the extended header left out
    tar.drain(at - BLOCK..at + BLOCK);
    let (bytes, announced) = seal(&tar, &announced);
    let expected = ArchiveError::Unlisted("see-pax-header".into());
    assert_eq!(check(&bytes, &announced), Err(expected));
}

#[test]
fn what_is_before_and_behind_the_tar() {
    let error = verdict(|tar| tar.extend_from_slice(&[0; BLOCK]));
    assert_eq!(error, ArchiveError::AfterEnd);
    let error = verdict(|tar| tar.truncate(tar.len() - 1));
    assert_eq!(error, ArchiveError::Truncated);
    let error = verdict(|tar| tar.truncate(tar.len() - BLOCK));
    assert_eq!(error, ArchiveError::Truncated);
    let error = verdict(|tar| {
        let at = place(tar, CONF);
        tar.splice(0..0, tar[at..at + 2 * BLOCK].to_vec());
    });
    assert_eq!(error, ArchiveError::NoManifest);
    assert_eq!(verdict(Vec::clear), ArchiveError::Truncated);
}

#[test]
fn what_is_around_the_frame() {
    let (good, announced) = sample().pack();
    let verdict = |bytes: Vec<u8>| {
        let (bytes, announced) = announce(bytes, &announced);
        check(&bytes, &announced).expect_err("refused")
    };
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"junk"].concat();
    assert_eq!(verdict([&*skippable, &good].concat()), ArchiveError::Magic);
    assert_eq!(verdict([&*good, &skippable].concat()), ArchiveError::AfterFrame);
    assert_eq!(verdict([&*good, &good].concat()), ArchiveError::AfterFrame);
    assert_eq!(verdict([&*good, b"\0"].concat()), ArchiveError::AfterFrame);
    assert_eq!(verdict(b"PK\x03\x04 no frame".to_vec()), ArchiveError::Magic);
    assert_eq!(verdict(Vec::new()), ArchiveError::Truncated);
}

#[test]
fn windows_are_bounded() {
    let (tar, announced) = sample_tar();
    let with_window = |log| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
        encoder.window_log(log).expect("a window");
        io::Write::write_all(&mut encoder, &tar).expect("memory");
        let (bytes, announced) = announce(encoder.finish().expect("memory"), &announced);
        check(&bytes, &announced)
    };
    assert!(with_window(23).is_ok());
    assert!(matches!(with_window(24), Err(ArchiveError::Frame(_))));
}

#[test]
fn sizes_and_hash_are_those_announced() {
    let (bytes, good) = sample().pack();
    let verdict = |announced: Announced| check(&bytes, &announced).expect_err("refused");
    let size = good.size;
    assert_eq!(
        verdict(Announced { size: size - 1, ..good.clone() }),
        ArchiveError::TooLong { announced: size - 1 }
    );
    assert_eq!(
        verdict(Announced { size: size + 1, ..good.clone() }),
        ArchiveError::TooShort { announced: size + 1, found: size }
    );
    assert_eq!(
        verdict(Announced { size: u64::MAX, ..good.clone() }),
        ArchiveError::Announced(u64::MAX)
    );
    let sha256 = Hash32::of(b"another");
    assert_eq!(
        verdict(Announced { sha256, ..good.clone() }),
        ArchiveError::Hash { announced: sha256, found: good.sha256 }
    );
    let disagrees = |announced| match verdict(announced) {
        ArchiveError::Manifest(ManifestError::Disagrees { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(disagrees(Announced { files: 5, ..good.clone() }), "number of files");
    assert_eq!(disagrees(Announced { unpacked: 0, ..good }), "unpacked size");
}

#[test]
fn a_manifest_whose_paths_go_through_a_symlink() {
    let manifest = format!(
        "{{\"type\":\"manifest/v1\",\"name\":\"acme\",\"version\":\"2.1.1\",\"platform\":\"any\",\
         \"tree\":\"{}\",\"files\":[{{\"path\":\"a\",\"target\":\"/etc\"}},\
         {{\"path\":\"a/passwd\",\"target\":\"x\"}}]}}\n",
        Hash32::of(b"")
    );
    let mut tar = Header::manifest(manifest.len() as u64).blocks(0).concat();
    tar.extend_from_slice(manifest.as_bytes());
    let announced = Announced { files: 2, ..sample().pack().1 };
    // the manifest is judged before anything behind it is looked at
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    let (bytes, announced) = seal(&tar, &announced);
    let below = ManifestError::BelowNonDirectory { path: path("a/passwd"), above: path("a") };
    assert_eq!(check(&bytes, &announced), Err(ArchiveError::Manifest(below)));
}

/// A source that never ends, and counts what is taken.
struct Endless<'a> {
    head: &'a [u8],
    taken: &'a std::cell::Cell<u64>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.head.is_empty() {
            buffer.fill(0);
            buffer.len()
        } else {
            self.head.read(buffer)?
        };
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}

#[test]
fn an_endless_source_stops_at_the_first_excess_byte() {
    let (bytes, announced) = sample().pack();
    let taken = std::cell::Cell::new(0);
    let source = Endless { head: &bytes, taken: &taken };
    let error = ArchiveReader::open(source, &announced).and_then(ArchiveReader::finish);
    assert_eq!(error, Err(ArchiveError::TooLong { announced: announced.size }));
    assert_eq!(taken.get(), announced.size + 1);
}

#[test]
fn bombs_stop_at_the_first_excess_byte() {
    // 256 MiB of zeros: after the end, in place of a header, as a manifest
    let zeros = || io::repeat(0).take(256 * 1024 * 1024);
    let (tar, announced) = sample_tar();
    let bomb = |head: &[u8]| {
        let bytes = zstd::encode_all(head.chain(zeros()), 1).expect("a frame");
        let (bytes, announced) = announce(bytes, &announced);
        check(&bytes, &announced).expect_err("refused")
    };
    assert_eq!(bomb(&tar), ArchiveError::AfterEnd);
    assert_eq!(bomb(&tar[..place(&tar, CONF)]), ArchiveError::Missing(CONF.into()));
    let size = 64 * 1024 * 1024 + 1;
    let header = Header::manifest(size).blocks(0).concat();
    assert_eq!(bomb(&header), ArchiveError::ManifestSize(size));
    let size = 1024 * 1024 + 1;
    let hook = Header::hook(&"hooks/check".parse().expect("a hook"), size).blocks(0).concat();
    let member = "hooks/check".to_string();
    let head = [&tar[..place(&tar, "hooks/check")], &hook].concat();
    assert_eq!(bomb(&head), ArchiveError::HookSize { member, size });
}

#[test]
fn a_file_in_place_of_a_delta_and_the_reverse() {
    const DELTA: &str = "deltas/opt/acme/bin/agent";
    let with_delta = || sample().delta("opt/acme/bin/agent", b"changes");
    let renamed = |payload: Payload, from: &str, to: &str| {
        let (bytes, announced) = payload.pack();
        let mut tar = zstd::decode_all(&*bytes).expect("a frame");
        let at = place(&tar, from);
        tar[at..at + 100].fill(0);
        tar[at..at + to.len()].copy_from_slice(to.as_bytes());
        fix_checksum(&mut tar, at);
        let (bytes, announced) = seal(&tar, &announced);
        check(&bytes, &announced).expect_err("refused")
    };
    assert_eq!(renamed(with_delta(), DELTA, AGENT), ArchiveError::Unlisted(AGENT.into()));
    assert_eq!(renamed(sample(), AGENT, DELTA), ArchiveError::Unlisted(DELTA.into()));
    let error = renamed(with_delta(), DELTA, "deltas/../agent");
    assert_eq!(error, unsafe_path("deltas/../agent", RelPathError::Part));
    let error = renamed(with_delta(), DELTA, "files/etc/acme.conf");
    assert_eq!(error, ArchiveError::Repeated(CONF.into()));
}

#[test]
fn a_delta_is_as_long_as_the_manifest_says() {
    let payload = sample().delta("opt/acme/bin/agent", b"changes");
    let write = |content: &'static [u8]| {
        let open = |entry: &FileEntry| match entry.path.file_name() {
            "agent" => Ok(content),
            _ => Ok(&b"port = 1\n"[..]),
        };
        let options = WriteOptions { level: 3, time: 0 };
        write_archive(&payload.manifest(), &payload.hooks, open, options, io::sink())
    };
    assert!(write(b"changes").is_ok());
    assert!(write(b"change").is_err());
    assert!(write(b"changes!").is_err());
}
