//! The endpoint's library: verify, decide, install in a transaction, roll back.
//!
//! The library never touches a terminal or the environment; what it has to say goes through
//! [`report::Reporter`] and its return values.

#![forbid(unsafe_code)]

pub mod advisory;
pub mod catalogue;
pub mod clock;
pub mod concern;
pub mod config;
pub mod consent;
pub mod db;
pub mod doctor;
pub mod download;
pub mod enroll;
pub mod first_boot;
pub mod freshness;
pub mod gate;
pub mod hooks;
pub mod journal;
pub mod local;
pub mod machine;
pub mod object;
pub mod owner;
mod parallel;
pub mod places;
pub mod plan;
pub mod plan_file;
mod replan;
pub mod report;
pub mod resolve;
pub mod restart;
pub mod root;
pub mod servers;
pub mod space;
pub mod stage;
pub mod standing;
pub mod state;
pub mod transaction;
pub mod trust;
pub mod update;
pub mod verify;
pub mod whole;
pub mod why;
