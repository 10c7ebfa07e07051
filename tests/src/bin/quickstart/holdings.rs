//! What each party holds, file by file.

use std::fs;
use std::path::Path;

use crate::stage::{NotAsTold, Stage};

/// Prints the files below `room` of a role's directory, each with what it is. Secrets are marked.
pub fn show(stage: &Stage, role: &str, room: &str) -> Result<(), NotAsTold> {
    let directory = stage.path(role);
    let mut files = Vec::new();
    collect(&directory, Path::new(""), &mut files)?;
    files.sort();
    println!("\n  {role}/");
    for file in files.iter().filter(|file| file.starts_with(room)) {
        if let Some(what) = what(role, file) {
            println!("    {:<40} {what}", shortened(file));
        }
    }
    Ok(())
}

/// A path without the middle of a long name.
fn shortened(file: &str) -> String {
    let (above, name) = file.rsplit_once('/').unwrap_or(("", file));
    match name.rsplit_once('.') {
        Some((hash, ending)) if hash.len() == 64 => format!("{above}/{}….{ending}", &hash[..8]),
        _ => file.to_owned(),
    }
}

/// What a file is, in one line; nothing for what readers need not know.
fn what(role: &str, file: &str) -> Option<&'static str> {
    let (room, rest) = file.split_once('/')?;
    Some(match (room, rest) {
        ("keys", "master.pem") => "SECRET: issues the halves of servers' keys",
        ("keys", name) if ending(name) == "pub" => "its public half",
        ("keys", _) if role.ends_with("authority") => "SECRET: signs who may sign",
        ("keys", name) if ending(name) == "pem" => "SECRET: its half of its key; never leaves",
        ("keys", name) if ending(name) == "grant" => "the authority's half, useless by itself",
        ("public", name) if name.starts_with("authority/") => "which keys hold which role, signed",
        ("public", "collection/checkpoint") => "the index's signed head",
        ("public", "distribution/checkpoint") => "the signed head of what is released",
        ("public", name) if name.contains("/tile/entries/") => "entries of a log",
        ("public", name) if name.contains("/tile/") => "hashes of a log's tree",
        ("public", name) if name.contains("/pack/") => "entries again, compressed",
        ("public", name) if ending(name) == "patch" => "an archive",
        ("public", name) if ending(name) == "note" => "its note, with the signatures",
        _ => return None,
    })
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn collect(directory: &Path, below: &Path, files: &mut Vec<String>) -> Result<(), NotAsTold> {
    for entry in fs::read_dir(directory.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(directory, &path, files)?;
        } else {
            files.push(path.display().to_string());
        }
    }
    Ok(())
}
