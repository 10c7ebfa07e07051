//! The whole story in one command, with the real programs: keys, two signatures, a mirror, an
//! endpoint, and the attack of 20 March 2013.
//!
//! Each step is shown as a person would type it, run, and checked: if anything is not as told, the
//! command says so and fails.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod attack;
mod holdings;
mod release;
mod stage;
mod story;
mod thief;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = match words.as_slice() {
        [] => story::tell(false),
        ["--keep"] => story::tell(true),
        _ => {
            eprintln!("usage: cargo run --bin quickstart [-- --keep]");
            return ExitCode::from(2);
        }
    };
    if let Err(failure) = told {
        eprintln!("\nnot as told: {failure}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
