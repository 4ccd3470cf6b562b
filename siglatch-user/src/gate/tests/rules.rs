//! Every rule of policy by value: who is refused by it, and who only just is not.

use super::workshop::*;
use super::*;
use crate::policy::{Hours, PayloadRule, Span, Weekdays};

#[test]
fn a_user_s_time_begins_and_ends_to_the_second() {
    let period = Period { not_before: Some(Wall::from_secs(START + 10)), not_after: Some(Wall::from_secs(START + 20)) };
    let mut door = Door::of(workshop_with(|users, _, _| users[0].period = period));
    door.pass_secs(9);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserEarly));
    door.pass_secs(1);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(9);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(1);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserExpired));
}

#[test]
fn an_action_s_time_begins_and_ends_to_the_second() {
    let period = Period { not_before: Some(Wall::from_secs(START + 10)), not_after: Some(Wall::from_secs(START + 20)) };
    let mut door = Door::of(workshop_with(|_, actions, _| actions[0].period = period));
    door.pass_secs(9);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionEarly));
    door.pass_secs(1);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(9);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(1);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionExpired));
}

#[test]
fn an_action_has_its_hours() {
    // The house's time begins on a Friday at 08:00.
    let span = Span { days: Weekdays(0b1_0000), from: 8 * 60, to: 8 * 60 + 1 };
    let hours = Hours { zone: jiff::tz::TimeZone::UTC, spans: vec![span] };
    let mut door = Door::of(workshop_with(|_, actions, _| actions[0].hours = Some(hours)));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(59);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(1);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::ActionHours));
}

#[test]
fn only_administrators_ask_the_daemon_for_something() {
    let mut door = Door::of(workshop());
    assert_eq!(door.bobs_knock(STATUS, HOME), refused_to(BOB, Refusal::NotAdmin));
    assert!(door.said().is_empty());
    assert_eq!(door.does(STATUS), ["builtin status"]);
}

#[test]
fn what_is_switched_off_is_refused_and_its_neighbours_are_not() {
    let mut policy = workshop();
    policy.disable_action("ssh", None);
    policy.disable_user("nobody", None);
    policy.disable_action("nothing", Some(Wall::from_secs(1)));
    let mut door = Door::of(policy);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::DisabledAction));
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    assert!(door.gate.policy().may_knock(ALICE) && door.gate.policy().action_off(SSH) == Some(None));
}

#[test]
fn a_sequence_that_is_switched_off_takes_no_step() {
    let mut policy = policy();
    policy.disable_sequence("db", Some(Wall::from_secs(START + 1)));
    policy.disable_user("bob", None);
    let mut door = Door::of(policy);
    assert_eq!(door.now_knock(STEP_1, HOME), refused(Refusal::DisabledSequence));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let policy = door.gate.policy();
    assert!(!policy.may_knock(BOB) && policy.sequence_off(0).flatten() == Some(Wall::from_secs(START + 1)));
}

#[test]
fn a_payload_is_ascii_where_it_must_be() {
    let rule = PayloadRule { require_ascii: true, starts_with: vec![] };
    let mut door = Door::of(workshop_with(|_, actions, _| payload_of(actions, RUN, rule)));
    for byte in 0..=u8::MAX {
        let knock = door.knock(RUN, &[b'a', byte]);
        let said = door.clear(knock, HOME);
        let expected = if (0x20..=0x7e).contains(&byte) { admitted(RUN) } else { refused(Refusal::PayloadNotAscii) };
        assert_eq!(said, expected, "{byte:#04x}");
        let _ = door.gate.take_effects();
        door.gate.withdraw();
    }
    assert_eq!(door.now_knock(RUN, HOME), admitted(RUN), "an empty one holds nothing else");
}

#[test]
fn a_payload_begins_as_it_must() {
    let rule = PayloadRule { require_ascii: false, starts_with: b"go ".to_vec() };
    let mut door = Door::of(workshop_with(|_, actions, _| payload_of(actions, RUN, rule)));
    let cases: [(&[u8], bool); 6] =
        [(b"go ", true), (b"go \xff", true), (b"go", false), (b"Go ", false), (b" go ", false), (b"", false)];
    for (payload, begins) in cases {
        let knock = door.knock(RUN, payload);
        let expected = if begins { admitted(RUN) } else { refused(Refusal::PayloadStart) };
        assert_eq!(door.clear(knock, HOME), expected, "{payload:?}");
        let _ = door.gate.take_effects();
        door.gate.withdraw();
    }
}

#[test]
fn a_revocation_knows_one_word() {
    let mut door = Door::of(workshop());
    let cases: [(&[u8], Option<Refusal>); 4] = [
        (b"source=192.0.2.7", None),
        (b"ttl=10m", Some(Refusal::BadPayload)),
        (b"all", Some(Refusal::BadPayload)),
        (b"source=192.0.2.8", Some(Refusal::SourceMismatch)),
    ];
    for (payload, refusal) in cases {
        let knock = door.knock(CLOSE, payload);
        assert_eq!(door.clear(knock, HOME), refusal.map_or(admitted(CLOSE), refused), "{payload:?}");
    }
}

#[test]
fn a_service_behind_the_gateway_is_granted_on_hosts_of_the_source_s_ip_version() {
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.parse::<IpAddr>().unwrap().into()).collect();
    let on = |destinations| GrantRule { destinations, ..grant("tcp/5432") };
    let mut door = Door::of(workshop_with(|_, actions, _| {
        actions[0].kind = ActionKind::Grant(on(hosts(&["10.0.0.5", "10.0.0.6", "2001:db8::5"])));
        let ActionKind::Grant(web) = &mut actions.iter_mut().find(|action| action.id == WEB).unwrap().kind else {
            panic!("a grant");
        };
        web.destinations = hosts(&["10.0.0.7"]);
    }));
    assert_eq!(door.does(SSH), ["open tcp/5432@10.0.0.5 60 alice ssh, tcp/5432@10.0.0.6 60 alice ssh"]);
    assert_eq!(door.now_knock(SSH, "2001:db8:1::7"), admitted(SSH));
    assert_eq!(door.said(), ["open tcp/5432@2001:db8::5 60 alice ssh"]);
    assert_eq!(door.now_knock(WEB, "2001:db8:1::7"), refused(Refusal::NoDestination));
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    let granted = door.gate.live_grants(door.now.boot);
    assert!(granted.iter().all(|grant| still_allowed(grant, &door.policy)), "{granted:?}");
}

#[test]
fn what_cannot_be_audited_is_refused_and_known() {
    let mut door = Door::of(workshop());
    door.gate.set_unaudited(true);
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Unaudited));
    assert!(matches!(door.gate.take_effects()[..], [Effect::Lease(_), Effect::Remember(_)]));
    door.gate.set_unaudited(false);
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay), "no copy is admitted later in its place");
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
}

#[test]
fn rules_are_asked_in_their_order() {
    type Cure = fn(&mut User, &mut Action);
    let early_and_over =
        Period { not_before: Some(Wall::from_secs(START + 9)), not_after: Some(Wall::from_secs(START - 9)) };
    let far = vec!["203.0.113.0/24".parse().unwrap()];
    let never = Hours { zone: jiff::tz::TimeZone::UTC, spans: vec![Span { days: Weekdays(0), from: 0, to: 1440 }] };
    let mut user =
        User { networks: far.clone(), period: early_and_over, uses: 1.try_into().ok(), ..user(ALICE, "alice") };
    let mut run = workshop().action(RUN).unwrap().clone();
    run.allowed = Allowed::Only(BTreeSet::new());
    run.networks = far;
    run.period = early_and_over;
    run.hours = Some(never);
    run.uses = 1.try_into().ok();
    payload_of(std::slice::from_mut(&mut run), RUN, PayloadRule { require_ascii: true, starts_with: b"a".to_vec() });
    let steps: [(Refusal, Cure); 12] = [
        (Refusal::UserEarly, |user, _| user.period.not_before = None),
        (Refusal::UserExpired, |user, _| user.period.not_after = None),
        (Refusal::UserNetwork, |user, _| user.networks.clear()),
        (Refusal::NotAllowed, |_, action| action.allowed = Allowed::All),
        (Refusal::ActionNetwork, |_, action| action.networks.clear()),
        (Refusal::ActionEarly, |_, action| action.period.not_before = None),
        (Refusal::ActionExpired, |_, action| action.period.not_after = None),
        (Refusal::ActionHours, |_, action| action.hours = None),
        (Refusal::PayloadNotAscii, |_, action| {
            payload_of(
                std::slice::from_mut(action),
                RUN,
                PayloadRule { require_ascii: false, starts_with: b"a".to_vec() },
            );
        }),
        (Refusal::PayloadStart, |_, action| payload_of(std::slice::from_mut(action), RUN, PayloadRule::default())),
        (Refusal::UserUsedUp, |user, _| user.uses = None),
        (Refusal::ActionUsedUp, |_, action| action.uses = None),
    ];
    for (refusal, cure) in steps {
        let (alice, asked) = (user.clone(), run.clone());
        let mut door = Door::of(workshop_with(|users, actions, programs| {
            users[0] = alice;
            actions.retain(|action| action.id != RUN);
            actions.push(asked);
            programs.iter_mut().for_each(|program| program.queue = 0);
        }));
        let noted = Noted { users: vec![("alice".into(), 1)], actions: vec![("run".into(), 1)], ..Noted::default() };
        door.gate = Gate::new(Beginning { noted, programs_at_once: 0, ..beginning(&door.policy) }, door.now);
        let knock = door.knock(RUN, b"\xff");
        assert_eq!(door.clear(knock, HOME), refused(refusal));
        cure(&mut user, &mut run);
    }
    let mut door = Door::of(workshop_with(|_, _, programs| programs.iter_mut().for_each(|program| program.queue = 0)));
    door.gate = Gate::new(Beginning { programs_at_once: 0, ..beginning(&door.policy) }, door.now);
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy), "and what is left is room");
}

#[test]
fn steps_before_the_last_are_asked_who_where_and_when_and_nothing_else() {
    let mut door = Door::of(workshop_with(|users, actions, _| {
        users[0].uses = 1.try_into().ok();
        actions.iter_mut().for_each(|action| action.uses = 1.try_into().ok());
    }));
    for _ in 0..3 {
        let step = door.knock(STEP_1, b"\xff");
        assert_eq!(door.clear(step, HOME), stepped(STEP_1, 1), "no payload and no use counts");
    }
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
    assert!(door.said().is_empty());
    assert_eq!(door.does(STEP_3), ["user alice 1", "action db 1", "run 1 once for a knock"]);
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));

    let mut door = Door::of(workshop_with(|users, _, _| users[0].networks = vec!["192.0.2.0/24".parse().unwrap()]));
    assert_eq!(door.now_knock(STEP_1, ELSEWHERE), refused(Refusal::UserNetwork));
}

#[test]
fn a_sequence_ends_in_an_action_of_any_kind() {
    let kinds = [(SSH, "open"), (CLOSE, "close"), (RUN, "run"), (STATUS, "builtin")];
    for (kind, effect) in kinds {
        let mut door = Door::of(workshop_with(|_, actions, _| {
            let kind = actions.iter().find(|action| action.id == kind).unwrap().kind.clone();
            actions.iter_mut().find(|action| action.id == STEP_3).unwrap().kind = kind;
        }));
        assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder));
        assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
        assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
        assert!(door.said().is_empty());
        let said = door.does(STEP_3);
        assert!(matches!(&said[..], [only] if only.starts_with(effect)), "{said:?}");
    }
}

fn payload_of(actions: &mut [Action], id: ActionId, rule: PayloadRule) {
    for action in actions.iter_mut().filter(|action| action.id == id) {
        if let ActionKind::Exec(exec) = &mut action.kind {
            exec.payload = rule.clone();
        }
    }
}
