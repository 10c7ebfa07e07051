//! Witnesses: heads that they cosign before anybody else may see them (SPEC §4.6).

use countersign_format::authority::{LogRole, ServerKey, WitnessRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{PolicyError, Role, verify_brought};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use serde::{Deserialize, Serialize};

use super::{Gathered, Imported, Item, Round, RoundError, Standing, print};

const TYPE: &str = "cosignatures/v1";

/// A head, and the witnesses of whom a quorum must have cosigned it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    item: Item,
    witnesses: LogRole,
}

/// What a witness hands back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cosignatures {
    /// The witness's key.
    pub witness: Vkey,
    /// A line for each head.
    pub heads: Vec<Cosignature>,
}

/// A head and the line that a witness gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cosignature {
    /// The log.
    pub origin: KeyName,
    /// Entries of the head.
    pub size: u64,
    /// Its root.
    pub root: Hash32,
    /// The line, as it stands on a checkpoint.
    pub line: String,
}

impl Quorum {
    /// The witnesses of `head`, which is of the log of `log`: their lines grow as old as the log's.
    pub fn new(head: &Checkpoint, own: bool, witnesses: &WitnessRole, log: &LogRole) -> Self {
        let key = |vkey: &Vkey| ServerKey {
            id: vkey.name.clone(),
            epoch: 1,
            kgc: None,
            reconstruction: None,
            vkey: vkey.clone(),
            until: None,
        };
        let witnesses = LogRole {
            origin: log.origin.clone(),
            threshold: witnesses.quorum,
            max_age: log.max_age,
            keys: witnesses.keys.iter().map(key).collect(),
        };
        Self { item: Item::head(head, own), witnesses }
    }

    fn is_of(&self, head: &Checkpoint) -> bool {
        self.item.checkpoint().as_ref() == Some(head)
    }

    fn standing(&self, gathered: &Gathered<'_>, now: Timestamp) -> Result<Standing, PolicyError> {
        let counted = self.item.count(&gathered.witnesses(self), self.whose(), 0, now)?;
        let names = self.witnesses.keys.iter();
        let (signed, missing): (Vec<_>, Vec<_>) =
            names.partition(|key| counted.iter().any(|line| line.key == key.vkey.key));
        let name = |key: &ServerKey| key.id.clone();
        Ok(Standing {
            item: format!("witnesses of the {}", self.item),
            threshold: self.witnesses.threshold,
            signed: signed.into_iter().map(name).collect(),
            at_hand: Vec::new(),
            missing: missing.into_iter().map(name).collect(),
        })
    }

    /// When a line was made; an error where it does not count.
    fn judge(&self, line: &SignatureLine, now: Timestamp) -> Result<Timestamp, RoundError> {
        let (file, first) = (self.item.to_string(), self.item.first_lines());
        let what = self.item.gathering(&first, now);
        let counted = verify_brought(&self.item.text, line, &file, &what, self.whose())?;
        let not_listed = || RoundError::NotListed { name: line.name.clone(), id: line.id };
        counted.and_then(|counted| counted.time).ok_or_else(not_listed)
    }

    /// Whether a quorum is asked for.
    pub fn is_asked_for(&self) -> bool {
        self.witnesses.threshold > 0
    }

    /// How old, in seconds, lines may be.
    pub fn max_age(&self) -> u64 {
        self.witnesses.max_age
    }

    /// Since when there is a quorum among `lines`, of those that count at `now`: the time of the
    /// oldest line that it takes. None where there is none.
    pub fn time(&self, lines: &[SignatureLine], now: Timestamp) -> Option<Timestamp> {
        let mut times: Vec<_> =
            lines.iter().filter_map(|line| self.judge(line, now).ok()).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.get((self.witnesses.threshold as usize).checked_sub(1)?).copied()
    }

    /// Of `notes`, the lines of the one that is this head.
    pub fn lines_on(&self, notes: &[Note]) -> Vec<SignatureLine> {
        let note = notes.iter().find(|note| note.text() == self.item.text);
        note.map(|note| note.signatures().to_vec()).unwrap_or_default()
    }

    fn whose(&self) -> (&'static Role, &LogRole) {
        (&Role::Witness, &self.witnesses)
    }
}

impl Round {
    /// Which witnesses have cosigned which head.
    pub fn witness_standings(
        &self,
        gathered: &Gathered<'_>,
        now: Timestamp,
    ) -> Result<Vec<Standing>, RoundError> {
        let listed = self.quorums.iter().filter(|quorum| !quorum.witnesses.keys.is_empty());
        Ok(listed.map(|quorum| quorum.standing(gathered, now)).collect::<Result<_, _>>()?)
    }

    /// Refuses to go on while the quorum of a head is not met.
    pub fn check_witnesses(
        &self,
        gathered: &Gathered<'_>,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        for quorum in &self.quorums {
            let (lines, threshold) = (gathered.witnesses(quorum), quorum.witnesses.threshold);
            if let Err(source) = quorum.item.count(&lines, quorum.whose(), threshold, now) {
                let standings = self.witness_standings(gathered, now)?;
                return Err(RoundError::Unwitnessed { standings, source: Box::new(source) });
            }
        }
        Ok(())
    }

    /// Takes what a witness handed back: every line must be of a head that waits here or is
    /// published, by a witness that is listed, and good. All of the file or nothing.
    pub fn import_cosignatures(
        &self,
        brought: &Cosignatures,
        gathered: &mut Gathered<'_>,
        now: Timestamp,
    ) -> Result<Imported, RoundError> {
        let mut kept = gathered.kept.clone();
        let mut imported = Imported::default();
        for (place, Cosignature { origin, size, root, line }) in brought.heads.iter().enumerate() {
            let head = Checkpoint { origin: origin.clone(), size: *size, root: *root };
            let other = || RoundError::OtherHead { origin: origin.clone(), size: *size };
            let quorum =
                self.quorums.iter().find(|quorum| quorum.is_of(&head)).ok_or_else(other)?;
            let line = SignatureLine::parse(line).ok_or(RoundError::Line(place))?;
            let time = quorum.judge(&line, now)?;
            let known = gathered.witnesses(quorum).into_iter().filter(|known| known.id == line.id);
            let newest = known.filter_map(|known| quorum.judge(&known, now).ok()).max();
            if newest >= Some(time) {
                imported.known += 1;
                continue;
            }
            kept.put(&quorum.item, &line);
            imported.new += 1;
        }
        gathered.keep(kept)?;
        crash_point("round.witnessed");
        Ok(imported)
    }
}

impl Gathered<'_> {
    /// The lines of a head's witnesses; nothing is verified here.
    pub fn witnesses(&self, quorum: &Quorum) -> Vec<SignatureLine> {
        let is_theirs = |line: &SignatureLine| {
            quorum.witnesses.keys.iter().any(|key| {
                key.id == line.name && key.vkey.id(SignatureType::Cosignature) == line.id
            })
        };
        self.lines(&quorum.item).into_iter().filter(is_theirs).collect()
    }

    /// The lines of a head's witnesses that count at `now`: one that has grown too old helps nobody.
    pub fn cosigned(&self, quorum: &Quorum, now: Timestamp) -> Vec<SignatureLine> {
        let mut lines = self.witnesses(quorum);
        lines.retain(|line| quorum.judge(line, now).is_ok());
        lines
    }

    /// Takes the lines of witnesses that came along with a head and count, where none are held. Who
    /// served it may have added others, which are to stop nobody.
    pub fn add_cosigned(&mut self, quorums: &[Quorum], fetched: &Note, now: Timestamp) {
        for quorum in quorums {
            let mut lines = fetched.signatures().to_vec();
            lines.retain(|line| quorum.judge(line, now).is_ok());
            let counted = Note::new(fetched.text().to_owned(), lines);
            self.add_published(&quorum.item, &counted);
        }
    }
}

impl Cosignatures {
    /// Whether bytes say of themselves that they are such a file.
    pub fn is_one(bytes: &[u8]) -> bool {
        json::first_type(bytes).is_ok_and(|kind| kind == TYPE)
    }

    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, RoundError> {
        let what = "file of a witness";
        json::parse(bytes, TYPE).map_err(|source| RoundError::Json { what, source })
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(TYPE, self)
    }
}

impl Cosignature {
    /// What a witness says of a head.
    pub fn new(head: &Checkpoint, line: &SignatureLine) -> Self {
        let Checkpoint { origin, size, root } = head.clone();
        Self { origin, size, root, line: print(line) }
    }
}

#[cfg(test)]
mod tests {
    use countersign_format::signature::{SeedSigner, Signer as _, cosign};

    use super::*;

    fn signer(number: u8) -> SeedSigner {
        SeedSigner::new(format!("w{number}.example.net").parse().expect("a name"), &[number; 32])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    #[test]
    fn a_quorum_is_as_old_as_the_last_line_that_it_needs() {
        let head = Checkpoint {
            origin: "example.org/log".parse().expect("a name"),
            size: 3,
            root: Hash32([7; 32]),
        };
        let key = |number: u8| Vkey {
            name: signer(number).name().clone(),
            kind: SignatureType::Cosignature,
            key: signer(number).public_key().clone(),
        };
        let witnesses = WitnessRole { quorum: 2, keys: (1..=3).map(key).collect() };
        let (origin, keys) = (head.origin.clone(), Vec::new());
        let log = LogRole { origin, threshold: 1, max_age: 100, keys };
        let quorum = Quorum::new(&head, true, &witnesses, &log);
        let text = head.to_string();
        let line = |number, time| cosign(&signer(number), &text, at(time)).expect("signed");
        let time = |lines: &[SignatureLine]| quorum.time(lines, at(1000));
        assert_eq!(time(&[line(1, 990), line(2, 950), line(3, 970)]), Some(at(970)));
        assert_eq!(time(&[line(1, 990)]), None, "one is no quorum");
        assert_eq!(time(&[line(1, 990), line(2, 899)]), None, "too old");
        assert_eq!(time(&[line(1, 990), line(4, 990)]), None, "not listed");
        let note = Note::new(text.clone(), vec![line(1, 990)]);
        let other = Note::new("example.org/log\n4\n".into(), vec![line(2, 990)]);
        assert_eq!(quorum.lines_on(&[other, note]), [line(1, 990)]);
    }
}
