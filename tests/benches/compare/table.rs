//! Printing what was measured, as the tables of `docs/performance.md`.

use std::time::Duration;

use crate::measure::Measured;

/// Rows of programs and what they took, for one piece of work.
pub struct Table {
    title: String,
    rows: Vec<(String, Measured)>,
}

impl Table {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    pub fn row(&mut self, program: &str, measured: Measured) {
        eprintln!("  {program}: {}", time(measured.wall));
        self.rows.push((program.to_owned(), measured));
    }

    /// Prints it; ratios are of our time, in the first row, to theirs.
    pub fn print(self) {
        println!("\n### {}\n", self.title);
        println!("| | wall | range | peak memory | requests | received | our time : theirs |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        let ours = self.rows.first().map(|(_, ours)| ours.wall);
        for (program, measured) in &self.rows {
            let (fastest, slowest) = measured.range;
            let memory =
                measured.memory.map_or("-".into(), |memory| format!("{} MiB", memory / 1024));
            let (requests, received) = measured
                .network
                .map_or(("-".into(), "-".into()), |(n, bytes)| (n.to_string(), size(bytes)));
            let ratio = ours.map_or(0.0, |ours| ours.as_secs_f64() / measured.wall.as_secs_f64());
            println!(
                "| {program} | {} | {}–{} | {memory} | {requests} | {received} | {ratio:.3} |",
                time(measured.wall),
                time(fastest),
                time(slowest),
            );
        }
    }
}

/// A time for people.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// Bytes for people, in powers of ten as networks are counted.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}
