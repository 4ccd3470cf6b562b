//! Other rules for a living gate, by value: what goes on, what ends, and that nobody inherits anything.

use super::workshop::*;
use super::*;
use crate::policy::{Program, ProgramId};

#[test]
fn nonces_stay_known_whoever_has_the_number_now() {
    let mut door = Door::of(workshop());
    let alices = door.knock(SSH, b"");
    assert_eq!(door.clear(alices, HOME), admitted(SSH));
    let _ = door.said();
    // Bob has number 1 now, and the operator gave him Alice's key, too.
    let swapped = |users: &mut Vec<User>| {
        users.retain(|user| user.id != BOB);
        users[0].name = "bob".into();
    };
    door.adopts(workshop_with(|users, _, _| swapped(users)));
    assert_eq!(door.clear(alices, HOME), refused(Refusal::Replay));
    door.adopts(workshop_with(|users, _, _| users.retain(|user| user.id != ALICE)));
    assert_eq!(door.clear(alices, HOME), refused(Refusal::Replay), "and if it is nobody's");
    door.adopts(workshop());
    assert_eq!(door.clear(alices, HOME), refused(Refusal::Replay), "back again");
    door.pass_secs(61);
    assert_eq!(door.clear(alices, HOME), refused(Refusal::Stale));
}

#[test]
fn a_larger_skew_makes_nothing_fresh_again_that_was_forgotten() {
    let mut door = Door::of(workshop());
    let early = door.knock(SSH, b"");
    let early = Packet { timestamp: early.timestamp + 60, ..early };
    assert_eq!(door.clear(early, HOME), admitted(SSH));
    for step in 0..60 {
        door.pass_secs(10);
        door.gate.handle_timeout(door.now);
        let _ = door.said();
        if step == 30 {
            door.adopts(with_skew(300));
        }
        assert!(matches!(door.clear(early, HOME), Said::Refused(Refusal::Replay | Refusal::Stale, _)), "{step}");
        let fresh = door.now_knock(STATUS, HOME);
        assert_eq!(fresh, admitted(STATUS), "whoever has the right time is never refused: {step}");
    }
}

#[test]
fn a_smaller_skew_forgets_nothing_that_can_still_be_fresh_and_refuses_nobody() {
    for delay in 0..12 {
        let mut door = Door::of(with_skew(300));
        door.pass_secs(delay * 55);
        let early = door.knock(SSH, b"");
        let early = Packet { timestamp: early.timestamp + 300, ..early };
        assert_eq!(door.clear(early, HOME), admitted(SSH));
        let _ = door.said();
        door.adopts(workshop());
        for step in 0..100 {
            door.pass_secs(13);
            assert!(matches!(door.clear(early, HOME), Said::Refused(Refusal::Replay | Refusal::Stale, _)), "{step}");
            assert_eq!(door.now_knock(STATUS, HOME), admitted(STATUS), "{delay}, {step}");
            let _ = door.said();
        }
    }
}

#[test]
fn the_new_capacity_holds_at_once_and_nothing_known_is_dropped_for_it() {
    let mut door = Door::of(workshop());
    let first = door.knock(SSH, b"");
    assert_eq!(door.clear(first, HOME), admitted(SSH));
    let _ = door.said();
    door.gate.adopt(Arc::clone(&door.policy), 4, 1, door.now);
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::Overloaded));
    assert_eq!(door.clear(first, HOME), refused(Refusal::Replay));
    door.gate.adopt(Arc::clone(&door.policy), 4, 2, door.now);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
}

#[test]
fn grants_that_are_allowed_go_on_and_others_end_with_what_is_owed_for_them() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(SSH), ["open tcp/22 60 alice ssh"]);
    assert_eq!(door.does(WEB), ["owe 1 web-off in 60", "open tcp/443 60 alice web"]);
    door.pass_secs(10);
    let adopted = door.adopt(workshop_with(|_, actions, _| allow_only(actions, WEB, &[BOB])));
    let ended: Vec<_> = adopted.withdrawn.iter().map(|grant| (&*grant.label, grant.ttl.as_secs())).collect();
    assert_eq!(ended, [("alice web", 50)]);
    assert_eq!(door.said(), ["owe 1 web-off in 0", "close tcp/443 50 alice web"]);
    assert_eq!(door.wait_secs(0), ["run 1 web-off to undo 1"]);
    let left: Vec<_> = door.gate.live_grants(door.now.boot).into_iter().map(|grant| grant.label).collect();
    assert_eq!(left, ["alice ssh"]);
}

#[test]
fn what_a_disabled_user_holds_ends() {
    let mut door = Door::of(workshop());
    let _ = door.does(SSH);
    door.adopts(workshop_with(|users, _, _| users[0].enabled = false));
    assert!(door.gate.live_grants(door.now.boot).is_empty());
}

#[test]
fn a_grant_is_its_user_s_by_name() {
    let mut door = Door::of(workshop());
    let _ = door.does(SSH);
    door.adopts(renumbered_users());
    assert_eq!(door.gate.live_grants(door.now.boot)[0].label, "alice ssh");
    // Somebody else under Alice's number does not get her grant, and she is gone.
    door.adopts(workshop_with(|users, _, _| users[0].name = "mallory".into()));
    assert!(door.gate.live_grants(door.now.boot).is_empty());
}

#[test]
fn a_sequence_goes_on_for_its_user_under_another_number_and_for_nobody_else() {
    let under_way = || {
        let mut door = Door::of(workshop());
        assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
        assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
        let _ = door.said();
        door
    };
    // Alice has Bob's number, and he has hers; keys go with the numbers here.
    let mut door = under_way();
    door.adopts(renumbered_users());
    assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder), "number 1 is Bob's");
    let mut door = under_way();
    door.adopts(renumbered_users());
    assert_eq!(door.bobs_knock(STEP_3, HOME), Said::Admitted(BOB, STEP_3, Outcome::Done), "number 65535 is Alice's");

    let mut door = under_way();
    door.adopts(workshop());
    assert_eq!(door.now_knock(STEP_3, HOME), admitted(STEP_3));
    let mut door = under_way();
    door.adopts(workshop());
    door.pass_secs(5);
    assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder), "its time goes on, too");
}

#[test]
fn a_sequence_that_has_changed_starts_again() {
    let changes: [fn(&mut Sequence); 4] = [
        |_| {},
        |sequence| sequence.name = "other".into(),
        |sequence| sequence.within = Duration::from_secs(6),
        |sequence| sequence.steps.swap(0, 1),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut door = Door::of(workshop());
        assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
        assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
        let mut changed = sequence();
        change(&mut changed);
        let is_same = place == 0;
        let policy = workshop();
        let (users, actions) = (policy.users().cloned().collect(), policy.actions().cloned().collect());
        let programs = policy.programs().to_vec();
        door.adopts(Policy::new(users, actions, vec![changed], SKEW).with_programs(programs));
        assert_eq!(door.now_knock(STEP_3, HOME) == admitted(STEP_3), is_same, "{place}");
    }
}

#[test]
fn uses_are_counted_by_name_and_outlive_a_time_without_a_limit() {
    let once = || workshop_with(|users, _, _| users[0].uses = 1.try_into().ok());
    let mut door = Door::of(once());
    assert_eq!(door.does(SSH), ["user alice 1", "open tcp/22 60 alice ssh"]);
    door.adopts(once());
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
    door.adopts(workshop());
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH), "no limit");
    door.adopts(once());
    assert_eq!(door.now_knock(SSH, HOME), refused(Refusal::UserUsedUp));
    door.adopts(workshop_with(|users, _, _| {
        users[0].name = "carol".into();
        users[0].uses = 1.try_into().ok();
    }));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH), "whoever has the number now has knocked never");
}

#[test]
fn what_waits_runs_the_new_program_of_its_name_under_the_new_bounds() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    assert!(door.does(RUN).is_empty(), "it waits");
    // The other way round: `once` has another number, two places, and three may wait.
    door.adopts(turned_around(|programs| {
        let once = programs.iter_mut().find(|program| program.name == "once").unwrap();
        (once.at_once, once.queue) = (2.try_into().unwrap(), 3);
    }));
    assert_eq!(door.wait_secs(0), ["run 2 once for a knock"], "there are two places now");
    for _ in 0..3 {
        assert!(door.does(RUN).is_empty());
    }
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
    assert_eq!(door.end(1, How::Exited(1)), ["run 3 once for a knock", "run 6 alarm as 1 failed"]);
}

#[test]
fn what_waits_for_a_program_that_is_gone_is_dropped_and_told() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    assert!(door.does(RUN).is_empty());
    let adopted = door.adopt(without("once"));
    let dropped: Vec<_> = adopted.dropped.iter().map(|(job, program)| (job.id, job.why, &**program)).collect();
    assert_eq!(dropped, [(JobId(2), Why::Knock, "once")]);
    assert_eq!(door.gate.programs(), Programs { running: 1, waiting: 0, dropped: 0 });
    assert!(door.end(1, How::Exited(1)).is_empty(), "nobody says any more who is told of its failure");
    assert_eq!(door.gate.programs(), Programs::default());
}

#[test]
fn a_run_of_a_program_that_is_gone_keeps_its_place_among_all() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    door.policy = Arc::new(without("once"));
    door.gate.adopt(Arc::clone(&door.policy), 1, 1_000, door.now);
    assert!(matches!(&door.does(VPN)[..], [owe] if owe.starts_with("owe 1")), "no place is left");
    let said = door.end(1, How::Exited(0));
    assert_eq!(said, ["run 2 vpn for a knock"]);
}

#[test]
fn a_debt_is_undone_by_the_program_of_its_name_and_lost_if_that_is_gone() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(VPN).len(), 2);
    assert!(door.end(1, How::Exited(0)).is_empty());
    door.adopts(turned_around(|_| {}));
    assert_eq!(door.wait_secs(60), ["run 2 vpn-off to undo 1"]);
    assert_eq!(door.end(2, How::Exited(0)), ["settled 1"]);

    for waits_for_a_place in [false, true] {
        let mut door = Door::of(workshop());
        if waits_for_a_place {
            // `vpn-off` has one place, which an undo for another address has.
            assert_eq!(door.now_knock(VPN, ELSEWHERE), admitted(VPN));
            let _ = door.said();
            let _ = door.end(1, How::Exited(0));
            let _ = door.wait_secs(60);
        }
        let said = door.does(VPN);
        let job = said.last().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let _ = door.end(job, How::Exited(0));
        if waits_for_a_place {
            assert!(door.wait_secs(60).is_empty(), "it waits");
        }
        door.adopts(without("vpn-off"));
        let lost = door.gate.take_lost_debts();
        let own = lost.iter().map(|debt| debt.call.source).collect::<Vec<_>>();
        assert_eq!(own, [Address::v4([192, 0, 2, 7])]);
        assert_eq!(door.gate.debts().count(), usize::from(waits_for_a_place), "one is just being undone");
        assert!(door.gate.take_lost_debts().is_empty(), "told once");
    }
}

#[test]
fn an_undo_that_runs_may_still_settle_its_debt_and_loses_it_if_it_cannot() {
    for (how, is_lost) in [(How::Exited(0), false), (How::Exited(3), false), (How::Lost, true)] {
        let mut door = Door::of(workshop());
        assert_eq!(door.does(VPN).len(), 2);
        let _ = door.end(1, How::Exited(0));
        assert_eq!(door.wait_secs(60), ["run 2 vpn-off to undo 1"]);
        door.adopts(without("vpn-off"));
        let said = [door.end(2, how), door.wait_secs(60)].concat();
        assert_eq!(said, ["settled 1"], "{how:?}");
        assert_eq!(door.gate.take_lost_debts().len(), usize::from(is_lost), "{how:?}");
        assert_eq!(door.gate.debts().count(), 0);
    }
}

#[test]
fn a_debt_behind_a_run_that_never_begins_is_settled() {
    let mut door = Door::of(workshop());
    // Both places of `vpn` are taken from elsewhere.
    for _ in 0..2 {
        assert_eq!(door.now_knock(VPN, ELSEWHERE), admitted(VPN));
    }
    let _ = door.said();
    assert!(matches!(&door.does(VPN)[..], [owe] if owe.starts_with("owe 2 vpn-off")));
    let adopted = door.adopt(without("vpn"));
    assert_eq!(adopted.dropped.len(), 1);
    assert_eq!(door.said(), ["settled 2"]);
    assert!(door.gate.take_lost_debts().is_empty(), "there was nothing to undo");
    assert_eq!(door.gate.debts().count(), 1);
}

#[test]
fn what_the_disk_did_not_take_is_by_the_new_rules_when_it_is_taken() {
    let unstarted = || {
        let mut door = Door::of(workshop());
        assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
        assert!(door.does(RUN).is_empty());
        assert_eq!(door.end(1, How::Exited(0)), ["run 2 once for a knock"]);
        door.gate.withdraw();
        door
    };
    let mut door = unstarted();
    let adopted = door.adopt(turned_around(|_| {}));
    assert!(adopted.dropped.is_empty());
    assert_eq!(door.wait_secs(1), ["run 2 once for a knock"], "under its number there");
    let mut door = unstarted();
    let adopted = door.adopt(without("once"));
    assert_eq!(adopted.dropped.len(), 1);
    assert_eq!(door.wait_secs(1), [""; 0]);
    assert_eq!(door.gate.programs(), Programs::default());
}

#[test]
fn what_waits_for_an_undo_goes_on_after_it() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(VPN).len(), 2);
    let _ = door.end(1, How::Exited(0));
    assert_eq!(door.wait_secs(60), ["run 2 vpn-off to undo 1"]);
    assert!(matches!(&door.does(VPN)[..], [owe] if owe.starts_with("owe 2")), "not while it is being undone");
    door.adopts(turned_around(|_| {}));
    assert_eq!(door.gate.programs(), Programs { running: 1, waiting: 1, dropped: 0 });
    assert_eq!(door.end(2, How::Exited(0)), ["settled 1", "run 3 vpn for a knock"]);
}

impl Door {
    /// Gives the gate other rules, with nothing left to be withdrawn.
    pub(super) fn adopt(&mut self, policy: Policy) -> Adopted {
        self.policy = Arc::new(policy);
        self.gate.adopt(Arc::clone(&self.policy), 4, 1_000, self.now)
    }

    /// The same, and whatever comes of it is done.
    fn adopts(&mut self, policy: Policy) {
        let _ = self.gate.take_effects();
        let _ = self.adopt(policy);
        let effects = self.gate.take_effects();
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Open(_) | Effect::Run(_))), "{effects:?}");
    }
}

fn with_skew(secs: u64) -> Policy {
    let mut policy = workshop();
    policy.set_max_skew(Duration::from_secs(secs));
    policy
}

/// Alice and Bob have each other's number.
fn renumbered_users() -> Policy {
    workshop_with(|users, _, _| {
        users[0].name = "bob".into();
        users[1].name = "alice".into();
    })
}

fn allow_only(actions: &mut [Action], id: ActionId, users: &[UserId]) {
    let action = actions.iter_mut().find(|action| action.id == id).unwrap();
    action.allowed = Allowed::Only(users.iter().copied().collect());
}

/// The workshop with its programs in the opposite order, and something about them changed.
pub(super) fn turned_around(change: impl FnOnce(&mut Vec<Program>)) -> Policy {
    let last = workshop().programs().len() as u16 - 1;
    workshop_with(|_, actions, programs| {
        renumber_programs(actions, programs, |ProgramId(id)| Some(ProgramId(last - id)));
        programs.reverse();
        change(programs);
    })
}

/// The workshop without a program, and without whatever needs it.
fn without(name: &str) -> Policy {
    let gone = workshop().program_named(name).unwrap();
    workshop_with(|_, actions, programs| {
        let new = |ProgramId(id)| match ProgramId(id) == gone {
            true => None,
            false => Some(ProgramId(id - u16::from(id > gone.0))),
        };
        actions.retain(|action| !matches!(&action.kind, ActionKind::Exec(rule) if rule.program == gone));
        programs.remove(usize::from(gone.0));
        renumber_programs(actions, programs, new);
    })
}

/// Says everywhere which number a program has now; nothing: it is gone.
pub(super) fn renumber_programs(
    actions: &mut [Action],
    programs: &mut [Program],
    new: impl Fn(ProgramId) -> Option<ProgramId>,
) {
    for action in actions {
        match &mut action.kind {
            ActionKind::Exec(rule) => {
                rule.program = new(rule.program).unwrap();
                rule.undo =
                    rule.undo.and_then(|undo| Some(crate::policy::Undo { program: new(undo.program)?, ..undo }));
            }
            ActionKind::Grant(rule) => rule.undo = rule.undo.and_then(&new),
            ActionKind::Step | ActionKind::Revoke(_) | ActionKind::Builtin(_) => {}
        }
    }
    for program in programs {
        program.on_failure = program.on_failure.and_then(&new);
    }
}
