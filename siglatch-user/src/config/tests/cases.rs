//! Every finding once, by value, beside a text that just does not have it.

mod actions;
mod host;
mod kinds;

use super::*;

/// What is taken out of the sound text, what is put there, and the code and text of each finding then; none: the near
/// miss.
type Case = (&'static str, &'static str, &'static [(Code, &'static str)]);

const CASES: [&[Case]; 3] = [host::CASES, actions::CASES, kinds::CASES];

/// More tables, in front of the one that stands last.
macro_rules! more {
    ($($text:literal),*) => {
        concat!($($text,)* "\n[sequence.db]")
    };
}
use more;

#[test]
fn each_finding_comes_once_and_its_near_miss_does_not() {
    let mut wrong = String::new();
    for (taken, put, expected) in CASES.concat() {
        assert!(SOUND.contains(taken), "{taken}");
        let text = SOUND.replacen(taken, put, 1);
        let found = findings(&text);
        let pairs: Vec<_> = found.iter().map(|finding| (finding.code, offending(&text, finding))).collect();
        let expected: Vec<_> = expected.iter().map(|(code, text)| (*code, (*text).to_owned())).collect();
        if pairs != expected {
            wrong += &format!("{taken} -> {put}\n{expected:?}\n{}\n", Report::new("test", &*text, found).lines());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_code_has_a_case() {
    // That of programs is found by `check`, which may look at the machine.
    let others = [Code::NoUsers, Code::IdleUser, Code::TooManyPorts, Code::UnfitProgram];
    for code in Code::ALL {
        let has_case = CASES.concat().iter().any(|(_, _, expected)| expected.iter().any(|(found, _)| found == code));
        assert!(has_case || others.contains(code), "{code:?}");
    }
}
