//! Lists for a daemon that only tells what it would have done: what it sets is kept here, and nobody is stopped by it.
//! Never changes who gets through the filter.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::layout::{Known, Offender, StampKey};
use siglatch_common::outcome::Counters;
use siglatch_common::stamp::SLOTS;

use super::{ListError, Lists, Size};

/// Lists in front of others, which stay as they are. What is read is what would stand there:
///
/// * bans and known origins: those below, with the changes since then, which end with the process. So strikes and floods
///   are judged for real; but frames of the banned go on coming, and the known go on in the lane they were in;
/// * offenders, counters, sizes: those below;
/// * the allow list: whatever is below. Nothing reads it back, and the daemon itself goes by its configuration;
/// * stamp keys are passed on, the one change that is made: without them no stamped knock could be judged. They follow
///   from gate keys and time alone, so that another daemon of that configuration has the same;
/// * the number is 0: whoever reads later what was kept must not miss these bans in the lists below.
pub struct Dry {
    below: Box<dyn Lists>,
    bans: Overlay<Network, Ban>,
    known: Overlay<Address, u64>,
}

/// Changes to a list that are not made.
#[derive(Debug)]
struct Overlay<K, V> {
    set: BTreeMap<K, V>,
    below: RefCell<Below<K>>,
}

/// The list below, as it was read last.
#[derive(Debug)]
struct Below<K> {
    there: BTreeSet<K>,
    /// Those of it that would have been taken out.
    hidden: BTreeSet<K>,
}

impl Dry {
    /// Puts itself in front of other lists.
    #[must_use]
    pub fn new(below: Box<dyn Lists>) -> Self {
        Self { below, bans: Overlay::new(), known: Overlay::new() }
    }
}

impl Lists for Dry {
    fn bans(&self) -> Result<Vec<(Network, Ban)>, ListError> {
        Ok(self.bans.over(self.below.bans()?, |set, _| *set))
    }

    fn set_ban(&mut self, network: Network, ban: Ban) -> Result<(), ListError> {
        self.bans.set(network, ban);
        Ok(())
    }

    fn lift_ban(&mut self, network: Network) -> Result<(), ListError> {
        self.bans.remove(&network);
        Ok(())
    }

    fn known(&self) -> Result<Vec<(Address, Known)>, ListError> {
        let with_bucket =
            |until: &u64, below: Option<&Known>| Known { until: *until, bucket: below.map_or(0, |known| known.bucket) };
        Ok(self.known.over(self.below.known()?, with_bucket))
    }

    fn set_known(&mut self, origin: Address, until: u64) -> Result<(), ListError> {
        self.known.set(origin, until);
        Ok(())
    }

    fn forget_known(&mut self, origin: Address) -> Result<(), ListError> {
        self.known.remove(&origin);
        Ok(())
    }

    fn set_allowed(&mut self, _: &[Network]) -> Result<(), ListError> {
        Ok(())
    }

    fn set_stamp_keys(&mut self, keys: &[StampKey; SLOTS]) -> Result<(), ListError> {
        self.below.set_stamp_keys(keys)
    }

    fn offenders(&self) -> Result<Vec<Offender>, ListError> {
        self.below.offenders()
    }

    fn counters(&self) -> Result<Counters, ListError> {
        self.below.counters()
    }

    fn number(&self) -> Result<u64, ListError> {
        Ok(0)
    }

    fn sizes(&self) -> Result<Vec<Size>, ListError> {
        self.below.sizes()
    }
}

impl<K: Copy + Ord, V> Overlay<K, V> {
    const fn new() -> Self {
        let below = RefCell::new(Below { there: BTreeSet::new(), hidden: BTreeSet::new() });
        Self { set: BTreeMap::new(), below }
    }

    fn set(&mut self, key: K, value: V) {
        self.set.insert(key, value);
    }

    /// Hides what is below. Only that: what strangers can bring about must not pile up here.
    fn remove(&mut self, key: &K) {
        self.set.remove(key);
        let Below { there, hidden } = self.below.get_mut();
        if there.contains(key) {
            hidden.insert(*key);
        }
    }

    /// The list below, with the changes.
    fn over<T>(&self, below: Vec<(K, T)>, merge: impl Fn(&V, Option<&T>) -> T) -> Vec<(K, T)> {
        let mut last = self.below.borrow_mut();
        last.there = below.iter().map(|(key, _)| *key).collect();
        let Below { there, hidden } = &mut *last;
        // What somebody has taken out by hand and puts in again is new.
        hidden.retain(|key| there.contains(key));
        let mut all: BTreeMap<K, T> = below.into_iter().filter(|(key, _)| !hidden.contains(key)).collect();
        for (key, value) in &self.set {
            let merged = merge(value, all.get(key));
            all.insert(*key, merged);
        }
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use siglatch_common::ban::Reason;
    use siglatch_common::lane::PerLane;
    use siglatch_common::layout::Tuning;

    use super::*;
    use crate::edge::lanes::Queues;
    use crate::edge::socket::Filter;
    use crate::edge::xdp::Measures;

    #[test]
    fn what_is_set_and_lifted_shows_here_and_not_below() {
        let (mut below, mut dry) = lists();
        below.set_ban(network("192.0.2.1"), ban(1)).unwrap();
        below.set_ban(network("198.51.100.0/24"), ban(2)).unwrap();
        below.set_known(address("192.0.2.5"), 5).unwrap();
        let before = (sorted(below.bans()), below.known().unwrap());
        assert_eq!(sorted(dry.bans()), before.0);

        dry.set_ban(network("192.0.2.1"), ban(7)).unwrap();
        dry.set_ban(network("2001:db8::/32"), ban(8)).unwrap();
        dry.lift_ban(network("198.51.100.0/24")).unwrap();
        dry.lift_ban(network("203.0.113.9")).unwrap();
        assert_eq!(sorted(dry.bans()), [(network("192.0.2.1"), ban(7)), (network("2001:db8::/32"), ban(8))]);
        dry.lift_ban(network("192.0.2.1")).unwrap();
        dry.set_ban(network("198.51.100.0/24"), ban(9)).unwrap();
        assert_eq!(sorted(dry.bans()), [(network("198.51.100.0/24"), ban(9)), (network("2001:db8::/32"), ban(8))]);

        assert_eq!(dry.known().unwrap().len(), 1);
        dry.set_known(address("192.0.2.6"), 6).unwrap();
        dry.set_known(address("192.0.2.5"), 50).unwrap();
        let until: Vec<_> = dry.known().unwrap().into_iter().map(|(origin, known)| (origin, known.until)).collect();
        assert_eq!(until, [(address("192.0.2.5"), 50), (address("192.0.2.6"), 6)]);
        dry.forget_known(address("192.0.2.5")).unwrap();
        assert_eq!(dry.known().unwrap().len(), 1);

        assert_eq!((sorted(below.bans()), below.known().unwrap()), before);
    }

    #[test]
    fn what_operators_change_below_shows_here() {
        let (mut below, mut dry) = lists();
        below.set_ban(network("192.0.2.1"), ban(1)).unwrap();
        dry.bans().unwrap();
        dry.lift_ban(network("192.0.2.1")).unwrap();
        assert_eq!(sorted(dry.bans()), []);
        below.lift_ban(network("192.0.2.1")).unwrap();
        assert_eq!(sorted(dry.bans()), []);
        below.set_ban(network("192.0.2.1"), ban(2)).unwrap();
        assert_eq!(sorted(dry.bans()), [(network("192.0.2.1"), ban(2))]);
    }

    #[test]
    fn what_was_set_and_lifted_here_leaves_nothing() {
        let (_below, mut dry) = lists();
        for last in 0..=255 {
            let stranger = Network::of(Address::v4([203, 0, 113, last]));
            dry.set_ban(stranger, ban(1)).unwrap();
            dry.lift_ban(stranger).unwrap();
        }
        assert!(dry.bans.set.is_empty() && dry.bans.below.borrow().hidden.is_empty());
    }

    #[test]
    fn bans_that_were_kept_are_of_no_list() {
        assert_eq!(lists().1.number().unwrap(), 0);
    }

    fn lists() -> (Filter, Dry) {
        let measures = Measures { tuning: Tuning::NONE, bans: 4, known: 4, rings: PerLane::default() };
        let filter = Filter::new(&[], measures, Arc::new(Queues::default()));
        (filter.clone(), Dry::new(Box::new(filter)))
    }

    fn sorted(bans: Result<Vec<(Network, Ban)>, ListError>) -> Vec<(Network, Ban)> {
        let mut bans = bans.unwrap();
        bans.sort_unstable_by_key(|(network, _)| network.to_string());
        bans
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> Address {
        network(text).as_single().unwrap()
    }

    fn ban(until: u64) -> Ban {
        Ban { until, hits: 0, reason: Reason::Unauthentic.number(), step: 1 }
    }
}
