//! Counts the strikes of sources, in a table of fixed size. Never decides what earns one, or what comes of too many.

use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::siphash::{Key, siphash_1_3};
use siglatch_common::units::Boot;

/// Who has how many strikes.
///
/// A source is at home in one set of four places, by a hash under a secret key: nobody outside can aim at a set. When a
/// set is full, whoever has the fewest strikes there goes, and of those whoever was struck longest ago. A flood of
/// sources with one strike each so leaves those with two alone.
#[derive(Debug)]
pub(super) struct Strikes {
    key: Key,
    limit: u32,
    within: Duration,
    sets: Vec<[Place; WAYS]>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    source: Address,
    count: u32,
    first: Boot,
    last: Boot,
}

impl Strikes {
    /// Counts up to `limit`, at least two, in spans of `within` that each begin with a first strike.
    pub(super) fn new(key: Key, limit: u32, within: Duration) -> Self {
        // Not of zeros, which would not be there before they are written: memory is what it will be from the start.
        Self { key, limit: limit.max(2), within, sets: vec![[Place::EMPTY; WAYS]; SETS] }
    }

    /// Counts up to another limit, in other spans, from now on.
    pub(super) fn set_rule(&mut self, limit: u32, within: Duration) {
        (self.limit, self.within) = (limit.max(2), within);
    }

    /// Counts a strike; true if it is the one too many, and then they are counted from the start.
    pub(super) fn count(&mut self, source: Address, now: Boot) -> bool {
        let (limit, within) = (self.limit, self.within);
        let Some(place) = self.place(source, now) else { return false };
        let counted = if place.source == source { place.strikes(within, now) } else { 0 };
        let first = if counted == 0 { now } else { place.first };
        *place = Place { source, count: counted + 1, first, last: now };
        if place.count < limit {
            return false;
        }
        *place = Place::EMPTY;
        true
    }

    /// Forgets the strikes of a source.
    pub(super) fn clear(&mut self, source: Address, now: Boot) {
        if let Some(place) = self.place(source, now).filter(|place| place.source == source) {
            *place = Place::EMPTY;
        }
    }

    /// The place of a source, or the one that it may have.
    fn place(&mut self, source: Address, now: Boot) -> Option<&mut Place> {
        let halves = source.halves();
        let hash = siphash_1_3(self.key, halves.first, halves.last);
        let within = self.within;
        let set = self.sets.get_mut(usize::try_from(hash % SETS as u64).ok()?)?;
        set.iter_mut().min_by_key(|place| (place.source != source, place.strikes(within, now), place.last))
    }
}

impl Place {
    const EMPTY: Self = Self {
        source: Address::UNSPECIFIED,
        count: 0,
        first: Boot::from_nanos(u64::MAX),
        last: Boot::from_nanos(u64::MAX),
    };

    /// The strikes that still count.
    fn strikes(&self, within: Duration, now: Boot) -> u32 {
        if now.since(self.first) < within { self.count } else { 0 }
    }
}

/// Places of a set.
const WAYS: usize = 4;

/// So many sets have 16,384 places, in 640 kB.
const SETS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { k0: 1, k1: 2 };
    const TEN: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Boot {
        Boot::from_nanos(secs * 1_000_000_000)
    }

    fn source(number: u32) -> Address {
        Address::v4(number.to_be_bytes())
    }

    #[test]
    fn the_last_strike_counts_if_it_comes_in_time() {
        let mut strikes = Strikes::new(KEY, 3, TEN);
        assert!(!strikes.count(source(1), at(1)));
        assert!(!strikes.count(source(1), at(2)));
        assert!(strikes.count(source(1), at(10)));
        assert!(!strikes.count(source(1), at(10)));
        assert!(!strikes.count(source(1), at(19)));
        assert!(!strikes.count(source(1), at(20)), "the third comes too late: the first is forgotten");
        assert!(!strikes.count(source(1), at(21)));
        assert!(strikes.count(source(1), at(22)));
    }

    #[test]
    fn a_single_strike_is_never_too_many() {
        for limit in [0, 1] {
            assert!(!Strikes::new(KEY, limit, TEN).count(source(1), at(1)));
        }
    }

    #[test]
    fn cleared_strikes_do_not_count() {
        let mut strikes = Strikes::new(KEY, 2, TEN);
        strikes.count(source(1), at(1));
        strikes.count(source(2), at(1));
        strikes.clear(source(1), at(1));
        assert!(!strikes.count(source(1), at(2)));
        assert!(strikes.count(source(2), at(2)));
    }

    #[test]
    fn a_flood_of_single_strikes_pushes_out_nobody_with_two() {
        let mut strikes = Strikes::new(KEY, 3, Duration::from_secs(1000));
        strikes.count(source(1), at(1));
        strikes.count(source(1), at(1));
        for other in 2..200_000 {
            assert!(!strikes.count(source(other), at(2)));
        }
        assert!(strikes.count(source(1), at(3)));
    }

    #[test]
    fn strikes_that_are_over_give_way_first() {
        let mut strikes = Strikes::new(KEY, 9, TEN);
        for other in 0..200_000 {
            strikes.count(source(other), at(1));
            strikes.count(source(other), at(1));
        }
        for fresh in 0..8 {
            strikes.count(source(1_000_000 + fresh), at(20));
        }
        let held = |source| strikes.sets.iter().flatten().any(|place| place.source == source);
        assert!((0..8).all(|fresh| held(source(1_000_000 + fresh))));
    }
}
