//! Says what is wrong with a member whose header is not the expected one.
//!
//! Only for the message: the member is refused already, whatever is found here.

use super::ArchiveError;
use super::header::{Block, DELTAS, FILES, Header, MAGIC, checksum, field, octal, text};
use crate::manifest::{Manifest, Mode};
use crate::relpath::RelPath;

/// What was expected at this place of the tar.
pub(super) struct Expected<'a> {
    /// The archive's manifest.
    pub(super) manifest: &'a Manifest,
    /// The member; none where the tar should end.
    pub(super) header: Option<&'a Header>,
    /// The expected block.
    pub(super) block: &'a Block,
}

/// Why `found` is refused where another block was expected.
pub(super) fn diagnose(found: &Block, expected: &Expected<'_>) -> ArchiveError {
    let Some(header) = expected.header else {
        return check_member(found).err().unwrap_or_else(|| other_member(found, expected));
    };
    let member = || header.name.clone();
    if found.iter().all(|byte| *byte == 0) {
        return ArchiveError::Missing(member());
    }
    if let Err(error) = check_member(found) {
        return error;
    }
    if [found[field::KIND], expected.block[field::KIND]].contains(&b'x') {
        if found[field::KIND] == b'x' {
            return ArchiveError::Header { member: member(), field: "extended header" };
        }
        return other_member(found, expected);
    }
    if found[field::NAME] != expected.block[field::NAME] {
        return other_member(found, expected);
    }
    differing_field(found, header, expected.block)
}

/// Checks what holds for every member of every archive.
fn check_member(found: &Block) -> Result<(), ArchiveError> {
    let header = |field| ArchiveError::Header { member: name(found), field };
    if octal(&found[field::CHECKSUM][..7]) != Some(checksum(found).into()) {
        return Err(header("checksum"));
    }
    if let Some(kind) = forbidden(found[field::KIND]) {
        return Err(ArchiveError::Forbidden { member: name(found), kind });
    }
    if &found[field::MAGIC] != MAGIC {
        return Err(header("magic"));
    }
    Ok(())
}

/// Why a member of another name is refused.
fn other_member(found: &Block, expected: &Expected<'_>) -> ArchiveError {
    let member = name(found);
    let bytes = text(&found[field::NAME]);
    let payload = [FILES, DELTAS].iter().find_map(|part| bytes.strip_prefix(part.as_bytes()));
    let path = match RelPath::from_bytes(payload.unwrap_or(bytes)) {
        Ok(path) => path,
        Err(reason) => return ArchiveError::UnsafePath { member, reason },
    };
    let manifest = expected.manifest;
    let is_listed = if payload.is_some() {
        let is_delta = bytes.starts_with(DELTAS.as_bytes());
        manifest.files.binary_search_by(|entry| entry.path.cmp(&path)).is_ok()
            && manifest.delta(&path).is_some() == is_delta
    } else {
        manifest.hooks.paths().iter().any(|hook| hook.as_str() == path.as_str())
    };
    // hooks come before files, and these in order of their paths
    let place = |name: &str| {
        let payload = [FILES, DELTAS].iter().find_map(|part| name.strip_prefix(part));
        (payload.is_some(), payload.unwrap_or(name).to_owned())
    };
    match expected.header {
        _ if !is_listed => ArchiveError::Unlisted(member),
        Some(header) if place(&header.name) < place(&member) => {
            ArchiveError::Missing(header.name.clone())
        }
        _ => ArchiveError::Repeated(member),
    }
}

/// Which field of a header of the right name differs.
fn differing_field(found: &Block, header: &Header, expected: &Block) -> ArchiveError {
    let member = header.name.clone();
    if found[field::KIND] != header.kind {
        let (expected, found) = (kind_name(header.kind), kind_name(found[field::KIND]));
        return ArchiveError::Kind { member, expected, found };
    }
    let number = |range: std::ops::Range<usize>| match octal(&found[range.clone()]) {
        Some(number) if found[range.clone()] != expected[range] => Some(number),
        _ => None,
    };
    if let (Some(found), Some(expected)) = (number(field::MODE), Mode::from_bits(header.mode)) {
        return ArchiveError::Mode { member, expected, found };
    }
    if let Some(found) = number(field::SIZE) {
        return ArchiveError::Size { member, expected: header.size, found };
    }
    if found[field::TARGET] != expected[field::TARGET] {
        let found = excerpt(text(&found[field::TARGET]));
        return ArchiveError::Target { member, expected: header.target.clone(), found };
    }
    let ids = (number(field::USER), number(field::GROUP));
    if ids != (None, None) {
        let (user, group) = (ids.0.unwrap_or(0), ids.1.unwrap_or(0));
        return ArchiveError::Ids { member, user, group };
    }
    if found[field::TIME] != expected[field::TIME] {
        return ArchiveError::Header { member, field: "modification time" };
    }
    ArchiveError::Header { member, field: "spelling" }
}

fn name(found: &Block) -> String {
    excerpt(text(&found[field::NAME]))
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}

/// What a typeflag means that no archive may hold.
fn forbidden(kind: u8) -> Option<&'static str> {
    match kind {
        b'0' | b'2' | b'5' | b'x' => None,
        b'1' => Some("a hard link"),
        b'3' => Some("a character device"),
        b'4' => Some("a block device"),
        b'6' => Some("a FIFO"),
        b'7' => Some("a contiguous file"),
        b'g' => Some("a global extended header"),
        b'L' => Some("a GNU long name"),
        b'K' => Some("a GNU long link"),
        b'S' => Some("a GNU sparse file"),
        _ => Some("of an unknown kind"),
    }
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'2' => "a symlink",
        b'5' => "a directory",
        _ => "a file",
    }
}
