//! Rung 4, by value: what policy allows.

use super::*;

#[test]
fn each_rule_refuses_and_its_near_miss_does_not() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(ActionId(200), HOME), refused(Refusal::UnknownAction));
    assert_eq!(door.now_knock(BOBS, HOME), refused(Refusal::NotAllowed));
    assert_eq!(door.now_knock(LOCAL, ELSEWHERE), refused(Refusal::ActionNetwork));
    assert_eq!(door.now_knock(LOCAL, HOME), admitted(LOCAL));

    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), ELSEWHERE), refused_to(BOB, Refusal::UserNetwork));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert!(matches!(door.signed(bobs, &key(BOB), HOME), Said::Admitted(..)));

    door.pass(Duration::from_secs(99));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert!(matches!(door.signed(bobs, &key(BOB), HOME), Said::Admitted(..)), "a second before the end");
    door.pass(Duration::from_secs(1));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::UserExpired));
}

#[test]
fn a_grant_is_for_the_address_that_the_rule_names() {
    let cases: [(ActionId, &[u8], Result<&str, Refusal>); 10] = [
        (SSH, b"", Ok(HOME)),
        (SSH, b"source=192.0.2.7", Ok(HOME)),
        (SSH, b"source=198.51.100.9", Err(Refusal::SourceMismatch)),
        (MATCH, b"source=192.0.2.7", Ok(HOME)),
        (MATCH, b"", Err(Refusal::SourceMissing)),
        (MATCH, b"source=198.51.100.9", Err(Refusal::SourceMismatch)),
        (CLAIMED, b"source=198.51.100.9", Ok(ELSEWHERE)),
        (CLAIMED, b"", Err(Refusal::SourceMissing)),
        (CLAIMED, b"source=127.0.0.1", Err(Refusal::BadPayload)),
        (SSH, b"hello", Err(Refusal::BadPayload)),
    ];
    for (action, payload, expected) in cases {
        let mut door = Door::new();
        let knock = door.knock(action, payload);
        match expected {
            Ok(source) => {
                assert_eq!(door.clear(knock, HOME), admitted(action));
                assert_eq!(door.opened(), [(source.to_owned(), "tcp/22".to_owned(), 60)]);
            }
            Err(refusal) => {
                assert_eq!(door.clear(knock, HOME), refused(refusal));
                assert!(door.opened().is_empty());
            }
        }
    }
}

#[test]
fn a_claimed_address_outside_the_user_s_networks_is_refused() {
    let mut door = Door::new();
    let bobs = Packet { user: BOB, ..door.knock(CLAIMED, b"source=198.51.100.9") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::UserNetwork));
}

#[test]
fn a_time_asked_for_is_kept_within_the_longest() {
    for (payload, secs) in [(&b"ttl=30s"[..], 30), (b"ttl=2m", 120), (b"ttl=1d", 300), (b"", 60)] {
        let mut door = Door::new();
        let knock = door.knock(SSH, payload);
        assert_eq!(door.clear(knock, HOME), admitted(SSH));
        assert_eq!(door.opened(), [(HOME.to_owned(), "tcp/22".to_owned(), secs)]);
    }
}

#[test]
fn labels_are_unique() {
    let labels: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.label()).collect();
    assert_eq!(labels.len(), Refusal::ALL.len());
}
