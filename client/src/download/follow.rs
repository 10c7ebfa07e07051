//! Hashes a file while it comes, in the time in which the network is waited for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use countersign_format::hash::{Hash32, Hasher};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// The hash of what has come of a file so far, read from the file itself: it may have been begun
/// another day, or be begun anew.
pub(super) struct Follower {
    file: File,
    hasher: Hasher,
    done: u64,
    buffer: Vec<u8>,
    failed: Option<io::Error>,
}

impl Follower {
    /// Nothing of `file` is hashed as yet.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let (file, buffer) = (file.try_clone()?, vec![0; CHUNK]);
        Ok(Self { file, hasher: Hasher::new(), done: 0, buffer, failed: None })
    }

    /// Goes on to `length`, which the file has come to.
    pub(super) fn go_on(&mut self, length: u64) {
        if self.failed.is_none()
            && let Err(error) = self.try_go_on(length)
        {
            self.failed = Some(error);
        }
    }

    /// Whether the file has this size and this hash. It must not be written to any more.
    pub(super) fn matches(mut self, sha256: &Hash32, size: u64) -> io::Result<bool> {
        if self.file.metadata()?.len() != size {
            return Ok(false);
        }
        self.go_on(size);
        let hashed = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        if self.failed.is_none() && hashed == *sha256 {
            return Ok(true);
        }
        // what was begun anew may have come farther at once than what was hashed before
        self.done = 0;
        self.try_go_on(size)?;
        Ok(self.hasher.finish() == *sha256)
    }

    fn try_go_on(&mut self, length: u64) -> io::Result<()> {
        if length < self.done {
            // it was begun anew
            (self.hasher, self.done) = (Hasher::new(), 0);
        }
        while self.done < length {
            let most = usize::try_from(length - self.done).map_or(CHUNK, |left| left.min(CHUNK));
            let read = self.file.read_at(&mut self.buffer[..most], self.done)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.hasher.update(&self.buffer[..read]);
            self.done += read as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn what_comes_in_parts_has_the_hash_of_the_whole() {
        let mut file = tempfile::tempfile().expect("a file");
        let content: Vec<u8> = (0..400_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let hash = Hash32::of(&content);
        let sound = |follower: Follower| follower.matches(&hash, 400_000).expect("read");
        let mut follower = Follower::new(&file).expect("a follower");
        // another beginning, which is given up
        file.write_all(&[7; 1000]).expect("written");
        follower.go_on(1000);
        file.set_len(0).expect("emptied");
        file.rewind().expect("rewound");
        for end in [1, 200_000, 399_999] {
            let begun = usize::try_from(file.stream_position().expect("a place")).expect("small");
            file.write_all(&content[begun..end]).expect("written");
            follower.go_on(end as u64);
        }
        assert!(!sound(Follower::new(&file).expect("a follower")), "too short");
        file.write_all(&content[399_999..]).expect("written");
        assert!(sound(follower));
        file.write_all(b"more").expect("written");
        assert!(!sound(Follower::new(&file).expect("a follower")), "too long");
    }

    #[test]
    fn a_file_begun_anew_to_the_same_length_is_hashed_anew() {
        let mut file = tempfile::tempfile().expect("a file");
        let mut follower = Follower::new(&file).expect("a follower");
        for content in [b"one", b"two"] {
            file.set_len(0).expect("emptied");
            file.rewind().expect("rewound");
            file.write_all(content).expect("written");
            follower.go_on(3);
        }
        assert!(follower.matches(&Hash32::of(b"two"), 3).expect("read"));
    }
}
