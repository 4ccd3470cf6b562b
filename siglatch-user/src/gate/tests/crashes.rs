//! Debts and places through everything that can happen to a daemon: whatever the order of knocks, ends, failing disks, crashes
//! and reboots, nothing stays undone forever, nothing is undone twice, and no program has more places than it may.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::workshop::*;
use super::*;

#[derive(Clone, Debug)]
enum Event {
    Knock(ActionId, bool, bool),
    Operator,
    Pass(u64),
    End(usize, How),
    /// Effects are taken, and carried out unless the disk fails.
    CarryOut(bool),
    /// The daemon dies: before effects are carried out, or between its notes and the rest.
    Crash(bool),
    Reboot,
}

fn event() -> impl Strategy<Value = Event> {
    let action = prop::sample::select(vec![VPN, VPN, VPN, WEB, WEB, RUN, CLOSE]);
    prop_oneof![
        6 => (action, any::<bool>(), any::<bool>()).prop_map(|(action, bob, far)| Event::Knock(action, bob, far)),
        1 => Just(Event::Operator),
        3 => (0..50_u64).prop_map(Event::Pass),
        6 => (0..4_usize, how()).prop_map(|(which, how)| Event::End(which, how)),
        6 => prop::bool::weighted(0.8).prop_map(Event::CarryOut),
        1 => any::<bool>().prop_map(Event::Crash),
        1 => Just(Event::Reboot),
    ]
}

/// Of one user, action and address: what comes together there.
fn narrow_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Knock(VPN, false, false)),
        4 => Just(Event::Pass(60)),
        6 => (0..2_usize, how()).prop_map(|(which, how)| Event::End(which, how)),
        1 => Just(Event::CarryOut(false)),
        1 => Just(Event::Knock(CLOSE, false, false)),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop::sample::select(vec![
        How::Exited(0),
        How::Exited(1),
        How::NotStarted(NotStarted::NoStarter),
        How::Lost,
        How::Bounded(Bound::Time),
    ])
}

/// The world around a gate: its ledger, and the programs that run.
struct World {
    door: Door,
    ledger: BTreeMap<DebtId, Debt>,
    uses: u32,
    running: BTreeMap<JobId, (Job, u32)>,
    /// How often something was done that must be undone, for each kind.
    deeds: BTreeMap<Of, u32>,
    /// How much of it was undone.
    undone: BTreeMap<Of, u32>,
    settled: BTreeSet<DebtId>,
    bobs_effects: u32,
    runs: u32,
}

/// Whose deed, for which action and address.
type Of = (UserId, ActionId, Address);

const BOBS_USES: u32 = 12;

impl World {
    fn new() -> Self {
        let policy = workshop_with(|users, _, _| users[1].uses = BOBS_USES.try_into().ok());
        Self {
            door: Door::of(policy),
            ledger: BTreeMap::new(),
            uses: 0,
            running: BTreeMap::new(),
            deeds: BTreeMap::new(),
            undone: BTreeMap::new(),
            settled: BTreeSet::new(),
            bobs_effects: 0,
            runs: 1,
        }
    }

    fn happen(&mut self, event: &Event) {
        let door = &mut self.door;
        match event {
            Event::Knock(action, is_bob, is_far) => {
                let from = if *is_far { ELSEWHERE } else { HOME };
                let _ = if *is_bob { door.bobs_knock(*action, from) } else { door.now_knock(*action, from) };
            }
            Event::Operator => {
                let _ = door.gate.revoke(&Revocation { action: Some("web".into()), ..Revocation::default() }, door.now);
            }
            Event::Pass(secs) => {
                self.pass(Duration::from_secs(*secs));
                self.door.gate.handle_timeout(self.door.now);
            }
            Event::End(which, how) => self.end(*which, *how),
            Event::CarryOut(true) => self.carry_out(),
            Event::CarryOut(false) => {
                let _ = door.gate.take_effects();
                door.gate.withdraw();
            }
            Event::Crash(is_noted) => {
                if *is_noted {
                    self.note();
                }
                self.restart(false);
            }
            Event::Reboot => {
                self.door.now.boot = Boot::from_nanos(1);
                self.restart(true);
            }
        }
        let Programs { running, .. } = self.door.gate.programs();
        assert!(running <= 4);
    }

    fn pass(&mut self, span: Duration) {
        let now = &mut self.door.now;
        *now = Now { boot: now.boot.after(span), wall: now.wall.after(span) };
    }

    fn end(&mut self, which: usize, how: How) {
        let Some(id) = self.running.keys().nth(which).copied() else {
            return;
        };
        let (job, deeds_before) = self.running.remove(&id).unwrap();
        match job.why {
            Why::Undo(debt) if !matches!(how, How::NotStarted(_) | How::Lost) => {
                self.undone.insert(of(&job), deeds_before);
                assert!(self.settled.insert(debt), "undone twice: {job:?}");
            }
            Why::Knock if job.call.action == VPN && !matches!(how, How::NotStarted(_)) => self.deed(of(&job)),
            Why::Undo(_) | Why::Knock | Why::Failure(..) => {}
        }
        let ending = Ending { how, took: Duration::ZERO, output: vec![], written: 0 };
        self.door.gate.finished(id, &ending, self.door.now);
    }

    fn deed(&mut self, of: Of) {
        *self.deeds.entry(of).or_default() += 1;
    }

    fn carry_out(&mut self) {
        for effect in self.note() {
            match effect {
                Effect::Run(job) => self.run(*job),
                Effect::Open(opened) => {
                    for grant in opened.grants {
                        let user = if grant.label.starts_with("bob") { BOB } else { ALICE };
                        self.deed((user, WEB, grant.key.source));
                        self.bobs_effects += u32::from(user == BOB);
                    }
                }
                Effect::Close(_) | Effect::Lease(_) | Effect::Remember(_) | Effect::Forget(_) | Effect::Note(_) => {}
                Effect::Builtin(..) | Effect::Pretend(..) => panic!("nobody asked for it"),
            }
        }
    }

    /// Takes the effects, and writes what is to be noted.
    fn note(&mut self) -> Vec<Effect> {
        let effects = self.door.gate.take_effects();
        for effect in &effects {
            match effect {
                Effect::Note(Entry::Owed(debt)) => {
                    assert!(!self.settled.contains(&debt.id), "owed again: {debt:?}");
                    self.ledger.insert(debt.id, (**debt).clone());
                }
                Effect::Note(Entry::Settled(debt)) => {
                    assert!(self.ledger.remove(debt).is_some(), "settled twice, or never owed: {debt:?}");
                }
                Effect::Note(Entry::UserUsed { times, .. }) => self.uses = *times,
                _ => {}
            }
        }
        effects
    }

    fn run(&mut self, job: Job) {
        if let Why::Undo(debt) = job.why {
            let owed = self.ledger.get(&debt).expect("what is undone is in the ledger");
            assert!(owed.due <= self.door.now.boot, "too early: {owed:?}");
            assert!(!self.settled.contains(&debt), "undone already: {owed:?}");
            let undoes = |other: &Job| other.why == Why::Knock && of(other) == of(&job);
            assert!(!self.running.values().any(|(other, _)| undoes(other)), "what is undone still runs");
        }
        let undoes = |other: &Job| matches!(other.why, Why::Undo(_)) && of(other) == of(&job);
        assert!(
            matches!(job.why, Why::Failure(..)) || !self.running.values().any(|(other, _)| undoes(other)),
            "what was done before is still being undone"
        );
        self.bobs_effects += u32::from(job.why == Why::Knock && job.call.user == BOB);
        let deeds_before = self.deeds.get(&of(&job)).copied().unwrap_or_default();
        let program = job.program;
        assert!(self.running.insert(job.id, (job, deeds_before)).is_none(), "two runs with one number");
        let of_it = self.running.values().filter(|(job, _)| job.program == program).count();
        assert!(of_it <= self.door.policy.program(program).unwrap().at_once.get());
        assert!(self.running.len() <= 4);
    }

    /// The daemon dies, its programs with it, and another one begins from the ledger.
    fn restart(&mut self, rebooted: bool) {
        for (job, _) in std::mem::take(&mut self.running).into_values() {
            if job.why == Why::Knock && job.call.action == VPN {
                self.deed(of(&job));
            }
        }
        // What was undone and not noted as such is undone again.
        self.settled.retain(|debt| !self.ledger.contains_key(debt));
        let debts = self.ledger.values().cloned().collect();
        let users = vec![("bob".to_owned(), self.uses)];
        let noted = Noted { users, debts, rebooted, ..Noted::default() };
        self.runs += 1;
        self.door.gate = Gate::new(Beginning { noted, run: self.runs, ..beginning(&self.door.policy) }, self.door.now);
        self.carry_out();
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.carry_out();
            if !self.running.is_empty() {
                self.end(0, How::Exited(0));
            } else if self.door.gate.debts().next().is_some() {
                let due = self.door.gate.next_timeout().expect("somebody wakes up for it");
                self.pass(due.since(self.door.now.boot));
                self.door.gate.handle_timeout(self.door.now);
            } else {
                return self.is_settled();
            }
        }
        panic!("it never comes to rest: {:?}", self.door.gate);
    }

    fn is_settled(&self) {
        assert!(self.ledger.is_empty(), "{:?}", self.ledger);
        assert_eq!((self.door.gate.programs().running, self.door.gate.programs().waiting), (0, 0));
        assert!(self.door.gate.next_timeout().is_none_or(|due| due > self.door.now.boot));
        for (of, deeds) in &self.deeds {
            assert_eq!(self.undone.get(of), Some(deeds), "not undone: {of:?}");
        }
        assert!(self.bobs_effects <= BOBS_USES);
    }
}

fn of(job: &Job) -> Of {
    (job.call.user, job.call.action, job.call.source)
}

proptest! {
    #[test]
    fn everything_is_undone_once_whatever_happens(events in prop::collection::vec(event(), 0..80)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.settle();
    }

    #[test]
    fn one_program_is_undone_once_whatever_its_runs_come_to(events in prop::collection::vec(narrow_event(), 0..40)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            world.carry_out();
        }
        world.settle();
    }
}
