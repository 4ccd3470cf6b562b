//! Programs by value: places, queues, and what runs when one has failed.

use super::workshop::*;
use super::*;

const FAILED: How = How::Exited(1);

#[test]
fn a_program_is_told_who_knocked_from_where_and_with_what() {
    let mut door = Door::of(workshop());
    let knock = door.knock(RUN, b"\xff\0 words");
    assert_eq!(door.sealed(knock, HOME), admitted(RUN));
    let effects = door.gate.take_effects();
    let Some(Effect::Run(job)) = effects.last() else { panic!("{effects:?}") };
    let call = Call {
        knock: KnockId::new(1, 1),
        source: Address::v4([192, 0, 2, 7]),
        user: ALICE,
        user_name: "alice".into(),
        action: RUN,
        action_name: "run".into(),
        sealed: true,
        payload: Payload::new(b"\xff\0 words").unwrap(),
    };
    assert_eq!(**job, Job { id: JobId(1), program: ProgramId(2), why: Why::Knock, call });
    let knock = door.knock(VPN, b"");
    assert_eq!(door.clear(knock, HOME), admitted(VPN));
    let effects = door.gate.take_effects();
    assert!(matches!(effects.last(), Some(Effect::Run(job)) if !job.call.sealed));
}

#[test]
fn a_program_has_so_many_places_and_so_many_wait_in_their_order() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    assert!(door.does(RUN).is_empty(), "it waits");
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
    assert_eq!(door.gate.programs(), Programs { running: 1, waiting: 1, dropped: 0 });
    assert_eq!(door.end(1, How::Exited(0)), ["run 2 once for a knock"]);
    assert!(door.does(RUN).is_empty());
    assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
}

#[test]
fn all_programs_together_have_so_many_places_and_who_waited_longest_is_next() {
    let mut door = Door::of(workshop());
    door.gate = Gate::new(Beginning { programs_at_once: 2, ..beginning(&door.policy) }, door.now);
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60", "run 2 vpn for a knock"]);
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60"]);
    assert!(door.does(RUN).is_empty());
    assert_eq!(door.does(VPN), ["owe 1 vpn-off in 60"]);
    assert_eq!(door.now_knock(VPN, HOME), refused(Refusal::Busy), "two wait, as many as may");
    assert_eq!(door.end(2, How::Exited(0)), ["run 3 vpn for a knock"]);
    assert_eq!(door.end(1, How::Exited(0)), ["run 4 once for a knock"]);
    assert_eq!(door.end(3, How::Exited(0)), ["run 5 vpn for a knock"]);
    assert!(door.end(3, How::Exited(0)).is_empty(), "nothing ends twice");
    assert!(door.end(77, FAILED).is_empty(), "and what never was does not end");
}

#[test]
fn what_hangs_keeps_its_own_places_and_no_others() {
    let mut door = Door::of(workshop());
    for _ in 0..2 {
        assert_eq!(door.now_knock(RUN, HOME), admitted(RUN));
    }
    for _ in 0..20 {
        assert_eq!(door.now_knock(RUN, HOME), refused(Refusal::Busy));
        assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    }
    let _ = door.said();
    assert!(door.does(VPN).last().unwrap().starts_with("run "));
}

#[test]
fn a_failure_has_its_program_told_once() {
    for how in [FAILED, How::Killed(9), How::Bounded(Bound::Time), How::NotStarted(NotStarted::Missing), How::Lost] {
        let mut door = Door::of(workshop());
        let _ = door.does(RUN);
        door.gate.finished(JobId(1), &Ending { how, took: Duration::ZERO, output: vec![], written: 0 }, door.now);
        let effects = door.gate.take_effects();
        let [Effect::Run(job)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((job.why, &*job.call.user_name), (Why::Failure(JobId(1), how), "alice"));
        assert!(door.end(2, FAILED).is_empty(), "the failure of what tells of failures is told nobody");
    }
    for how in [How::Exited(0), How::Bounded(Bound::Stop)] {
        let mut door = Door::of(workshop());
        let _ = door.does(RUN);
        assert!(door.end(1, how).is_empty(), "{how:?} is no failure");
    }
}

#[test]
fn failures_wait_beyond_a_queue_s_bound_and_are_dropped_beyond_theirs() {
    let mut door = Door::of(workshop());
    for failure in 0..=258 {
        let said = door.does(RUN);
        assert_eq!(said.len(), 1, "{failure}");
        let job = said[0].split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(door.end(job, FAILED).len(), usize::from(failure == 0), "one alarm runs, the others wait");
    }
    assert_eq!(door.gate.programs(), Programs { running: 1, waiting: 256, dropped: 2 });
}

#[test]
fn after_its_end_a_gate_starts_nothing_and_says_what_had_waited() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(VPN).len(), 2);
    assert!(door.end(1, How::Exited(0)).is_empty());
    for _ in 0..2 {
        assert_eq!(door.now_knock(RUN, HOME), admitted(RUN));
    }
    assert_eq!(door.said(), ["run 2 once for a knock"]);
    assert_eq!(door.gate.stop_programs().iter().map(|job| job.id).collect::<Vec<_>>(), [JobId(3)]);
    assert!(door.end(2, How::Bounded(Bound::Stop)).is_empty());
    assert_eq!(door.wait_secs(60), [""; 0], "the undo is the next daemon's");
    assert_eq!(door.gate.debts().count(), 1);
}

#[test]
fn a_withdrawn_run_gives_its_place_back_and_does_not_run() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(RUN, HOME), admitted(RUN));
    assert_eq!(door.now_knock(RUN, HOME), admitted(RUN));
    assert_eq!(door.said(), ["run 1 once for a knock"]);
    door.gate.withdraw();
    assert_eq!(door.gate.programs(), Programs::default());
    assert_eq!(door.does(RUN), ["run 3 once for a knock"]);
    assert!(door.end(1, How::Exited(0)).is_empty(), "it never was");
    assert_eq!(door.gate.programs().running, 1);
}

#[test]
fn a_run_that_had_waited_stays_wanted_when_effects_are_withdrawn() {
    let mut door = Door::of(workshop());
    assert_eq!(door.does(RUN), ["run 1 once for a knock"]);
    assert!(door.does(RUN).is_empty());
    assert_eq!(door.end(1, How::Exited(0)), ["run 2 once for a knock"]);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.said(), ["open tcp/22 60 alice ssh"]);
    door.gate.withdraw();
    assert!(door.said().is_empty(), "what was carried out is not wanted again");
    assert!(door.does(RUN).is_empty());
    let ending = Ending { how: How::Exited(0), took: Duration::ZERO, output: vec![], written: 0 };
    door.gate.finished(JobId(2), &ending, door.now);
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.said(), ["run 3 once for a knock", "open tcp/22 60 alice ssh"]);
    door.gate.withdraw();
    assert_eq!(door.gate.next_timeout(), Some(door.now.boot.after(Duration::from_secs(1))));
    assert_eq!(door.wait_secs(1), ["run 3 once for a knock"]);
}
