//! Dry runs by value: everything is judged, and nothing done.

use super::workshop::*;
use super::*;

fn dry(action: ActionId) -> Policy {
    workshop_with(|_, actions, _| actions.iter_mut().filter(|one| one.id == action).for_each(|one| one.dry_run = true))
}

#[test]
fn a_dry_action_of_each_kind_only_tells() {
    let mut door = Door::of(dry(SSH));
    assert_eq!(door.does(SSH), ["would open tcp/22 60 alice ssh"]);
    assert!(door.gate.live_grants(door.now.boot).is_empty());

    let mut door = Door::of(dry(WEB));
    assert_eq!(door.does(WEB), ["would open tcp/443 60 alice web"], "and owes nothing");
    assert_eq!(door.gate.debts().count(), 0);

    let mut door = Door::of(dry(CLOSE));
    assert_eq!(door.does(WEB).len(), 2);
    assert_eq!(door.does(CLOSE), ["would close 1"]);
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 1);

    let mut door = Door::of(dry(VPN));
    assert_eq!(door.does(VPN), ["would run 1 vpn for a knock"]);
    assert_eq!((door.gate.programs().running, door.gate.debts().count()), (0, 0));

    let mut door = Door::of(dry(STATUS));
    assert_eq!(door.does(STATUS), ["would do status"]);
}

#[test]
fn an_admission_says_that_it_is_dry() {
    for (policy, dry_run) in [(dry(SSH), true), (workshop(), false)] {
        let mut door = Door::of(policy);
        let knock = authenticate(door.knock(SSH, b""), &key(ALICE)).encode();
        let opened = open(&knock, Wire::Clear, &door.keys, &Decoy::from_random([9; PACKET_LEN]));
        let verdict = door.gate.judge(opened, Address::v4([192, 0, 2, 7]), door.now);
        assert!(matches!(verdict, Verdict::Admit(admission) if admission.dry_run == dry_run));
    }
}

#[test]
fn a_dry_use_counts_until_the_daemon_stops_and_is_not_noted() {
    let mut door = Door::of(workshop_with(|users, actions, _| {
        users[0].uses = 2.try_into().ok();
        actions[0].dry_run = true;
        actions[0].uses = 1.try_into().ok();
    }));
    assert_eq!(door.does(SSH), ["would open tcp/22 60 alice ssh"]);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionUsedUp));
    assert_eq!(door.does(STATUS), ["user alice 1", "builtin status"], "the dry one is not in the ledger's count");
    assert_eq!(door.now_knock(STATUS, HOME), refused(Refusal::UserUsedUp));
    let _ = door.said();
    door.restart_from(Noted { users: vec![("alice".into(), 1)], ..Noted::default() });
    assert_eq!(door.does(STATUS), ["user alice 2", "builtin status"]);
}

#[test]
fn a_daemon_that_only_tells_undoes_nothing_and_leaves_the_ledger_alone() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    let debts: Vec<_> = door.gate.debts().cloned().collect();
    let mut policy = workshop();
    policy.make_dry();
    door.policy = Arc::new(policy);
    door.restart_from(Noted { debts, rebooted: true, ..Noted::default() });
    assert_eq!(door.wait_secs(600), [""; 0]);
    assert_eq!(door.does(WEB), ["would open tcp/443 60 alice web"]);
}

#[test]
fn a_dry_knock_is_refused_like_any_other() {
    let mut door = Door::of(workshop_with(|_, actions, programs| {
        actions.iter_mut().for_each(|action| action.dry_run = action.id == RUN);
        programs.iter_mut().for_each(|program| program.queue = 0);
    }));
    door.gate = Gate::new(Beginning { programs_at_once: 0, ..beginning(&door.policy) }, door.now);
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
}
