//! Rung 2, by value: what is of this minute, and new.

use super::*;

#[test]
fn replay_is_refused_until_it_is_stale_anyway() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay));
    assert_eq!(door.clear(knock, ELSEWHERE), refused(Refusal::Replay));
    for _ in 0..60 {
        door.pass(Duration::from_secs(1));
        assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(1));
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Stale));
}

#[test]
fn the_skew_counts_both_ways_and_its_last_second_is_inside() {
    let mut door = Door::new();
    for (offset, verdict) in
        [(-60, admitted(SSH)), (60, admitted(SSH)), (-61, refused(Refusal::Stale)), (61, refused(Refusal::Stale))]
    {
        let knock = door.knock(SSH, b"");
        let knock = Packet { timestamp: knock.timestamp.wrapping_add_signed(offset), ..knock };
        assert_eq!(door.clear(knock, HOME), verdict, "{offset}");
    }
}

#[test]
fn an_early_stamp_cannot_be_replayed_at_its_latest_moment() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    let early = Packet { timestamp: knock.timestamp + 60, ..knock };
    assert_eq!(door.clear(early, HOME), admitted(SSH));
    for _ in 0..120 {
        door.pass(Duration::from_secs(1));
        assert_eq!(door.clear(early, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(1));
    assert_eq!(door.clear(early, HOME), refused(Refusal::Stale));
}

#[test]
fn a_clock_set_back_makes_nothing_fresh_again() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    door.pass(Duration::from_secs(3_600));
    let later = door.knock(SSH, b"");
    assert_eq!(door.clear(later, HOME), admitted(SSH));
    door.pass(Duration::from_secs(3_600));
    door.gate.handle_timeout(door.now);
    door.now.wall = Wall::from_secs(START);
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Stale));
}

#[test]
fn when_full_new_nonces_are_refused_and_old_ones_stay_known() {
    let mut door = Door::with_capacity(policy(), 3);
    let knocks: Vec<_> = (0..4).map(|_| door.knock(SSH, b"")).collect();
    for knock in &knocks[..3] {
        assert_eq!(door.clear(*knock, HOME), admitted(SSH));
    }
    assert_eq!(door.clear(knocks[3], HOME), refused(Refusal::Overloaded));
    for knock in &knocks[..3] {
        assert_eq!(door.clear(*knock, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(241));
    let later = door.knock(SSH, b"");
    assert_eq!(door.clear(later, HOME), admitted(SSH), "two turns later there is room");
}

#[test]
fn a_nonce_is_kept_before_anything_opens_and_a_stranger_s_never() {
    let mut door = Door::new();
    let forged = door.knock(SSH, b"");
    assert_eq!(door.signed(forged, &key(BOB), HOME), refused_stranger());
    assert!(door.gate.take_effects().is_empty());
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    let nonce = Nonce { user: ALICE, timestamp: knock.timestamp, challenge: knock.challenge };
    match &door.gate.take_effects()[..] {
        [Effect::Lease(lease), Effect::Remember(kept), Effect::Open(_)] => {
            assert_eq!(*kept, nonce);
            assert!(*lease > nonce.stamp());
        }
        other => panic!("{other:?}"),
    }
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    assert!(matches!(&door.gate.take_effects()[..], [Effect::Remember(_), Effect::Open(_)]), "the lease still holds");
}

#[test]
fn what_an_earlier_run_admitted_is_refused_after_a_restart() {
    let mut door = Door::new();
    let (admitted_before, unseen) = (door.knock(SSH, b""), door.knock(SSH, b""));
    let nonce = Nonce { user: ALICE, timestamp: admitted_before.timestamp, challenge: admitted_before.challenge };
    door.restart(Remembered { nonces: vec![nonce], floor: None });
    assert_eq!(door.clear(admitted_before, HOME), refused(Refusal::Replay));
    assert_eq!(door.clear(unseen, HOME), admitted(SSH));

    door.restart(Remembered { nonces: vec![], floor: Some(Wall::from_secs(START)) });
    let at_the_floor = door.knock(SSH, b"");
    assert_eq!(door.clear(at_the_floor, HOME), refused(Refusal::Stale));
    door.pass(Duration::from_secs(1));
    let above = door.knock(SSH, b"");
    assert_eq!(door.clear(above, HOME), admitted(SSH));
}
