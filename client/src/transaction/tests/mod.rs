//! Tests of whole transactions on temporary roots.

mod attributes;
mod config;
mod crash;
mod deltas;
mod faults;
mod full_state;
mod histories;
mod hooks;
mod install;
mod kinds;
mod kit;
mod large;
mod local;
mod mend;
mod mixed;
mod mounts;
mod retention;
mod rollback;
mod trees;
mod undo;
