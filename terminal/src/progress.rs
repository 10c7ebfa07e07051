//! Progress bars on standard error: one for each item under way, and one for all of the work.

use std::fmt;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human::printable;

/// How often a bar of unknown length moves.
const TICK: Duration = Duration::from_millis(120);

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
}

/// One bar. It disappears when dropped, so that no message is ever left among bars.
#[derive(Debug)]
pub struct Task {
    bar: ProgressBar,
    bars: MultiProgress,
}

impl Progress {
    pub(crate) fn visible() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), overall: None }
    }

    /// Shows nothing: for tests and libraries' own examples.
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), overall: None }
    }

    /// The bar of one item, above the one of all. `total` is in the unit; `None` if unknown.
    pub fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Task {
        let bar = new_bar(label, total, unit);
        let bar = match &self.overall {
            Some(overall) => self.bars.insert_before(overall, bar),
            None => self.bars.add(bar),
        };
        self.start(bar, total)
    }

    /// The bar of all the work, at the bottom, and the place to add the items' bars to.
    pub fn overall(&self, label: &str, total: Option<u64>, unit: Unit) -> (Task, Self) {
        let bar = self.bars.add(new_bar(label, total, unit));
        let inner = Self { bars: self.bars.clone(), overall: Some(bar.clone()) };
        (self.start(bar, total), inner)
    }

    /// Runs `write` with the bars out of the way.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() { write() } else { self.bars.suspend(write) }
    }

    fn start(&self, bar: ProgressBar, total: Option<u64>) -> Task {
        if total.is_none() && !self.bars.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Task { bar, bars: self.bars.clone() }
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
    }

    /// So much is done in all.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
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
