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

mod withdrawn;

const START: u64 = 1_800_000_000;
const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.9";

// Rung 1.

#[test]
fn a_sealed_and_a_clear_packet_open() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.sealed(knock, HOME), admitted(SSH));
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
}

#[test]
fn every_failure_to_authenticate_is_the_same_refusal() {
    let mut door = Door::new();
    let sound = door.knock(SSH, b"");
    let bytes = authenticate(sound, &key(ALICE)).encode();
    for (what, at) in [
        ("version", 0),
        ("timestamp", 1),
        ("user", 5),
        ("action", 7),
        ("challenge", 8),
        ("hmac", 12),
        ("length", 44),
        ("tail", 244),
    ] {
        let mut forged = bytes;
        forged[at] ^= 0x40;
        assert_eq!(door.raw(&forged, Wire::Clear, HOME), refused_stranger(), "{what}");
    }
    assert_eq!(door.signed(sound, &key(BOB), HOME), refused_stranger(), "another user's key");
    assert_eq!(
        door.signed(Packet { user: DISABLED, ..sound }, &key(DISABLED), HOME),
        refused_stranger(),
        "a disabled user"
    );
    assert_eq!(
        door.signed(Packet { user: UserId(999), ..sound }, &key(UserId(999)), HOME),
        refused_stranger(),
        "nobody's id"
    );
    assert_eq!(
        door.signed(Packet { user: UserId(999), ..sound }, &stranger(), HOME),
        refused_stranger(),
        "the stranger's own key"
    );
    assert_eq!(door.raw(&[0x55; 256], Wire::Sealed, HOME), refused_stranger(), "not under our key");
    assert_eq!(door.raw(&bytes, Wire::Sealed, HOME), refused_stranger(), "a clear packet on a sealed port");
    assert!(door.gate.take_effects().is_empty(), "a stranger leaves no trace");
    assert_eq!(door.raw(&bytes, Wire::Clear, HOME), admitted(SSH), "the near miss");
}

#[test]
fn a_payload_length_of_65535_is_refused() {
    let mut door = Door::new();
    let mut bytes = authenticate(door.knock(SSH, b""), &key(ALICE)).encode();
    bytes[44..46].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(door.raw(&bytes, Wire::Clear, HOME), refused_stranger());
}

#[test]
fn no_length_of_datagram_panics() {
    let mut door = Door::new();
    for wire in Wire::ALL {
        for len in 0..=300 {
            if len != PACKET_LEN || wire != Wire::Clear {
                assert_eq!(door.raw(&vec![1; len], wire, HOME), refused_stranger(), "{wire:?} {len}");
            }
        }
    }
}

// Rung 2.

#[test]
fn replay_is_refused_until_it_is_stale_anyway() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay));
    assert_eq!(door.clear(knock, ELSEWHERE), refused(Refusal::Replay));
    for _ in 0..60 {
        door.pass(Duration::from_secs(1));
        assert_eq!(door.clear(knock, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(1));
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Stale));
}

#[test]
fn the_skew_counts_both_ways_and_its_last_second_is_inside() {
    let mut door = Door::new();
    for (offset, verdict) in
        [(-60, admitted(SSH)), (60, admitted(SSH)), (-61, refused(Refusal::Stale)), (61, refused(Refusal::Stale))]
    {
        let knock = door.knock(SSH, b"");
        let knock = Packet { timestamp: knock.timestamp.wrapping_add_signed(offset), ..knock };
        assert_eq!(door.clear(knock, HOME), verdict, "{offset}");
    }
}

#[test]
fn an_early_stamp_cannot_be_replayed_at_its_latest_moment() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    let early = Packet { timestamp: knock.timestamp + 60, ..knock };
    assert_eq!(door.clear(early, HOME), admitted(SSH));
    for _ in 0..120 {
        door.pass(Duration::from_secs(1));
        assert_eq!(door.clear(early, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(1));
    assert_eq!(door.clear(early, HOME), refused(Refusal::Stale));
}

#[test]
fn a_clock_set_back_makes_nothing_fresh_again() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    door.pass(Duration::from_secs(3_600));
    let later = door.knock(SSH, b"");
    assert_eq!(door.clear(later, HOME), admitted(SSH));
    door.pass(Duration::from_secs(3_600));
    door.gate.handle_timeout(door.now);
    door.now.wall = Wall::from_secs(START);
    assert_eq!(door.clear(knock, HOME), refused(Refusal::Stale));
}

#[test]
fn when_full_new_nonces_are_refused_and_old_ones_stay_known() {
    let mut door = Door::with_capacity(3);
    let knocks: Vec<_> = (0..4).map(|_| door.knock(SSH, b"")).collect();
    for knock in &knocks[..3] {
        assert_eq!(door.clear(*knock, HOME), admitted(SSH));
    }
    assert_eq!(door.clear(knocks[3], HOME), refused(Refusal::Overloaded));
    for knock in &knocks[..3] {
        assert_eq!(door.clear(*knock, HOME), refused(Refusal::Replay));
    }
    door.pass(Duration::from_secs(241));
    let later = door.knock(SSH, b"");
    assert_eq!(door.clear(later, HOME), admitted(SSH), "two turns later there is room");
}

#[test]
fn a_nonce_is_kept_before_anything_opens_and_a_stranger_s_never() {
    let mut door = Door::new();
    let forged = door.knock(SSH, b"");
    assert_eq!(door.signed(forged, &key(BOB), HOME), refused_stranger());
    assert!(door.gate.take_effects().is_empty());
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    let nonce = Nonce { user: ALICE, timestamp: knock.timestamp, challenge: knock.challenge };
    match &door.gate.take_effects()[..] {
        [Effect::Lease(lease), Effect::Remember(kept), Effect::Open(_)] => {
            assert_eq!(*kept, nonce);
            assert!(*lease > nonce.stamp());
        }
        other => panic!("{other:?}"),
    }
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
    assert!(matches!(&door.gate.take_effects()[..], [Effect::Remember(_), Effect::Open(_)]), "the lease still holds");
}

#[test]
fn what_an_earlier_run_admitted_is_refused_after_a_restart() {
    let mut door = Door::new();
    let (admitted_before, unseen) = (door.knock(SSH, b""), door.knock(SSH, b""));
    let nonce = Nonce { user: ALICE, timestamp: admitted_before.timestamp, challenge: admitted_before.challenge };
    door.restart(Remembered { nonces: vec![nonce], floor: None });
    assert_eq!(door.clear(admitted_before, HOME), refused(Refusal::Replay));
    assert_eq!(door.clear(unseen, HOME), admitted(SSH));

    door.restart(Remembered { nonces: vec![], floor: Some(Wall::from_secs(START)) });
    let at_the_floor = door.knock(SSH, b"");
    assert_eq!(door.clear(at_the_floor, HOME), refused(Refusal::Stale));
    door.pass(Duration::from_secs(1));
    let above = door.knock(SSH, b"");
    assert_eq!(door.clear(above, HOME), admitted(SSH));
}

// Rung 3.

#[test]
fn a_sequence_in_order_has_its_effect_at_the_last_step() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
    assert!(door.opened().is_empty());
    assert_eq!(door.now_knock(STEP_3, HOME), admitted(STEP_3));
    assert_eq!(door.opened(), [(HOME.to_owned(), "tcp/5432".to_owned(), 60)]);
}

#[test]
fn wrong_orders_open_nothing_and_start_again() {
    let orders: [&[ActionId]; 6] = [
        &[STEP_3],
        &[STEP_2, STEP_3],
        &[STEP_1, STEP_3],
        &[STEP_2, STEP_1, STEP_3],
        &[STEP_1, STEP_2, STEP_1, STEP_3],
        &[STEP_1, STEP_3, STEP_2, STEP_3],
    ];
    for order in orders {
        let mut door = Door::new();
        for step in order {
            let _ = door.now_knock(*step, HOME);
        }
        assert!(door.opened().is_empty(), "{order:?}");
    }
}

#[test]
fn a_first_step_starts_again_and_a_duplicate_does_not() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    let second = door.knock(STEP_2, b"");
    assert_eq!(door.clear(second, HOME), stepped(STEP_2, 2));
    assert_eq!(door.clear(second, HOME), refused(Refusal::Replay), "a network duplicate");
    assert_eq!(door.now_knock(STEP_3, HOME), admitted(STEP_3));
    assert_eq!(door.now_knock(STEP_3, HOME), refused(Refusal::OutOfOrder), "the sequence is over");
}

#[test]
fn a_sequence_is_one_user_s_from_one_address() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(STEP_2, ELSEWHERE), refused(Refusal::OutOfOrder));
    let bobs = Packet { user: BOB, ..door.knock(STEP_2, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::OutOfOrder));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2), "what others did changed nothing");
}

#[test]
fn junk_that_forges_the_address_changes_nothing() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    let forged = door.knock(STEP_3, b"");
    assert_eq!(door.signed(forged, &key(BOB), HOME), refused_stranger());
    assert_eq!(door.raw(&[7; 256], Wire::Sealed, HOME), refused_stranger());
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
}

#[test]
fn a_sequence_too_late_starts_again() {
    for (pause, verdict) in [(4_999, admitted(STEP_3)), (5_000, refused(Refusal::OutOfOrder))] {
        let mut door = Door::new();
        assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
        assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
        door.pass(Duration::from_millis(pause));
        assert_eq!(door.now_knock(STEP_3, HOME), verdict, "{pause} ms");
    }
}

#[test]
fn other_actions_do_not_disturb_a_sequence() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    assert_eq!(door.now_knock(STEP_2, HOME), stepped(STEP_2, 2));
}

#[test]
fn the_table_of_sequences_is_bounded() {
    let mut door = Door::new();
    for last in 1..=9 {
        assert_eq!(door.now_knock(STEP_1, &format!("192.0.2.{last}")), stepped(STEP_1, 1));
    }
    assert_eq!(door.now_knock(STEP_2, "192.0.2.1"), refused(Refusal::OutOfOrder), "the oldest gave way");
    assert_eq!(door.now_knock(STEP_2, "192.0.2.2"), stepped(STEP_2, 2));
}

// Rung 4.

#[test]
fn each_rule_refuses_and_its_near_miss_does_not() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(ActionId(200), HOME), refused(Refusal::UnknownAction));
    assert_eq!(door.now_knock(BOBS, HOME), refused(Refusal::NotAllowed));
    assert_eq!(door.now_knock(LOCAL, ELSEWHERE), refused(Refusal::ActionNetwork));
    assert_eq!(door.now_knock(LOCAL, HOME), admitted(LOCAL));

    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), ELSEWHERE), refused_to(BOB, Refusal::UserNetwork));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert!(matches!(door.signed(bobs, &key(BOB), HOME), Said::Admitted(..)));

    door.pass(Duration::from_secs(99));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert!(matches!(door.signed(bobs, &key(BOB), HOME), Said::Admitted(..)), "a second before the end");
    door.pass(Duration::from_secs(1));
    let bobs = Packet { user: BOB, ..door.knock(BOBS, b"") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::UserExpired));
}

#[test]
fn a_grant_is_for_the_address_that_the_rule_names() {
    let cases: [(ActionId, &[u8], Result<&str, Refusal>); 10] = [
        (SSH, b"", Ok(HOME)),
        (SSH, b"source=192.0.2.7", Ok(HOME)),
        (SSH, b"source=198.51.100.9", Err(Refusal::SourceMismatch)),
        (MATCH, b"source=192.0.2.7", Ok(HOME)),
        (MATCH, b"", Err(Refusal::SourceMissing)),
        (MATCH, b"source=198.51.100.9", Err(Refusal::SourceMismatch)),
        (CLAIMED, b"source=198.51.100.9", Ok(ELSEWHERE)),
        (CLAIMED, b"", Err(Refusal::SourceMissing)),
        (CLAIMED, b"source=127.0.0.1", Err(Refusal::BadPayload)),
        (SSH, b"hello", Err(Refusal::BadPayload)),
    ];
    for (action, payload, expected) in cases {
        let mut door = Door::new();
        let knock = door.knock(action, payload);
        match expected {
            Ok(source) => {
                assert_eq!(door.clear(knock, HOME), admitted(action));
                assert_eq!(door.opened(), [(source.to_owned(), "tcp/22".to_owned(), 60)]);
            }
            Err(refusal) => {
                assert_eq!(door.clear(knock, HOME), refused(refusal));
                assert!(door.opened().is_empty());
            }
        }
    }
}

#[test]
fn a_claimed_address_outside_the_user_s_networks_is_refused() {
    let mut door = Door::new();
    let bobs = Packet { user: BOB, ..door.knock(CLAIMED, b"source=198.51.100.9") };
    assert_eq!(door.signed(bobs, &key(BOB), HOME), refused_to(BOB, Refusal::UserNetwork));
}

#[test]
fn a_time_asked_for_is_kept_within_the_longest() {
    for (payload, secs) in [(&b"ttl=30s"[..], 30), (b"ttl=2m", 120), (b"ttl=1d", 300), (b"", 60)] {
        let mut door = Door::new();
        let knock = door.knock(SSH, payload);
        assert_eq!(door.clear(knock, HOME), admitted(SSH));
        assert_eq!(door.opened(), [(HOME.to_owned(), "tcp/22".to_owned(), secs)]);
    }
}

// Grants.

#[test]
fn renewal_extends_and_never_shortens() {
    let mut door = Door::new();
    let long = door.knock(SSH, b"ttl=5m");
    assert_eq!(door.clear(long, HOME), admitted(SSH));
    door.pass(Duration::from_secs(10));
    let short = door.knock(SSH, b"ttl=30s");
    assert_eq!(door.clear(short, HOME), admitted(SSH));
    assert_eq!(door.opened().last().unwrap().2, 290, "what was left of the longer one");
    door.pass(Duration::from_secs(10));
    let longer = door.knock(SSH, b"ttl=5m");
    assert_eq!(door.clear(longer, HOME), admitted(SSH));
    assert_eq!(door.opened().last().unwrap().2, 300);
}

#[test]
fn a_grant_is_live_until_its_end_and_no_longer() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass(Duration::from_millis(59_999));
    assert_eq!(door.gate.live_grants(door.now.boot).len(), 1);
    door.pass(Duration::from_millis(1));
    assert!(door.gate.live_grants(door.now.boot).is_empty());
    door.gate.handle_timeout(door.now);
    assert!(door.gate.live_grants(door.now.boot).is_empty());
}

#[test]
fn grants_of_an_earlier_run_are_taken_over() {
    let mut door = Door::new();
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let held = door.gate.live_grants(door.now.boot);
    let gate = Gate::new(Beginning { grants: &held, ..beginning(1_000, Remembered::default()) }, door.now);
    assert_eq!(gate.live_grants(door.now.boot), held);
}

#[test]
fn a_grant_of_an_earlier_run_stays_only_while_policy_still_allows_it() {
    let policy = policy();
    let grant = |label: &str, service: &str| Grant {
        key: GrantKey { source: Address::v4([192, 0, 2, 7]), destination: None, service: service.parse().unwrap() },
        ttl: Duration::from_secs(10),
        label: label.into(),
    };
    assert!(still_allowed(&grant("alice ssh", "tcp/22"), &policy));
    assert!(!still_allowed(&grant("alice ssh", "tcp/23"), &policy), "another service");
    assert!(!still_allowed(&grant("alice bobs", "tcp/22"), &policy), "another's action");
    assert!(!still_allowed(&grant("carol ssh", "tcp/22"), &policy), "a disabled user");
    assert!(!still_allowed(&grant("dave ssh", "tcp/22"), &policy), "a user who is gone");
    assert!(!still_allowed(&grant("alice gone", "tcp/22"), &policy), "an action that is gone");
    assert!(!still_allowed(&grant("", "tcp/22"), &policy), "nobody's");
}

#[test]
fn timeouts_come_to_rest() {
    let mut door = Door::new();
    assert_eq!(door.gate.next_timeout(), None);
    assert_eq!(door.now_knock(STEP_1, HOME), stepped(STEP_1, 1));
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let mut turns = 0;
    while let Some(due) = door.gate.next_timeout() {
        assert!(due >= door.now.boot);
        door.now.boot = due;
        door.gate.handle_timeout(door.now);
        turns += 1;
        assert!(turns < 10, "a timeout must make progress");
    }
}

#[test]
fn labels_are_unique() {
    let labels: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.label()).collect();
    assert_eq!(labels.len(), Refusal::ALL.len());
}

// The house.

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
    capacity: usize,
}

impl Door {
    fn new() -> Self {
        Self::with_capacity(1_000)
    }

    fn with_capacity(capacity: usize) -> Self {
        let pem = include_str!("../../tests/data/throwaway-server.key");
        let users = [ALICE, BOB].map(|user| (user, key(user)));
        let now = Now { boot: Boot::from_nanos(1_000_000_000), wall: Wall::from_secs(START) };
        Self {
            gate: Gate::new(beginning(capacity, Remembered::default()), now),
            keys: Keyring::new(ServerKey::from_pem(pem).unwrap(), users, stranger()),
            now,
            challenge: 0,
            capacity,
        }
    }

    fn restart(&mut self, remembered: Remembered) {
        self.gate = Gate::new(beginning(self.capacity, remembered), self.now);
    }

    fn pass(&mut self, span: Duration) {
        let whole = self.now.boot.after(span);
        self.now.boot = whole;
        self.now.wall = Wall::from_secs(START + (whole.as_nanos() - 1_000_000_000) / 1_000_000_000);
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

fn beginning(nonce_capacity: usize, remembered: Remembered) -> Beginning<'static> {
    Beginning {
        policy: Arc::new(policy()),
        nonce_capacity,
        programs_at_once: 4,
        run: 1,
        remembered,
        noted: Noted::default(),
        grants: &[],
    }
}

fn policy() -> Policy {
    let user = |id, name: &str| User {
        id,
        name: name.into(),
        enabled: true,
        admin: false,
        networks: vec![],
        period: Period::default(),
        uses: None,
    };
    let bob = User {
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        period: Period { not_before: None, not_after: Some(Wall::from_secs(START + 100)) },
        ..user(BOB, "bob")
    };
    let disabled = User { enabled: false, ..user(DISABLED, "carol") };
    let grant = |service: &str, source| {
        let services = vec![service.parse().unwrap()];
        ActionKind::Grant(GrantRule {
            services,
            destinations: vec![],
            ttl: Duration::from_secs(60),
            max_ttl: Duration::from_secs(300),
            source,
            undo: None,
        })
    };
    let action = |id, name: &str, kind| Action {
        id,
        name: name.into(),
        allowed: Allowed::All,
        networks: vec![],
        period: Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind,
    };
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
    let sequence = Sequence { name: "db".into(), steps: vec![STEP_1, STEP_2, STEP_3], within: Duration::from_secs(5) };
    Policy::new(vec![user(ALICE, "alice"), bob, disabled], actions, vec![sequence], Duration::from_secs(60))
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
