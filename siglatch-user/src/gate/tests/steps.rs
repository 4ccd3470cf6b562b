//! Rung 3, by value: sequences.

use super::*;

#[test]
fn a_sequence_in_order_has_its_effect_at_the_last_step() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
    assert!(door.opened().is_empty());
    assert_eq!(door.now_knock(STEP_3, HOME), admitted(STEP_3));
    assert_eq!(door.opened(), [(HOME.to_owned(), "tcp/5432".to_owned(), 60)]);
}

#[test]
fn wrong_orders_open_nothing_and_start_again() {
    let orders: [&[ActionId]; 6] = [
        &[STEP_3],
        &[STEP_2, STEP_3],
        &[STEP_1, STEP_3],
        &[STEP_2, STEP_1, STEP_3],
        &[STEP_1, STEP_2, STEP_1, STEP_3],
        &[STEP_1, STEP_3, STEP_2, STEP_3],
    ];
    for order in orders {
        let mut door = Door::new();
        for step in order {
            let _ = door.now_knock(*step, HOME);
        }
        assert!(door.opened().is_empty(), "{order:?}");
    }
}

#[test]
fn a_first_step_starts_again_and_a_duplicate_does_not() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    let second = door.knock(STEP_2, b"");
    assert_eq!(door.clear(second, HOME), stepped(STEP_2, 2));
    assert_eq!(door.clear(second, HOME), refused(Refusal::Replay), "a network duplicate");
    assert_eq!(door.now_knock(STEP_3, HOME), admitted(STEP_3));
    assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder), "the sequence is over");
}

#[test]
fn a_sequence_is_one_user_s_from_one_address() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(STEP_2, ELSEWHERE), refused(Refusal::OutOfOrder));
    let bobs = Packet { user: BOB, ..door.knock(STEP_2, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::OutOfOrder));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2), "what others did changed nothing");
}

#[test]
fn junk_that_forges_the_address_changes_nothing() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    let forged = door.knock(STEP_3, b"");
    assert_eq!(door.signed(forged, &key(BOB), HOME), refused_stranger());
    assert_eq!(door.raw(&[7; 256], Wire::Sealed, HOME), refused_stranger());
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
}

#[test]
fn a_sequence_too_late_starts_again() {
    for (pause, verdict) in [(4_999, admitted(STEP_3)), (5_000, refused(Refusal::OutOfOrder))] {
        let mut door = Door::new();
        assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
        assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
        door.pass(Duration::from_millis(pause));
        assert_eq!(door.now_knock(STEP_3, HOME), verdict, "{pause} ms");
    }
}

#[test]
fn other_actions_do_not_disturb_a_sequence() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
}

#[test]
fn the_table_of_sequences_is_bounded() {
    let mut door = Door::new();
    for last in 1..=9 {
        assert_eq!(door.now_knock(STEP_1, &format!("192.0.2.{last}")), stepped(STEP_1, 1));
    }
    assert_eq!(door.now_knock(STEP_2, "192.0.2.1"), refused(Refusal::OutOfOrder), "the oldest gave way");
    assert_eq!(door.now_knock(STEP_2, "192.0.2.2"), stepped(STEP_2, 2));
}
