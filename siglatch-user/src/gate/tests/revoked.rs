//! Revocations by value: a user's own grants, and what is owed for them.

use super::workshop::*;
use super::*;

#[test]
fn a_revocation_ends_the_user_s_own_grants_at_once() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    assert_eq!(door.now_knock(WEB, ELSEWHERE), admitted(WEB));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let _ = door.said();
    door.pass_secs(10);
    assert_eq!(door.does(CLOSE), ["owe 1 web-off in 0", "close tcp/443 50 alice web"]);
    let live: Vec<_> = door.gate.live_grants(door.now.boot).iter().map(|grant| grant.key.source.to_string()).collect();
    assert_eq!(live, [HOME, ELSEWHERE], "another action's, and another address's");
    assert_eq!(door.gate.next_timeout(), Some(door.now.boot));
    assert_eq!(door.wait_secs(0), ["run 1 web-off to undo 1"]);
    assert_eq!(door.does(CLOSE), ["close"], "there was nothing to end");
}

#[test]
fn behind_one_address_nobody_ends_another_s_grants() {
    let mut door = Door::of(workshop());
    assert_eq!(door.bobs_knock(WEB, HOME), Said::Admitted(BOB, WEB, Outcome::Done));
    let _ = door.said();
    assert_eq!(door.does(CLOSE), ["close"]);
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 1);
    assert_eq!(door.wait_secs(1), [""; 0], "nor makes due what another owes");
    let long = door.knock(WEB, b"ttl=2m");
    assert_eq!(door.clear(long, HOME), admitted(WEB));
    assert_eq!(door.said(), ["owe 2 web-off in 120", "open tcp/443 120 alice web"], "two users, two debts");
    assert_eq!(door.does(CLOSE), ["owe 2 web-off in 0", "close tcp/443 120 alice web"]);
    assert_eq!(door.gate.debts().count(), 2);
}

#[test]
fn a_revocation_makes_the_undo_of_a_program_due() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60", "run 1 vpn for a knock"]);
    assert_eq!(door.does(CLOSE), ["owe 1 vpn-off in 0", "close"]);
    assert_eq!(door.wait_secs(1), [""; 0], "not while what it undoes still runs");
    assert!(door.end(1, How::Exited(0)).is_empty());
    assert_eq!(door.wait_secs(0), ["run 2 vpn-off to undo 1"]);
}

#[test]
fn a_withdrawn_revocation_has_ended_nothing() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    let held = door.gate.live_grants(door.now.boot);
    assert_eq!(door.does(CLOSE).len(), 2);
    door.gate.withdraw();
    assert_eq!(door.gate.live_grants(door.now.boot), held);
    assert_eq!(door.wait_secs(59), [""; 0]);
    assert_eq!(door.wait_secs(1), ["run 1 web-off to undo 1"]);
}

#[test]
fn an_operator_ends_what_is_meant_and_it_is_not_taken_back_with_a_knock() {
    let mut door = Door::of(workshop());
    for action in [WEB, SSH] {
        assert_eq!(door.now_knock(action, HOME), admitted(action));
        assert_eq!(door.now_knock(action, ELSEWHERE), admitted(action));
    }
    let _ = door.said();
    let home = Some(Address::v4([192, 0, 2, 7]));
    let meant = Revocation { source: home, action: Some("web".into()), ..Revocation::default() };
    let extension = door.knock(WEB, b"ttl=5m");
    assert_eq!(door.clear(extension, HOME), admitted(WEB));
    let revoked = door.gate.revoke(&meant, door.now);
    assert_eq!((revoked.grants.len(), revoked.debts), (1, 1));
    let effects = door.gate.take_effects();
    assert!(effects.iter().any(
        |effect| matches!(effect, Effect::Close(GrantsEnded { by: Ender::Operator, grants }) if grants == &revoked.grants)
    ));
    door.gate.withdraw();
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 3, "the extension is no more, nor what it extended");
    let again = ["owe 1 web-off in 0", "close tcp/443 300 alice web", "run 1 web-off to undo 1"];
    assert_eq!(door.wait_secs(0), again);
    let all = door.gate.revoke(&Revocation { user: Some("alice".into()), ..Revocation::default() }, door.now);
    assert_eq!((all.grants.len(), all.debts), (3, 1));
    assert!(door.gate.live_grants(door.now.boot).is_empty());
}

#[test]
fn what_an_operator_revokes_stays_revoked_if_a_knock_that_did_so_first_is_taken_back() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    assert_eq!(door.now_knock(CLOSE, HOME), admitted(CLOSE));
    let revoked = door.gate.revoke(&Revocation::default(), door.now);
    assert_eq!((revoked.grants.len(), revoked.debts), (1, 1));
    let _ = door.said();
    door.gate.withdraw();
    assert!(door.gate.live_grants(door.now.boot).is_empty());
    let again = ["owe 1 web-off in 0", "close tcp/443 60 alice web", "run 1 web-off to undo 1"];
    assert_eq!(door.wait_secs(0), again);
}

#[test]
fn an_operator_means_a_service_or_a_user_or_nothing_in_particular() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(VPN, HOME), admitted(VPN));
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    assert_eq!(door.bobs_knock(SSH, HOME), Said::Admitted(BOB, SSH, Outcome::Done));
    let _ = door.said();
    let service = |text: &str| Revocation { service: text.parse().ok(), ..Revocation::default() };
    let nobody = Revocation { user: Some("carol".into()), ..Revocation::default() };
    assert_eq!(door.gate.revoke(&nobody, door.now), Revoked { grants: vec![], debts: 0 });
    assert_eq!(door.gate.revoke(&service("udp/443"), door.now), Revoked { grants: vec![], debts: 0 });
    assert!(door.said().is_empty());
    assert_eq!(door.gate.revoke(&service("tcp/443"), door.now).debts, 1, "of the grant; programs have no service");
    assert_eq!(door.said(), ["owe 2 web-off in 0", "close tcp/443 60 alice web"]);
    let all = door.gate.revoke(&Revocation::default(), door.now);
    assert_eq!((all.grants.len(), all.debts), (1, 1));
}
