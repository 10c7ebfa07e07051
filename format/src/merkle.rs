//! Merkle trees over log entries: hashes, frontiers and proofs (RFC 6962 §2.1; RFC 9162 §2.1).

use crate::hash::Hash32;
use crate::limits::MAX_TREE_SIZE;

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash32 {
    Hash32::of_parts(&[&[0x00], entry])
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash32, right: &Hash32) -> Hash32 {
    Hash32::of_parts(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

/// The root of the tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash32 {
    Hash32::of(b"")
}

/// The right edge of a tree: the roots of the full subtrees that its size is the sum of, the
/// largest first. All that is needed to append to the tree and to know its root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash32>,
}

/// Why hashes are no frontier or no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// A tree of this size has another number of hashes at its right edge.
    #[error("a tree of {size} entries has {expected} hashes at its right edge, not {found}")]
    FrontierLength {
        /// The tree's size.
        size: u64,
        /// Hashes that it has.
        expected: u32,
        /// Hashes that were given.
        found: usize,
    },
    /// The size is beyond [`MAX_TREE_SIZE`].
    #[error("a tree of {0} entries is beyond the limit of {MAX_TREE_SIZE}")]
    TooLarge(u64),
    /// The entry lies outside the tree, or the old size beyond the new.
    #[error("{index} lies outside a tree of {size} entries")]
    Outside {
        /// Index of the entry, or the old size.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has too many or too few hashes for its place.
    #[error("the proof has {0} hashes, which is not what its place in the tree takes")]
    ProofLength(usize),
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A frontier from its parts, as they were stored.
    pub fn from_parts(size: u64, roots: Vec<Hash32>) -> Result<Self, MerkleError> {
        if size > MAX_TREE_SIZE {
            return Err(MerkleError::TooLarge(size));
        }
        let expected = size.count_ones();
        if roots.len() != expected as usize {
            return Err(MerkleError::FrontierLength { size, expected, found: roots.len() });
        }
        Ok(Self { size, roots })
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, the largest first.
    pub fn roots(&self) -> &[Hash32] {
        &self.roots
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash32) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("as many roots as one bits of the size");
            hash = node_hash(&left, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash32 {
        let mut right_to_left = self.roots.iter().rev();
        let Some(last) = right_to_left.next() else { return empty_root() };
        right_to_left.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Where the hashes of full subtrees come from: tiles, or a table in memory.
pub trait NodeReader {
    /// Why a node could not be had.
    type Error;

    /// The root of the full subtree over the entries `[index·2^level, (index+1)·2^level)`.
    fn node(&mut self, level: u8, index: u64) -> Result<Hash32, Self::Error>;
}

/// The proof that entry `index` is in the tree of `size` entries: the sibling hashes from the leaf
/// up. `index` is below `size`.
pub fn prove_inclusion<R: NodeReader>(
    index: u64,
    size: u64,
    nodes: &mut R,
) -> Result<Vec<Hash32>, R::Error> {
    let mut siblings = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + largest_power_below(high - low);
        if index < middle {
            siblings.push((middle, high));
            high = middle;
        } else {
            siblings.push((low, middle));
            low = middle;
        }
    }
    siblings.iter().rev().map(|&(low, high)| range_root(low, high, nodes)).collect()
}

/// The proof that the tree of `new` entries extends the one of `old` entries (`old` ≤ `new`).
pub fn prove_consistency<R: NodeReader>(
    old: u64,
    new: u64,
    nodes: &mut R,
) -> Result<Vec<Hash32>, R::Error> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut ranges = Vec::new();
    let (mut low, mut high) = (0, new);
    while high != old {
        let middle = low + largest_power_below(high - low);
        if old <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    // the old tree itself is known to whoever asks; a part of it is not
    if low > 0 {
        ranges.push((low, high));
    }
    ranges.iter().rev().map(|&(low, high)| range_root(low, high, nodes)).collect()
}

/// Checks that `leaf` is entry `index` of the tree with `root` and `size` (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: Hash32,
    index: u64,
    size: u64,
    proof: &[Hash32],
    root: &Hash32,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Outside { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(MerkleError::ProofLength(proof.len()));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    match last {
        0 if hash == *root => Ok(()),
        0 => Err(MerkleError::Root),
        _ => Err(MerkleError::ProofLength(proof.len())),
    }
}

/// Checks that the tree (`new_size`, `new_root`) extends (`old_size`, `old_root`)
/// (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash32,
    new_size: u64,
    new_root: &Hash32,
    proof: &[Hash32],
) -> Result<(), MerkleError> {
    if old_size > new_size {
        return Err(MerkleError::Outside { index: old_size, size: new_size });
    }
    if old_size == 0 || old_size == new_size {
        return match proof {
            [] if old_size == 0 && *old_root == empty_root() => Ok(()),
            [] if old_size != 0 && old_root == new_root => Ok(()),
            [] => Err(MerkleError::Root),
            _ => Err(MerkleError::ProofLength(proof.len())),
        };
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut hashes = proof.iter();
    let too_short = MerkleError::ProofLength(proof.len());
    let start = if node == 0 { *old_root } else { *hashes.next().ok_or(too_short)? };
    let (mut old, mut new) = (start, start);
    for hash in hashes {
        if last == 0 {
            return Err(too_short);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    match last {
        0 if old == *old_root && new == *new_root => Ok(()),
        0 => Err(MerkleError::Root),
        _ => Err(too_short),
    }
}

/// The largest power of two below `count`, which is at least 2.
fn largest_power_below(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The root over the entries `[low, high)`, where `low` is a multiple of the largest power of two
/// that fits: every range of a proof is.
fn range_root<R: NodeReader>(low: u64, high: u64, nodes: &mut R) -> Result<Hash32, R::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        let level = u8::try_from(count.trailing_zeros()).expect("below 64");
        return nodes.node(level, low >> level);
    }
    let middle = low + largest_power_below(count);
    let left = range_root(low, middle, nodes)?;
    let right = range_root(middle, high, nodes)?;
    Ok(node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct Leaves(Vec<Hash32>);

    impl NodeReader for Leaves {
        type Error = Infallible;

        fn node(&mut self, level: u8, index: u64) -> Result<Hash32, Infallible> {
            if level == 0 {
                return Ok(self.0[usize::try_from(index).expect("small")]);
            }
            let left = self.node(level - 1, 2 * index)?;
            let right = self.node(level - 1, 2 * index + 1)?;
            Ok(node_hash(&left, &right))
        }
    }

    fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect())
    }

    fn roots(count: u64) -> Vec<Hash32> {
        let mut frontier = Frontier::empty();
        let mut roots = vec![frontier.root()];
        for leaf in leaves(count).0 {
            frontier.push(leaf);
            roots.push(frontier.root());
        }
        roots
    }

    #[test]
    fn roots_are_those_of_the_public_test_data() {
        // certificate-transparency's reference tree of eight leaves (RFC 6962 test data)
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::empty();
        for entry in entries {
            frontier.push(leaf_hash(entry));
        }
        let root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(frontier.root().to_string(), root);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty_root().to_string(), empty);
    }

    #[test]
    fn every_inclusion_proof_holds_and_no_other_place_takes_it() {
        let mut nodes = leaves(70);
        let roots = roots(70);
        for (size, root) in (0_u64..).zip(&roots).skip(1) {
            for index in 0..size {
                let Ok(proof) = prove_inclusion(index, size, &mut nodes);
                let leaf = nodes.node(0, index).expect("infallible");
                assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
                let other = (index + 1) % size;
                if other != index {
                    assert!(verify_inclusion(leaf, other, size, &proof, root).is_err());
                }
                let mut long = proof.clone();
                long.push(*root);
                assert!(verify_inclusion(leaf, index, size, &long, root).is_err());
                if let Some((_, short)) = proof.split_last() {
                    assert!(verify_inclusion(leaf, index, size, short, root).is_err());
                }
            }
        }
        let outside = verify_inclusion(roots[1], 1, 1, &[], &roots[1]);
        assert_eq!(outside, Err(MerkleError::Outside { index: 1, size: 1 }));
    }

    #[test]
    fn every_consistency_proof_holds_and_no_forged_one() {
        let mut nodes = leaves(70);
        let roots = roots(70);
        for new in 0..=70_u64 {
            for old in 0..=new {
                let Ok(proof) = prove_consistency(old, new, &mut nodes);
                let at = |size: u64| &roots[usize::try_from(size).expect("small")];
                let check = |proof: &[Hash32], old_root, new_root| {
                    verify_consistency(old, old_root, new, new_root, proof)
                };
                assert_eq!(check(&proof, at(old), at(new)), Ok(()), "{old} {new}");
                if old > 0 && old < new {
                    let forged = leaf_hash(b"forged");
                    assert!(check(&proof, &forged, at(new)).is_err());
                    assert!(check(&proof, at(old), &forged).is_err());
                    assert!(check(&proof[1..], at(old), at(new)).is_err());
                    let mut long = proof.clone();
                    long.push(forged);
                    assert!(check(&long, at(old), at(new)).is_err());
                }
            }
        }
    }

    #[test]
    fn frontiers_survive_storage() {
        let mut frontier = Frontier::empty();
        for leaf in leaves(37).0 {
            frontier.push(leaf);
        }
        let parts = (frontier.size(), frontier.roots().to_vec());
        assert_eq!(Frontier::from_parts(parts.0, parts.1.clone()), Ok(frontier));
        let wrong = Frontier::from_parts(38, parts.1[1..].to_vec());
        let error = MerkleError::FrontierLength { size: 38, expected: 3, found: 2 };
        assert_eq!(wrong, Err(error));
    }
}
