//! The ladder, by value: bytes, source and time in; verdict and effects out.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use siglatch_common::seal::{HmacKey, authenticate};
use siglatch_common::units::Wall;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{PACKET_LEN, Packet, Payload};

use super::*;
use crate::keys::{Keyring, ServerKey};
use crate::policy::{Action, ActionKind, Allowed, GrantRule, Period, Sequence, SourceRule, User};

mod adopted;
mod counted;
mod crashes;
mod cut;
mod extended;
mod fresh;
mod granted;
mod opened;
mod other_numbers;
mod owed;
mod permitted;
mod pretended;
mod programs;
mod revoked;
mod rules;
mod steps;
mod withdrawn;
mod workshop;

const START: u64 = 1_800_000_000;
const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.9";
const SKEW: Duration = Duration::from_secs(60);

const ALICE: UserId = UserId(1);
const BOB: UserId = UserId(65_535);
const DISABLED: UserId = UserId(3);
const SSH: ActionId = ActionId(1);
const MATCH: ActionId = ActionId(2);
const CLAIMED: ActionId = ActionId(3);
const BOBS: ActionId = ActionId(4);
const LOCAL: ActionId = ActionId(5);
const STEP_1: ActionId = ActionId(11);
const STEP_2: ActionId = ActionId(12);
const STEP_3: ActionId = ActionId(255);

/// A gate, its keys and its clock.
struct Door {
    gate: Gate,
    keys: Keyring,
    now: Now,
    challenge: u32,
    policy: Arc<Policy>,
}

impl Door {
    fn new() -> Self {
        Self::of(policy())
    }

    fn of(policy: Policy) -> Self {
        Self::with_capacity(policy, 1_000)
    }

    fn with_capacity(policy: Policy, capacity: usize) -> Self {
        let pem = include_str!("../../tests/data/throwaway-server.key");
        let users = [ALICE, BOB].map(|user| (user, key(user)));
        let now = Now { boot: Boot::from_nanos(1_000_000_000), wall: Wall::from_secs(START) };
        let policy = Arc::new(policy);
        Self {
            gate: Gate::new(Beginning { nonce_capacity: capacity, ..beginning(&policy) }, now),
            keys: Keyring::new(ServerKey::from_pem(pem).unwrap(), users, stranger()),
            now,
            challenge: 0,
            policy,
        }
    }

    fn restart(&mut self, remembered: Remembered) {
        self.gate = Gate::new(Beginning { remembered, ..beginning(&self.policy) }, self.now);
    }

    fn restart_from(&mut self, noted: Noted) {
        self.gate = Gate::new(Beginning { noted, ..beginning(&self.policy) }, self.now);
    }

    fn pass(&mut self, span: Duration) {
        let whole = self.now.boot.after(span);
        self.now.boot = whole;
        self.now.wall = Wall::from_secs(START + (whole.as_nanos() - 1_000_000_000) / 1_000_000_000);
    }

    fn pass_secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    /// Alice's packet, never one like another.
    fn knock(&mut self, action: ActionId, payload: &[u8]) -> Packet {
        self.challenge += 1;
        Packet {
            timestamp: u32::try_from(self.now.wall.as_secs()).unwrap(),
            user: ALICE,
            action,
            challenge: self.challenge,
            hmac: [0; 32],
            payload: Payload::new(payload).unwrap(),
        }
    }

    fn now_knock(&mut self, action: ActionId, from: &str) -> Said {
        let knock = self.knock(action, b"");
        self.clear(knock, from)
    }

    fn bobs_knock(&mut self, action: ActionId, from: &str) -> Said {
        let knock = Packet { user: BOB, ..self.knock(action, b"") };
        self.signed(knock, &key(BOB), from)
    }

    fn clear(&mut self, packet: Packet, from: &str) -> Said {
        self.signed(packet, &key(ALICE), from)
    }

    fn signed(&mut self, packet: Packet, key: &HmacKey, from: &str) -> Said {
        self.raw(&authenticate(packet, key).encode(), Wire::Clear, from)
    }

    fn sealed(&mut self, packet: Packet, from: &str) -> Said {
        let sealed = self.keys.server().public().seal(&authenticate(packet, &key(ALICE))).unwrap();
        self.raw(&sealed, Wire::Sealed, from)
    }

    fn raw(&mut self, datagram: &[u8], wire: Wire, from: &str) -> Said {
        let decoy = Decoy::from_random([9; PACKET_LEN]);
        let opened = open(datagram, wire, &self.keys, &decoy);
        match self.gate.judge(opened, from.parse::<IpAddr>().unwrap().into(), self.now) {
            Verdict::Admit(Admission { knock, outcome, .. }) => Said::Admitted(knock.user, knock.action, outcome),
            Verdict::Refuse(refusal, knock) => Said::Refused(refusal, knock.map(|knock| knock.user)),
        }
    }

    /// What was opened since the last call: address, service, seconds.
    fn opened(&mut self) -> Vec<(String, String, u64)> {
        let effects = self.gate.take_effects().into_iter();
        let grants =
            effects.filter_map(|effect| if let Effect::Open(opened) = effect { Some(opened.grants) } else { None });
        grants.flatten().map(|g| (g.key.source.to_string(), g.key.service.to_string(), g.ttl.as_secs())).collect()
    }
}

fn beginning(policy: &Arc<Policy>) -> Beginning<'static> {
    Beginning {
        policy: Arc::clone(policy),
        nonce_capacity: 1_000,
        programs_at_once: 4,
        run: 1,
        remembered: Remembered::default(),
        noted: Noted::default(),
        grants: &[],
    }
}

fn policy() -> Policy {
    let bob = User {
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        period: Period { not_before: None, not_after: Some(Wall::from_secs(START + 100)) },
        ..user(BOB, "bob")
    };
    let disabled = User { enabled: false, ..user(DISABLED, "carol") };
    let grant = |service, source| ActionKind::Grant(GrantRule { source, ..grant(service) });
    let actions = vec![
        action(SSH, "ssh", grant("tcp/22", SourceRule::Packet)),
        action(MATCH, "match", grant("tcp/22", SourceRule::Match)),
        action(CLAIMED, "claimed", grant("tcp/22", SourceRule::Claimed)),
        Action { allowed: Allowed::Only([BOB].into()), ..action(BOBS, "bobs", grant("tcp/22", SourceRule::Packet)) },
        Action {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..action(LOCAL, "local", grant("tcp/22", SourceRule::Packet))
        },
        action(STEP_1, "db-1", ActionKind::Step),
        action(STEP_2, "db-2", ActionKind::Step),
        action(STEP_3, "db", grant("tcp/5432", SourceRule::Packet)),
    ];
    Policy::new(vec![user(ALICE, "alice"), bob, disabled], actions, vec![sequence()], SKEW)
}

fn user(id: UserId, name: &str) -> User {
    User { id, name: name.into(), enabled: true, admin: false, networks: vec![], period: Period::default(), uses: None }
}

fn action(id: ActionId, name: &str, kind: ActionKind) -> Action {
    Action {
        id,
        name: name.into(),
        allowed: Allowed::All,
        networks: vec![],
        period: Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind,
    }
}

fn grant(service: &str) -> GrantRule {
    GrantRule {
        services: vec![service.parse().unwrap()],
        destinations: vec![],
        ttl: Duration::from_secs(60),
        max_ttl: Duration::from_secs(300),
        source: SourceRule::Packet,
        undo: None,
    }
}

fn sequence() -> Sequence {
    Sequence { name: "db".into(), steps: vec![STEP_1, STEP_2, STEP_3], within: Duration::from_secs(5) }
}

fn key(user: UserId) -> HmacKey {
    let mut bytes = [0x5a; 32];
    bytes[..2].copy_from_slice(&user.0.to_le_bytes());
    HmacKey::parse(&bytes).unwrap()
}

fn stranger() -> HmacKey {
    HmacKey::parse(&[0xee; 32]).unwrap()
}

/// A verdict, without the number of the knock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Admitted(UserId, ActionId, Outcome),
    Refused(Refusal, Option<UserId>),
}

fn admitted(action: ActionId) -> Said {
    Said::Admitted(ALICE, action, Outcome::Done)
}

fn stepped(action: ActionId, taken: usize) -> Said {
    Said::Admitted(ALICE, action, Outcome::Step { taken: taken.try_into().unwrap(), of: 3 })
}

fn refused(refusal: Refusal) -> Said {
    refused_to(ALICE, refusal)
}

fn refused_to(user: UserId, refusal: Refusal) -> Said {
    Said::Refused(refusal, Some(user))
}

fn refused_stranger() -> Said {
    Said::Refused(Refusal::Unauthentic, None)
}
