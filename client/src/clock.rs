//! What the machine's clock says, as a client takes it.

use countersign_format::time::Timestamp;

/// What the machine's clock says, kept within what a [`Timestamp`] can hold: a clock of before 1970
/// is taken for one of 1970, which every check of an age refuses.
pub fn now() -> Timestamp {
    countersign_store::clock::now().unwrap_or(Timestamp::EPOCH)
}
