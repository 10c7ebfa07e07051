//! Tests of whole transactions on temporary roots.

mod hooks;
mod install;
mod kinds;
mod kit;
mod local;
mod rollback;
