//! `release/v1` and `withdraw/v1`: what the distribution decided (SPEC §4.2).

use serde::{Deserialize, Serialize};
use serde::{Deserializer, Serializer};

use crate::hash::Hash32;
use crate::key::KeyName;
use crate::text::{Line, RingName};
use crate::time::Timestamp;

/// Which tree of the collection's log a decision speaks of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreeHead {
    /// The log's name.
    pub origin: KeyName,
    /// Entries in the tree.
    pub size: u64,
    /// The tree's root, in base64.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub root: Hash32,
}

/// A half-open range of leaf indexes, written `[start, end]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct IndexRange {
    /// The first index.
    pub start: u64,
    /// The index after the last.
    pub end: u64,
}

/// `release/v1`: patches are released to a ring.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The tree that `patches` index.
    pub of: TreeHead,
    /// Leaf indexes of the collection's log, ascending and apart.
    pub patches: Vec<IndexRange>,
    /// The ring.
    pub ring: RingName,
    /// From when; none is at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Seconds over which machines take part one after the other.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ramp: u64,
    /// How many of a hundred machines take part in the end.
    #[serde(default = "hundred", skip_serializing_if = "is_hundred")]
    pub percent: u8,
    /// When holds, windows and cool-downs of clients no longer defer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// `withdraw/v1`: patches are no longer released to a ring.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Withdraw {
    /// The tree that `patches` index.
    pub of: TreeHead,
    /// Leaf indexes of the collection's log, ascending and apart.
    pub patches: Vec<IndexRange>,
    /// The ring.
    pub ring: RingName,
    /// Why, for people.
    pub reason: Line,
}

impl IndexRange {
    /// The indexes of the range.
    pub fn indexes(self) -> std::ops::Range<u64> {
        self.start..self.end
    }
}

impl From<(u64, u64)> for IndexRange {
    fn from((start, end): (u64, u64)) -> Self {
        Self { start, end }
    }
}

impl From<IndexRange> for (u64, u64) {
    fn from(range: IndexRange) -> Self {
        (range.start, range.end)
    }
}

impl Release {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_ranges(&self.of, &self.patches)?;
        if self.percent > 100 {
            return Err("percent is above 100");
        }
        if self.ramp > 0 && self.start.is_none() {
            return Err("a ramp needs a start");
        }
        Ok(())
    }

    /// How many of 10,000 machines take part at `now`: the ones whose [`bucket`] is below.
    pub fn share(&self, now: Timestamp) -> u16 {
        let start = self.start.unwrap_or(Timestamp::EPOCH);
        if now < start {
            return 0;
        }
        let full = u128::from(self.percent) * 100;
        let share = if self.ramp == 0 {
            full
        } else {
            full * u128::from(self.ramp.min(now.since(start))) / u128::from(self.ramp)
        };
        u16::try_from(share).unwrap_or(10_000)
    }

    /// Whether a machine with this `bucket` (see [`bucket`]) takes part at `now`.
    pub fn admits(&self, bucket: u16, now: Timestamp) -> bool {
        bucket < self.share(now)
    }

    /// The first moment at which a machine with this `bucket` takes part; none where it never does.
    pub fn opens(&self, bucket: u16) -> Option<Timestamp> {
        let start = self.start.unwrap_or(Timestamp::EPOCH);
        let full = u128::from(self.percent) * 100;
        if u128::from(bucket) >= full {
            return None;
        }
        // the least `past` for which the share, full·past/ramp rounded down, is above the bucket
        let past = ((u128::from(bucket) + 1) * u128::from(self.ramp)).div_ceil(full);
        Some(start.plus(u64::try_from(past).unwrap_or(u64::MAX)))
    }
}

impl Withdraw {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_ranges(&self.of, &self.patches)
    }
}

/// A machine's place in every rollout of an archive, 0 to 9,999: the first 8 bytes, big-endian, of
/// SHA-256(machine id ‖ archive hash) mod 10,000. `machine` is 32 lowercase hex digits.
pub fn bucket(machine: &str, archive: &Hash32) -> u16 {
    let hash = Hash32::of_parts(&[machine.as_bytes(), archive.as_bytes()]);
    let first = hash.0.first_chunk::<8>().expect("32 bytes begin with 8");
    u16::try_from(u64::from_be_bytes(*first) % 10_000).expect("below 10,000")
}

fn check_ranges(of: &TreeHead, ranges: &[IndexRange]) -> Result<(), &'static str> {
    if ranges.is_empty() {
        return Err("patches is empty");
    }
    if ranges.iter().any(|range| range.start >= range.end) {
        return Err("a range of patches is empty or turned round");
    }
    if ranges.windows(2).any(|pair| pair[1].start <= pair[0].end) {
        return Err("the ranges of patches do not ascend, or touch");
    }
    if ranges.iter().any(|range| range.end > of.size) {
        return Err("a range of patches ends beyond the tree");
    }
    Ok(())
}

fn hundred() -> u8 {
    100
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
fn is_hundred(percent: &u8) -> bool {
    *percent == 100
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn to_base64<S: Serializer>(hash: &Hash32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hash.to_base64())
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash32, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    Hash32::from_base64(&text).map_err(serde::de::Error::custom)
}
