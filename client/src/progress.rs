//! What the library reports, as progress bars and messages.

use std::collections::BTreeMap;

use countersign_terminal::{Output, Progress, Task, Unit};
use patchctl::report::{Event, Reporter};

/// Shows what the library reports.
pub struct Bars<'o> {
    output: &'o Output,
    /// Bars under way, by their labels.
    tasks: BTreeMap<String, Task>,
    fetching: Option<Fetching>,
}

/// Several archives on their way: a bar for all of them, and what has come of each.
struct Fetching {
    overall: Task,
    /// Where the archives' own bars go.
    inner: Progress,
    done: BTreeMap<String, u64>,
    total: u64,
}

impl<'o> Bars<'o> {
    /// Shows it on this output.
    pub fn new(output: &'o Output) -> Self {
        Self { output, tasks: BTreeMap::new(), fetching: None }
    }

    fn show(&mut self, label: String, done: u64, total: u64, unit: Unit) {
        if done >= total {
            self.tasks.remove(&label);
            return;
        }
        let fetching = self.fetching.as_ref();
        let progress = fetching.map_or(self.output.progress(), |fetching| &fetching.inner);
        let task = self
            .tasks
            .entry(label)
            .or_insert_with_key(|label| progress.task(label, Some(total), unit));
        task.set_position(done);
    }

    fn begin_fetching(&mut self, archives: usize, total: u64) {
        let label = if archives == 1 { "fetching 1 patch" } else { "fetching patches" };
        let (overall, inner) = self.output.progress().overall(label, Some(total), Unit::Bytes);
        self.fetching = Some(Fetching { overall, inner, done: BTreeMap::new(), total });
    }

    fn fetch(&mut self, label: String, done: u64, total: u64) {
        self.show(label.clone(), done, total, Unit::Bytes);
        let Some(fetching) = &mut self.fetching else { return };
        fetching.done.insert(label, done);
        let all = fetching.done.values().sum();
        fetching.overall.set_position(all);
        if all >= fetching.total {
            self.fetching = None;
        }
    }
}

impl Reporter for Bars<'_> {
    fn report(&mut self, event: &Event<'_>) {
        let items = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match *event {
            Event::Following { log, done, total } => {
                self.show(format!("{log} log"), done, total, Unit::Items);
            }
            Event::Fetching { archives, total } => self.begin_fetching(archives, total),
            Event::Downloading { name, version, done, total } => {
                self.fetch(format!("{name} {version}"), done, total);
            }
            Event::Unpacking { name, version, done, total } => {
                self.show(format!("verifying {name} {version}"), done, total, Unit::Bytes);
            }
            Event::Placing { done, total } => {
                self.show("placing files".into(), items(done), items(total), Unit::Items);
            }
            Event::Undoing { done, total } => {
                self.show("undoing".into(), items(done), items(total), Unit::Items);
            }
            Event::Verifying { done, total } => {
                self.show("comparing files".into(), items(done), items(total), Unit::Items);
            }
            Event::HookStarted { name, hook } => {
                self.output.detail(format!("running {hook} of {name}"));
            }
            Event::HookEnded { name, hook, success, took } => {
                let how = if success { "ended well" } else { "failed" };
                self.output.detail(format!("{hook} of {name} {how} after {took:.1?}"));
            }
            Event::Flushing => self.output.detail("flushing to disk"),
            _ => {}
        }
    }
}
