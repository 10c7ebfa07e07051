//! What every command begins with: places, settings, sources, the state.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign_format::name::Platform;
use countersign_format::time::Timestamp;
use countersign_store::{Holder, Location, Mirrors, Source};
use countersign_terminal::{ExitStatus, Failure, Output, Verbosity, duration, time};
use patchctl::catalogue::Catalogue;
use patchctl::config::definitions::VARIABLE_PREFIX;
use patchctl::config::{Config, Given, Settings, SourceConfig};
use patchctl::db::Database;
use patchctl::hooks::HookLimits;
use patchctl::places::{NamedPlaces, Places, UserDirectories};
use patchctl::state::{Opening, State, must_be_there};
use patchctl::transaction::{Context, Recovered};
use patchctl::trust::{Heads, Trust, TrustError};
use patchctl::{clock, machine};

use crate::cli::ClientArgs;
use crate::commands::config_files::policy_word;
use crate::explain::{Explain as _, OrExplain as _};
use crate::progress::Bars;

/// What a command works with.
pub struct Session<'o> {
    /// Where it prints.
    pub output: &'o Output,
    /// The arguments that every command takes.
    pub arguments: ClientArgs,
    /// The directories.
    pub places: Places,
    /// The settings.
    pub config: Config,
    /// Who said which of them.
    pub settings: Settings,
    /// The sources that this machine is enrolled with.
    pub sources: Vec<SourceConfig>,
    /// What the clock said when the command began.
    pub now: Timestamp,
    /// The command as it was typed.
    command: String,
}

/// What the command line, the environment and the files with settings come to.
pub struct Settled {
    /// The directories.
    pub places: Places,
    /// The settings.
    pub config: Config,
    /// Who said which of them.
    pub settings: Settings,
    /// The sources that this machine is enrolled with.
    pub sources: Vec<SourceConfig>,
}

impl Settled {
    /// Reads the settings and the sources.
    pub fn find(arguments: &ClientArgs) -> Result<Self, Failure> {
        let working = std::env::current_dir().map_err(|error| {
            Failure::new(ExitStatus::Failed, error).hint("go to a directory that exists")
        })?;
        let named = named_places(arguments, &working)?;
        let files = named.clone().settle(&working);
        let (config, settings) =
            Settings::read(&files, &working, &given(arguments)).or_explain()?;
        let mut places = named.or(config.places.clone()).settle(&working);
        // a root that the settings name does not move the settings themselves
        places.config = files.config;
        let sources = SourceConfig::read_all(&places).or_explain()?;
        Ok(Self { places, config, settings, sources })
    }
}

impl<'o> Session<'o> {
    /// Reads the settings.
    pub fn new(mut arguments: ClientArgs, output: &'o Output) -> Result<Self, Failure> {
        let Settled { places, config, settings, sources } = Settled::find(&arguments)?;
        for warning in &settings.warnings {
            output.warning(warning);
        }
        arguments.offline |= config.offline;
        // arguments need not be text
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let command = words.collect::<Vec<_>>().join(" ");
        let now = clock::now();
        Ok(Self { output, arguments, places, config, settings, sources, now, command })
    }

    /// Bars and messages for the library's reports.
    pub fn bars(&self) -> Bars<'o> {
        Bars::new(self.output)
    }

    /// What a transaction is told of the outside world.
    pub fn context(&self, allow_stale: bool) -> Context<'_> {
        let usual = HookLimits::default();
        let time = self.config.hook_timeout.unwrap_or(usual.time);
        Context {
            command: &self.command,
            allow_stale,
            clock: &|| clock::now().seconds(),
            hooks: HookLimits { time, ..usual },
            retention: self.config.retention,
            interrupts: &|| INTERRUPTED.load(Ordering::Relaxed),
        }
    }

    /// Opens the state to change it: waits for whoever holds it, and first of all puts right what
    /// was interrupted.
    pub fn open(&self) -> Result<State, Failure> {
        self.with_opening(State::open)
    }

    /// As [`Self::open`], and makes the state if there is none.
    pub fn open_or_create(&self) -> Result<State, Failure> {
        self.with_opening(State::open_or_create)
    }

    fn with_opening(
        &self,
        open: impl FnOnce(
            Opening<'_>,
            &mut dyn patchctl::report::Reporter,
        ) -> Result<State, patchctl::state::StateError>,
    ) -> Result<State, Failure> {
        let patience = self.arguments.lock_timeout.unwrap_or(self.config.lock_timeout);
        let opening = Opening {
            places: &self.places,
            context: self.context(false),
            now: self.now,
            patience,
            on_wait: &mut |holder| self.output.note(waiting_for(holder, patience)),
        };
        let state = open(opening, &mut self.bars()).or_explain()?;
        for recovered in &state.recovered {
            self.say_recovered(recovered);
        }
        Ok(state)
    }

    fn say_recovered(&self, recovered: &Recovered) {
        let Recovered { transaction, command, changes, notices } = recovered;
        self.output.warning(format!(
            "transaction {transaction} ({command}) was interrupted; everything is as before it"
        ));
        for change in changes {
            let version = change.old.as_ref().map_or("not installed".into(), ToString::to_string);
            self.output.note(format!("{} is {version}", change.name));
        }
        for notice in notices {
            self.output.warning(notice);
        }
    }

    /// Opens the state to read it. Never waits.
    pub fn open_to_read(&self) -> Result<Database, Failure> {
        must_be_there(&self.places).or_explain()?;
        let database = Database::open_read_only(&self.places.database()).or_explain()?;
        if let Some(transaction) = database.unfinished().or_explain()? {
            self.output.warning(format!(
                "transaction {transaction} is under way or was interrupted; \
                 the next command that changes something ends it"
            ));
        }
        Ok(database)
    }

    /// What is known of all sources.
    pub fn catalogue(&self, database: &Database) -> Result<Catalogue, Failure> {
        self.must_have_sources()?;
        self.catalogue_or_none(database)
    }

    /// What is known of all sources, be there any or none: for what needs them only to ask whether
    /// they say anything.
    pub fn catalogue_or_none(&self, database: &Database) -> Result<Catalogue, Failure> {
        Catalogue::load(database, &self.sources, platform()?, self.now).or_explain()
    }

    /// What is known of the sources whose stored trust can be loaded, and why the others' cannot:
    /// for what only shows.
    pub fn readable_catalogue(
        &self,
        database: &Database,
    ) -> Result<(Catalogue, Vec<(SourceConfig, TrustError)>), Failure> {
        self.must_have_sources()?;
        Catalogue::load_readable(database, &self.sources, platform()?, self.now).or_explain()
    }

    fn must_have_sources(&self) -> Result<(), Failure> {
        if self.sources.is_empty() { Err(no_sources(&self.places)) } else { Ok(()) }
    }

    /// Checks that the index of every source is fresh; with `allow_stale` it is only said.
    pub fn check_fresh(&self, catalogue: &Catalogue, allow_stale: bool) -> Result<(), Failure> {
        for source in catalogue.sources() {
            let Err(error) = source.trust.check_fresh(&source.heads, self.now) else { continue };
            let failure = error.explain();
            if !allow_stale || failure.exit() != ExitStatus::Expired {
                return Err(failure);
            }
            let causes = failure.causes().join(": ");
            self.output.warning(format!("{}: {causes}; going on as asked", failure.error()));
        }
        Ok(())
    }

    /// The servers of a source.
    pub fn mirrors(&self, database: &Database, config: &SourceConfig) -> Result<Mirrors, Failure> {
        let locations = self.locations(database, config)?;
        Ok(Mirrors::new(locations.iter().map(|at| self.server(config, at)).collect()))
    }

    /// Where the servers of a source are.
    pub fn locations(
        &self,
        database: &Database,
        config: &SourceConfig,
    ) -> Result<Vec<Location>, Failure> {
        let trust = Trust::load(database, config).or_explain()?;
        let heads = Heads::load(database, &trust).or_explain()?;
        let region = self.config.region.as_ref();
        trust.locations(database, &heads, config, region, self.now).or_explain()
    }

    /// A server of a source.
    pub fn server(&self, config: &SourceConfig, location: &Location) -> Source {
        Source::open(location, &config.http(&self.config.http, location))
    }

    /// Refuses `--dry-run` where there is nothing to be shown without doing it.
    pub fn refuse_dry_run(&self, command: &str) -> Result<(), Failure> {
        if self.arguments.dry_run {
            return Err(Failure::usage(format!("{command} cannot be tried without doing it"))
                .hint("leave --dry-run out: nothing is installed by it"));
        }
        Ok(())
    }
}

/// The places that the command line names, or that are the user's own.
fn named_places(arguments: &ClientArgs, working: &Path) -> Result<NamedPlaces, Failure> {
    let named = NamedPlaces {
        root: arguments.root.clone(),
        // `--config new` says what to do about files that were changed here, not where settings are
        config: arguments.config.clone().filter(|value| policy_word(value).is_none()),
        state: arguments.state.clone(),
        cache: arguments.cache.clone(),
    };
    let Some(root) = named.root.as_ref().map(|root| working.join(root)) else { return Ok(named) };
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let user = UserDirectories::find(variable).map(|user| user.places(&root));
    let is_privileged = rustix::process::geteuid().is_root();
    match user {
        Some(user) if arguments.xdg => Ok(named.or(user)),
        Some(user) if !is_privileged && named.is_kept_by_user(&root, &user) => Ok(named.or(user)),
        None if arguments.xdg => Err(Failure::usage(
            "there is no HOME and no XDG_CONFIG_HOME, XDG_STATE_HOME, \
                                XDG_CACHE_HOME in the environment",
        )),
        _ => Ok(named),
    }
}

/// What the command line and the environment say.
fn given(arguments: &ClientArgs) -> Given {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let wait = arguments.lock_timeout.map(|span| format!("{}s", span.as_secs()));
    let options = [
        ("root", "--root", shown(&arguments.root)),
        ("state", "--state", shown(&arguments.state)),
        ("cache", "--cache", shown(&arguments.cache)),
        ("lock_timeout", "--lock-timeout", wait),
        ("offline", "--offline", arguments.offline.then(|| "true".into())),
    ];
    let options =
        options.into_iter().filter_map(|(name, option, value)| Some((name, option, value?)));
    let matters = |name: &str| {
        name.starts_with(VARIABLE_PREFIX) || name.to_ascii_lowercase().ends_with("_proxy")
    };
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let file = arguments.config.as_ref().filter(|value| policy_word(value).is_none());
    Given {
        file_is_named: file.is_some(),
        root_is_named: arguments.root.is_some(),
        environment: environment.filter(|(name, _)| matters(name)).collect(),
        options: options.collect(),
    }
}

/// What this machine runs.
fn platform() -> Result<Platform, Failure> {
    machine::platform().map_err(|error| Failure::new(ExitStatus::Failed, error))
}

/// There is nothing to ask.
pub fn no_sources(places: &Places) -> Failure {
    let text = format!("no source is configured in {}", places.sources().display());
    Failure::new(ExitStatus::Configuration, text)
        .hint("begin with: patchctl enroll URL --authority FILE|sha256:HEX")
}

fn waiting_for(holder: Option<&Holder>, patience: Duration) -> String {
    let who = holder.map_or("another process".into(), |holder| {
        let since = i64::try_from(holder.since).unwrap_or(i64::MAX);
        format!("{holder}, which began at {}", time(since))
    });
    format!("waiting for {who}, at most {}", duration(patience))
}

/// How often somebody asked this process to stop since [`hold_signals`].
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);

/// From here on to its end the process lets no Ctrl-C, hang-up or polite request end it: a
/// transaction is not left halfway, with a hook of it still running. Asked again, it kills a hook
/// that is running, and so undoes the transaction. Whoever must can still kill it.
pub fn hold_signals(output: &Output) {
    use tokio::signal::unix::{SignalKind, signal};
    let quiet = output.verbosity() < Verbosity::Normal;
    let listen = move |kind: SignalKind| async move {
        let Ok(mut signals) = signal(kind) else { return };
        while signals.recv().await.is_some() {
            // a person at the keyboard can insist; whoever closes the terminal or shuts the machine
            // down has to wait
            let insists = u32::from(kind == SignalKind::interrupt());
            let first = INTERRUPTED.fetch_add(insists, Ordering::Relaxed) == 0;
            if first && !quiet {
                // nobody may be there to read it any more
                let _ = writeln!(
                    std::io::stderr(),
                    "finishing or undoing the transaction; Ctrl-C once more kills a running hook and undoes it"
                );
            }
        }
    };
    let (ready, listening) = std::sync::mpsc::channel();
    let wait = move || {
        block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [one, two, three] = kinds.map(|kind| Box::pin(listen(kind)));
            let told = async move {
                let _ = ready.send(());
            };
            // each registers when it is first polled, and so before the last says that all are
            tokio::join!(biased; one, two, three, told);
        });
    };
    if std::thread::Builder::new().spawn(wait).is_ok() {
        let _ = listening.recv();
    }
}

/// Runs `future` to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime needs an event queue, which the system has").block_on(future)
}
