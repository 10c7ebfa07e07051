//! What has been gathered of a round's signatures, in `state/signatures`.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_format::authority::LogRole;
use countersign_format::hash::Hash32;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::layout::Log;
use countersign_format::note::{Note, SignatureLine};
use countersign_store::crash::crash_point;
use countersign_store::durable::{self, Access};

use super::{Item, Kind, MAX_ROUND_FILE, Round, RoundError, Signature, Signatures, print};
use crate::key_store::SigningKey;
use crate::role_dir::{RoleDir, RoleDirError};

const FILE: &str = "state/signatures";

/// What has been gathered for a server's round.
#[derive(Debug)]
pub struct Gathered<'d> {
    directory: &'d RoleDir,
    pub(super) kept: Kept,
}

/// Lines by what they stand under: looking for those of one thing does not look at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    role: Log,
    lines: BTreeMap<Hash32, Vec<String>>,
}

impl<'d> Gathered<'d> {
    /// Reads what was gathered so far in a role's directory.
    pub fn load(directory: &'d RoleDir, role: Log) -> Result<Self, RoundError> {
        let kept = match directory.read(Path::new(FILE), MAX_ROUND_FILE)? {
            Some(bytes) => Kept::new(Signatures::parse(&bytes)?),
            None => Kept { role, lines: BTreeMap::new() },
        };
        Ok(Self { directory, kept })
    }

    /// The lines that were gathered for `item`; nothing is verified here.
    pub fn lines(&self, item: &Item) -> Vec<SignatureLine> {
        let kept = self.kept.lines.get(&item.id()).into_iter().flatten();
        kept.filter_map(|line| SignatureLine::parse(line)).collect()
    }

    /// The lines that others than `keys` gave `item`, of keys of `log` in use.
    pub fn others(&self, item: &Item, keys: &[SigningKey], log: &LogRole) -> Vec<SignatureLine> {
        let kinds = [SignatureType::Note, SignatureType::Cosignature];
        let is = |vkey: &Vkey, line: &SignatureLine| {
            vkey.name == line.name && kinds.iter().any(|kind| vkey.id(*kind) == line.id)
        };
        let own: Vec<Vkey> = keys.iter().map(SigningKey::vkey).collect();
        let listed = |line: &SignatureLine| log.active().any(|key| is(&key.vkey, line));
        let is_own = |line: &SignatureLine| own.iter().any(|vkey| is(vkey, line));
        self.lines(item).into_iter().filter(|line| listed(line) && !is_own(line)).collect()
    }

    /// Adds to a head's lines those that stand on it as it is published: others' signatures go on
    /// to count until they are too old.
    pub fn add_published(&mut self, item: &Item, published: &Note) {
        let known = self.lines(item);
        let is_new = |line: &&SignatureLine| {
            !known.iter().any(|known| (&known.name, known.id) == (&line.name, line.id))
        };
        if published.text() == item.text {
            let lines: Vec<_> = published.signatures().iter().filter(is_new).cloned().collect();
            for line in &lines {
                self.kept.put(item, line);
            }
        }
    }

    /// Signs with the keys at hand what they have not signed, but for heads. Where others are to
    /// sign too, it is kept for when they have.
    pub fn sign(&mut self, round: &Round, keys: &[SigningKey]) -> Result<(), RoundError> {
        let mut kept = self.kept.clone();
        for item in round.items.iter().filter(|item| item.kind != Kind::Head) {
            let present = self.lines(item);
            for key in keys {
                let line = item.line_by(key)?;
                if !present.contains(&line) {
                    kept.put(item, &line);
                }
            }
        }
        if keys.len() < round.keys.threshold as usize {
            self.keep(kept)?;
            crash_point("round.signed");
        } else {
            self.kept = kept;
        }
        Ok(())
    }

    /// Forgets all: the round is over.
    pub fn clear(directory: &RoleDir) -> Result<(), RoundError> {
        durable::remove(directory.path(), Path::new(FILE)).map_err(|source| {
            let path = directory.path().join(FILE);
            RoleDirError::Io { action: "remove", path, source }.into()
        })
    }

    pub(super) fn keep(&mut self, kept: Kept) -> Result<(), RoundError> {
        if kept != self.kept {
            self.directory.write(Path::new(FILE), &kept.to_bytes(), Access::Private)?;
            self.kept = kept;
        }
        Ok(())
    }
}

impl Kept {
    fn new(signatures: Signatures) -> Self {
        let Signatures { role, signatures } = signatures;
        let mut lines: BTreeMap<Hash32, Vec<String>> = BTreeMap::new();
        for Signature { of, line } in signatures {
            lines.entry(of).or_default().push(line);
        }
        Self { role, lines }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let signature = |of: &Hash32, line: &String| Signature { of: *of, line: line.clone() };
        let all = self.lines.iter();
        let signatures =
            all.flat_map(|(of, lines)| lines.iter().map(move |line| signature(of, line))).collect();
        Signatures { role: self.role, signatures }.to_bytes()
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a line is there.
    pub(super) fn contains(&self, signature: &Signature) -> bool {
        self.lines.get(&signature.of).is_some_and(|lines| lines.contains(&signature.line))
    }

    /// Adds a line, in place of an earlier one of the same key.
    pub(super) fn put(&mut self, item: &Item, line: &SignatureLine) {
        let lines = self.lines.entry(item.id()).or_default();
        let is_other = |old: &SignatureLine| (&old.name, old.id) != (&line.name, line.id);
        lines.retain(|kept| SignatureLine::parse(kept).is_none_or(|old| is_other(&old)));
        lines.push(print(line));
    }
}
