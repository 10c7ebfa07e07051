//! How far a rotation is, and what to type next on which machine.

use std::collections::BTreeSet;

use countersign_format::authority::AuthorityNote;
use countersign_format::key::{KeyName, Vkey};
use serde::Serialize;

use super::{Leaving, Observed, Plan, RoleName, Served};
use crate::authority::{KeySelector, Standing, unproven};

/// What is known of an authority and its repositories.
#[derive(Debug)]
pub struct State<'a> {
    /// The authority's directory, as a person names it.
    pub directory: &'a str,
    /// The newest published note.
    pub newest: &'a AuthorityNote,
    /// What is prepared, and who has signed it.
    pub draft: Option<(&'a AuthorityNote, &'a [Standing])>,
    /// Every grant that was issued: identity and epoch.
    pub granted: &'a [(KeyName, u32)],
    /// The authority's keys that are in its own directory.
    pub local: &'a [Vkey],
    /// The repositories.
    pub repositories: &'a [Observed],
}

/// A step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// What it is about.
    pub title: String,
    /// How far it is.
    pub progress: Progress,
    /// What it waits for.
    pub detail: Vec<String>,
    /// What to type, one after the other.
    pub commands: Vec<Instruction>,
}

/// How far a step is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It is done.
    Done,
    /// It is the next one.
    Next,
    /// Others come first.
    Later,
}

/// A command, and where it is typed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Instruction {
    /// On whose machine.
    pub on: String,
    /// The command.
    pub command: String,
}

/// All steps, the first that is not done marked as the next. None is where all are done.
pub fn steps(plan: &Plan, state: &State<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if plan.leaving.iter().any(|one| one.succeeded) {
        steps.extend(new_keys(plan, state));
        let lists = |note: &AuthorityNote| lacking(plan, note).is_empty();
        steps.extend(published(state, "the version that lists the new keys", plan, &lists));
    }
    steps.push(used(plan, state));
    steps.push(retired(plan, state));
    let retires = |note: &AuthorityNote| plan.still_in_use(note).is_empty();
    steps.extend(published(state, "the version without the old keys", plan, &retires));
    steps.push(carried(plan, state));
    if let Some(next) = steps.iter_mut().find(|step| step.progress != Progress::Done) {
        next.progress = Progress::Next;
    }
    steps
}

impl Step {
    fn new(title: impl Into<String>, is_done: bool, commands: Vec<Instruction>) -> Self {
        let progress = if is_done { Progress::Done } else { Progress::Later };
        Self { title: title.into(), progress, detail: Vec::new(), commands }
    }

    fn detailed(mut self, detail: impl IntoIterator<Item = String>) -> Self {
        if self.progress != Progress::Done {
            self.detail.extend(detail);
        }
        self
    }
}

fn on(machine: &(impl ToString + ?Sized), command: impl Into<String>) -> Instruction {
    Instruction { on: machine.to_string(), command: command.into() }
}

/// What is prepared, or else published.
fn listing<'a>(state: &State<'a>) -> &'a AuthorityNote {
    state.draft.map_or(state.newest, |(note, _)| note)
}

/// The roles that have fewer new keys in `note` than old ones go, and how many are lacking.
fn lacking(plan: &Plan, note: &AuthorityNote) -> Vec<(RoleName, usize)> {
    let roles: BTreeSet<&RoleName> =
        plan.leaving.iter().filter(|one| one.succeeded).map(|one| &one.role).collect();
    let short = |role: &RoleName| {
        successors(plan, role).len().saturating_sub(plan.new_keys(note, role).len())
    };
    let roles = roles.into_iter().map(|role| (role.clone(), short(role)));
    roles.filter(|(_, short)| *short > 0).collect()
}

/// The keys whose successors are awaited: of a server only the newest, whose successor it is.
fn successors<'p>(plan: &'p Plan, role: &RoleName) -> Vec<&'p Leaving> {
    let mut found: Vec<&Leaving> = Vec::new();
    for one in plan.leaving.iter().filter(|one| one.succeeded && one.role == *role) {
        let same =
            found.iter_mut().find(|other| one.epoch.is_some() && other.key.name == one.key.name);
        match same {
            Some(other) if other.epoch < one.epoch => *other = one,
            Some(_) => {}
            None => found.push(one),
        }
    }
    found
}

fn new_keys(plan: &Plan, state: &State<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let roles: BTreeSet<&RoleName> = plan.leaving.iter().map(|one| &one.role).collect();
    for role in roles {
        let old = successors(plan, role);
        let new = plan.new_keys(listing(state), role);
        for (place, one) in old.iter().enumerate() {
            let is_server = one.epoch.is_some();
            // a server's successor has its name; others are counted
            let is_listed = if is_server {
                new.iter().any(|key| key.name == one.key.name)
            } else {
                place < new.len()
            };
            steps.extend(match role {
                RoleName::Collection | RoleName::Distribution(_) => {
                    server_key(plan, state, one, is_listed)
                }
                _ => vec![other_key(plan, state, one, is_listed)],
            });
        }
    }
    steps
}

fn server_key(plan: &Plan, state: &State<'_>, one: &Leaving, is_listed: bool) -> Vec<Step> {
    let (directory, place, name) = (state.directory, plan.place(&one.role), &one.key.name);
    let (server, of) = match &one.role {
        RoleName::Distribution(name) if name.to_string() != "main" => {
            ("distribution", format!(" --distribution {name}"))
        }
        RoleName::Distribution(_) => ("distribution", String::new()),
        _ => ("collection", String::new()),
    };
    if !one.implicit {
        let renew = format!("patchrepo {server} renew {place} --signer LOCATION -o request.json");
        let admit =
            format!("patchrepo authority admit {directory} request.json --ordinary-key{of}");
        let commands = vec![on(&one.role, renew), on("authority", admit)];
        return vec![Step::new(format!("a new key of {name} is listed"), is_listed, commands)];
    }
    let is_newer = |(id, epoch): &(KeyName, u32)| id == name && Some(*epoch) > one.epoch;
    let is_granted = is_listed || state.granted.iter().any(is_newer);
    let grant = vec![
        on(&one.role, format!("patchrepo {server} renew {place} -o request.json")),
        on(
            "authority",
            format!("patchrepo authority issue {directory} request.json -o grant.json"),
        ),
    ];
    let list = vec![
        on(&one.role, format!("patchrepo {server} accept {place} grant.json -o acceptance.txt")),
        on("authority", format!("patchrepo authority admit {directory} acceptance.txt{of}")),
    ];
    vec![
        Step::new(format!("a new key of {name} is granted"), is_granted, grant),
        Step::new(format!("the new key of {name} is listed"), is_listed, list),
    ]
}

fn other_key(plan: &Plan, state: &State<'_>, one: &Leaving, is_listed: bool) -> Step {
    let change = format!("patchrepo authority change {}", state.directory);
    let name = successor_name(&one.key.name);
    let commands = match &one.role {
        RoleName::Authority if state.local.contains(&one.key) => {
            vec![on("authority", format!("{change} --new-key"))]
        }
        RoleName::Authority => vec![
            on(
                &format!("the holder of {}", one.key.name),
                format!("patchrepo key generate --signer LOCATION --name {name} -o new.pub"),
            ),
            on("authority", format!("{change} --add-key new.pub")),
        ],
        RoleName::Directory => vec![
            on(
                "directory",
                format!("patchrepo directory renew {} -o directory.pub", plan.place(&one.role)),
            ),
            on("authority", format!("{change} --directory-key directory.pub")),
        ],
        _ => {
            let place = format!("{}-new", plan.place(&one.role));
            vec![
                on("witness", format!("patchrepo witness init {place} --name {name}")),
                on("authority", format!("{change} --witness {place}/witness.pub")),
            ]
        }
    };
    Step::new(format!("a key in the place of {} is listed", one.key.name), is_listed, commands)
}

/// `NAME/2` after `NAME`, `NAME/3` after that.
fn successor_name(name: &KeyName) -> String {
    let text = name.to_string();
    match text.rsplit_once('/').and_then(|(base, number)| Some((base, number.parse::<u32>().ok()?)))
    {
        Some((base, number)) => format!("{base}/{}", number.saturating_add(1)),
        None => format!("{text}/2"),
    }
}

/// Signing and publishing the version that `is_it` knows.
fn published(
    state: &State<'_>,
    what: &str,
    plan: &Plan,
    is_it: &dyn Fn(&AuthorityNote) -> bool,
) -> [Step; 2] {
    let is_published = is_it(state.newest);
    let draft = state.draft.filter(|(note, _)| is_it(note));
    let standings = draft.map_or(&[][..], |(_, standings)| standings);
    let new = draft.map(|(note, standings)| unproven(Some(state.newest), note, standings));
    let new = new.unwrap_or_default();
    let is_met = draft.is_some() && standings.iter().all(Standing::is_met);
    let is_signed = is_met && new.is_empty();
    let directory = state.directory;
    let sign = sign_commands(state);
    let unsigned = standings.iter().filter(|standing| !standing.is_met()).map(|standing| {
        let names: Vec<_> = standing.unsigned.iter().map(ToString::to_string).collect();
        let (version, threshold, signed) =
            (standing.version, standing.threshold, standing.signed.len());
        let names = names.join(", ");
        format!("{signed} of {threshold} keys of version {version} signed; not yet: {names}")
    });
    let new = new.iter().map(|key| {
        format!("{key} is new and has not signed: nothing shows yet that its holder can")
    });
    let publish = format!("patchrepo authority publish {directory}");
    let places: Vec<_> =
        plan.repositories.iter().map(|place| format!(" --repository {place}")).collect();
    let places = places.concat();
    let commands =
        vec![on("authority", format!("{publish} --dry-run{places}")), on("authority", publish)];
    [
        Step::new(format!("{what} is signed"), is_published || is_signed, sign)
            .detailed(unsigned)
            .detailed(new),
        Step::new(format!("{what} is published"), is_published, commands),
    ]
}

/// How the prepared version is signed: in the authority's directory where keys are, by a file that
/// goes to the holders where none is.
fn sign_commands(state: &State<'_>) -> Vec<Instruction> {
    let directory = state.directory;
    if !state.local.is_empty() {
        return vec![on("each holder", format!("patchrepo authority sign {directory}"))];
    }
    let sign = "patchrepo sign to-sign.json --signer LOCATION -o signed.json";
    vec![
        on("authority", format!("patchrepo authority export {directory} -o to-sign.json")),
        on("each holder", sign),
        on("authority", format!("patchrepo authority import {directory} signed.json")),
    ]
}

/// What is served is signed by the keys that stay.
fn used(plan: &Plan, state: &State<'_>) -> Step {
    let is_retired = plan.still_in_use(state.newest).is_empty();
    let is_ready =
        |served: &Served| served.without.is_empty() && served.version >= state.newest.version;
    let is_done = is_retired || all_are(state, is_ready);
    let title = "what is served is signed by keys that stay";
    Step::new(title, is_done, serve_commands(plan, state)).detailed(missing(state, |served| {
        if served.version < state.newest.version {
            vec![behind(served, state)]
        } else {
            served.without.iter().map(|problem| problem.what.clone()).collect()
        }
    }))
}

fn carried(plan: &Plan, state: &State<'_>) -> Step {
    let is_done = plan.still_in_use(state.newest).is_empty()
        && all_are(state, |served| served.now.is_empty() && served.version >= state.newest.version);
    let title = "clients are served that version";
    Step::new(title, is_done, serve_commands(plan, state)).detailed(missing(state, |served| {
        if served.version < state.newest.version {
            vec![behind(served, state)]
        } else {
            served.now.iter().map(|problem| problem.what.clone()).collect()
        }
    }))
}

fn behind(served: &Served, state: &State<'_>) -> String {
    format!("version {} is served, the newest is {}", served.version, state.newest.version)
}

fn all_are(state: &State<'_>, is_good: impl Fn(&Served) -> bool) -> bool {
    let good = |one: &Observed| one.found.as_ref().is_ok_and(&is_good);
    !state.repositories.is_empty() && state.repositories.iter().all(good)
}

fn missing(state: &State<'_>, what: impl Fn(&Served) -> Vec<String>) -> Vec<String> {
    let of = |one: &Observed| {
        let said = match &one.found {
            Ok(served) => what(served),
            Err(error) => vec![error.clone()],
        };
        said.into_iter().map(|text| format!("{}: {text}", one.place)).collect::<Vec<_>>()
    };
    state.repositories.iter().flat_map(of).collect()
}

/// What brings a version to clients, signed by those that it lists.
fn serve_commands(plan: &Plan, state: &State<'_>) -> Vec<Instruction> {
    let mut commands = Vec::new();
    if plan.concerns(&RoleName::Directory) {
        let place = plan.place(&RoleName::Directory);
        commands.push(on("directory", format!("patchrepo directory publish {place}")));
    }
    let collection = plan.place(&RoleName::Collection);
    commands.push(on("collection", format!("patchrepo collection refresh {collection} --force")));
    for role in &state.newest.distributions {
        let role = RoleName::Distribution(role.name.clone());
        let place = plan.place(&role);
        commands.push(on(&role, format!("patchrepo distribution sync {place}")));
        commands.push(on(&role, format!("patchrepo distribution publish {place}")));
        if state.newest.witnesses.quorum > 0 || plan.concerns(&RoleName::Witness) {
            commands.extend(witness_commands(plan, &role));
        }
    }
    commands
}

/// A publication takes two turns where witnesses stand between.
fn witness_commands(plan: &Plan, distribution: &RoleName) -> Vec<Instruction> {
    let repository = plan.repositories.first().map_or("URL", String::as_str);
    let place = plan.place(distribution);
    vec![
        on(
            "each witness",
            format!("patchrepo witness run WITNESS {repository} --authority FILE -o LINES"),
        ),
        on(distribution, format!("patchrepo distribution import {place} LINES")),
        on(distribution, format!("patchrepo distribution publish {place}")),
    ]
}

fn retired(plan: &Plan, state: &State<'_>) -> Step {
    let left = plan.still_in_use(listing(state));
    let directory = state.directory;
    let mut commands = Vec::new();
    let mut drops = Vec::new();
    for one in &left {
        let selector = KeySelector::of(&one.key);
        match (&one.role, one.epoch) {
            (RoleName::Collection | RoleName::Distribution(_), Some(epoch)) => {
                let until = end_of(&one.role, state);
                let until = until.map_or_else(|| "N".to_owned(), |end| end.to_string());
                let name = &one.key.name;
                let retire = format!(
                    "patchrepo authority retire {directory} {name} --epoch {epoch} \
                     --until {until} --reason rotated"
                );
                commands.push(on("authority", retire));
            }
            (RoleName::Witness, _) => drops.push(format!(" --drop-witness {selector}")),
            (RoleName::Directory, _) => drops.push(format!(" --drop-directory-key {selector}")),
            _ => drops.push(format!(" --drop-key {selector}")),
        }
    }
    if !drops.is_empty() {
        let drops = drops.concat();
        commands.push(on("authority", format!("patchrepo authority change {directory}{drops}")));
    }
    Step::new("the next version retires the old keys", left.is_empty(), commands)
}

/// The end of a role's log as it is served: signatures of the old key count below it.
fn end_of(role: &RoleName, state: &State<'_>) -> Option<u64> {
    let served = state.repositories.iter().filter_map(|one| one.found.as_ref().ok());
    served.filter_map(|served| served.sizes.get(role).copied()).max()
}
