//! The filter's host without a kernel: the same decision, compiled for this machine, over plain tables.
//! Never touches a map.

use std::cell::Cell;

use siglatch_common::address::{Address, Halves};
use siglatch_common::filter::{Arrival, Host, Word, decide};
use siglatch_common::lane::Lane;
use siglatch_common::layout::{Candidate, PortRule, StampKey};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::Key;
use siglatch_common::stamp::{SLOTS, Slot};
use siglatch_common::units::Boot;

use crate::bpf::Judged;

/// A host with a ring that is never full.
#[derive(Clone, Debug)]
pub struct TableHost {
    ports: Vec<PortRule>,
    own: Vec<Address>,
    stamp_keys: [StampKey; SLOTS],
}

/// The host while it looks at one frame.
struct Looking<'a> {
    tables: &'a TableHost,
    frame: &'a [u8],
    ring: Cell<Option<Candidate>>,
}

/// A number that is not kept: a table host has no limits, and no memory.
#[derive(Debug)]
pub struct Nowhere;

impl Word for Nowhere {
    fn read(&self) -> u64 {
        0
    }

    fn write(&self, _: u64) {}
}

impl TableHost {
    /// A host with these knock ports and addresses.
    #[must_use]
    pub fn new(ports: &[PortRule], own: &[Address]) -> Self {
        Self { ports: ports.to_vec(), own: own.to_vec(), stamp_keys: [StampKey::NONE; SLOTS] }
    }

    /// The host with these keys for stamps.
    #[must_use]
    pub fn with_stamp_keys(self, stamp_keys: [StampKey; SLOTS]) -> Self {
        Self { stamp_keys, ..self }
    }

    /// Decides about one frame. A record's arrival is zero: tables have no clock.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Judged {
        let host = Looking { tables: self, frame, ring: Cell::new(None) };
        let outcome = decide(&frame, &host);
        debug_assert_eq!(outcome.is_submitted(), host.ring.get().is_some());
        Judged { outcome, candidate: host.ring.get() }
    }
}

impl Host for Looking<'_> {
    type Word = Nowhere;

    fn port(&self, port: u16) -> Option<PortRule> {
        self.tables.ports.iter().find(|rule| rule.port == port).copied()
    }

    fn is_own(&self, address: Halves) -> bool {
        self.tables.own.contains(&address.address())
    }

    fn bans_hosts(&self) -> bool {
        false
    }

    fn is_allowed(&self, _: Halves) -> bool {
        false
    }

    fn is_banned(&self, _: Halves) -> bool {
        false
    }

    fn stamp_key(&self, slot: Slot) -> Option<Key> {
        self.tables.stamp_keys.get(usize::from(slot.number()))?.key()
    }

    fn spread(&self) -> Key {
        Key { k0: 0, k1: 0 }
    }

    fn now(&self) -> u64 {
        0
    }

    fn source_pace(&self) -> Pace {
        Pace::UNLIMITED
    }

    fn known(&self, _: Halves) -> Option<Nowhere> {
        None
    }

    fn bucket(&self, _: u64) -> Option<Nowhere> {
        None
    }

    fn copy(&self, _: u64) -> Option<Nowhere> {
        None
    }

    fn lane_pace(&self, _: Lane) -> Pace {
        Pace::UNLIMITED
    }

    fn lane(&self, _: Lane) -> Option<Nowhere> {
        None
    }

    fn submit(&self, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        let at = arrival.payload_at;
        let Some(payload) = self.frame.get(at..at + usize::from(rule.length)) else { return false };
        self.ring.set(arrival.candidate(payload, rule, lane, Boot::from_nanos(0)));
        true
    }
}
