//! Deltas: a file as changes to another (SPEC §7.1).
//!
//! After C. Percival, "Naive Differences of Executable Code" (2003): a file is copied from places of
//! its base, byte for byte but for a few differences, with literal bytes between the copies. Here
//! only the bytes that differ are written, with the gaps between them, and each kind of number
//! stands together, so that the zstd frame around all of it finds like beside like.
//!
//! ```text
//! delta = block…
//! block = LENGTH CONTROLS DIFFERENCES control… gap… value… literal…
//! control = COPY LITERAL [MOVE, where COPY is above 0]
//! ```
//!
//! Each block but the last makes [`MAX_DELTA_BLOCK`] bytes, so that neither side needs more memory
//! for a larger file.
//!
//! In scope: the bytes of a delta. Out of scope: what is worth being copied, which is for the one
//! who makes a delta; and whether a base is the right one, which is for the one who applies it.

mod decode;
mod encode;
mod number;

pub use decode::{DeltaError, DeltaReader};
pub use encode::DeltaWriter;

use crate::limits::MAX_DELTA_BLOCK;

/// Most bytes that a block has beyond those that it makes.
pub const MAX_OVERHEAD: usize = 16;
/// Most bytes of a block behind its LENGTH.
const MAX_LENGTH: usize = MAX_DELTA_BLOCK + MAX_OVERHEAD;

#[cfg(test)]
mod tests;
