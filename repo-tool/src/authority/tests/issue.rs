//! Requests, grants and acceptances.

use super::*;

#[test]
fn a_commitment_gets_one_grant_and_epochs_never_repeat() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Collection, "collection");
    let first = lab.issue(&member.request);
    let again = lab.authority.issue(&member.request.to_bytes(), &unencrypted(), now());
    assert_eq!(again.expect("answered"), Issued { grant: first.clone(), new: false });

    let other = lab.member(Log::Collection, "other");
    let second = Request { id: first.id.clone(), ..other.request.clone() };
    let preview = || lab.authority.preview(&second.to_bytes(), now()).expect("looked at");
    let expected = Preview {
        id: first.id.clone(),
        role: Log::Collection,
        epoch: 2,
        new: true,
        unlisted: vec![1],
    };
    assert_eq!(preview(), expected, "somebody asked under that name before");
    assert_eq!(preview(), expected, "looking grants nothing");
    let acceptance = member.accept(&first);
    lab.authority.admit(&acceptance, "file", &Admission::default(), now()).expect("admitted");
    assert!(preview().unlisted.is_empty(), "the next version lists it");
    let second = lab.issue(&second);
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_ne!(first.reconstruction, second.reconstruction);

    let stolen = Request { commitment: member.request.commitment, ..other.request.clone() };
    let error = lab.authority.issue(&stolen.to_bytes(), &unencrypted(), now());
    assert!(matches!(error, Err(AuthorityError::CommitmentReused { .. })));
    let both = Request { id: first.id, role: Log::Distribution, ..other.request };
    let both = Request { commitment: lab.member(Log::Collection, "x").request.commitment, ..both };
    let error = lab.authority.issue(&both.to_bytes(), &unencrypted(), now());
    assert!(matches!(error, Err(AuthorityError::OtherRole { role: Log::Collection, .. })));
}

#[test]
fn only_keys_of_its_own_grants_are_admitted() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Collection, "collection");
    // the grant of another authority, which the server was deceived about
    let other = Lab::new(1, 1);
    let acceptance = member.accept(&other.issue(&member.request));
    let admit = |bytes: &[u8], admission: &Admission| {
        lab.authority.admit(bytes, "acceptance", admission, now()).map(|(key, _)| key)
    };
    let request = admit(&member.request.to_bytes(), &Admission::default());
    assert!(matches!(request, Err(AuthorityError::NoAcceptance("request"))));
    let grant = admit(&other.issue(&member.request).to_bytes(), &Admission::default());
    assert!(matches!(grant, Err(AuthorityError::NoAcceptance("grant"))));
    let error = admit(&acceptance, &Admission::default());
    assert!(matches!(error, Err(AuthorityError::NotGranted { epoch: 1, .. })));

    let good = lab.member(Log::Collection, "good");
    let acceptance = good.accept(&lab.issue(&good.request));
    let mut forged = acceptance.clone();
    let at = forged.iter().position(|byte| *byte == b'g').expect("a letter of the id");
    forged[at] = b'h';
    let error = admit(&forged, &Admission::default());
    assert!(
        matches!(
            error,
            Err(AuthorityError::Message(
                IssueError::Json { .. } | IssueError::Vkey { .. } | IssueError::Policy(_)
            ))
        ),
        "{error:?}"
    );
    let main = Admission { distribution: Some("main".parse().expect("a word")), origin: None };
    assert!(matches!(admit(&acceptance, &main), Err(AuthorityError::NoDistributionsKey)));
    assert!(admit(&acceptance, &Admission::default()).is_ok());
    let twice = admit(&acceptance, &Admission::default());
    assert!(matches!(twice, Err(AuthorityError::ListedAlready { .. })));
}

#[test]
fn an_acceptance_counts_once_and_in_its_order() {
    let mut lab = Lab::published(1, 1);
    let id = name("example.org/collection");
    let accept = |lab: &Lab, folder: &str| {
        let member = lab.member(Log::Collection, folder);
        let request = Request { id: id.clone(), ..member.request.clone() };
        let grant = lab.issue(&request);
        Member { id: id.clone(), request, ..member }.accept(&grant)
    };
    let (second, third) = (accept(&lab, "second"), accept(&lab, "third"));
    let admission = Admission::default();
    let admit = |lab: &Lab, acceptance: &[u8]| {
        lab.authority.admit(acceptance, "acceptance", &admission, now()).map(|(key, _)| key.epoch)
    };
    assert_eq!(admit(&lab, &third).expect("admitted"), 3);
    let older = admit(&lab, &second);
    assert!(matches!(older, Err(AuthorityError::OlderEpoch { epoch: 2, newest: 3, .. })));
    let retirement = Retirement { id, epoch: Some(3), until: 1, reason: "stolen".into() };
    lab.authority.retire(&retirement, now()).expect("retired");
    let again = admit(&lab, &third);
    assert!(matches!(again, Err(AuthorityError::ListedAlready { .. })), "{again:?}");
    lab.sign(&[1]);
    lab.authority.publish(now()).expect("published");
}

#[test]
fn an_ordinary_key_is_listed_by_the_authoritys_word_alone() {
    let mut lab = Lab::published(1, 1);
    let ask = |role: Log, folder: &str, id: &str| {
        let path = lab.base.path().join(folder);
        let location = KeyLocation::File(lab.base.path().join(format!("{folder}.pem")));
        key_store::generate(&location, &unencrypted()).expect("made");
        let config = ServerConfig::new(role, name(id));
        let asked = server::init(&path, role, &config, Some(&location), &unencrypted());
        asked.expect("asked").1.to_bytes()
    };
    let request = ask(Log::Collection, "alice", "example.org/collection/alice");
    let other_role = ask(Log::Distribution, "bob", "example.org/collection");
    let newer = ask(Log::Collection, "hardware", "example.org/collection");
    let issued = lab.authority.issue(&request, &unencrypted(), now());
    assert!(matches!(issued, Err(AuthorityError::OrdinaryKey)));
    let admit = |bytes: &[u8]| {
        let admission = Admission::default();
        lab.authority.admit_ordinary(bytes, "request", &admission, now()).map(|(key, _)| key)
    };
    let plain = lab.authority.admit(&request, "request", &Admission::default(), now());
    assert!(matches!(plain, Err(AuthorityError::Message(IssueError::Json { .. }))));
    let key = admit(&request).expect("listed");
    assert_eq!((key.epoch, key.kgc, key.reconstruction), (1, None, None));
    assert!(matches!(admit(&request), Err(AuthorityError::ListedAlready { .. })));
    assert!(matches!(admit(&other_role), Err(AuthorityError::OtherRole { .. })));
    assert_eq!(admit(&newer).expect("listed").epoch, 2, "after the granted one of epoch 1");
    let draft = lab.authority.draft(now()).expect("prepared");
    let marked = |folder: &str| {
        let lines = summary(None, draft.note());
        let key = format!("collection key added: example.org/{folder}+");
        let lines: Vec<_> = lines.into_iter().filter(|line| line.starts_with(&key)).collect();
        lines.iter().map(|line| line.ends_with(", ordinary: no grant made it")).collect::<Vec<_>>()
    };
    assert_eq!(marked("collection/alice"), [true]);
    assert_eq!(marked("collection"), [false, true], "the granted one, and the one beside it");
    let mut forged = request.clone();
    let at = forged.len() - 20;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    assert!(matches!(admit(&forged), Err(AuthorityError::Message(IssueError::Policy(_)))));
    lab.sign(&[1]);
    let chain = lab.authority.publish(now()).expect("readers accept it");
    assert_eq!(chain.newest().collection.keys.len(), 3);
}

#[test]
fn an_acceptance_shows_who_holds_the_key() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Distribution, "distribution");
    let acceptance = member.accept(&lab.issue(&member.request));
    let verified = Acceptance::verify(&acceptance, "acceptance").expect("verified");
    let north = Admission { distribution: Some("north".parse().expect("a word")), origin: None };
    let (key, draft) =
        lab.authority.admit(&acceptance, "acceptance", &north, now()).expect("admitted");
    assert_eq!(key, verified.server_key());
    assert_eq!(draft.note().distributions[0].name.as_str(), "north");
    assert_eq!(draft.note().distributions[0].log.max_age, DISTRIBUTION_MAX_AGE);
}
