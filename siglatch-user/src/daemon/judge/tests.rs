//! Keys and rules together: whatever is swapped while knocks are under way, none is judged by a mixture, and none is lost.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use siglatch_common::layout::Candidate;
use siglatch_common::seal::{HmacKey, authenticate};
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, Packet, Payload, UserId};
use zerocopy::FromZeros as _;

use super::*;
use crate::config::{AuditRule, Firewall};
use crate::daemon::books::Left;
use crate::edge::audit::{AuditLog, Origin};
use crate::edge::key_pool::{KeyPool, Places};
use crate::gate::{Beginning, Noted, Remembered};
use crate::keys::{Keyring, ServerKey};
use crate::policy::{Action, ActionKind, Allowed, Period, Policy, User};

/// User 1 is Alice in even rounds, with a key of hers, and may ask for action 1; in odd rounds the number is Bob's, with his key, and
/// action 2. Whoever is judged by a mixture is authentic and asks for an action that there is not.
#[test]
fn no_knock_is_judged_by_a_mixture_of_rules_and_none_is_lost() {
    let state = tempfile::tempdir().unwrap();
    let tallies = Arc::new(Tallies::default());
    let (inputs, judged) = channel();
    let judge = judge(state.path(), &tallies);
    let judge = thread::spawn(move || judge.run(&judged));
    let answers = inputs.clone();
    let pool = KeyPool::start(&keyring(0), 2, move |answer| {
        answers.send(Input::Answer(Box::new(answer))).unwrap();
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut froms = vec![0];
    let mut sent = Vec::new();
    thread::scope(|scope| {
        let swapper = scope.spawn(|| (1..=ROUNDS).map(|round| adopt(&pool, &inputs, round)).collect::<Vec<_>>());
        let mut places = Places::default();
        while !swapper.is_finished() {
            let is_bobs = sent.len() % 3 == 1;
            let place = runtime.block_on(pool.one_of(&mut places));
            pool.submit(candidate(is_bobs, sent.len()), place);
            sent.push(is_bobs);
        }
        froms.extend(swapper.join().unwrap());
    });
    pool.finish();
    inputs.send(Input::Stop).unwrap();
    judge.join().unwrap();

    let round_of = |number| froms.partition_point(|from| *from <= number) - 1;
    let is_in_time = |(number, is_bobs): &(usize, &bool)| **is_bobs == (round_of(*number as u64) % 2 == 1);
    let expected = sent.iter().enumerate().filter(is_in_time).count() as u64;
    let refused = |refusal: Refusal| {
        let place = Refusal::ALL.iter().position(|other| *other == refusal).unwrap();
        tallies.refused[place].load(Ordering::Relaxed)
    };
    assert_eq!(refused(Refusal::UnknownAction), 0, "a mixture");
    let admitted = tallies.admitted.load(Ordering::Relaxed);
    assert_eq!(admitted, expected, "from the number that the pool has named");
    assert_eq!(admitted + refused(Refusal::Unauthentic), sent.len() as u64, "every one was judged");
    assert!(admitted > 0 && refused(Refusal::Unauthentic) > 0);
}

const ROUNDS: u16 = 200;

fn adopt(pool: &KeyPool, inputs: &std::sync::mpsc::Sender<Input>, round: u16) -> u64 {
    let (reply, adopted) = sync_channel(1);
    let adoption = Box::new(Adoption {
        policy: policy(round),
        programs_at_once: 1,
        nonce_capacity: 1_000_000,
        when_unaudited: WhenFailing::Admit,
        debug: None,
    });
    let from = pool.swap(keyring(round), |from| inputs.send(Input::Adopt { from, adoption, reply }).unwrap());
    let adopted = adopted.recv().expect("the judge answers");
    assert_eq!((adopted.withdrawn, adopted.dropped, adopted.lost_debts), (0, 0, 0));
    assert_eq!(adopted.before.user(UserId(1)).unwrap().name, name(round - 1));
    from
}

fn judge(state: &std::path::Path, tallies: &Arc<Tallies>) -> Judge {
    let policy = policy(0);
    let (books, Left { .. }) = Books::open(state, policy.max_skew()).unwrap();
    let (wall, _) = Wall::open(&Firewall::Untouched, &[], &policy).unwrap();
    let origin = Origin { version: "0".to_owned(), run: 1, dry_run: false, state_dir: state.to_owned() };
    let (recorder, _) = AuditLog::open(&AuditRule { enabled: false, ..AuditRule::default() }, origin).unwrap();
    let beginning = Beginning {
        policy,
        nonce_capacity: 1_000_000,
        programs_at_once: 1,
        run: 1,
        remembered: Remembered::default(),
        noted: Noted::default(),
        grants: &[],
    };
    Judge::new(Parts {
        gate: Gate::new(beginning, clock::now()),
        books,
        wall,
        starter: None,
        recorder,
        when_unaudited: WhenFailing::Admit,
        warden: ToWarden::nowhere().0,
        reload: tokio::sync::mpsc::channel(1).0,
        tallies: Arc::clone(tallies),
        pulse: Pulse::for_watchdog(None),
    })
}

fn policy(round: u16) -> Arc<Policy> {
    let user = User {
        id: UserId(1),
        name: name(round).to_owned(),
        enabled: true,
        admin: false,
        networks: Vec::new(),
        period: Period::default(),
        uses: None,
    };
    let action = Action {
        id: action(round % 2 == 1),
        name: "step".to_owned(),
        allowed: Allowed::All,
        networks: Vec::new(),
        period: Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind: ActionKind::Step,
    };
    Arc::new(Policy::new(vec![user], vec![action], Vec::new(), Duration::from_secs(60)))
}

fn keyring(round: u16) -> Arc<Keyring> {
    static SERVER: std::sync::LazyLock<ServerKey> = std::sync::LazyLock::new(|| {
        ServerKey::from_pem(include_str!("../../../tests/data/throwaway-server.key")).unwrap()
    });
    let users = [(UserId(1), key(round % 2 == 1))];
    Arc::new(Keyring::new(SERVER.clone(), users, HmacKey::parse(&[0xee; 32]).unwrap()))
}

fn candidate(is_bobs: bool, number: usize) -> Candidate {
    let packet = Packet {
        timestamp: clock::now().wall.as_secs() as u32,
        user: UserId(1),
        action: action(is_bobs),
        challenge: number as u32,
        hmac: [0; 32],
        payload: Payload::EMPTY,
    };
    let packet = authenticate(packet, &key(is_bobs)).encode();
    let mut datagram = [0; Candidate::ROOM];
    datagram[..packet.len()].copy_from_slice(&packet);
    let source = Address::v4([192, 0, 2, 7]);
    let (wire, length) = (Wire::Clear.number(), packet.len() as u16);
    Candidate { source, wire, length, datagram, ..Candidate::new_zeroed() }
}

fn name(round: u16) -> &'static str {
    if round % 2 == 1 { "bob" } else { "alice" }
}

fn action(is_bobs: bool) -> ActionId {
    ActionId(1 + u8::from(is_bobs))
}

fn key(is_bobs: bool) -> HmacKey {
    HmacKey::parse(&[1 + u8::from(is_bobs); 32]).unwrap()
}
