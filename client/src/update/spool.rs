//! New entries wait in a file until all of them have come and make the signed tree. Only then are
//! they taken into the state: a transaction that waited for the network would shut readers out for
//! as long as a server likes.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the file, in the state's directory. It is removed as soon as it is open.
const NAME: &str = "entries.tmp";

/// Entries in the order in which they came.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

/// Why entries cannot be kept until they are taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct SpoolError {
    doing: &'static str,
    path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Spool {
    /// A spool in `directory`, which nobody else uses meanwhile. Nothing is made before the first
    /// entry.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(NAME), file: None }
    }

    /// Keeps one more entry.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), SpoolError> {
        let failed = |source| SpoolError { doing: "write", path: self.path.clone(), source };
        let length = u32::try_from(entry.len()).expect("at most MAX_ENTRY");
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(create(&self.path).map_err(failed)?)),
        };
        file.write_all(&length.to_be_bytes()).and_then(|()| file.write_all(entry)).map_err(failed)
    }

    /// Hands every entry to `take`, in order.
    pub fn drain<E: From<SpoolError>>(
        self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { path, file } = self;
        let Some(file) = file else { return Ok(()) };
        let failed = |source| SpoolError { doing: "read", path: path.clone(), source };
        let mut file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        let end = file.stream_position().map_err(failed)?;
        file.rewind().map_err(failed)?;
        let (mut file, mut at, mut entry) = (BufReader::new(file), 0, Vec::new());
        while at < end {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(failed)?;
            let length = u32::from_be_bytes(length);
            entry.resize(length as usize, 0);
            file.read_exact(&mut entry).map_err(failed)?;
            take(&entry)?;
            at += 4 + u64::from(length);
        }
        Ok(())
    }
}

/// Makes a file that is gone when it is closed, however that comes about.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_took_and_leaves_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(NAME), "left by a killed process").expect("written");
        let mut spool = Spool::new(directory.path());
        let entries = [b"one".to_vec(), Vec::new(), vec![7; 100_000], b"last".to_vec()];
        for entry in &entries {
            spool.push(entry).expect("kept");
        }
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
        let mut found = Vec::new();
        let took: Result<(), SpoolError> = spool.drain(|entry| {
            found.push(entry.to_vec());
            Ok(())
        });
        took.expect("read");
        assert_eq!(found, entries);
        let nothing: Result<(), SpoolError> =
            Spool::new(directory.path()).drain(|_| unreachable!("there is none"));
        nothing.expect("nothing to read");
    }
}
