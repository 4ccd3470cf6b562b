//! The filter's host without a kernel: the same decision, compiled for this machine, over plain tables.
//! Never touches a map.

use std::cell::Cell;

use siglatch_common::address::{Address, Halves};
use siglatch_common::filter::{Arrival, Host, decide};
use siglatch_common::layout::{Candidate, PortRule};
use siglatch_common::outcome::Outcome;

use crate::bpf::Judged;

/// A host with a ring that is never full.
#[derive(Clone, Debug)]
pub struct TableHost {
    ports: Vec<PortRule>,
    own: Vec<Address>,
}

/// The host while it looks at one frame.
struct Looking<'a> {
    tables: &'a TableHost,
    frame: &'a [u8],
    ring: Cell<Option<Candidate>>,
}

impl TableHost {
    /// A host with these knock ports and addresses.
    #[must_use]
    pub fn new(ports: &[PortRule], own: &[Address]) -> Self {
        Self { ports: ports.to_vec(), own: own.to_vec() }
    }

    /// Decides about one frame. A record's arrival is zero: tables have no clock.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Judged {
        let host = Looking { tables: self, frame, ring: Cell::new(None) };
        let outcome = decide(&frame, &host);
        debug_assert_eq!(outcome == Outcome::Submitted, host.ring.get().is_some());
        Judged { outcome, candidate: host.ring.get() }
    }
}

impl Host for Looking<'_> {
    fn port(&self, port: u16) -> Option<PortRule> {
        self.tables.ports.iter().find(|rule| rule.port == port).copied()
    }

    fn is_own(&self, address: Halves) -> bool {
        self.tables.own.contains(&address.address())
    }

    fn submit(&self, arrival: &Arrival, rule: &PortRule) -> bool {
        let at = arrival.payload_at;
        let Some(payload) = self.frame.get(at..at + usize::from(rule.length)) else { return false };
        let mut room = [0; Candidate::ROOM];
        room[..payload.len()].copy_from_slice(payload);
        self.ring.set(Some(Candidate {
            arrival_ns: 0,
            source: arrival.source.address(),
            source_port: arrival.source_port,
            dest_port: arrival.dest_port,
            length: rule.length,
            wire: rule.wire,
            reserved: 0,
            datagram: room,
        }));
        true
    }
}
