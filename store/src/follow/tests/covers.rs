//! Which files are read.

use super::super::cover::{Part, Step, best_cover};

#[test]
fn covers_weigh_ranges_against_packs() {
    let cover = |from, size| {
        let steps = best_cover(from, size);
        let follows = |step: &Step, at: u64| step.entries.start == at && step.entries.end > at;
        let mut at = from;
        for step in &steps {
            assert!(follows(step, at), "{steps:?}");
            at = step.entries.end;
        }
        assert_eq!(at, size);
        steps.into_iter().map(|step| step.part).collect::<Vec<_>>()
    };
    let pack = |level, index| Part::Pack { level, index };
    let bundle = |index, width| Part::Bundle { index, width };
    let tail = |size| Part::Tail { size };
    assert_eq!(cover(0, 0), []);
    assert_eq!(cover(0, 1), [bundle(0, 1)]);
    assert_eq!(cover(0, 5), [bundle(0, 5)]);
    assert_eq!(cover(0, 6), [tail(6)]);
    assert_eq!(cover(99, 100), [bundle(0, 100)]);
    // over the end of a bundle
    assert_eq!(cover(255, 258), [bundle(0, 256), bundle(1, 2)]);
    assert_eq!(cover(160, 260), [tail(260)]);
    assert_eq!(cover(0, 512), [tail(512)]);
    assert_eq!(cover(0, 513), [pack(0, 0), tail(513)]);
    // what the tail does not reach
    assert_eq!(cover(250, 1000), [bundle(0, 256), pack(0, 1), tail(1000)]);
    assert_eq!(cover(10, 1000), [pack(0, 0), pack(0, 1), tail(1000)]);
    let all = [vec![pack(2, 0)], (16..24).map(|index| pack(1, index)).collect()].concat();
    let singles = (384..389).map(|index| pack(0, index)).collect();
    assert_eq!(cover(0, 100_000), [all, singles, vec![tail(100_000)]].concat());
}

#[test]
fn what_is_missing_is_read_from_other_files() {
    let step = |part, entries| Step { entries, part };
    let parts = |step: Step, size| {
        let steps = step.otherwise(size).expect("other files");
        assert_eq!(steps.front().map(|it| it.entries.start), Some(step.entries.start));
        assert_eq!(steps.back().map(|it| it.entries.end), Some(step.entries.end));
        steps.into_iter().map(|step| step.part).collect::<Vec<_>>()
    };
    let pack = |level, index| Part::Pack { level, index };
    let bundle = |index, width| Part::Bundle { index, width };
    let of_level_1: Vec<_> = (16..32).map(|index| pack(1, index)).collect();
    assert_eq!(parts(step(pack(2, 1), 65_536..131_072), 200_000), of_level_1);
    let of_level_0: Vec<_> = (16..32).map(|index| pack(0, index)).collect();
    assert_eq!(parts(step(pack(1, 1), 4096..8192), 200_000), of_level_0);
    assert_eq!(parts(step(pack(0, 1), 300..512), 600), [bundle(1, 256)]);
    let tail = Part::Tail { size: 600 };
    assert_eq!(parts(step(tail, 300..600), 600), [pack(0, 1), bundle(2, 88)]);
    assert_eq!(parts(step(tail, 500..600), 600), [bundle(1, 256), bundle(2, 88)]);
    assert_eq!(step(bundle(1, 88), 256..344).otherwise(344), None);
}
