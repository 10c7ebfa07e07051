//! `patchrepo mirror …`.

pub mod sync;
