//! Reading files of settings: bounded, and with the line of what is wrong.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::value::Raw;
use super::{ConfigError, MAX_CONFIG};

/// A key with its value, and where it is.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) raw: Raw,
    /// The line, from 1 on.
    pub(super) line: usize,
    /// Which bytes of the file are the value.
    pub(super) value: std::ops::Range<usize>,
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::File { doing: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_CONFIG + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(ConfigError::TooLong(path.to_owned()));
    }
    Ok(text)
}

/// The keys of a file, in the order of its lines.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|source| ConfigError::form(path, text, source))?;
    let mut entries: Vec<Entry> = table
        .get_ref()
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            raw: raw(value.get_ref()),
            line: text[..key.span().start].bytes().filter(|byte| *byte == b'\n').count() + 1,
            value: value.span(),
        })
        .collect();
    entries.sort_by_key(|entry| entry.value.start);
    Ok(entries)
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Number(number.to_string()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        _ => Raw::Other,
    }
}
