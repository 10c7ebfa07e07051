//! Replacing keys, step by step, for people who do it once a year (SPEC §5.2).
//!
//! A rotation takes two versions of the authority note. The first lists the new keys beside the old
//! ones; once that is published both may sign, and the servers sign what is served with the new
//! keys. The second retires the old ones, or drops them where a role has no log. So at every moment
//! what is served is enough for every client, whichever of the versions it has seen, and a new key
//! that turns out to be of no use costs nothing. Retiring a key without a successor is the second half.
//!
//! What is to go is remembered in the authority's `state/rotation`; how far it is is read each time
//! from the notes, the grants and what the repositories serve. Nothing is changed here.

mod observed;
mod plan;
mod steps;
#[cfg(test)]
mod tests;

pub use observed::{Observed, Served, observe};
pub use plan::{Leaving, Plan, RoleName, RotationError, Wish};
pub use steps::{Instruction, Progress, State, Step, steps};
