//! Numbers mean nothing: whatever happens, a gate whose rules are given new numbers and another order in between decides and
//! does what it would have done without, and admits no datagram twice.

use std::collections::HashSet;

use proptest::prelude::*;

use super::adopted::renumber_programs;
use super::workshop::*;
use super::*;
use crate::policy::{ProgramId, RevokeRule};

#[derive(Clone, Debug)]
enum Event {
    /// A user's knock for an action, from one of two places.
    Knock(usize, usize, bool),
    /// A datagram that was sent before, once more.
    Replay(usize),
    Pass(u64),
    End(usize, How),
    /// Effects are taken, and carried out unless the disk fails.
    CarryOut(bool),
    /// The same, and then the rules are the same under other numbers.
    Adopt(bool, Box<Numbers>),
}

/// Which numbers users, actions and programs have.
#[derive(Clone, Debug)]
struct Numbers {
    users: Vec<u16>,
    actions: Vec<u8>,
    programs: Vec<u16>,
}

/// A gate, and what has come to it so far.
struct Side {
    door: Door,
    numbers: Numbers,
    sent: Vec<[u8; PACKET_LEN]>,
    admitted: HashSet<[u8; PACKET_LEN]>,
    running: Vec<u64>,
}

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

fn event() -> impl Strategy<Value = Event> {
    let how =
        prop::sample::select(vec![How::Exited(0), How::Exited(1), How::Lost, How::NotStarted(NotStarted::Missing)]);
    prop_oneof![
        10 => (0..3_usize, 0..9_usize, prop::bool::weighted(0.2)).prop_map(|(who, what, far)| Event::Knock(who, what, far)),
        3 => (0..40_usize).prop_map(Event::Replay),
        3 => (0..40_u64).prop_map(Event::Pass),
        5 => (0..4_usize, how).prop_map(|(which, how)| Event::End(which, how)),
        5 => prop::bool::weighted(0.8).prop_map(Event::CarryOut),
        5 => (prop::bool::weighted(0.8), numbers()).prop_map(|(works, numbers)| Event::Adopt(works, Box::new(numbers))),
    ]
}

/// From few, so that whoever gets another number often gets one that somebody had.
fn numbers() -> impl Strategy<Value = Numbers> {
    let users = Just(vec![1_u16, 2, 3, 65_535]).prop_shuffle();
    let actions = Just((1..=12_u8).collect::<Vec<_>>()).prop_shuffle();
    let programs = Just((0..5_u16).collect::<Vec<_>>()).prop_shuffle();
    (users, actions, programs).prop_map(|(users, actions, programs)| Numbers { users, actions, programs })
}

impl Numbers {
    /// The workshop with a third user, limits, and these numbers.
    fn policy(&self) -> Policy {
        let base = workshop();
        let mut users: Vec<_> = base.users().cloned().chain([user(UserId(3), "carol")]).collect();
        for user in &mut users {
            let place = PEOPLE.iter().position(|name| *name == user.name).unwrap();
            user.id = UserId(self.users[place]);
            if user.name == "bob" {
                user.uses = 6.try_into().ok();
            }
        }
        let mut actions: Vec<_> = base.actions().cloned().collect();
        let order: Vec<_> = actions.iter().map(|action| action.id).collect();
        let number = |id: ActionId| ActionId(self.actions[order.iter().position(|other| *other == id).unwrap()]);
        for action in &mut actions {
            action.id = number(action.id);
            if action.name == "web" {
                action.uses = 20.try_into().ok();
                action.allowed = Allowed::Only([UserId(self.users[0]), UserId(self.users[2])].into());
            }
            if let ActionKind::Revoke(RevokeRule { actions, .. }) = &mut action.kind {
                *actions = actions.iter().map(|id| number(*id)).collect();
            }
        }
        let mut programs = base.programs().to_vec();
        renumber_programs(&mut actions, &mut programs, |ProgramId(id)| Some(ProgramId(self.programs[usize::from(id)])));
        let mut placed: Vec<_> = self.programs.iter().zip(programs).collect();
        placed.sort_by_key(|(place, _)| **place);
        let steps = sequence().steps.into_iter().map(number).collect();
        let other = Sequence { name: "other".into(), steps: vec![], within: Duration::from_secs(1) };
        let mut sequences = vec![Sequence { steps, ..sequence() }, other];
        if self.users[0] > self.users[1] {
            sequences.reverse();
        }
        Policy::new(users, actions, sequences, SKEW)
            .with_programs(placed.into_iter().map(|(_, program)| program).collect())
    }

    fn action(&self, place: usize) -> ActionId {
        ActionId(self.actions[place])
    }
}

impl Side {
    fn new(numbers: Numbers) -> Self {
        let mut door = Door::of(numbers.policy());
        rekey(&mut door, &numbers);
        Self { door, numbers, sent: Vec::new(), admitted: HashSet::new(), running: Vec::new() }
    }

    /// What became of it, in words without numbers of users, actions and programs.
    fn happen(&mut self, event: &Event, adopts: bool) -> Vec<String> {
        match event {
            Event::Knock(who, what, is_far) => {
                let id = UserId(self.numbers.users[*who]);
                let knock = Packet { user: id, ..self.door.knock(self.numbers.action(*what), b"") };
                let datagram = authenticate(knock, &own_key(*who)).encode();
                self.sent.push(datagram);
                vec![self.send(&datagram, *is_far)]
            }
            Event::Replay(which) => {
                let Some(datagram) = self.sent.get(*which).copied() else { return Vec::new() };
                let before = format!("{:?}", self.door.gate.live_grants(self.door.now.boot));
                // Under another number it is nobody's; it is refused in any case.
                assert!(!self.send(&datagram, false).starts_with("admitted"));
                assert_eq!(before, format!("{:?}", self.door.gate.live_grants(self.door.now.boot)));
                Vec::new()
            }
            Event::Pass(secs) => {
                self.door.pass_secs(*secs);
                self.door.gate.handle_timeout(self.door.now);
                Vec::new()
            }
            Event::End(which, how) => {
                if *which < self.running.len() {
                    let id = JobId(self.running.remove(*which));
                    let ending = Ending { how: *how, took: Duration::ZERO, output: vec![], written: 0 };
                    self.door.gate.finished(id, &ending, self.door.now);
                }
                Vec::new()
            }
            Event::CarryOut(works) => self.carry_out(*works),
            Event::Adopt(works, numbers) => {
                let said = self.carry_out(*works);
                if adopts {
                    self.numbers = (**numbers).clone();
                    let adopted = self.door.adopt(numbers.policy());
                    assert!(adopted.withdrawn.is_empty() && adopted.dropped.is_empty(), "{adopted:?}");
                    assert!(self.door.gate.take_lost_debts().is_empty());
                    rekey(&mut self.door, numbers);
                }
                said
            }
        }
    }

    fn send(&mut self, datagram: &[u8; PACKET_LEN], is_far: bool) -> String {
        let from = if is_far { ELSEWHERE } else { HOME };
        let policy = Arc::clone(&self.door.policy);
        match self.door.raw(datagram, Wire::Clear, from) {
            Said::Admitted(user, action, outcome) => {
                assert!(self.admitted.insert(*datagram), "admitted twice");
                let (user, action) = (policy.user(user).unwrap(), policy.action(action).unwrap());
                format!("admitted {} {} {outcome:?}", user.name, action.name)
            }
            Said::Refused(refusal, _) => format!("refused {}", refusal.label()),
        }
    }

    fn carry_out(&mut self, works: bool) -> Vec<String> {
        let said = self.door.said();
        if !works {
            self.door.gate.withdraw();
            return said;
        }
        let runs = said.iter().filter_map(|effect| effect.strip_prefix("run ")?.split(' ').next()?.parse::<u64>().ok());
        self.running.extend(runs);
        said
    }

    fn state(&self) -> String {
        let gate = &self.door.gate;
        let debts: Vec<_> = gate.debts().map(|debt| (debt.id, &debt.program, &debt.call.user_name, debt.due)).collect();
        format!("{:?} {:?} {debts:?} {:?}", gate.live_grants(self.door.now.boot), gate.programs(), self.running)
    }
}

/// Everybody has their own key, under whatever number.
fn own_key(who: usize) -> HmacKey {
    key(UserId(1_000 + who as u16))
}

fn rekey(door: &mut Door, numbers: &Numbers) {
    let users = (0..PEOPLE.len()).map(|who| (UserId(numbers.users[who]), own_key(who)));
    door.keys = Keyring::new(door.keys.server().clone(), users, stranger());
}

proptest! {
    #[test]
    fn a_gate_under_new_numbers_goes_on_as_if_nothing_had_been(
        first in numbers(),
        events in prop::collection::vec(event(), 0..80),
    ) {
        let (mut still, mut moved) = (Side::new(first.clone()), Side::new(first));
        for (place, event) in events.iter().enumerate() {
            let (expected, said) = (still.happen(event, false), moved.happen(event, true));
            prop_assert_eq!(&expected, &said, "event {}: {:?}", place, event);
            prop_assert_eq!(still.state(), moved.state(), "after event {}: {:?}", place, event);
        }
        prop_assert_eq!(still.admitted.len(), moved.admitted.len());
    }
}
