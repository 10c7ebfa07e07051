//! Reasons, as a person reads them.

use super::*;

#[test]
fn every_version_that_would_do_is_named_with_what_keeps_it_away() {
    let world = World::new(&[
        "app 2.0.0 | needs libacme ^2",
        "libacme 1.4.0",
        "libacme 2.0.0 | revoked",
        "libacme 2.1.0 | unreleased",
        "libacme 2.2.0-rc.1",
    ]);
    assert_eq!(
        world.install("app"),
        "app 2.0.0 cannot be installed\n\
         app 2.0.0 needs libacme ^2\n\
         libacme 2.1.0: not released to ring stable\n\
         libacme 2.0.0: revoked: it breaks"
    );
    let has = world.having(&["libacme 1.4.0"]);
    assert!(has.install("app").contains("app 2.0.0 needs libacme ^2, there is 1.4.0"));
    assert_eq!(
        World::new(&["app 2.0.0 | needs libacme ^2"]).install("app"),
        "app 2.0.0 cannot be installed\napp 2.0.0 needs libacme ^2, which no source has"
    );
}

#[test]
fn a_chain_is_told_from_its_beginning_to_its_end() {
    let world = World::new(&[
        "app 1.0.0 | needs middle *",
        "middle 3.0.0 | needs base ^3",
        "middle 2.0.0 | needs base ^2",
        "base 1.0.0",
    ]);
    assert_eq!(
        world.install("app"),
        "app 1.0.0 cannot be installed\n\
         app 1.0.0 needs middle *\n\
         middle 3.0.0 needs base ^3, which no source has"
    );
    let held = World::new(&["app 2.0.0 | needs libacme ^2", "libacme 2.0.0"]);
    let held = held.having(&["app 1.0.0", "libacme 1.0.0"]).holding("libacme", None);
    assert_eq!(
        held.upgrade(),
        "[app 2.0.0: needs libacme ^2, there is 1.0.0; libacme 2.0.0: held (year-end freeze)], \
         [libacme 2.0.0: held (year-end freeze)]"
    );
}

#[test]
fn what_only_several_together_prevent_is_told_by_their_names() {
    // x has to be 1 for a and 2 for b, and app needs one of each kind
    let world = World::new(&[
        "app 1.0.0 | needs left * | needs right *",
        "left 1.0.0 | needs x =1.0.0",
        "left 2.0.0 | needs x =2.0.0 | needs y =1.0.0",
        "right 1.0.0 | needs x =2.0.0 | needs y =2.0.0",
        "right 2.0.0 | needs x =3.0.0",
        "x 1.0.0",
        "x 2.0.0",
        "x 3.0.0",
        "y 1.0.0",
        "y 2.0.0",
    ]);
    let text = world.install("app");
    assert!(text.starts_with("app 1.0.0 cannot be installed\n"), "{text}");
    let bound = world.having(&["keep 1.0.0 | needs x *", "x 1.0.0"]);
    assert!(bound.install("app").contains("app 1.0.0 cannot"), "{}", bound.install("app"));
}

#[test]
fn what_there_is_not_is_told_apart() {
    let world = World::new(&["acme 1.0.0 | unreleased"]);
    assert!(matches!(
        world.resolve(&wishes("nobody"), Mode::Install),
        Err(ResolveError::Unknown(_))
    ));
    assert!(matches!(
        world.resolve(&wishes("acme@9.0.0"), Mode::Install),
        Err(ResolveError::NoSuchVersion { .. })
    ));
    let expected = "acme cannot be installed\nacme 1.0.0: not released to ring stable";
    assert_eq!(world.install("acme"), expected);
}
