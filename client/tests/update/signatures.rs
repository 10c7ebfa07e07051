//! Two signatures on each head of the index (threats A).

use countersign_fixtures::Server;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log};
use countersign_format::note::Note;
use countersign_format::policy::{Layer, Refusal, Role, UncountedReason, Verdict};
use countersign_format::signature::sign_note;

use super::{
    COLLECTION, DISTRIBUTION, checkpoint, grown, patch, policy, reason, repository, rotate,
    shortfalls,
};
use crate::endpoint::Endpoint;

#[test]
fn a_head_that_one_party_did_not_sign_is_refused_by_name() {
    let honest = repository();
    let (collection, distribution) = (Server::new(COLLECTION, 1), Server::new(DISTRIBUTION, 1));
    let main = Role::Distribution("main".parse().expect("a name"));
    let cases = [
        (Log::Collection, &collection, Role::Collection),
        (Log::Collection, &distribution, main.clone()),
        (Log::Distribution, &distribution, main),
    ];
    for (log, server, role) in cases {
        let mut repository = grown(&honest);
        repository.drop_lines(&checkpoint(log), server, SignatureType::Cosignature);
        let error = policy(Endpoint::updated(&honest).refuses(&repository));
        assert_eq!((error.layer, error.verdict()), (Layer::Index, Verdict::Signature));
        assert_eq!(error.file, checkpoint(log).to_string());
        let roles: Vec<_> = shortfalls(&error).iter().map(|one| one.role.clone()).collect();
        assert_eq!(roles, [role]);
    }
    let mut neither = grown(&honest);
    let path = checkpoint(Log::Collection);
    neither.edit_note(&path, |note| Note::new(note.text().to_owned(), Vec::new()));
    Endpoint::updated(&honest).refuses(&neither);
}

#[test]
fn a_known_signers_bad_line_is_refused_and_a_strangers_line_is_passed_over() {
    let honest = repository();
    for kind in [SignatureType::Cosignature, SignatureType::Note] {
        let mut repository = grown(&honest);
        let server = Server::new(COLLECTION, 1);
        repository.spoil_lines(&checkpoint(Log::Collection), &server, kind);
        let error = policy(Endpoint::updated(&honest).refuses(&repository));
        assert!(matches!(error.refusal, Refusal::BadSignature { .. }), "{error:?}");
    }
    let mut repository = grown(&honest);
    let stranger = Server::new("elsewhere.example/collection", 1);
    repository.edit_note(&checkpoint(Log::Collection), |note| {
        let line = sign_note(&stranger.signer(), note.text()).expect("signs");
        note.with([line])
    });
    assert!(Endpoint::updated(&honest).update(&repository).is_ok());
}

#[test]
fn a_head_of_another_log_or_another_key_is_refused() {
    let honest = repository();
    let mut swapped = grown(&honest);
    let other = swapped.files()[&checkpoint(Log::Distribution)].clone();
    swapped.edit(&checkpoint(Log::Collection), |bytes| *bytes = other);
    let error = policy(Endpoint::updated(&honest).refuses(&swapped));
    assert_eq!(error.verdict(), Verdict::Signature);

    // the distribution is taken over: a log with a key that the attacker made for the collection
    let mut forged = honest.clone();
    forged.wait(60);
    forged.collections = vec![Server::new(COLLECTION, 9)];
    forged.collect(&patch("malware", "9.9.9"));
    forged.publish();
    let error = policy(Endpoint::updated(&honest).refuses(&forged));
    assert_eq!((error.layer, error.verdict()), (Layer::Index, Verdict::Signature));
    let missing = "the collection's timestamped signature is missing: none is by \
                   patches.example.org/collection (ID ";
    assert!(error.refusal.to_string().starts_with(missing), "{}", error.refusal);
}

#[test]
fn a_retired_key_is_not_honoured_once_its_retirement_was_seen() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut rotated = honest.clone();
    rotate(&mut rotated, 1);
    // the authority note comes through, the new heads do not
    let mut held_back = grown(&honest);
    let note = rotated.files()[&layout::authority(2)].clone();
    held_back.files_mut().insert(layout::authority(2), note);
    let error = policy(endpoint.refuses(&held_back));
    assert_eq!(error.verdict(), Verdict::Signature);
    assert_eq!(reason(&error), UncountedReason::Retired { until: 1 });
    assert_eq!(endpoint.trust().authority().version, 2, "the note is kept: it is a floor");
    // and stays refused when the note is gone again
    let error = policy(endpoint.refuses(&grown(&honest)));
    assert_eq!(reason(&error), UncountedReason::Retired { until: 1 });
    assert!(endpoint.trust().check_fresh(&endpoint.heads(), honest.now).is_err());
    rotated.wait(60);
    rotated.publish();
    assert_eq!(endpoint.update(&rotated).expect("honest").collection, (1, 2));
}

#[test]
fn a_signer_that_runs_ahead_cannot_lock_honest_heads_out() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut now = honest.now;
    // the distribution's key is stolen and signs almost five minutes ahead, again and again
    for _ in 0..5 {
        now = now.plus(60);
        let mut ahead = honest.clone();
        let collection = ahead.files()[&checkpoint(Log::Collection)].clone();
        ahead.now = now.plus(299);
        ahead.publish();
        ahead.edit(&checkpoint(Log::Collection), |bytes| *bytes = collection);
        endpoint.update_at(now, &[("ahead", &ahead)]).expect("within tolerance");
        let clock = endpoint.trust().clock(&endpoint.heads(), now).expect("a clock");
        assert_eq!(clock.floor, honest.now, "one role alone does not push the floor");
    }
    // what it stored blocks for no longer than it was ahead
    let mut later = honest.clone();
    later.now = now.plus(300);
    later.publish();
    assert!(endpoint.update(&later).is_ok());
}
