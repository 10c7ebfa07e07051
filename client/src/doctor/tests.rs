//! Findings that need no machine.

use super::network::Answered;
use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("a time")
}

#[test]
fn clocks_that_are_apart_are_a_problem_whoever_is_ahead() {
    let now = at(1_795_341_600);
    let level = |time: u64| {
        let answered = Answered {
            server: "https://patches.example.org/".into(),
            has_checkpoint: Ok(true),
            time: Some(time),
        };
        let findings = answered.findings(now);
        assert_eq!((findings[0].check, findings[0].level), ("network", Level::Ok));
        assert_eq!(findings[1].check, "clock");
        findings[1].level
    };
    assert_eq!(level(now.seconds()), Level::Ok);
    assert_eq!(level(now.seconds() - 300), Level::Ok);
    assert_eq!(level(now.seconds() + 301), Level::Problem);
    assert_eq!(level(now.seconds() - 301), Level::Problem);
    let silent = Answered { server: "/srv".into(), has_checkpoint: Ok(false), time: None };
    let findings = silent.findings(now);
    assert_eq!(findings.len(), 1, "a server without a clock says nothing of it");
    assert_eq!(findings[0].level, Level::Problem);
    assert!(findings[0].advice.is_some());
}
