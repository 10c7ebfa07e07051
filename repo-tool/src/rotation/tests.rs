use std::collections::BTreeMap;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder, Server};
use countersign_format::authority::{AuthorityNote, ServerKey};
use countersign_format::key::KeyName;
use countersign_format::policy::Clock;
use countersign_store::Source;

use super::*;
use crate::blocking::block_on;

const COLLECTION: &str = "patches.example.org/collection";

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let index = repository.collect(&PatchSpec::full(
        "acme",
        "1.0.0",
        &Payload::new().file("opt/acme", "one"),
    ));
    repository.release(&[index]);
    repository.publish();
    repository
}

fn collection() -> Wish {
    Wish { roles: vec![RoleName::Collection], ..Wish::default() }
}

fn plan(repository: &Repository, wish: &Wish) -> Result<Plan, RotationError> {
    Plan::new(&repository.authority, wish, vec!["public".into()], repository.now)
}

fn new_key() -> ServerKey {
    Server::new(COLLECTION, 2).listed()
}

fn seen(repository: &Repository, plan: &Plan, newest: &AuthorityNote) -> Observed {
    let source = Source::memory("public", &repository.memory());
    let clock = Clock::local(repository.now);
    block_on(observe(&source, plan, newest, &repository.enrolment(), clock))
}

/// The number of the next step, from 1, and its commands; none where all is done.
fn next(steps: &[Step]) -> Option<(usize, Vec<String>)> {
    let place = steps.iter().position(|step| step.progress == Progress::Next)?;
    assert!(steps[..place].iter().all(|step| step.progress == Progress::Done));
    let commands = steps[place].commands.iter().map(|one| one.command.clone());
    Some((place + 1, commands.collect()))
}

#[test]
fn each_step_is_known_by_what_is_there() {
    let mut repository = repository();
    let plan = plan(&repository, &collection()).expect("begun");
    let old = repository.authority.clone();
    let name: KeyName = COLLECTION.parse().expect("a name");
    let ask = |newest: &AuthorityNote,
               draft: Option<&AuthorityNote>,
               granted: &[(KeyName, u32)],
               observed: Observed| {
        let directory = "lab/authority";
        let draft = draft.map(|note| (note, &[][..]));
        let repositories = [observed];
        let state =
            State { directory, newest, draft, granted, local: &[], repositories: &repositories };
        next(&steps(&plan, &state))
    };
    let sight = |repository: &Repository, newest: &AuthorityNote| seen(repository, &plan, newest);

    let (step, commands) = ask(&old, None, &[], sight(&repository, &old)).expect("a step");
    assert_eq!(step, 1);
    assert_eq!(commands[0], "patchrepo collection renew COLLECTION -o request.json");
    // the grant of the present key is no news
    let granted = [(name.clone(), 1)];
    assert_eq!(ask(&old, None, &granted, sight(&repository, &old)).expect("a step").0, 1);
    let granted = [(name.clone(), 1), (name.clone(), 2)];
    assert_eq!(ask(&old, None, &granted, sight(&repository, &old)).expect("a step").0, 2);
    let mut both = old.clone();
    both.version += 1;
    both.collection.keys.push(new_key());
    // prepared, and as good as signed, since no signature is lacking here
    assert_eq!(ask(&old, Some(&both), &granted, sight(&repository, &old)).expect("a step").0, 4);
    // published, and served nowhere
    assert_eq!(ask(&both, None, &granted, sight(&repository, &both)).expect("a step").0, 5);
    repository.authority = both.clone();
    let keys = repository.authority_keys.clone();
    repository.authority.version = old.version;
    repository.publish_authority(&keys);
    let both = repository.authority.clone();
    // served, but the head is the old key's
    let observed = sight(&repository, &both);
    assert_eq!(observed.found.as_ref().expect("seen").version, 2);
    assert_eq!(ask(&both, None, &granted, observed).expect("a step").0, 5);
    repository.collections.push(Server::new(COLLECTION, 2));
    repository.publish();
    let (step, commands) = ask(&both, None, &granted, sight(&repository, &both)).expect("a step");
    let size = repository.collection.size();
    assert_eq!(step, 6);
    assert_eq!(
        commands,
        [format!(
            "patchrepo authority retire lab/authority {COLLECTION} --epoch 1 --until {size} \
             --reason rotated"
        )]
    );
    repository.authority.collection.keys[0].until = Some(size);
    repository.publish_authority(&keys);
    let without = repository.authority.clone();
    assert_eq!(ask(&without, None, &granted, sight(&repository, &without)), None);
}

#[test]
fn what_cannot_be_is_not_begun() {
    let repository = repository();
    let selector = |text: &str| vec![text.parse().expect("a selector")];
    let retire = Wish { retire: selector(COLLECTION), ..Wish::default() };
    let few = plan(&repository, &retire);
    assert!(matches!(few, Err(RotationError::TooFewLeft { left: 0, threshold: 1, .. })));
    let unknown = Wish { keys: selector("patches.example.org/nobody"), ..Wish::default() };
    assert!(matches!(plan(&repository, &unknown), Err(RotationError::NoSuchKey(_))));
    let wish = Wish { roles: vec![RoleName::Witness], ..Wish::default() };
    assert!(matches!(plan(&repository, &wish), Err(RotationError::NoKeys(RoleName::Witness))));
    assert!(matches!(plan(&repository, &Wish::default()), Err(RotationError::Nothing)));
    let mut two = repository;
    two.authority.collection.keys.push(new_key());
    let same = Wish { keys: selector(COLLECTION), ..Wish::default() };
    assert!(matches!(plan(&two, &same), Err(RotationError::SameName(_))));
    let one = format!("{COLLECTION}+{}", new_key().vkey.id(new_key().vkey.kind));
    let begun = plan(&two, &Wish { retire: selector(&one), ..Wish::default() }).expect("begun");
    assert_eq!(begun.leaving.len(), 1);
    assert_eq!(begun.leaving[0].key, new_key().vkey);
}

#[test]
fn a_plan_is_kept_as_it_is() {
    let repository = repository();
    let mut plan = plan(&repository, &Wish { all: true, ..Wish::default() }).expect("begun");
    plan.places = BTreeMap::from([("distribution/main".parse().expect("a role"), "d".into())]);
    let base = tempfile::tempdir().expect("a directory");
    let path = base.path().join("authority");
    let made =
        crate::role_dir::RoleDir::create(&path, |_| Ok::<_, crate::role_dir::RoleDirError>(()));
    let directory = made.expect("made");
    assert_eq!(Plan::load(&directory).expect("read"), None);
    plan.save(&directory).expect("kept");
    assert_eq!(Plan::load(&directory).expect("read").as_ref(), Some(&plan));
    Plan::forget(&directory).expect("forgotten");
    assert_eq!(Plan::load(&directory).expect("read"), None);
}
