//! What is left of knocks whose nonces could not be kept.

use super::*;

#[test]
fn a_withdrawn_grant_is_as_if_it_had_never_been() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.now_knock(SSH, ELSEWHERE), admitted(SSH));
    assert_eq!(door.opened().len(), 2);
    door.gate.withdraw();
    assert!(door.gate.live_grants(door.now.boot).is_empty());
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH), "a new knock is welcome");
    assert_eq!(door.opened(), [(HOME.to_owned(), "tcp/22".to_owned(), 60)]);
    door.gate.handle_timeout(door.now);
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 1);
}

#[test]
fn withdrawing_an_extension_restores_the_earlier_end() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.opened().len(), 1);
    let held = door.gate.live_grants(door.now.boot);
    let extensions: [(ActionId, &[u8]); 3] =
        [(SSH, b"ttl=2m"), (SSH, b"ttl=30s"), (CLAIMED, b"ttl=5m source=192.0.2.7")];
    for (action, words) in extensions {
        let knock = door.knock(action, words);
        assert_eq!(door.clear(knock, HOME), admitted(action));
    }
    assert_eq!(door.gate.live_grants(door.now.boot)[0].ttl, Duration::from_secs(300));
    assert_eq!(door.opened().len(), 3);
    door.gate.withdraw();
    assert_eq!(door.gate.live_grants(door.now.boot), held, "end and label");
    door.pass(Duration::from_secs(60));
    door.gate.handle_timeout(door.now);
    assert!(door.gate.live_grants(door.now.boot).is_empty());
    assert!(door.gate.grants.next_expiry().is_none(), "nothing is left over");
}

#[test]
fn only_what_was_taken_last_is_withdrawn() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.opened().len(), 1);
    assert_eq!(door.now_knock(SSH, ELSEWHERE), admitted(SSH));
    assert_eq!(door.opened().len(), 1);
    for _ in 0..2 {
        door.gate.withdraw();
        let live = door.gate.live_grants(door.now.boot);
        assert_eq!(live.iter().map(|grant| grant.key.source.to_string()).collect::<Vec<_>>(), [HOME]);
    }
}

#[test]
fn a_withdrawn_knock_is_not_admitted_from_a_copy() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    assert_eq!(door.opened().len(), 1);
    door.gate.withdraw();
    assert_eq!(door.clear(knock, ELSEWHERE), refused(Refusal::Replay));
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay));
}

#[test]
fn a_sequence_with_a_withdrawn_step_starts_again() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(STEP_1, ELSEWHERE), stepped(STEP_1, 1));
    let _ = door.gate.take_effects();
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
    let _ = door.gate.take_effects();
    door.gate.withdraw();
    assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder));
    assert_eq!(door.now_knock(STEP_2, ELSEWHERE), stepped(STEP_2, 2), "the step before was kept");
}
