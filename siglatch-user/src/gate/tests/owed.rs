//! Debts by value: when something is undone, how often, and what a later knock changes.

use super::workshop::*;
use super::*;

const DONE: How = How::Exited(0);

#[test]
fn a_program_s_work_is_undone_when_no_knock_comes_for_so_long() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60", "run 1 vpn for a knock"], "noted before it runs");
    assert!(door.end(1, DONE).is_empty());
    assert_eq!(door.wait_secs(59), [""; 0]);
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60", "run 2 vpn for a knock"], "kept alive");
    assert!(door.end(2, DONE).is_empty());
    assert_eq!(door.wait_secs(59), [""; 0]);
    assert_eq!(door.gate.next_timeout(), Some(door.now.boot.after(Duration::from_secs(1))));
    assert_eq!(door.wait_secs(1), ["run 3 vpn-off to undo 1"]);
    assert_eq!(door.end(3, DONE), ["settled 1"]);
    assert_eq!(door.gate.debts().count(), 0);
}

#[test]
fn a_grant_is_undone_at_its_end_and_an_earlier_end_changes_nothing() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(WEB), ["owe 1 web-off in 60", "open tcp/443 60 alice web"]);
    let short = door.knock(WEB, b"ttl=5s");
    assert_eq!(door.clear(short, HOME), admitted(WEB));
    assert_eq!(door.said(), ["owe 1 web-off in 60", "open tcp/443 60 alice web"]);
    door.pass_secs(30);
    let long = door.knock(WEB, b"ttl=1m");
    assert_eq!(door.clear(long, HOME), admitted(WEB));
    assert_eq!(door.said(), ["owe 1 web-off in 60", "open tcp/443 60 alice web"]);
    assert_eq!(door.wait_secs(59), [""; 0]);
    assert_eq!(door.wait_secs(1), ["run 1 web-off to undo 1"]);
}

#[test]
fn an_undo_is_told_of_the_latest_knock_and_of_the_address_that_was_opened() {
    let claimed = workshop_with(|_, actions, _| {
        let web = actions.iter_mut().find(|action| action.id == WEB).unwrap();
        let ActionKind::Grant(rule) = &mut web.kind else { panic!("a grant") };
        rule.source = SourceRule::Claimed;
    });
    let mut door = Door::of(claimed);
    for words in [&b"source=198.51.100.9"[..], b"ttl=5s source=198.51.100.9"] {
        let knock = door.knock(WEB, words);
        assert_eq!(door.clear(knock, HOME), admitted(WEB));
    }
    let _ = door.said();
    door.pass_secs(60);
    door.gate.handle_timeout(door.now);
    let effects = door.gate.take_effects();
    let [Effect::Run(job)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((job.call.source, job.call.knock), (Address::v4([198, 51, 100, 9]), KnockId::new(1, 2)));
    assert_eq!(job.call.payload.as_bytes(), b"ttl=5s source=198.51.100.9");
}

#[test]
fn each_user_s_knocks_are_undone_for_themselves_whoever_extends_the_grant() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    door.pass_secs(30);
    assert_eq!(door.bobs_knock(WEB, HOME), Said::Admitted(BOB, WEB, Outcome::Done));
    assert_eq!(door.said(), ["owe 2 web-off in 60", "open tcp/443 60 bob web"]);
    assert_eq!(door.wait_secs(30), ["run 1 web-off to undo 1"], "what Alice has opened is over");
    assert_eq!(door.wait_secs(30), ["run 2 web-off to undo 2"]);
}

#[test]
fn an_undo_waits_for_its_place_and_is_never_refused() {
    let mut door = Door::of(workshop());
    for last in 1..=5 {
        assert_eq!(door.now_knock(VPN, &format!("192.0.2.{last}")), admitted(VPN));
        let _ = door.said();
        let running = last;
        assert!(door.end(running, DONE).is_empty());
    }
    assert_eq!(door.wait_secs(60), ["run 6 vpn-off to undo 1"], "one at a time, and a queue of none");
    assert_eq!(door.gate.programs(), Programs { running: 1, waiting: 4, dropped: 0 });
    assert_eq!(door.end(6, DONE), ["settled 1", "run 7 vpn-off to undo 2"]);
}

#[test]
fn a_knock_keeps_alive_what_waits_to_be_undone_but_not_what_is_being_undone() {
    let mut door = Door::of(workshop());
    for from in [HOME, ELSEWHERE] {
        assert_eq!(door.now_knock(VPN, from), admitted(VPN));
    }
    assert_eq!(door.said().len(), 4);
    assert!(door.end(1, DONE).is_empty() && door.end(2, DONE).is_empty());
    assert_eq!(door.wait_secs(60), ["run 3 vpn-off to undo 1"]);
    assert_eq!(door.now_knock(VPN, ELSEWHERE), admitted(VPN));
    assert_eq!(door.said(), ["owe 2 vpn-off in 60", "run 5 vpn for a knock"], "moved");
    assert_eq!(door.does(VPN), ["owe 3 vpn-off in 60"], "a new one, which is not undone with the old one");
    assert_eq!(door.end(3, DONE), ["settled 1", "run 6 vpn for a knock"], "the undo that waited does not run");
    assert_eq!(door.gate.debts().count(), 2);
}

#[test]
fn an_undo_comes_after_the_runs_that_it_undoes() {
    let mut door = Door::of(workshop());
    for _ in 0..3 {
        assert_eq!(door.now_knock(VPN, HOME), admitted(VPN));
    }
    assert_eq!(door.said().iter().filter(|said| said.starts_with("run")).count(), 2);
    assert_eq!(door.wait_secs(600), [""; 0]);
    assert_eq!(door.gate.next_timeout(), None, "nothing to wake up for");
    assert_eq!(door.end(1, DONE), ["run 3 vpn for a knock"]);
    assert!(door.end(2, DONE).is_empty());
    assert_eq!(door.wait_secs(0), [""; 0]);
    assert!(door.end(3, DONE).is_empty());
    assert_eq!(door.wait_secs(0), ["run 4 vpn-off to undo 1"]);
}

#[test]
fn an_undo_that_began_is_done_and_one_that_did_not_is_tried_again() {
    let done = [DONE, How::Exited(1), How::Killed(9), How::Bounded(Bound::Time)];
    let open = [How::NotStarted(NotStarted::NoStarter), How::Lost, How::Bounded(Bound::Stop)];
    for how in done {
        let mut door = Door::of(workshop());
        let _ = (door.does(WEB), door.wait_secs(60));
        assert_eq!(door.end(1, how)[0], "settled 1", "{how:?}");
    }
    for how in open {
        let mut door = Door::of(workshop());
        let _ = (door.does(WEB), door.wait_secs(60));
        let said = door.end(1, how);
        assert!(!said.contains(&"settled 1".to_owned()), "{how:?}");
        assert_eq!(door.gate.debts().count(), 1);
        let _ = door.end(2, DONE);
        assert_eq!(door.wait_secs(59), [""; 0]);
        let said = door.wait_secs(1);
        assert!(matches!(&said[..], [again] if again.ends_with("web-off to undo 1")), "{said:?}");
    }
}

#[test]
fn an_undo_to_be_tried_again_is_covered_by_a_later_debt() {
    let mut door = Door::of(workshop());
    let _ = (door.does(WEB), door.wait_secs(60));
    assert_eq!(door.does(WEB), ["owe 2 web-off in 60", "open tcp/443 60 alice web"], "the first undo runs");
    let _ = door.end(1, How::Lost);
    assert_eq!(door.wait_secs(60), ["settled 1", "run 3 web-off to undo 2"]);
}

#[test]
fn a_debt_that_covers_another_is_undone_even_if_its_own_run_never_began() {
    let mut door = Door::of(workshop());
    let _ = (door.does(VPN), door.end(1, DONE));
    assert_eq!(door.wait_secs(60), ["run 2 vpn-off to undo 1"]);
    assert_eq!(door.does(VPN), ["owe 2 vpn-off in 60"]);
    assert_eq!(door.end(2, How::Lost), ["run 3 vpn for a knock"]);
    assert_eq!(door.wait_secs(60), ["settled 1"]);
    assert!(door.end(3, How::NotStarted(NotStarted::Missing)).is_empty());
    assert_eq!(door.wait_secs(0), ["run 4 vpn-off to undo 2"]);
}

#[test]
fn what_never_began_is_not_undone() {
    let mut door = Door::of(workshop());
    let _ = door.does(VPN);
    assert_eq!(door.end(1, How::NotStarted(NotStarted::Missing)), ["settled 1"]);
    let _ = door.does(VPN);
    assert!(door.end(2, DONE).is_empty());
    let _ = door.does(VPN);
    assert!(door.end(3, How::NotStarted(NotStarted::Missing)).is_empty(), "the run before it has begun");
    assert_eq!(door.gate.debts().count(), 1);
}

#[test]
fn a_debt_that_is_settled_meanwhile_does_not_come_back_with_a_withdrawn_knock() {
    let mut door = Door::of(workshop());
    let _ = door.does(VPN);
    assert_eq!(door.now_knock(CLOSE, HOME), admitted(CLOSE));
    let said = door.end(1, How::NotStarted(NotStarted::Missing));
    assert_eq!(said, ["owe 1 vpn-off in 0", "close", "settled 1"]);
    door.gate.withdraw();
    assert_eq!(door.gate.debts().count(), 0);
    assert_eq!(door.wait_secs(1), ["settled 1"]);
}

#[test]
fn a_withdrawn_knock_does_not_take_back_that_an_earlier_run_has_ended() {
    let ends = [(DONE, true), (How::NotStarted(NotStarted::NoStarter), false)];
    for (how, is_owed) in ends {
        let mut door = Door::of(workshop());
        let _ = door.does(VPN);
        assert_eq!(door.now_knock(VPN, HOME), admitted(VPN));
        let ending = Ending { how, took: Duration::ZERO, output: vec![], written: 0 };
        door.gate.finished(JobId(1), &ending, door.now);
        assert_eq!(door.said(), ["owe 1 vpn-off in 60", "run 2 vpn for a knock"]);
        door.gate.withdraw();
        let settled: &[&str] = if is_owed { &[] } else { &["settled 1"] };
        assert_eq!(door.said(), settled);
        let _ = door.does(VPN);
        let later = door.gate.debts().next().unwrap().id;
        assert_eq!(later.0 & 0xffff_ffff == 1, is_owed, "{later:?}");
        let nothing = door.end(3, How::NotStarted(NotStarted::NoStarter));
        assert_eq!(nothing.is_empty(), is_owed, "{nothing:?}");
        assert_eq!(door.wait_secs(60).is_empty(), !is_owed);
    }
}

#[test]
fn there_is_room_for_so_many_debts_and_for_knocks_that_move_one() {
    let noted = |number: u64| Debt {
        id: DebtId(number),
        program: "vpn-off".into(),
        call: call(Address::v6(u128::from(number).to_be_bytes())),
        due: Boot::from_nanos(u64::MAX / 2),
        due_wall: Wall::from_secs(START + 1),
        ends_with_boot: false,
    };
    let full = |but: u64| Noted { debts: (1..=65_536 - but).map(noted).collect(), ..Noted::default() };
    let mut door = Door::of(workshop());
    door.restart_from(full(1));
    assert_eq!(door.now_knock(VPN, HOME), admitted(VPN), "one place left");
    assert_eq!(door.now_knock(VPN, HOME), admitted(VPN), "the same debt");
    assert_eq!(door.now_knock(VPN, ELSEWHERE), refused(Refusal::Overloaded));
    assert_eq!(door.now_knock(WEB, HOME), refused(Refusal::Overloaded));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH), "owes nothing");
}

#[test]
fn withdrawing_a_knock_restores_what_was_owed_before() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(VPN, HOME), admitted(VPN));
    assert_eq!(door.now_knock(VPN, HOME), admitted(VPN));
    assert_eq!(door.said().len(), 4);
    door.gate.withdraw();
    assert_eq!((door.gate.debts().count(), door.gate.next_timeout().is_none()), (0, false), "only nonces are left");
    let _ = (door.does(VPN), door.end(3, DONE));
    let before: Vec<_> = door.gate.debts().cloned().collect();
    door.pass_secs(30);
    assert_eq!(door.does(VPN).len(), 2);
    door.gate.withdraw();
    assert_eq!(door.gate.debts().cloned().collect::<Vec<_>>(), before);
    assert_eq!(door.wait_secs(30), ["run 5 vpn-off to undo 2"]);
}

#[test]
fn a_withdrawn_knock_gives_a_called_undo_back() {
    let mut door = Door::of(workshop());
    door.gate = Gate::new(Beginning { programs_at_once: 1, ..beginning(&door.policy) }, door.now);
    let _ = (door.does(WEB), door.wait_secs(50), door.does(RUN), door.wait_secs(10));
    assert_eq!(door.gate.programs().waiting, 1, "the undo has no place yet");
    assert_eq!(door.does(WEB).len(), 2);
    assert_eq!(door.gate.programs().waiting, 0, "it is not needed any more");
    door.gate.withdraw();
    assert_eq!(door.wait_secs(0), [""; 0]);
    assert_eq!(door.gate.programs().waiting, 1, "it is");
    assert_eq!(door.end(1, DONE), ["run 3 web-off to undo 1"]);
}

#[test]
fn debts_outlive_the_daemon_and_a_reboot_each_in_its_way() {
    let mut door = Door::of(workshop());
    let _ = (door.does(VPN), door.end(1, DONE), door.does(WEB));
    let debts: Vec<_> = door.gate.debts().cloned().collect();
    let noted = |rebooted| Noted { debts: debts.clone(), rebooted, ..Noted::default() };
    door.pass_secs(40);
    door.restart_from(noted(false));
    assert!(door.said().is_empty(), "the ledger is right as it is");
    assert_eq!(door.wait_secs(19), [""; 0]);
    assert_eq!(door.wait_secs(1), ["run 1 vpn-off to undo 1", "run 2 web-off to undo 2"]);

    let minute = Duration::from_secs(60);
    door.now = Now { boot: Boot::from_nanos(5), wall: Wall::from_secs(START + 45) };
    door.restart_from(noted(true));
    assert_eq!(door.said(), ["owe 1 vpn-off in 15", "owe 2 web-off in 0"], "by the clock of this boot");
    door.gate.handle_timeout(door.now);
    assert_eq!(door.said(), ["run 1 web-off to undo 2"], "no grant outlives a reboot");
    door.now.boot = door.now.boot.after(Duration::from_secs(15));
    door.gate.handle_timeout(door.now);
    assert_eq!(door.said(), ["run 2 vpn-off to undo 1"]);

    door.now = Now { boot: Boot::from_nanos(5), wall: Wall::from_secs(0) };
    door.restart_from(noted(true));
    assert!(
        door.gate.debts().all(|debt| debt.due <= door.now.boot.after(minute)),
        "whatever the clock on the wall says"
    );
}

#[test]
fn a_debt_whose_program_is_gone_is_told_and_dropped() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    let mut debts: Vec<_> = door.gate.debts().cloned().collect();
    debts[0].program = "gone".into();
    door.restart_from(Noted { debts: debts.clone(), ..Noted::default() });
    assert_eq!(door.said(), ["settled 1"]);
    assert_eq!(door.gate.take_lost_debts(), debts);
    assert!(door.gate.take_lost_debts().is_empty());
}

#[test]
fn of_two_debts_of_one_kind_the_later_one_stays() {
    let mut door = Door::of(workshop());
    let _ = (door.does(WEB), door.wait_secs(60), door.does(WEB));
    let mut debts: Vec<_> = door.gate.debts().cloned().collect();
    for _ in 0..2 {
        door.restart_from(Noted { debts: debts.clone(), ..Noted::default() });
        assert_eq!(door.said(), ["settled 1"]);
        assert_eq!(door.wait_secs(0), [""; 0], "it would undo what was done since");
        debts.reverse();
    }
    assert_eq!(door.wait_secs(60), ["run 1 web-off to undo 2"]);
}

#[test]
fn what_is_owed_for_grants_that_are_gone_is_due_at_once() {
    let mut door = Door::of(workshop());
    for from in [HOME, ELSEWHERE] {
        assert_eq!(door.now_knock(WEB, from), admitted(WEB));
    }
    let _ = door.said();
    let mut grants = door.gate.live_grants(door.now.boot);
    grants.truncate(1);
    door.gate.end_debts_of(&grants, door.now);
    door.gate.handle_timeout(door.now);
    assert_eq!(door.said(), ["owe 1 web-off in 0", "run 1 web-off to undo 1"]);
    door.gate.end_debts_of(&grants, door.now);
    assert!(door.said().is_empty());
}

#[test]
fn numbers_of_debts_are_never_given_twice() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    let debts: Vec<_> = door.gate.debts().cloned().collect();
    door.restart_from(Noted { debts, ..Noted::default() });
    assert_eq!(door.bobs_knock(WEB, HOME), Said::Admitted(BOB, WEB, Outcome::Done));
    assert_eq!(door.said()[0], "owe 2 web-off in 60", "even if two runs of the daemon had one number");
}

fn call(source: Address) -> Call {
    Call {
        knock: KnockId::new(0, 1),
        source,
        user: ALICE,
        user_name: "alice".into(),
        action: VPN,
        action_name: "vpn".into(),
        sealed: true,
        payload: Payload::new(b"").unwrap(),
    }
}
