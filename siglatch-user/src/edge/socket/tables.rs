//! What the filter goes by for datagrams of sockets: the maps of the XDP program, as tables of this process.
//! Never decides: the filter asks, and its answers are kept here.

use std::cell::Cell;
use std::collections::HashMap;

use siglatch_common::address::{Address, Halves};
use siglatch_common::ban::Ban;
use siglatch_common::filter::{Arrival, Host, Word};
use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::{Offender, PortRule, PortTable, StampKey, Tuning};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::{Key, siphash_1_3};
use siglatch_common::stamp::{SLOTS, Slot};
use siglatch_common::units::Boot;

use super::prefixes::Prefixes;
use crate::edge::lanes::Queues;
use crate::edge::xdp::Measures;

/// The tables. What strangers can change has its size from the beginning; the rest has a limit.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) ports: PortTable,
    pub(super) measures: Measures,
    pub(super) bans: HashMap<Address, Cell<Ban>>,
    pub(super) banned_networks: Prefixes<Cell<Ban>>,
    pub(super) allowed: Prefixes<()>,
    pub(super) known: HashMap<Address, Acquaintance>,
    pub(super) stamp_keys: [StampKey; SLOTS],
    pub(super) buckets: Box<[Cell<u64>]>,
    pub(super) copies: Box<[Cell<u64>]>,
    lanes: PerLane<Cell<u64>>,
    pub(super) offenders: Box<[Offender]>,
    counts: [u64; Outcome::ALL.len()],
}

/// An origin that authenticated lately.
#[derive(Debug)]
pub(super) struct Acquaintance {
    /// When the daemon forgets it.
    pub(super) until: u64,
    /// Its own token bucket.
    pub(super) bucket: Cell<u64>,
}

/// A datagram that a socket has delivered.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) source: Address,
    pub(super) source_port: u16,
    pub(super) port: u16,
    pub(super) payload: &'a [u8],
    pub(super) arrived: Boot,
}

/// The tables while they are asked about one datagram.
pub(super) struct Desk<'a> {
    pub(super) tables: &'a Tables,
    pub(super) queues: &'a Queues,
    pub(super) letter: Letter<'a>,
}

impl Tables {
    /// Empty ones.
    pub(super) fn new(ports: &[PortRule], measures: Measures) -> Self {
        let Tuning { bucket_mask, copy_mask, .. } = measures.tuning;
        let words = |mask: u32| (0..=mask).map(|_| Cell::new(0)).collect();
        Self {
            ports: PortTable::new(ports),
            measures,
            bans: HashMap::new(),
            banned_networks: Prefixes::default(),
            allowed: Prefixes::default(),
            known: HashMap::new(),
            stamp_keys: [StampKey::NONE; SLOTS],
            buckets: words(bucket_mask),
            copies: words(copy_mask),
            lanes: PerLane::default(),
            offenders: vec![Offender::default(); OFFENDERS].into(),
            counts: [0; Outcome::ALL.len()],
        }
    }

    /// Goes by others from now on.
    pub(super) fn set_rules(&mut self, ports: &[PortRule], measures: Measures) {
        let Tuning { spread, bucket_mask, copy_mask, .. } = self.measures.tuning;
        let tuning = Tuning { spread, bucket_mask, copy_mask, ..measures.tuning };
        self.ports = PortTable::new(ports);
        // How many bans and known origins there is room for is a limit here, and no size.
        self.measures = Measures { tuning, ..measures };
    }

    /// Counts an outcome, and notes one refused datagram of many.
    pub(super) fn count(&mut self, outcome: Outcome, source: Address) {
        let Some(count) = self.counts.get_mut(outcome as usize) else { return };
        *count += 1;
        if outcome.is_refused() && count.is_multiple_of(Offender::FRAMES_A_SAMPLE) {
            self.note(source, outcome);
        }
    }

    pub(super) fn counters(&self) -> Counters {
        Counters::from_fn(|outcome| self.counts.get(outcome as usize).copied().unwrap_or(0))
    }

    /// Whoever is refused most holds his place against the others who come to it (Boyer and Moore, "MJRTY: a fast
    /// majority vote algorithm").
    fn note(&mut self, source: Address, outcome: Outcome) {
        let Halves { first, last } = source.halves();
        let hash = siphash_1_3(self.measures.tuning.key(), first ^ outcome as u64, last);
        let Some(place) = self.offenders.get_mut(hash as usize % OFFENDERS) else { return };
        let (address, outcome) = (source.octets, outcome as u32);
        if place.samples == 0 {
            *place = Offender { address, outcome, samples: 1 };
        } else if (place.address, place.outcome) == (address, outcome) {
            place.samples = place.samples.saturating_add(1);
        } else {
            place.samples -= 1;
        }
    }
}

impl<'a> Host for Desk<'a> {
    type Word = Place<'a>;

    fn port(&self, port: u16) -> Option<PortRule> {
        self.tables.ports.rule(port)
    }

    /// The stack delivers only what is for this host, and takes nothing from outside that says to come from it.
    fn is_own(&self, _: Halves) -> bool {
        false
    }

    /// Nothing but knocks comes here.
    fn bans_hosts(&self) -> bool {
        false
    }

    fn is_allowed(&self, source: Halves) -> bool {
        self.tables.allowed.around(source.address()).next().is_some()
    }

    fn is_banned(&self, source: Halves) -> bool {
        let address = source.address();
        let exact = self.tables.bans.get(&address);
        exact.into_iter().chain(self.tables.banned_networks.around(address)).any(|ban| {
            let standing = ban.get();
            let holds = standing.holds(self.now());
            if holds {
                ban.set(Ban { hits: standing.hits.saturating_add(1), ..standing });
            }
            holds
        })
    }

    fn stamp_key(&self, slot: Slot) -> Option<Key> {
        self.tables.stamp_keys.get(usize::from(slot.number()))?.key()
    }

    fn spread(&self) -> Key {
        self.tables.measures.tuning.key()
    }

    fn now(&self) -> u64 {
        self.letter.arrived.as_nanos()
    }

    fn source_pace(&self) -> Pace {
        self.tables.measures.tuning.source
    }

    fn known(&self, origin: Halves) -> Option<Place<'a>> {
        self.tables.known.get(&origin.address()).map(|known| Place(&known.bucket))
    }

    fn bucket(&self, hash: u64) -> Option<Place<'a>> {
        self.tables.buckets.get((hash as u32 & self.tables.measures.tuning.bucket_mask) as usize).map(Place)
    }

    fn copy(&self, hash: u64) -> Option<Place<'a>> {
        let mask = self.tables.measures.tuning.copy_mask;
        // A table of one place is none.
        if mask == 0 {
            return None;
        }
        self.tables.copies.get((hash as u32 & mask) as usize).map(Place)
    }

    fn lane_pace(&self, lane: Lane) -> Pace {
        let [stamped, known, unknown] = self.tables.measures.tuning.lanes;
        *PerLane { stamped, known, unknown }.of(lane)
    }

    fn lane(&self, lane: Lane) -> Option<Place<'a>> {
        Some(Place(self.tables.lanes.of(lane)))
    }

    fn submit(&self, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        let Letter { payload, arrived, .. } = self.letter;
        arrival.candidate(payload, rule, lane, arrived).is_some_and(|candidate| self.queues.put(lane, candidate))
    }
}

/// A number in a table. Whoever has one has the tables to himself.
pub(super) struct Place<'a>(&'a Cell<u64>);

impl Word for Place<'_> {
    fn read(&self) -> u64 {
        self.0.get()
    }

    fn write(&self, value: u64) {
        self.0.set(value);
    }
}

/// Places for offenders; as many as the XDP program has.
const OFFENDERS: usize = 1024;
