//! Every bound on what comes from outside, in one place (SPEC §3.1, §4, §4.4, §5.2, §7).
//!
//! Each is checked before anything is allocated or decoded.

/// Largest JSON integer: the largest that every JSON implementation reads exactly (RFC 8259 §6).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Largest checkpoint or patch note: they hold a few hundred bytes and a few signature lines.
pub const MAX_NOTE: usize = 64 * 1024;
/// Largest authority or directory note: hundreds of keys and their history.
pub const MAX_AUTHORITY_NOTE: usize = 1024 * 1024;
/// Most signature lines on a note: bounds the curve operations a stranger can cause.
pub const MAX_SIGNATURE_LINES: usize = 64;
/// Longest key name: a URL or an address, not a document.
pub const MAX_KEY_NAME: usize = 255;
/// Largest log entry: half of what an entry bundle's 16-bit length can say.
pub const MAX_ENTRY: usize = 32 * 1024;
/// Largest entry bundle: 256 entries with their 16-bit lengths.
pub const MAX_BUNDLE: usize = TILE_WIDTH * (MAX_ENTRY + 2);
/// Hashes in a full tile and entries in a full bundle (C2SP `tlog-tiles`).
pub const TILE_WIDTH: usize = 256;
/// Most bytes a pack inflates to, and most that its entries have together: bounds a reader's time and
/// disk.
pub const MAX_PACK_INFLATED: u64 = 128 * 1024 * 1024;
/// Most bytes that a pack has as stored for each of its entries, five times what they take: readers ask
/// for several packs at once, and hold so much for each.
pub const MAX_PACKED_ENTRY: u64 = 512;
/// Most bytes that a pack has besides, so that a few large entries may be in a small one.
pub const MAX_PACK_BASE: u64 = 64 * 1024;
/// Largest pack as stored: one of 65,536 entries.
pub const MAX_PACK: u64 = MAX_PACK_BASE + MAX_PACKED_ENTRY * (1 << 16);
/// Largest tree: leaf indexes are JSON integers too.
pub const MAX_TREE_SIZE: u64 = MAX_INTEGER;
/// Most entries that a reader takes between two heads: a hundred a day for 450 years. Whoever stole
/// the key of a log may sign any size, and could feed readers for ever.
pub const MAX_FOLLOWED: u64 = 1 << 24;
/// Most bytes of entries that a reader takes between two heads: they go to its disk.
pub const MAX_FOLLOWED_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Longest payload path: `PATH_MAX` of Linux.
pub const MAX_PATH: usize = 4096;
/// Largest `manifest.json`: about 200,000 files.
pub const MAX_MANIFEST: u64 = 64 * 1024 * 1024;
/// Most payload members of an archive.
pub const MAX_FILES: u64 = 1_000_000;
/// Largest hook: a script, not a payload.
pub const MAX_HOOK: u64 = 1024 * 1024;
/// Longest symlink target: `PATH_MAX` of Linux.
pub const MAX_LINK_TARGET: usize = 4096;
/// Largest zstd window of an archive, as a power of two: bounds a reader's memory to 8 MiB.
pub const MAX_WINDOW_LOG: u32 = 23;
/// Bytes that one block of a delta makes: bounds what making and applying one hold in memory.
pub const MAX_DELTA_BLOCK: usize = 1024 * 1024;
/// Largest archive, in bytes, compressed or not.
pub const MAX_ARCHIVE: u64 = 1 << 40;
/// Longest `xattrs` value of one file, all values together: the limit of ext4's inode and block.
pub const MAX_XATTRS: usize = 64 * 1024;
/// How deep JSON may nest.
pub const MAX_JSON_DEPTH: usize = 16;
/// Most versions of the authority that a client looks through for its first note.
pub const MAX_ENROLL_SEARCH: u64 = 1024;
/// Most authority versions on end that may be passed over because they cannot be accepted.
pub const MAX_PASSED_OVER: u64 = 16;
/// How far ahead of the local clock a cosignature's time may be, in seconds.
pub const MAX_CLOCK_AHEAD: u64 = 300;
