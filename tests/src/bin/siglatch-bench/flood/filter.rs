//! The filter with well-used lists, and the datagrams that it refuses. Never times anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;

use anyhow::{Result, ensure};
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData};
use aya::programs::ProgramFd;
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::layout::{Known, NetworkKey, OwnBucket, PortRule, Source, StampKey, Tuning};
use siglatch_common::outcome::Counters;
use siglatch_common::own_addresses::{BUCKETS, empty_bucket};
use siglatch_common::pace::Pace;
use siglatch_common::siphash;
use siglatch_common::wire::Wire;
use siglatch_tests::bpf::Subject;
use siglatch_tests::packet::Frame;
use siglatch_tests::parts::{Parts, Sizes};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, SOURCE_PORT, payload};

/// The program, with its lists filled.
pub(crate) struct Filter(Subject);

/// What refuses a second datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strictness {
    /// The limit of its source.
    OfSources,
    /// The budget of its lane.
    OfLanes,
}

impl Filter {
    /// Whom the filter has a ban for that never ends.
    pub(super) const BANNED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// Whom the filter has a ban for that will end.
    pub(super) const BANNED_FOR_NOW: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

    /// Loads it with so many places for sources.
    pub(super) fn load(strictness: Strictness, sources: u32) -> Result<Self> {
        Self::with_bans(strictness, sources, BANS)
    }

    /// The same with so many bans of addresses, [`Filter::BANNED`] among them.
    pub(crate) fn with_bans(strictness: Strictness, sources: u32, bans: u32) -> Result<Self> {
        let (source, lane) = match strictness {
            Strictness::OfSources => (ONCE, Pace::UNLIMITED),
            Strictness::OfLanes => (ALWAYS, ONCE),
        };
        let tuning = Tuning {
            spread: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
            source,
            lanes: [lane; 3],
            bucket_mask: sources - 1,
            copy_mask: SMALL - 1,
            ..Tuning::NONE
        };
        let ports = [PortRule::new(SEALED_PORT, Wire::Sealed), PortRule::new(STAMPED_PORT, Wire::Stamped)];
        let room = [("blacklist", ROOM.max(2 * bans)), ("blacklist_networks", ROOM), ("known", ROOM_FOR_KNOWN)];
        let mut subject = Subject::with_room(&ports, &GATEWAY.addresses(), &tuning, &room)?;
        fill(&mut subject, bans)?;
        Ok(Self(subject))
    }

    pub(crate) fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.0.descriptor()
    }

    pub(super) fn program(&self) -> Result<ProgramFd> {
        self.0.program_descriptor()
    }

    pub(super) fn counters(&self) -> Result<Counters> {
        self.0.counters()
    }
}

/// The parts, with the entries of the two blacklists and the places of [`SMALL`].
pub(super) fn small_parts() -> Result<Parts> {
    let prefixes = (0..NETWORKS).map(|number| scattered(!number));
    parts(ROOM, SMALL, banned(BANS), prefixes)
}

/// The parts, with the entries of the lists of known and of allowed, and the places of [`LARGE`].
pub(super) fn large_parts() -> Result<Parts> {
    let allowed = (0..ALLOWED).map(|number| Ipv4Addr::new(10, 0, number, 0));
    parts(ROOM_FOR_KNOWN, LARGE, (0..KNOWN).map(|number| scattered(number << 8)), allowed)
}

fn parts(
    entries: u32,
    places: u32,
    addresses: impl Iterator<Item = Ipv4Addr>,
    networks: impl Iterator<Item = Ipv4Addr>,
) -> Result<Parts> {
    let mut parts = Parts::load(Sizes { entries, places, lru: LARGE })?;
    let mut hash: HashMap<&mut MapData, Source, [u64; 3]> = parts.map("hash")?;
    addresses.map(source).try_for_each(|address| hash.insert(address, [0; 3], 0))?;
    let mut trie: LpmTrie<&mut MapData, Source, u64> = parts.map("trie")?;
    for network in networks {
        trie.insert(&prefix(network, 24)?, 1, 0)?;
    }
    let mut own: Array<&mut MapData, OwnBucket> = parts.map("own")?;
    (0..BUCKETS).try_for_each(|index| own.set(index, empty_bucket(index), 0))?;
    Ok(parts)
}

fn fill(subject: &mut Subject, count: u32) -> Result<()> {
    let forever = Ban { until: 0, hits: 0, reason: 0, step: 0 };
    let mut bans: HashMap<&mut MapData, Source, Ban> = subject.map("blacklist")?;
    banned(count).map(source).try_for_each(|address| bans.insert(address, forever, 0))?;
    bans.insert(source(Filter::BANNED_FOR_NOW), Ban { until: u64::MAX, ..forever }, 0)?;
    let mut networks: LpmTrie<&mut MapData, Source, Ban> = subject.map("blacklist_networks")?;
    for number in 0..NETWORKS {
        networks.insert(&prefix(scattered(!number), 24)?, forever, 0)?;
    }
    let mut known: HashMap<&mut MapData, Source, Known> = subject.map("known")?;
    for number in 0..KNOWN {
        known.insert(source(scattered(number << 8)), Known { until: u64::MAX, bucket: 0 }, 0)?;
    }
    let mut allowed: LpmTrie<&mut MapData, Source, u64> = subject.map("allowlist")?;
    for number in 0..ALLOWED {
        allowed.insert(&prefix(Ipv4Addr::new(10, 0, number, 0), 24)?, 1, 0)?;
    }
    let mut keys: Array<&mut MapData, StampKey> = subject.map("stamp_keys")?;
    for slot in 0..16 {
        keys.set(slot, StampKey::new(siphash::Key::from_bytes([slot as u8 + 1; 16])), 0)?;
    }
    Ok(())
}

/// A datagram of the right length for the sealed port; each number has another.
pub(crate) fn knock(from: Ipv4Addr, number: u8) -> Vec<u8> {
    let mut bytes = payload(256);
    bytes[20] = number;
    to(from, SEALED_PORT, &bytes)
}

/// A datagram of that length for the sealed port.
pub(super) fn datagram(from: Ipv4Addr, length: usize) -> Vec<u8> {
    to(from, SEALED_PORT, &payload(length))
}

/// A datagram of the right length for the stamped port, with the stamp of another.
pub(super) fn stamped(from: Ipv4Addr) -> Vec<u8> {
    to(from, STAMPED_PORT, &payload(264))
}

/// So many addresses that there is an endless ban of, [`Filter::BANNED`] among them.
pub(super) fn banned(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (1..count).map(scattered).chain([Filter::BANNED])
}

fn to(from: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let from = SocketAddr::new(from.into(), SOURCE_PORT);
    Frame::udp(from, SocketAddr::new(GATEWAY.of(true), port), payload).bytes()
}

fn source(address: Ipv4Addr) -> Source {
    Source::of(Address::from(IpAddr::V4(address)).halves())
}

fn prefix(address: Ipv4Addr, bits: u8) -> Result<Key<Source>> {
    ensure!(bits <= 32, "an IPv4 prefix has 32 bits at most");
    let network = Network::with_bits(IpAddr::V4(address).into(), 96 + bits);
    let key = NetworkKey::from(network);
    Ok(Key::new(key.prefix_len, Source { address: key.address }))
}

/// One of the addresses 1.0.0.0 to 126.255.255.255, no number like its neighbour.
fn scattered(number: u32) -> Ipv4Addr {
    let [first, rest @ ..] = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let [second, third, fourth] = rest;
    Ipv4Addr::new(first % 126 + 1, second, third, fourth)
}

/// One datagram in three hours.
const ONCE: Pace = Pace { interval_ns: 10_000_000_000_000, burst_ns: 10_000_000_000_000 };
/// As many as a nanosecond apart: a limit that is asked, and never reached.
const ALWAYS: Pace = Pace { interval_ns: 1, burst_ns: 1_000_000_000 };
pub(super) const STAMPED_PORT: u16 = 62202;
/// Places for sources, without and with much memory.
pub(crate) const SMALL: u32 = 1 << 16;
pub(super) const LARGE: u32 = 1 << 20;
/// As the daemon has them unless the operator says otherwise.
const ROOM: u32 = 65_536;
const ROOM_FOR_KNOWN: u32 = 16_384;
/// An eighth of the room, as after a bad week; and networks of a list from elsewhere.
pub(super) const BANS: u32 = 8192;
const NETWORKS: u32 = 1000;
const KNOWN: u32 = 1000;
const ALLOWED: u8 = 16;
