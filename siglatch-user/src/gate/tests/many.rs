//! Judging takes no longer for many: users, rules, grants, sequences under way and debts are looked up, never gone through.

use std::time::Instant;

use super::workshop::*;
use super::*;
use crate::policy::{Program, ProgramId};

/// Generous: anything that goes through a table takes hundreds of times as long with so many entries as with ten.
const FACTOR: u32 = 5;

const MANY: u16 = 10_000;

#[test]
fn a_knock_is_judged_as_fast_among_many_as_among_few() {
    let (few, many) = (cost(10), cost(MANY));
    println!("a knock among ten: {few:?}, among {MANY}: {many:?}");
    assert!(many < FACTOR * few, "among ten {few:?}, among {MANY} {many:?}");
}

/// The typical cost of a knock among so many users, each with a grant and a sequence under way, and up to as many rules as
/// there can be.
fn cost(users: u16) -> Duration {
    let actions = users.min(200) as u8;
    let mut door = Door::with_capacity(crowd(users, actions), 1_000_000);
    let pem = include_str!("../../../tests/data/throwaway-server.key");
    let keys = (0..users).map(|id| (UserId(id), key(UserId(id))));
    door.keys = Keyring::new(ServerKey::from_pem(pem).unwrap(), keys, stranger());
    for id in 0..users {
        let home = format!("10.{}.{}.1", id >> 8, id & 255);
        for action in [actions - 2, actions - 1, actions - 4] {
            let knock = Packet { user: UserId(id), ..door.knock(ActionId(action), b"") };
            assert!(matches!(door.signed(knock, &key(UserId(id)), &home), Said::Admitted(..)));
        }
        let _ = door.gate.take_effects();
    }
    assert_eq!(door.gate.live_grants(door.now.boot).len(), usize::from(users));
    let opened: Vec<_> = (0..2_000_u32)
        .map(|n| {
            let id = UserId((n * 31 % u32::from(users)) as u16);
            let packet = Packet { user: id, ..door.knock(ActionId(actions - 2 - (n % 2) as u8 * 2), b"") };
            let datagram = authenticate(packet, &key(id)).encode();
            (id.0, open(&datagram, Wire::Clear, &door.keys, &Decoy::from_random([9; PACKET_LEN])))
        })
        .collect();
    let mut costs: Vec<_> = opened
        .into_iter()
        .map(|(id, opened)| {
            let source = Address::v4([10, (id >> 8) as u8, (id & 255) as u8, 1]);
            let begun = Instant::now();
            let verdict = door.gate.judge(opened, source, door.now);
            let due = door.gate.next_timeout();
            let effects = door.gate.take_effects();
            let took = begun.elapsed();
            assert!(matches!(verdict, Verdict::Admit(_)) && due.is_some() && !effects.is_empty(), "{verdict:?}");
            took
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// The last action but one grants, and owes something for it; the last is the first step of the last sequence.
fn crowd(users: u16, actions: u8) -> Policy {
    let users = (0..users).map(|id| user(UserId(id), &format!("user-{id}"))).collect();
    let kind = |id: u8| match actions - id {
        2 => ActionKind::Grant(GrantRule { undo: Some(ProgramId(0)), ..grant("tcp/22") }),
        _ => ActionKind::Step,
    };
    let rules = (0..actions).map(|id| action(ActionId(id), &format!("action-{id}"), kind(id))).collect();
    let sequence = |first: u8| Sequence {
        name: format!("sequence-{first}"),
        steps: vec![ActionId(first + 1), ActionId(first)],
        within: Duration::from_secs(60),
    };
    let sequences = (0..actions - 4).step_by(2).map(sequence).collect::<Vec<_>>();
    let last = Sequence { steps: vec![ActionId(actions - 1), ActionId(actions - 3)], ..sequence(actions - 4) };
    let programs: Vec<Program> = workshop().programs()[..1].to_vec();
    Policy::new(users, rules, sequences.into_iter().chain([last]).collect(), SKEW).with_programs(programs)
}
