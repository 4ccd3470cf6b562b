use proptest::prelude::*;

use super::*;
use crate::audit::chain::{Chain, Stamp};
use crate::audit::event::{Lost, Rotated, samples};
use crate::audit::{Event, Hash};
use crate::gate::Refusal;
use siglatch_common::units::Boot;

/// A log of so many records, one line each, and its head.
fn log(count: usize) -> (Vec<Vec<u8>>, Link) {
    let events: Vec<_> =
        samples::every().into_iter().cycle().filter(|event| !is_about_the_log(event)).take(count).collect();
    log_of(&events)
}

fn log_of(events: &[Event]) -> (Vec<Vec<u8>>, Link) {
    log_after(Link::NONE, events)
}

fn log_after(last: Link, events: &[Event]) -> (Vec<Vec<u8>>, Link) {
    let mut chain = Chain::after(last, 7);
    let lines = events.iter().enumerate().map(|(number, event)| {
        let mut line = Vec::new();
        // Whatever the clock on the wall does.
        let micros = 1_795_000_000_000_000 - i64::try_from(number).unwrap() * 1_000_000;
        chain.append(event, Stamp { micros, boot: Boot::from_nanos(number as u64) }, &mut line);
        line.pop();
        line
    });
    let lines = lines.collect();
    (lines, chain.last())
}

fn verify(lines: &[Vec<u8>], head: Option<Link>) -> Report {
    let mut verifier = Verifier::new(head);
    verifier.begin_file("audit.jsonl");
    for (number, line) in lines.iter().enumerate() {
        verifier.take(line, true, number + 1 == lines.len());
    }
    verifier.finish()
}

fn kinds(report: &Report) -> Vec<(u64, Kind)> {
    report.findings.iter().map(|finding| (finding.line, finding.kind.clone())).collect()
}

#[test]
fn a_log_as_it_was_written_is_sound_whatever_the_clock_did() {
    let (lines, head) = log(50);
    let report = verify(&lines, Some(head));
    assert_eq!((report.sound, report.records, report.first, report.last), (true, 50, Some(1), Some(50)));
    assert_eq!(report.findings, []);
    assert_eq!(kinds(&verify(&lines, None)), [(0, Kind::NoHead)]);
    assert!(verify(&[], Some(Link::NONE)).sound);
}

#[test]
fn an_edit_is_found_where_it_is_and_once() {
    let (mut lines, head) = log(9);
    lines[4] = String::from_utf8(lines[4].clone()).unwrap().replace("alice", "mallo").into_bytes();
    let report = verify(&lines, Some(head));
    assert_eq!(kinds(&report), [(5, Kind::Edited { seq: 5 })]);
    assert!(!report.sound);
}

#[test]
fn a_record_that_was_replaced_hash_and_all_is_found() {
    let (mut lines, head) = log(9);
    let fourth = Sealed::read(&lines[3]).unwrap().link;
    let (others, _) = log_after(fourth, &[samples::refused(1, Refusal::NotAllowed)]);
    lines[4] = others[0].clone();
    assert_eq!(kinds(&verify(&lines, Some(head))), [(6, Kind::Replaced { seq: 5 })]);
    // The last one has nobody after it but the head.
    lines.truncate(5);
    let head = Link { seq: 5, hash: Hash::NONE };
    assert_eq!(kinds(&verify(&lines, Some(head))), [(5, Kind::NotTheHead { seq: 5 })]);
}

#[test]
fn lines_taken_out_are_a_gap() {
    let (mut lines, head) = log(9);
    lines.drain(3..5);
    assert_eq!(kinds(&verify(&lines, Some(head))), [(4, Kind::Gap { from: 4, to: 5 })]);
}

#[test]
fn swapped_lines_are_found_and_are_no_gap() {
    let (mut lines, head) = log(9);
    lines.swap(3, 4);
    assert_eq!(kinds(&verify(&lines, Some(head))), [(5, Kind::OutOfOrder { seq: 4, after: 5 })]);
    lines.swap(3, 4);
    let twice = lines[3].clone();
    lines.insert(4, twice);
    assert_eq!(kinds(&verify(&lines, Some(head))), [(5, Kind::OutOfOrder { seq: 4, after: 4 })]);
}

#[test]
fn a_cut_end_is_found_with_the_head_alone() {
    let (mut lines, head) = log(9);
    lines.truncate(7);
    assert_eq!(kinds(&verify(&lines, Some(head))), [(0, Kind::CutEnd { from: 8, to: 9 })]);
    assert_eq!(kinds(&verify(&lines, None)), [(0, Kind::NoHead)]);
    assert_eq!(kinds(&verify(&[], Some(head))), [(0, Kind::CutEnd { from: 1, to: 9 })]);
    // After a kill, the log may be ahead of the head.
    let (lines, _) = log(9);
    let behind = Sealed::read(&lines[6]).unwrap().link;
    assert!(verify(&lines, Some(behind)).sound);
}

#[test]
fn a_torn_line_is_bad_only_where_others_follow() {
    let (lines, head) = log(3);
    let torn = |is_last| {
        let mut verifier = Verifier::new(Some(head));
        lines.iter().for_each(|line| verifier.take(line, true, false));
        verifier.take(b"{\"v\":1,\"seq\":4", false, is_last);
        verifier.finish()
    };
    assert_eq!((torn(true).sound, kinds(&torn(true))), (true, vec![(4, Kind::TornEnd)]));
    assert_eq!((torn(false).sound, kinds(&torn(false))), (false, vec![(4, Kind::Torn)]));
}

#[test]
fn what_is_no_record_is_found_and_hides_nothing_behind_it() {
    let (mut lines, head) = log(5);
    lines.insert(2, b"{\"hello\":1}".to_vec());
    lines.insert(3, b"\xff\x00".to_vec());
    lines.remove(5);
    let found = kinds(&verify(&lines, Some(head)));
    assert_eq!(found, [(3, Kind::NotARecord), (4, Kind::NotARecord), (6, Kind::Gap { from: 4, to: 4 })]);
}

#[test]
fn files_removed_by_rotation_are_told_by_records_and_others_are_missed() {
    let rotated = |why, removed_to| {
        let mut events = vec![samples::admitted(1); 20];
        events[10] = Event::Rotated(Rotated { why, first: 6, last: 10, removed_to, ..Rotated::default() });
        log_of(&events)
    };
    let (lines, head) = rotated("size", 5);
    assert_eq!(kinds(&verify(&lines[5..], Some(head))), [(0, Kind::Removed { to: 5 })]);
    assert_eq!(kinds(&verify(&lines[7..], Some(head))), [(0, Kind::NoBeginning { first: 8 })]);
    assert_eq!(kinds(&verify(&lines[10..], Some(head))), [(0, Kind::NoBeginning { first: 11 })]);
    let (lines, head) = rotated("moved", 0);
    let report = verify(&lines[10..], Some(head));
    assert_eq!((report.sound, kinds(&report)), (true, vec![(0, Kind::MovedAway { to: 10 })]));
    assert_eq!(kinds(&verify(&lines[9..], Some(head))), [(0, Kind::NoBeginning { first: 10 })]);
}

#[test]
fn lost_records_are_told_and_counted() {
    let lost = Event::Lost(Lost { records: 12, admitted: 0, since_boot: 0, until_boot: 0 });
    let (lines, head) = log_of(&[samples::admitted(1), lost]);
    let report = verify(&lines, Some(head));
    assert_eq!((report.sound, report.lost, kinds(&report)), (true, 12, vec![(2, Kind::Lost { records: 12 })]));
}

#[test]
fn findings_are_bounded_and_none_makes_the_log_sound() {
    let (lines, head) = log(Report::MAX + 50);
    let lines: Vec<_> = lines.into_iter().map(|line| [line, b" ".to_vec()].concat()).collect();
    let report = verify(&lines, Some(head));
    assert_eq!((report.sound, report.findings.len(), report.more), (false, Report::MAX, 50));
}

fn is_about_the_log(event: &Event) -> bool {
    matches!(event, Event::Rotated(_) | Event::Lost(_))
}

proptest! {
    #[test]
    fn whatever_is_done_to_a_log_is_found(
        count in 2_usize..40, place in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(), bit in 0..8, what in 0..5,
    ) {
        let (mut lines, head) = log(count);
        let (place, other) = (place.index(count), other.index(count));
        let sound = lines.clone();
        match what {
            0 => {
                let byte = byte.index(lines[place].len());
                lines[place][byte] ^= 1_u8 << bit;
            }
            1 => drop(lines.remove(place)),
            2 => lines.swap(place, other),
            3 => lines.truncate(place),
            _ => {
                let line = lines[other].clone();
                lines.insert(place, line);
            }
        }
        let report = verify(&lines, Some(head));
        prop_assert_eq!(report.sound, lines == sound);
    }

    #[test]
    fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!verify(&[line], Some(Link::NONE)).sound);
    }
}

#[test]
fn the_examples_of_the_documentation_are_a_sound_log_of_every_event() {
    let examples: Vec<_> =
        include_str!("../../../../docs/audit.md").lines().filter(|line| line.starts_with("{\"v\":")).collect();
    let lines: Vec<_> = examples.iter().map(|line| line.as_bytes().to_vec()).collect();
    let report = verify(&lines, None);
    assert!(report.sound, "{report:?}");
    for name in Event::NAMES {
        let event = format!("\"event\":\"{name}\"");
        assert!(examples.iter().any(|line| line.contains(&event)), "docs/audit.md has no example of {name}");
    }
}
