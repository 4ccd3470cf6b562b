//! Every byte shared with the kernel through a BPF map. Never says what the bytes are used for.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::address::{Address, Halves, Network};
use crate::ban::Ban;
use crate::lane::Lane;
use crate::outcome::Counters;
use crate::own_addresses::SPREAD;
use crate::pace::Pace;
use crate::siphash::Key;
use crate::wire::Wire;

/// Asserts size, alignment and every field offset of a map type, at compile time.
macro_rules! layout {
    ($ty:ty, size $size:literal, align $align:literal $(, { $($field:ident @ $off:literal),+ $(,)? })?) => {
        const _: () = {
            assert!(size_of::<$ty>() == $size);
            assert!(align_of::<$ty>() == $align);
            $($(assert!(core::mem::offset_of!($ty, $field) == $off);)+)?
        };
        #[cfg(feature = "user")]
        #[expect(unsafe_code, reason = "the one place where a map type is declared plain bytes")]
        // SAFETY: `FromBytes + IntoBytes` are derived on the type, so it has no padding and every bit pattern
        // is a valid value.
        unsafe impl aya::Pod for $ty {}
    };
}

layout!(Address, size 16, align 8, { octets @ 0 });
layout!(Counters, size 168, align 8);
layout!(Ban, size 24, align 8, { until @ 0, hits @ 8, reason @ 16, step @ 20 });
layout!(Pace, size 16, align 8, { interval_ns @ 0, burst_ns @ 8 });

/// What the bytes of all maps mean: the one value of the map `layout`. Maps pinned by an earlier daemon with another number
/// are made anew; the rings among them only if [`LayoutVersion::records`] differs, for knocks wait there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LayoutVersion {
    /// Offset 0, 4 bytes, native byte order.
    pub version: u32,
}
layout!(LayoutVersion, size 4, align 4, { version @ 0 });

impl LayoutVersion {
    /// That of this program.
    pub const OURS: Self = Self::new(0, 2);

    /// `records` is raised whenever a field of [`Candidate`] changes its meaning or place; `maps` whenever one of another map type
    /// does, or an outcome is added or moved.
    #[must_use]
    pub const fn new(records: u16, maps: u16) -> Self {
        let ([r0, r1], [m0, m1]) = (records.to_be_bytes(), maps.to_be_bytes());
        Self { version: u32::from_be_bytes([r0, r1, m0, m1]) }
    }

    /// The meaning of what stands in the rings.
    #[must_use]
    pub const fn records(self) -> u16 {
        let [r0, r1, ..] = self.version.to_be_bytes();
        u16::from_be_bytes([r0, r1])
    }

    /// Whether a later program has written it.
    #[must_use]
    pub const fn is_later_than_ours(self) -> bool {
        let [_, _, m0, m1] = self.version.to_be_bytes();
        let [_, _, o0, o1] = Self::OURS.version.to_be_bytes();
        self.records() > Self::OURS.records() || u16::from_be_bytes([m0, m1]) > u16::from_be_bytes([o0, o1])
    }
}

/// What a knock port accepts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct PortRule {
    /// Offset 0, 2 bytes, native byte order: the UDP destination port.
    pub port: u16,
    /// Offset 2, 2 bytes, native byte order: the only UDP payload length accepted, in bytes.
    pub length: u16,
    /// Offset 4, 1 byte: [`Wire::number`].
    pub wire: u8,
    /// Offset 5, 3 bytes, zero.
    pub reserved: [u8; 3],
}
layout!(PortRule, size 8, align 2, { port @ 0, length @ 2, wire @ 4, reserved @ 5 });

/// The knock ports, each at a place that its number alone says: what other ports cost does not depend on how many there
/// are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct PortTable {
    /// Offset 0, 4 bytes, native byte order: spreads ports over places so that no two of these share one.
    pub factor: u32,
    /// Offset 4, 4 bytes, zero.
    pub reserved: u32,
    /// Offset 8, 64 × 8 bytes; where no port is, zeros.
    pub rules: [PortRule; Self::PLACES],
}
layout!(PortTable, size 520, align 4, { factor @ 0, reserved @ 4, rules @ 8 });

impl PortTable {
    /// The number of knock ports that a host can have.
    pub const CAPACITY: usize = 16;

    /// Four for each port: one factor in seven spreads sixteen ports.
    const PLACES: usize = 64;

    /// No knock port.
    pub const EMPTY: Self = Self {
        factor: 1,
        reserved: 0,
        rules: [PortRule { port: 0, length: 0, wire: 0, reserved: [0; 3] }; Self::PLACES],
    };

    /// The table of these rules; those beyond the capacity are left out, and so is port 0.
    #[must_use]
    pub fn new(rules: &[PortRule]) -> Self {
        let rules = rules.get(..Self::CAPACITY).unwrap_or(rules);
        // Odd numbers: an even one would forget a bit of the port.
        let factors = (0..FACTORS).map(|number: u32| number.wrapping_mul(SPREAD as u32 & !1) | 1);
        let mut table = Self::EMPTY;
        for factor in factors {
            table = Self { factor, ..Self::EMPTY };
            if rules.iter().all(|rule| table.put(*rule)) {
                break;
            }
        }
        table
    }

    /// The rule of a port; nothing for ports that are none of ours.
    #[inline(always)]
    #[must_use]
    pub fn rule(&self, port: u16) -> Option<PortRule> {
        let rule = self.rules.get(self.place(port))?;
        // A place without a port holds zeros, and port 0 is asked about as well.
        (rule.port == port && rule.length != 0).then_some(*rule)
    }

    #[inline(always)]
    const fn place(&self, port: u16) -> usize {
        (u32::from_be_bytes([0, 0, port.to_be_bytes()[0], port.to_be_bytes()[1]]).wrapping_mul(self.factor) >> SHIFT)
            as usize
    }

    /// Whether its place was free, or its own.
    fn put(&mut self, rule: PortRule) -> bool {
        let place = self.place(rule.port);
        match self.rules.get_mut(place) {
            Some(free) if free.length == 0 || free.port == rule.port => {
                *free = rule;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// What is left of a product of 32 bits: as many bits as count the places.
const SHIFT: u32 = u32::BITS - PortTable::PLACES.trailing_zeros();

/// Factors that are tried. Each spreads sixteen ports with one chance in seven.
const FACTORS: u32 = 4096;

impl PortRule {
    /// The rule of one port.
    #[must_use]
    pub const fn new(port: u16, wire: Wire) -> Self {
        Self { port, length: wire.datagram_len(), wire: wire.number(), reserved: [0; 3] }
    }
}

/// One bucket of the map `own_addresses`; see [`crate::own_addresses`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct OwnBucket {
    /// Offset 0, 4 × 16 bytes.
    pub addresses: [Address; 4],
}
layout!(OwnBucket, size 64, align 8, { addresses @ 0 });

/// Limits and keys that the filter goes by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Tuning {
    /// Offset 0, 16 bytes, native byte order: a random key, so that nobody outside knows who shares a place in
    /// `buckets`, `copies` and `offenders` with whom.
    pub spread: [u64; 2],
    /// Offset 16, 16 bytes: what one source may send; [`Halves::origin`] says what one source is.
    pub source: Pace,
    /// Offset 32, 3 × 16 bytes: what each lane takes, in the order of [`Lane::ALL`].
    pub lanes: [Pace; 3],
    /// Offset 80, 4 bytes, native byte order: places in `buckets`, a power of two, less one.
    pub bucket_mask: u32,
    /// Offset 84, 4 bytes, native byte order: places in `copies`, a power of two, less one; 0 for no detection of copies.
    pub copy_mask: u32,
    /// Offset 88, 4 bytes, native byte order: 1 if a ban is for every frame of a source, 0 if for knocks only.
    pub bans_hosts: u32,
    /// Offset 92, 4 bytes, native byte order: which frames are told one by one; 0 for none,
    /// [`Tuning::DIAGNOSE_DROPS`], [`Tuning::DIAGNOSE_ALL`].
    pub diagnostics: u32,
}
layout!(Tuning, size 96, align 8, {
    spread @ 0, source @ 16, lanes @ 32, bucket_mask @ 80, copy_mask @ 84, bans_hosts @ 88, diagnostics @ 92,
});

/// What the filter goes by and what can change while it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Rules {
    /// Offset 0, 96 bytes.
    pub tuning: Tuning,
    /// Offset 96, 520 bytes.
    pub ports: PortTable,
}
layout!(Rules, size 616, align 8, { tuning @ 0, ports @ 96 });

/// The rules twice, of which one counts, so that the other can be written meanwhile: the global `RULES` of the XDP program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct RulePair {
    /// Offset 0, 4 bytes, native byte order: which of the two counts, by its lowest bit.
    pub counts: u32,
    /// Offset 4, 4 bytes, zero.
    pub reserved: u32,
    /// Offset 8, 2 × 616 bytes.
    pub rules: [Rules; 2],
}
layout!(RulePair, size 1240, align 8, { counts @ 0, reserved @ 4, rules @ 8 });

/// An address as the key of the maps `blacklist` and `known`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(8))]
pub struct Source {
    /// Offset 0, 16 bytes, network byte order; IPv4 as `::ffff:a.b.c.d`. In `known` an IPv6 address stands for its
    /// /64, with zeros behind.
    pub address: [u8; 16],
}
layout!(Source, size 16, align 8, { address @ 0 });

/// A network as the key of the maps `blacklist_networks` and `allowlist`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct NetworkKey {
    /// Offset 0, 4 bytes, native byte order: leading bits that count; an IPv4 `/24` is 120.
    pub prefix_len: u32,
    /// Offset 4, 16 bytes, network byte order.
    pub address: [u8; 16],
}
layout!(NetworkKey, size 20, align 4, { prefix_len @ 0, address @ 4 });

/// A source that authenticated lately: a value of the map `known`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Known {
    /// Offset 0, 8 bytes, native byte order: `CLOCK_BOOTTIME` nanoseconds at which the daemon forgets it.
    pub until: u64,
    /// Offset 8, 8 bytes, native byte order: its own token bucket, which it shares with nobody; see [`Pace`].
    pub bucket: u64,
}
layout!(Known, size 16, align 8, { until @ 0, bucket @ 8 });

/// One loaded key of the stamped wire: a value of the map `stamp_keys`, at the index [`crate::stamp::Slot::number`].
#[derive(Clone, Copy, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct StampKey {
    /// Offset 0, 8 bytes, native byte order.
    pub k0: u64,
    /// Offset 8, 8 bytes, native byte order.
    pub k1: u64,
    /// Offset 16, 8 bytes, native byte order: 1 if there is a key here, 0 if no stamp of this slot is valid.
    pub set: u64,
}
layout!(StampKey, size 24, align 8, { k0 @ 0, k1 @ 8, set @ 16 });

/// What has gone through a lane: a value of the map `lanes`, in a cache line of its own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LaneMeter {
    /// Offset 0, 8 bytes, native byte order: its token bucket, see [`Pace`].
    pub bucket: u64,
    /// Offset 8, 56 bytes, zero.
    pub reserved: [u64; 7],
}
layout!(LaneMeter, size 64, align 8, { bucket @ 0, reserved @ 8 });

/// Somebody much of whose traffic is refused: a value of the map `offenders`, of samples.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Offender {
    /// Offset 0, 16 bytes, network byte order.
    pub address: [u8; 16],
    /// Offset 16, 4 bytes, native byte order: the number of the outcome.
    pub outcome: u32,
    /// Offset 20, 4 bytes, native byte order: samples, each of which stands for [`Offender::FRAMES_A_SAMPLE`] frames,
    /// less those of others who came to this place.
    pub samples: u32,
}
layout!(Offender, size 24, align 4, { address @ 0, outcome @ 16, samples @ 20 });

/// A datagram worth judging, as it travels through the ring of its lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Candidate {
    /// Offset 0, 8 bytes, native byte order: arrival, `CLOCK_BOOTTIME` nanoseconds.
    pub arrival_ns: u64,
    /// Offset 8, 16 bytes.
    pub source: Address,
    /// Offset 24, 2 bytes, native byte order.
    pub source_port: u16,
    /// Offset 26, 2 bytes, native byte order.
    pub dest_port: u16,
    /// Offset 28, 2 bytes, native byte order: bytes used in `datagram`.
    pub length: u16,
    /// Offset 30, 1 byte: [`Wire::number`] of the port.
    pub wire: u8,
    /// Offset 31, 1 byte: the number of the lane in [`Lane::ALL`].
    pub lane: u8,
    /// Offset 32, 264 bytes: the UDP payload; what follows its `length` bytes means nothing.
    pub datagram: [u8; Candidate::ROOM],
}
layout!(Candidate, size 296, align 8, {
    arrival_ns @ 0, source @ 8, source_port @ 24, dest_port @ 26, length @ 28, wire @ 30, lane @ 31, datagram @ 32,
});

impl Candidate {
    /// The longest datagram of any wire, in bytes: a stamp and a sealed packet.
    pub const ROOM: usize = 264;

    const _ROOM_FOR_EVERY_WIRE: () = {
        assert!(Wire::Sealed.datagram_len() as usize <= Self::ROOM);
        assert!(Wire::Stamped.datagram_len() as usize <= Self::ROOM);
        assert!(Wire::Clear.datagram_len() as usize <= Self::ROOM);
    };

    /// The UDP payload, or nothing if `length` is not a length that fits.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.datagram.get(..usize::from(self.length))
    }
}

impl Source {
    /// The key of an address.
    #[inline(always)]
    #[must_use]
    pub const fn of(halves: Halves) -> Self {
        Self { address: halves.address().octets }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Address {
        Address::v6(self.address)
    }
}

impl NetworkKey {
    /// The network; nothing if more than 128 bits count.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        let bits = u8::try_from(self.prefix_len).ok().filter(|bits| *bits <= 128)?;
        Some(Network::with_bits(Address::v6(self.address), bits))
    }
}

impl From<Network> for NetworkKey {
    fn from(network: Network) -> Self {
        Self { prefix_len: u32::from(network.bits()), address: network.address().octets }
    }
}

impl StampKey {
    /// No key: no stamp of the slot is valid.
    pub const NONE: Self = Self { k0: 0, k1: 0, set: 0 };

    /// A key that is set.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { k0: key.k0, k1: key.k1, set: 1 }
    }

    /// The key, if it is set.
    #[inline(always)]
    #[must_use]
    pub const fn key(&self) -> Option<Key> {
        if self.set == 0 { None } else { Some(Key { k0: self.k0, k1: self.k1 }) }
    }
}

impl Offender {
    /// So many refused frames of an outcome, on each CPU, are one sample.
    pub const FRAMES_A_SAMPLE: u64 = 64;

    /// Whether the frame with that number is a sample. Not each 64th: traffic comes in periods, too.
    #[inline(always)]
    #[must_use]
    pub const fn is_sample(number: u64) -> bool {
        number.wrapping_mul(SPREAD) < u64::MAX / Self::FRAMES_A_SAMPLE
    }
}

impl Rules {
    /// No port and no limit.
    pub const NONE: Self = Self { tuning: Tuning::NONE, ports: PortTable::EMPTY };

    /// The rules of these ports under these limits.
    #[must_use]
    pub fn new(ports: &[PortRule], tuning: &Tuning) -> Self {
        Self { tuning: *tuning, ports: PortTable::new(ports) }
    }
}

impl RulePair {
    /// Both the same.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self { counts: 0, reserved: 0, rules: [rules; 2] }
    }

    /// The rules that count.
    #[must_use]
    pub const fn counting(&self) -> &Rules {
        let [even, odd] = &self.rules;
        if self.counts & 1 == 0 { even } else { odd }
    }

    /// The rules that do not count, to be written.
    pub const fn idle(&mut self) -> &mut Rules {
        let [even, odd] = &mut self.rules;
        if self.counts & 1 == 0 { odd } else { even }
    }
}

impl Tuning {
    /// No limits, and a key that everybody knows.
    pub const NONE: Self = Self {
        spread: [0; 2],
        source: Pace::UNLIMITED,
        lanes: [Pace::UNLIMITED; 3],
        bucket_mask: 0,
        copy_mask: 0,
        bans_hosts: 0,
        diagnostics: 0,
    };

    /// Frames that the network stack does not see are told.
    pub const DIAGNOSE_DROPS: u32 = 1;

    /// All frames are told.
    pub const DIAGNOSE_ALL: u32 = 2;

    /// The key that spreads sources over places.
    #[inline(always)]
    #[must_use]
    pub const fn key(&self) -> Key {
        Key { k0: self.spread[0], k1: self.spread[1] }
    }
}

impl Candidate {
    /// The lane that it came through.
    #[must_use]
    pub fn lane(&self) -> Option<Lane> {
        Lane::ALL.get(usize::from(self.lane)).copied()
    }
}

impl core::fmt::Debug for StampKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.set == 0 { "StampKey(none)" } else { "StampKey(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_ports_find_places_of_their_own_whatever_they_are() {
        let mut seed = 1_u64;
        for round in 0..20_000_u32 {
            let mut rules = [PortRule::default(); PortTable::CAPACITY];
            for (number, rule) in (0..).zip(&mut rules) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let port = match round % 4 {
                    0 => (seed >> 33) as u16,
                    1 => (round as u16).wrapping_add(number),
                    2 => (round as u16).wrapping_add(number.wrapping_mul(64)),
                    _ => (round as u16).wrapping_add(number.wrapping_mul(4096)),
                };
                *rule = PortRule::new(port, Wire::Sealed);
            }
            let table = PortTable::new(&rules);
            for rule in &rules {
                assert_eq!(table.rule(rule.port), Some(*rule), "{rules:?}");
            }
        }
    }

    #[test]
    fn no_other_port_has_a_rule() {
        let rules = [1, 80, 62_201, 65_535].map(|port| PortRule::new(port, Wire::Clear));
        let table = PortTable::new(&rules);
        for port in 0..=u16::MAX {
            assert_eq!(table.rule(port), rules.iter().find(|rule| rule.port == port).copied());
            assert_eq!(PortTable::EMPTY.rule(port), None);
        }
    }

    #[test]
    fn rules_are_written_beside_those_that_count() {
        let mut pair = RulePair::new(Rules::NONE);
        let rules = Rules::new(&[PortRule::new(7, Wire::Clear)], &Tuning::NONE);
        for _ in 0..3 {
            let counting = *pair.counting();
            *pair.idle() = rules;
            assert_eq!(*pair.counting(), counting);
            pair.counts ^= 1;
            assert_eq!(*pair.counting(), rules);
            *pair.idle() = Rules::NONE;
            pair.counts ^= 1;
        }
    }
}
