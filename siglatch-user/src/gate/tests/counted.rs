//! Use counts by value: what counts, what does not, and what is noted.

use super::workshop::*;
use super::*;

fn once() -> Policy {
    workshop_with(|users, _, _| users[0].uses = 1.try_into().ok())
}

#[test]
fn a_one_time_key_has_one_effect_and_is_noted_before_it() {
    let mut door = Door::of(once());
    assert_eq!(door.does(SSH), ["user alice 1", "open tcp/22 60 alice ssh"]);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
    assert_eq!(door.bobs_knock(SSH, HOME), Said::Admitted(BOB, SSH, Outcome::Done), "others are not counted");
}

#[test]
fn an_action_s_uses_are_everybody_s_together() {
    let mut door = Door::of(workshop_with(|_, actions, _| actions[0].uses = 2.try_into().ok()));
    assert_eq!(door.does(SSH), ["action ssh 1", "open tcp/22 60 alice ssh"]);
    assert_eq!(door.bobs_knock(SSH, HOME), Said::Admitted(BOB, SSH, Outcome::Done), "one use left");
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionUsedUp));
    assert_eq!(door.now_knock(STATUS, HOME), admitted(STATUS));
}

#[test]
fn counts_outlive_the_daemon_by_name() {
    let mut door = Door::of(workshop_with(|users, actions, _| {
        users[0].uses = 3.try_into().ok();
        actions[0].uses = 3.try_into().ok();
    }));
    let noted = |user: &str, times| Noted {
        users: vec![(user.into(), times)],
        actions: vec![("ssh".into(), 1)],
        ..Noted::default()
    };
    door.restart_from(noted("alice", 2));
    assert_eq!(door.does(SSH), ["user alice 3", "action ssh 2", "open tcp/22 60 alice ssh"]);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
    door.restart_from(noted("bob", 3));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH), "another's count");
}

#[test]
fn with_a_damaged_ledger_whoever_is_counted_is_refused_and_nobody_else() {
    let damaged = || Noted { damaged: true, ..Noted::default() };
    let mut door = Door::of(once());
    door.restart_from(damaged());
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
    assert_eq!(door.bobs_knock(SSH, HOME), Said::Admitted(BOB, SSH, Outcome::Done));
    let mut door = Door::of(workshop_with(|_, actions, _| actions[0].uses = 1.try_into().ok()));
    door.restart_from(damaged());
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionUsedUp));
    assert_eq!(door.now_knock(STATUS, HOME), admitted(STATUS));
}

#[test]
fn what_is_refused_for_want_of_room_costs_no_use() {
    let mut door = Door::of(workshop_with(|users, actions, _| {
        users[0].uses = 1.try_into().ok();
        actions.iter_mut().for_each(|action| action.uses = 3.try_into().ok());
    }));
    assert!(matches!(door.bobs_knock(RUN, HOME), Said::Admitted(..)));
    assert!(matches!(door.bobs_knock(RUN, HOME), Said::Admitted(..)));
    assert_eq!(door.said(), ["action run 1", "run 1 once for a knock", "action run 2"]);
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
    assert!(door.said().is_empty());
    assert_eq!(door.end(1, How::Exited(0)), ["run 2 once for a knock"]);
    assert_eq!(door.does(RUN), ["user alice 1", "action run 3"], "it waits");
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::UserUsedUp));
}

#[test]
fn other_refusals_cost_no_use_either() {
    let mut door = Door::of(once());
    let nonsense = door.knock(SSH, b"nonsense");
    assert_eq!(door.clear(nonsense, HOME), refused(Refusal::BadPayload));
    assert_eq!(door.now_knock(ActionId(200), HOME), refused(Refusal::UnknownAction));
    door.gate.set_unaudited(true);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::Unaudited));
    door.gate.set_unaudited(false);
    assert!(door.said().is_empty());
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
}

#[test]
fn a_withdrawn_use_is_given_back() {
    let mut door = Door::of(workshop_with(|users, actions, _| {
        users[0].uses = 1.try_into().ok();
        actions[0].uses = 1.try_into().ok();
    }));
    for _ in 0..2 {
        assert_eq!(door.does(SSH), ["user alice 1", "action ssh 1", "open tcp/22 60 alice ssh"]);
        assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
        assert!(door.said().is_empty());
        door.gate.withdraw();
        assert_eq!(
            door.now_knock(SSH, HOME),
            refused(Refusal::UserUsedUp),
            "of what was taken last, there was nothing"
        );
        door.restart_from(Noted::default());
        assert_eq!(door.does(SSH).len(), 3);
        door.gate.withdraw();
    }
}
