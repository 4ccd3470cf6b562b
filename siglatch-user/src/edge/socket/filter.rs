//! The filter of the socket ingress: its tables, shared by all sockets and by whoever keeps the lists. Never waits but for
//! another of them.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::filter::{self, Arrival};
use siglatch_common::layout::{Known, Offender, PortRule, StampKey};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::stamp::SLOTS;

use super::tables::{Acquaintance, Desk, Letter, Tables};
use crate::edge::lanes::Queues;
use crate::edge::lists::{ListError, Lists, Size};
use crate::edge::xdp::Measures;

/// The filter. Clones share it.
#[derive(Clone, Debug)]
pub struct Filter {
    tables: Arc<Mutex<Tables>>,
    queues: Arc<Queues>,
}

impl Filter {
    /// A filter that knows nobody, and hands candidates to these queues.
    #[must_use]
    pub fn new(ports: &[PortRule], measures: Measures, queues: Arc<Queues>) -> Self {
        Self { tables: Arc::new(Mutex::new(Tables::new(ports, measures))), queues }
    }

    /// Lets other ports and limits count, between two datagrams. The sizes of tables, and the key that spreads sources over
    /// them, stay as they are.
    pub fn set_rules(&self, ports: &[PortRule], measures: Measures) {
        self.tables().set_rules(ports, measures);
    }

    /// Decides about a datagram, hands it on if it is a candidate, and counts.
    pub(super) fn judge(&self, letter: Letter<'_>) -> Outcome {
        let mut tables = self.tables();
        let length = u16::try_from(letter.payload.len()).unwrap_or(u16::MAX);
        let outcome = match tables.ports.rule(letter.port) {
            // Its socket is about to be closed.
            None => Outcome::OtherPort,
            Some(rule) => filter::form(false, length, &rule).unwrap_or_else(|| {
                let arrival = Arrival {
                    source: letter.source.halves(),
                    source_port: letter.source_port,
                    dest_port: rule.port,
                    payload_at: 0,
                };
                let desk = Desk { tables: &tables, queues: &self.queues, letter };
                filter::judge(&arrival, &rule, &letter.payload, &desk)
            }),
        };
        tables.count(outcome, letter.source);
        outcome
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Whoever panicked, each table is whole between any two calls.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists for Filter {
    fn bans(&self) -> Result<Vec<(Network, Ban)>, ListError> {
        let tables = self.tables();
        let exact = tables.bans.iter().map(|(address, ban)| (Network::of(*address), ban.get()));
        let networks = tables.banned_networks.iter().map(|(network, ban)| (*network, ban.get()));
        Ok(exact.chain(networks).collect())
    }

    fn set_ban(&mut self, network: Network, ban: Ban) -> Result<(), ListError> {
        let mut tables = self.tables();
        let capacity = tables.measures.bans as usize;
        match network.as_single() {
            Some(address) => {
                let is_new = !tables.bans.contains_key(&address);
                room(BLACKLIST, is_new, tables.bans.len(), capacity)?;
                tables.bans.insert(address, Cell::new(ban));
            }
            None => {
                let is_new = tables.banned_networks.get(&network).is_none();
                room(NETWORKS, is_new, tables.banned_networks.len(), capacity)?;
                tables.banned_networks.insert(network, Cell::new(ban));
            }
        }
        Ok(())
    }

    fn lift_ban(&mut self, network: Network) -> Result<(), ListError> {
        let mut tables = self.tables();
        match network.as_single() {
            Some(address) => drop(tables.bans.remove(&address)),
            None => tables.banned_networks.remove(&network),
        }
        Ok(())
    }

    fn known(&self) -> Result<Vec<(Address, Known)>, ListError> {
        let tables = self.tables();
        let known = tables
            .known
            .iter()
            .map(|(origin, Acquaintance { until, bucket })| (*origin, Known { until: *until, bucket: bucket.get() }));
        Ok(known.collect())
    }

    fn set_known(&mut self, origin: Address, until: u64) -> Result<(), ListError> {
        let mut tables = self.tables();
        let is_new = !tables.known.contains_key(&origin);
        room(KNOWN, is_new, tables.known.len(), tables.measures.known as usize)?;
        let known = tables.known.entry(origin);
        known.or_insert_with(|| Acquaintance { until, bucket: Cell::new(0) }).until = until;
        Ok(())
    }

    fn forget_known(&mut self, origin: Address) -> Result<(), ListError> {
        self.tables().known.remove(&origin);
        Ok(())
    }

    fn set_allowed(&mut self, networks: &[Network]) -> Result<(), ListError> {
        room(ALLOWLIST, true, networks.len().saturating_sub(1), ALLOWED)?;
        self.tables().allowed = networks.iter().map(|network| (*network, ())).collect();
        Ok(())
    }

    fn set_stamp_keys(&mut self, keys: &[StampKey; SLOTS]) -> Result<(), ListError> {
        self.tables().stamp_keys = *keys;
        Ok(())
    }

    fn offenders(&self) -> Result<Vec<Offender>, ListError> {
        Ok(self.tables().offenders.to_vec())
    }

    fn counters(&self) -> Result<Counters, ListError> {
        Ok(self.tables().counters())
    }

    fn number(&self) -> Result<u64, ListError> {
        Ok(0)
    }

    fn sizes(&self) -> Result<Vec<Size>, ListError> {
        let tables = self.tables();
        let Measures { bans, known, .. } = tables.measures;
        let words = |list, words: &[Cell<u64>]| (list, words.len(), size_of_val(words));
        let sizes = [
            (ALLOWLIST, ALLOWED, tables.allowed.bytes()),
            (BLACKLIST, bans as usize, tables.bans.capacity() * size_of::<(Address, Cell<Ban>)>()),
            (NETWORKS, bans as usize, tables.banned_networks.bytes()),
            (KNOWN, known as usize, tables.known.capacity() * size_of::<(Address, Acquaintance)>()),
            ("stamp_keys", SLOTS, size_of_val(&tables.stamp_keys)),
            words("buckets", &tables.buckets),
            words("copies", &tables.copies),
            ("offenders", tables.offenders.len(), size_of_val(&*tables.offenders)),
        ];
        let size = |(list, room, bytes)| Size { list, room: room as u64, bytes: bytes as u64 };
        Ok(sizes.into_iter().map(size).collect())
    }
}

/// Whether there is room for what may be new.
fn room(list: &'static str, is_new: bool, len: usize, capacity: usize) -> Result<(), ListError> {
    if is_new && len >= capacity {
        return Err(ListError { list, source: io::Error::from_raw_os_error(libc::ENOSPC) });
    }
    Ok(())
}

const ALLOWLIST: &str = "allowlist";
const BLACKLIST: &str = "blacklist";
const NETWORKS: &str = "blacklist_networks";
const KNOWN: &str = "known";

/// Networks on the allow list; as many as the XDP program has room for.
const ALLOWED: usize = 1024;
