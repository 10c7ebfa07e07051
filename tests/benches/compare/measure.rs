//! Running a command many times and what it took.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign_tests::Programs;

use crate::data_directory;

/// Where everything is built, and what is thrown away at the end.
pub struct Workshop {
    directory: PathBuf,
    programs: PathBuf,
    keep: bool,
    aside: Cell<u32>,
}

/// What a piece of work took: medians of several runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Wall time.
    pub wall: Duration,
    /// Fastest and slowest run.
    pub range: (Duration, Duration),
    /// Peak memory in KiB of one further run, where GNU time is installed.
    pub memory: Option<u64>,
    /// Requests and bytes received by the client, heads included, where a server was asked.
    pub network: Option<(u64, u64)>,
}

impl Workshop {
    pub fn new(keep: bool) -> Self {
        let directory = data_directory();
        fs::create_dir_all(directory.join("aside")).expect("a place for the data");
        let programs = Programs::get().directory().to_owned();
        Self { directory, programs, keep, aside: Cell::default() }
    }

    /// A path below the data's directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Moves what is there out of the way; it is deleted at the end.
    pub fn set_aside(&self, path: &Path) {
        if path.symlink_metadata().is_ok() {
            let number = self.aside.replace(self.aside.get() + 1);
            let aside = self.directory.join(format!("aside/{}-{number}", std::process::id()));
            fs::rename(path, aside).expect("it is on the same file system");
        }
    }

    /// A new empty directory in the place of whatever is there.
    pub fn fresh(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        self.set_aside(&path);
        fs::create_dir_all(&path).expect("a directory for the data");
        path
    }

    /// One of our two programs.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let path = if self.keep { self.directory.join("aside") } else { self.directory.clone() };
        // it lies below target, where nobody minds what is left
        let _ = fs::remove_dir_all(path);
    }
}

/// Measures `command`, made anew for each run after `prepare` has put everything back as it was.
/// `check` looks at the result of each run.
pub fn measure(
    runs: usize,
    mut prepare: impl FnMut(),
    command: impl Fn() -> Command,
    mut check: impl FnMut(),
) -> Measured {
    let walls = (0..runs).map(|_| time_once(&mut prepare, &command, &mut check)).collect();
    prepare();
    let memory = peak_memory(&command());
    check();
    Measured::of(walls, memory)
}

/// One of several programs that do the same work.
pub struct Contender<'c> {
    /// What the table calls it.
    pub name: String,
    /// Puts everything back as it was before the work.
    pub prepare: Box<dyn Fn() + 'c>,
    /// The work.
    pub command: Box<dyn Fn() -> Command + 'c>,
}

/// Measures several programs as [`measure`], in turns: what else goes on on the machine, and what the
/// work before left to the disk, is everybody's burden alike.
pub fn measure_in_turns(runs: usize, all: &[Contender<'_>], check: impl Fn()) -> Vec<Measured> {
    let mut walls: Vec<Vec<Duration>> = all.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (contender, walls) in all.iter().zip(&mut walls) {
            walls.push(time_once(&contender.prepare, &contender.command, &check));
        }
    }
    let measured = |(contender, walls): (&Contender<'_>, Vec<Duration>)| {
        (contender.prepare)();
        let memory = peak_memory(&(contender.command)());
        check();
        Measured::of(walls, memory)
    };
    all.iter().zip(walls).map(measured).collect()
}

fn time_once(
    mut prepare: impl FnMut(),
    command: impl Fn() -> Command,
    mut check: impl FnMut(),
) -> Duration {
    prepare();
    settle();
    let mut command = command();
    let begun = Instant::now();
    run(&mut command);
    let wall = begun.elapsed();
    check();
    wall
}

impl Measured {
    fn of(mut walls: Vec<Duration>, memory: Option<u64>) -> Self {
        walls.sort_unstable();
        let range = (walls[0], walls[walls.len() - 1]);
        Self { wall: walls[walls.len() / 2], range, memory, network: None }
    }
}

/// Runs a command that must succeed, without its output.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // 100 and 101: ours, patches wait
    let is_well = matches!(output.status.code(), Some(0 | 100 | 101));
    assert!(
        is_well,
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}

/// Lets what earlier work left to the disk get there, so that it is nobody's burden.
fn settle() {
    run(&mut Command::new("sync"));
}

fn peak_memory(command: &Command) -> Option<u64> {
    let time = Path::new("/usr/bin/time");
    if !time.exists() {
        return None;
    }
    let report = data_directory().join("peak-memory");
    let mut timed = Command::new(time);
    timed.args(["--format", "%M", "--output"]).arg(&report);
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        value.map(|value| timed.env(name, value));
    }
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    run(&mut timed);
    let text = fs::read_to_string(report).expect("GNU time has written its report");
    text.lines().last().and_then(|line| line.trim().parse().ok())
}
