//! The filter of the sockets: what each table does, by value.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::{Ban, Reason};
use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::{Offender, StampKey, Tuning};
use siglatch_common::outcome::Outcome;
use siglatch_common::pace::Pace;
use siglatch_common::siphash::Key;
use siglatch_common::stamp::{Epoch, SLOTS, Slot, stamp_sealed};
use siglatch_common::units::Boot;
use siglatch_common::wire::Wire;

use super::*;
use crate::edge::lanes::{Lanes, Queues};
use crate::edge::lists::Lists as _;
use crate::edge::xdp::Measures;
use crate::precedence::Precedence;

const SECOND: u64 = 1_000_000_000;
const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.9";

#[test]
fn only_the_right_form_from_a_possible_source_becomes_a_candidate() {
    let mut stand = Stand::new(Tuning::NONE);
    for length in [0, 1, 255, 257, 264, 265] {
        assert_eq!(stand.send_bytes(&vec![7; length], Wire::Sealed, HOME), Outcome::WrongLength, "{length}");
    }
    assert_eq!(stand.send("127.0.0.1"), Outcome::ImpossibleSource);
    assert_eq!(stand.send("ff02::1"), Outcome::ImpossibleSource);
    assert!(stand.taken().is_empty());
    assert_eq!(stand.send(HOME), Outcome::SubmittedUnknown);
    let [candidate] = stand.taken()[..] else { panic!("one was submitted") };
    assert_eq!((candidate.source, candidate.lane()), (address(HOME), Some(Lane::Unknown)));
    assert_eq!((candidate.source_port, candidate.dest_port), (40_000, 62_201));
    assert_eq!((candidate.arrival_ns, candidate.payload()), (SECOND, Some(&datagram(3)[..])));
    let counters = stand.filter.counters().unwrap();
    assert_eq!((counters.wrong_length, counters.impossible_source, counters.submitted_unknown), (6, 2, 1));
}

#[test]
fn a_ban_of_an_address_or_of_a_network_holds_until_its_end_and_counts_its_hits() {
    let mut stand = Stand::new(Tuning::NONE);
    let until_3 = Ban { until: 3 * SECOND, hits: 0, reason: Reason::Operator.number(), step: 0 };
    for (whom, source) in [(HOME, HOME), ("198.51.100.0/24", ELSEWHERE), ("2001:db8::/32", "2001:db8::1")] {
        stand.now = Boot::from_nanos(SECOND);
        let whom: Network = whom.parse().unwrap();
        stand.filter.set_ban(whom, until_3).unwrap();
        assert_eq!((stand.send(source), stand.send(source)), (Outcome::Banned, Outcome::Banned));
        assert_eq!(stand.filter.bans().unwrap(), [(whom, Ban { hits: 2, ..until_3 })]);
        stand.now = Boot::from_nanos(3 * SECOND);
        assert_eq!(stand.send(source), Outcome::SubmittedUnknown, "it is over");
        stand.filter.set_ban(whom, Ban { until: 0, ..until_3 }).unwrap();
        assert_eq!(stand.send(source), Outcome::Banned, "for good");
        stand.filter.lift_ban(whom).unwrap();
        stand.filter.lift_ban(whom).unwrap();
        assert_eq!(stand.send(source), Outcome::SubmittedUnknown);
        assert!(stand.filter.bans().unwrap().is_empty());
    }
    assert_eq!(stand.send("192.0.2.8"), Outcome::SubmittedUnknown, "a neighbour");
}

#[test]
fn who_is_allowed_is_neither_banned_nor_limited() {
    let mut stand = Stand::new(Tuning { source: Pace::per_second(1, 1), ..Tuning::NONE });
    stand.filter.set_ban(HOME.parse().unwrap(), Ban::default()).unwrap();
    stand.filter.set_allowed(&["192.0.2.0/24".parse().unwrap()]).unwrap();
    for _ in 0..5 {
        assert_eq!(stand.send(HOME), Outcome::SubmittedUnknown);
    }
    stand.filter.set_allowed(&["198.51.100.0/24".parse().unwrap()]).unwrap();
    assert_eq!(stand.send(HOME), Outcome::Banned, "the list was replaced");
}

#[test]
fn one_source_sends_at_its_pace_and_a_known_one_has_a_bucket_of_its_own() {
    // One place for all who are unknown.
    let mut stand = Stand::new(Tuning { source: Pace::per_second(10, 2), ..Tuning::NONE });
    assert_eq!([HOME; 3].map(|source| stand.send(source)), [SUBMITTED, SUBMITTED, Outcome::OverRate]);
    assert_eq!(stand.send(ELSEWHERE), Outcome::OverRate, "it shares the place");
    stand.filter.set_known(address(ELSEWHERE), 100 * SECOND).unwrap();
    assert_eq!([ELSEWHERE; 3].map(|source| stand.send(source)), [KNOWN, KNOWN, Outcome::OverRate]);
    stand.filter.set_known(address(ELSEWHERE), 200 * SECOND).unwrap();
    assert_eq!(stand.send(ELSEWHERE), Outcome::OverRate, "its bucket stays as it is");
    stand.now = stand.now.after(Duration::from_millis(100));
    assert_eq!([ELSEWHERE, ELSEWHERE, HOME].map(|source| stand.send(source)), [KNOWN, Outcome::OverRate, SUBMITTED]);
    assert_eq!(stand.filter.known().unwrap()[0].1.until, 200 * SECOND);

    // An IPv6 source is its /64.
    stand.filter.set_known(address("2001:db8::"), 100 * SECOND).unwrap();
    assert_eq!(["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|s| stand.send(s)), [KNOWN, KNOWN, Outcome::OverRate]);
    stand.filter.forget_known(address("2001:db8::")).unwrap();
    stand.filter.forget_known(address("2001:db8::")).unwrap();
    assert_eq!(stand.send("2001:db8::1"), Outcome::OverRate);
}

#[test]
fn a_copy_is_dropped_whoever_sends_it() {
    let mut stand = Stand::new(Tuning { copy_mask: 1023, ..Tuning::NONE });
    assert_eq!(stand.send_bytes(&datagram(1), Wire::Sealed, HOME), SUBMITTED);
    assert_eq!(stand.send_bytes(&datagram(1), Wire::Sealed, HOME), Outcome::Copy);
    assert_eq!(stand.send_bytes(&datagram(1), Wire::Sealed, ELSEWHERE), Outcome::Copy);
    assert_eq!(stand.send_bytes(&datagram(2), Wire::Sealed, HOME), SUBMITTED);

    let mut stand = Stand::new(Tuning::NONE);
    assert_eq!([1, 1].map(|n| stand.send_bytes(&datagram(n), Wire::Sealed, HOME)), [SUBMITTED; 2], "one place is none");
}

#[test]
fn each_lane_has_its_budget_and_its_room() {
    let lanes = [Pace::per_second(1, 1), Pace::per_second(10, 2), Pace::UNLIMITED];
    let mut stand = Stand::new(Tuning { lanes, ..Tuning::NONE });
    stand.filter.set_known(address(HOME), 100 * SECOND).unwrap();
    assert_eq!([HOME; 3].map(|source| stand.send(source)), [KNOWN, KNOWN, Outcome::OverBudgetKnown]);
    for _ in 0..Queues::ROOM {
        assert_eq!(stand.send(ELSEWHERE), SUBMITTED);
    }
    assert_eq!(stand.send(ELSEWHERE), Outcome::RingFullUnknown);
    stand.now = Boot::from_nanos(2 * SECOND);
    assert_eq!(stand.send(HOME), KNOWN, "the other lane has room");
    assert_eq!(stand.taken().len(), Queues::ROOM + 3);
    assert_eq!(stand.send(ELSEWHERE), SUBMITTED);
}

#[test]
fn a_stamp_opens_its_lane_and_is_needed_there() {
    let mut stand = Stand::new(Tuning::NONE);
    let (slot, key) = (Slot::new(1, Epoch(6)).unwrap(), Key { k0: 5, k1: 9 });
    let stamped = |number| {
        let sealed = datagram(number);
        [&stamp_sealed(slot, key, &sealed)[..], &sealed].concat()
    };
    assert_eq!(stand.send_bytes(&stamped(1), Wire::Stamped, HOME), Outcome::WrongStamp, "no key is loaded");
    let mut keys = [StampKey::NONE; SLOTS];
    keys[usize::from(slot.number())] = StampKey::new(key);
    stand.filter.set_stamp_keys(&keys).unwrap();
    stand.filter.set_ban(HOME.parse().unwrap(), Ban::default()).unwrap();
    assert_eq!(stand.send_bytes(&stamped(2), Wire::Stamped, HOME), Outcome::SubmittedStamped, "even if banned");
    let mut wrong = stamped(3);
    wrong[200] ^= 1;
    assert_eq!(stand.send_bytes(&wrong, Wire::Stamped, HOME), Outcome::WrongStamp);
    let [candidate] = stand.taken()[..] else { panic!("one was submitted") };
    assert_eq!((candidate.lane(), candidate.payload()), (Some(Lane::Stamped), Some(&stamped(2)[..])));
}

#[test]
fn who_is_refused_most_is_noted() {
    let mut stand = Stand::new(Tuning::NONE);
    stand.filter.set_ban(HOME.parse().unwrap(), Ban::default()).unwrap();
    for _ in 0..3 * Offender::FRAMES_A_SAMPLE {
        assert_eq!(stand.send(HOME), Outcome::Banned);
    }
    let noted: Vec<_> = stand.filter.offenders().unwrap().into_iter().filter(|place| place.samples > 0).collect();
    let expected = Offender { address: address(HOME).octets, outcome: Outcome::Banned as u32, samples: 3 };
    assert_eq!(noted, [expected]);
}

#[test]
fn full_lists_take_nothing_new_and_keep_what_they_have() {
    let mut stand = Stand::new(Tuning::NONE);
    let network = |n: u8, bits: u8| Network::with_bits(Address::v4([10, n, 0, 0]), bits);
    for n in 0..4 {
        stand.filter.set_ban(network(n, 128), Ban::default()).unwrap();
        stand.filter.set_ban(network(n, 112), Ban::default()).unwrap();
        stand.filter.set_known(network(n, 128).address(), 1).unwrap();
    }
    assert!(stand.filter.set_ban(network(4, 128), Ban::default()).unwrap_err().is_full());
    assert!(stand.filter.set_ban(network(4, 112), Ban::default()).unwrap_err().is_full());
    assert!(stand.filter.set_known(network(4, 128).address(), 1).unwrap_err().is_full());
    assert!(stand.filter.set_allowed(&vec![network(0, 112); 1025]).unwrap_err().is_full());
    stand.filter.set_allowed(&vec![network(0, 112); 1024]).unwrap();
    stand.filter.set_ban(network(3, 128), Ban { step: 2, ..Ban::default() }).unwrap();
    stand.filter.set_ban(network(3, 112), Ban { step: 2, ..Ban::default() }).unwrap();
    stand.filter.set_known(network(3, 128).address(), 2).unwrap();
    assert_eq!((stand.filter.bans().unwrap().len(), stand.filter.known().unwrap().len()), (8, 4));
    for size in stand.filter.sizes().unwrap() {
        assert!(size.room > 0 && size.bytes > 0, "{size:?}");
    }
}

#[tokio::test]
async fn ports_are_opened_closed_and_rewired_while_others_stay() {
    let [stays, comes] = [free_port(), free_port()];
    let knock_port = |port, wire| KnockPort { port, wire };
    let queues = Arc::new(Queues::default());
    let filter = Filter::new(&[], measures(Tuning::NONE), queues);
    let (mut sockets, listening) = Sockets::new(filter.clone());
    let listening = tokio::spawn(listening.run());
    let mut set = |ports: &[KnockPort]| {
        let bound = sockets.bind(ports)?;
        sockets.adopt(ports, measures(Tuning::NONE), bound);
        Ok::<_, SocketError>(())
    };
    // What comes from here cannot be anybody's, but it is judged.
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let counted = async |port: u16, outcome: Outcome| {
        let before = filter.counters().unwrap().of(outcome);
        for _ in 0..200 {
            // Refused if nobody listens there.
            let _ = sender.send_to(&[7; 256], ("127.0.0.1", port));
            tokio::time::sleep(Duration::from_millis(10)).await;
            if filter.counters().unwrap().of(outcome) > before {
                return true;
            }
        }
        false
    };
    set(&[knock_port(stays, Wire::Sealed)]).unwrap();
    assert!(counted(stays, Outcome::ImpossibleSource).await);

    let taken = std::net::UdpSocket::bind(("0.0.0.0", comes)).unwrap();
    let both = [knock_port(comes, Wire::Sealed), knock_port(stays, Wire::Clear)];
    let refused = set(&both).unwrap_err().to_string();
    assert!(refused.contains(&comes.to_string()) && refused.contains("ss -lunp"), "{refused}");
    assert!(counted(stays, Outcome::ImpossibleSource).await, "all is as it was");
    drop(taken);

    set(&both).unwrap();
    assert!(counted(stays, Outcome::WrongLength).await, "another wire");
    assert!(counted(comes, Outcome::ImpossibleSource).await);
    set(&both[..1]).unwrap();
    assert!(counted(comes, Outcome::ImpossibleSource).await);
    std::net::UdpSocket::bind(("0.0.0.0", stays)).expect("it is closed");
    listening.abort();
    let _ = listening.await;
    tokio::task::yield_now().await;
    std::net::UdpSocket::bind(("0.0.0.0", comes)).expect("it is closed with the listening");
}

/// A UDP port that nobody had a moment ago.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

const SUBMITTED: Outcome = Outcome::SubmittedUnknown;
const KNOWN: Outcome = Outcome::SubmittedKnown;

const PORT: u16 = 62_201;

fn measures(tuning: Tuning) -> Measures {
    Measures { tuning, bans: 4, known: 4, rings: PerLane::default() }
}

/// A filter and its queues.
struct Stand {
    measures: Measures,
    filter: Filter,
    lanes: Lanes,
    now: Boot,
    sent: u64,
}

impl Stand {
    fn new(tuning: Tuning) -> Self {
        let queues = Arc::new(Queues::default());
        let filter = Filter::new(&[], measures(tuning), Arc::clone(&queues));
        Self {
            measures: measures(tuning),
            filter,
            lanes: Lanes::Queues(queues),
            now: Boot::from_nanos(SECOND),
            sent: 0,
        }
    }

    /// Sends a sealed datagram unlike any other.
    fn send(&mut self, source: &str) -> Outcome {
        self.sent += 1;
        self.send_bytes(&datagram(self.sent), Wire::Sealed, source)
    }

    fn send_bytes(&mut self, payload: &[u8], wire: Wire, source: &str) -> Outcome {
        self.filter.set_rules(&[PortRule::new(PORT, wire)], self.measures);
        let letter = Letter { source: address(source), source_port: 40_000, port: PORT, payload, arrived: self.now };
        self.filter.judge(letter)
    }

    /// Everything that has been submitted since the last call.
    fn taken(&mut self) -> Vec<Candidate> {
        let mut precedence = Precedence::new(PerLane::default());
        std::iter::from_fn(|| self.lanes.take(&mut precedence)).collect()
    }
}

fn datagram(number: u64) -> [u8; 256] {
    let mut bytes = [0x5a; 256];
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn address(text: &str) -> Address {
    text.parse::<IpAddr>().unwrap().into()
}
