//! Grants, by value: for how long, and after a restart.

use super::*;

#[test]
fn renewal_extends_and_never_shortens() {
    let mut door = Door::new();
    let long = door.knock(SSH, b"ttl=5m");
    assert_eq!(door.clear(long, HOME), admitted(SSH));
    door.pass(Duration::from_secs(10));
    let short = door.knock(SSH, b"ttl=30s");
    assert_eq!(door.clear(short, HOME), admitted(SSH));
    assert_eq!(door.opened().last().unwrap().2, 290, "what was left of the longer one");
    door.pass(Duration::from_secs(10));
    let longer = door.knock(SSH, b"ttl=5m");
    assert_eq!(door.clear(longer, HOME), admitted(SSH));
    assert_eq!(door.opened().last().unwrap().2, 300);
}

#[test]
fn a_grant_is_live_until_its_end_and_no_longer() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass(Duration::from_millis(59_999));
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 1);
    door.pass(Duration::from_millis(1));
    assert!(door.gate.live_grants(door.now.boot).is_empty());
    door.gate.handle_timeout(door.now);
    assert!(door.gate.live_grants(door.now.boot).is_empty());
}

#[test]
fn grants_of_an_earlier_run_are_taken_over() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let held = door.gate.live_grants(door.now.boot);
    let gate = Gate::new(Beginning { grants: &held, ..beginning(&door.policy) }, door.now);
    assert_eq!(gate.live_grants(door.now.boot), held);
}

#[test]
fn a_grant_of_an_earlier_run_stays_only_while_policy_still_allows_it() {
    let policy = policy();
    let grant = |label: &str, service: &str| Grant {
        key: GrantKey { source: Address::v4([192, 0, 2, 7]), destination: None, service: service.parse().unwrap() },
        ttl: Duration::from_secs(10),
        label: label.into(),
    };
    assert!(still_allowed(&grant("alice ssh", "tcp/22"), &policy));
    assert!(!still_allowed(&grant("alice ssh", "tcp/23"), &policy), "another service");
    assert!(!still_allowed(&grant("alice bobs", "tcp/22"), &policy), "another's action");
    assert!(!still_allowed(&grant("carol ssh", "tcp/22"), &policy), "a disabled user");
    assert!(!still_allowed(&grant("dave ssh", "tcp/22"), &policy), "a user who is gone");
    assert!(!still_allowed(&grant("alice gone", "tcp/22"), &policy), "an action that is gone");
    assert!(!still_allowed(&grant("", "tcp/22"), &policy), "nobody's");
}

#[test]
fn timeouts_come_to_rest() {
    let mut door = Door::new();
    assert_eq!(door.gate.next_timeout(), None);
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let mut turns = 0;
    while let Some(due) = door.gate.next_timeout() {
        assert!(due >= door.now.boot);
        door.now.boot = due;
        door.gate.handle_timeout(door.now);
        turns += 1;
        assert!(turns < 10, "a timeout must make progress");
    }
}
