//! Progress on standard error: bars, one for each item under way and one for all of the work; or,
//! where it is no terminal, a line now and then.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human::{bytes, printable};

/// How often a bar of unknown length moves.
const TICK: Duration = Duration::from_millis(120);

/// How long work goes on before the first line, and how far apart lines are at least.
const LEAST_GAP: Duration = Duration::from_secs(2);
/// How far apart lines are at most.
const MOST_GAP: Duration = Duration::from_secs(10);

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown in KiB and MiB, with the speed.
    Bytes,
    /// Patches, files, entries.
    Items,
}

/// Shows how far long work is. Cheap to clone; all clones draw in one place. Shows nothing where
/// standard error is no terminal, and with `--no-progress` or `-q`.
#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    overall: Option<ProgressBar>,
    /// Whether lines are written instead.
    in_lines: bool,
}

/// One bar. It disappears when dropped, so that no message is ever left among bars.
#[derive(Debug)]
pub struct Task {
    bar: ProgressBar,
    bars: MultiProgress,
    lines: Option<Mutex<Lines>>,
    unit: Unit,
}

/// When the last line was written, and how far the work was then.
#[derive(Debug)]
struct Lines {
    at: Instant,
    done: u64,
}

impl Lines {
    /// Whether it is time for a line: some while after the last one, and then after a tenth of the
    /// work or after a longer while.
    fn is_due(&mut self, now: Instant, done: u64, total: Option<u64>) -> bool {
        let gap = now.saturating_duration_since(self.at);
        let tenth = total.is_some_and(|total| (done - self.done.min(done)) * 10 >= total.max(1));
        let is_due = gap >= MOST_GAP || (gap >= LEAST_GAP && tenth);
        if is_due {
            *self = Self { at: now, done };
        }
        is_due
    }
}

impl Progress {
    pub(crate) fn visible() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { bars, overall: None, in_lines: false }
    }

    /// Shows nothing: for tests and libraries' own examples.
    pub fn hidden() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self { bars, overall: None, in_lines: false }
    }

    /// Writes a line now and then: for logs, and for people who watch one.
    pub(crate) fn in_lines() -> Self {
        Self { in_lines: true, ..Self::hidden() }
    }

    /// The bar of one item, above the one of all. `total` is in the unit; `None` if unknown.
    pub fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Task {
        let bar = new_bar(label, total, unit);
        let bar = match &self.overall {
            Some(overall) => self.bars.insert_before(overall, bar),
            None => self.bars.add(bar),
        };
        // the items of a whole are in its lines
        self.start(bar, total, unit, self.in_lines && self.overall.is_none())
    }

    /// The bar of all the work, at the bottom, and the place to add the items' bars to.
    pub fn overall(&self, label: &str, total: Option<u64>, unit: Unit) -> (Task, Self) {
        let bar = self.bars.add(new_bar(label, total, unit));
        let inner = Self { overall: Some(bar.clone()), ..self.clone() };
        (self.start(bar, total, unit, self.in_lines), inner)
    }

    /// Runs `write` with the bars out of the way.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() { write() } else { self.bars.suspend(write) }
    }

    fn start(&self, bar: ProgressBar, total: Option<u64>, unit: Unit, in_lines: bool) -> Task {
        if total.is_none() && !self.bars.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        let lines = in_lines.then(|| Mutex::new(Lines { at: Instant::now(), done: 0 }));
        Task { bar, bars: self.bars.clone(), lines, unit }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Progress")
            .field("hidden", &self.bars.is_hidden())
            .finish_non_exhaustive()
    }
}

impl Task {
    /// So much more is done.
    pub fn advance(&self, amount: u64) {
        self.bar.inc(amount);
        self.say();
    }

    /// So much is done in all.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        self.say();
    }

    /// Writes a line, if it is time for one.
    fn say(&self) {
        let Some(lines) = &self.lines else { return };
        let (done, total) = (self.bar.position(), self.bar.length());
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_due(Instant::now(), done, total) {
            // nobody may be reading
            let _ = writeln!(io::stderr(), "{}", line(&self.bar.prefix(), done, total, self.unit));
        }
    }

    /// The total became known, or grew.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows another label, such as the name of the item in hand.
    pub fn set_label(&self, label: &str) {
        self.bar.set_prefix(printable(label).into_owned());
    }

    /// How much is done.
    pub fn position(&self) -> u64 {
        self.bar.position()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

fn line(label: &str, done: u64, total: Option<u64>, unit: Unit) -> String {
    let amount = |count: u64| match unit {
        Unit::Bytes => bytes(count),
        Unit::Items => count.to_string(),
    };
    match total {
        Some(total) => {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            format!("{label}: {} of {} ({percent} %)", amount(done), amount(total))
        }
        None => format!("{label}: {}", amount(done)),
    }
}

fn new_bar(label: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let template = match (unit, total.is_some()) {
        (Unit::Bytes, true) => {
            "{prefix:30!} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
        }
        (Unit::Bytes, false) => "{prefix:30!} {spinner} {binary_bytes} {binary_bytes_per_sec}",
        (Unit::Items, true) => "{prefix:30!} [{wide_bar}] {pos}/{len}",
        (Unit::Items, false) => "{prefix:30!} {spinner} {pos}",
    };
    let style =
        ProgressStyle::with_template(template).expect("the templates above are well-formed");
    // hidden until the collection of bars takes it over, which sets the target
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(printable(label).into_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_now_and_then() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut lines = Lines { at: begun, done: 0 };
        assert!(!lines.is_due(at(1), 90, Some(100)), "what is quick needs no line");
        assert!(lines.is_due(at(2), 10, Some(100)));
        assert!(!lines.is_due(at(8), 19, Some(100)));
        assert!(lines.is_due(at(9), 20, Some(100)));
        assert!(!lines.is_due(at(18), 20, Some(100)));
        assert!(lines.is_due(at(19), 20, Some(100)), "a word that nothing comes");
        assert!(!lines.is_due(at(25), 1 << 20, None));
        assert!(lines.is_due(at(29), 1 << 20, None));
        let text = line("fetching patches", 3 << 20, Some(12 << 20), Unit::Bytes);
        assert_eq!(text, "fetching patches: 3.0 MiB of 12.0 MiB (25 %)");
        assert_eq!(line("files", 7, None, Unit::Items), "files: 7");
    }

    #[test]
    fn items_of_a_whole_write_no_lines_of_their_own() {
        let progress = Progress::in_lines();
        assert!(progress.task("one", Some(1), Unit::Items).lines.is_some());
        let (all, inner) = progress.overall("all", Some(2), Unit::Items);
        assert!(all.lines.is_some());
        assert!(inner.task("one", Some(1), Unit::Items).lines.is_none());
    }

    #[test]
    fn bars_count_whatever_is_shown() {
        let (all, progress) = Progress::hidden().overall("patches", Some(2), Unit::Items);
        for (unit, total) in [(Unit::Bytes, Some(10)), (Unit::Bytes, None), (Unit::Items, None)] {
            let task = progress.task("acme-agent\u{1b}[2J", total, unit);
            task.advance(3);
            task.advance(4);
            assert_eq!(task.position(), 7);
            assert_eq!(task.bar.prefix(), "acme-agent\\u{1b}[2J");
        }
        all.advance(1);
        assert_eq!(all.position(), 1);
    }
}
