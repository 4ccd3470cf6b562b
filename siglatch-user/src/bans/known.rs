//! Decides which origins are known: those that an authentic knock came from lately. Never touches the filter's list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;

use crate::config::KnownRule;

/// The known origins. When they are full, the one whose time ends first goes; only users who knock bring new ones.
#[derive(Debug)]
pub struct KnownOrigins {
    rule: KnownRule,
    until: BTreeMap<Address, Boot>,
    by_end: BTreeSet<(Boot, Address)>,
}

/// What is to be done to the filter's list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownChange {
    /// The origin is known until then.
    Know(Address, Boot),
    /// The origin is known no more.
    Forget(Address),
}

impl KnownOrigins {
    /// An origin's time is not made longer more often than this.
    pub const RENEWAL: Duration = Duration::from_secs(60);

    /// Nobody.
    #[must_use]
    pub const fn new(rule: KnownRule) -> Self {
        Self { rule, until: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    /// Whoever knocks from now on is known for so long. Who is known stays so for as long as was said, and there is as much
    /// room as there was.
    pub const fn set_span(&mut self, span: Duration) {
        self.rule.span = span;
    }

    /// How long an origin is known after a knock.
    #[must_use]
    pub const fn span(&self) -> Duration {
        self.rule.span
    }

    /// An authentic knock has come from a source.
    pub fn authentic(&mut self, source: Address, now: Boot) -> Vec<KnownChange> {
        let origin = origin(source);
        let until = now.after(self.rule.span);
        // What is known for less than the renewal is renewed each time.
        let renewal = Self::RENEWAL.min(self.rule.span / 2);
        if self.until.get(&origin).is_some_and(|held| held.after(renewal) > until) {
            return Vec::new();
        }
        let mut changes = self.expire(now);
        let is_full = self.until.len() >= self.rule.capacity as usize;
        if is_full
            && !self.until.contains_key(&origin)
            && let Some((_, first)) = self.by_end.first().copied()
        {
            changes.push(self.forget(first));
        }
        changes.push(self.know(origin, until));
        changes
    }

    /// Whether the source's origin is known.
    #[must_use]
    pub fn holds(&self, source: Address, now: Boot) -> bool {
        self.until.get(&origin(source)).is_some_and(|until| *until > now)
    }

    /// Takes over what stands in the filter's list, in place of what was known so far. The changes are what must not
    /// stand there: what is over, and what is more than there may be.
    pub fn take_over(&mut self, found: impl IntoIterator<Item = (Address, Boot)>, now: Boot) -> Vec<KnownChange> {
        (self.until, self.by_end) = Default::default();
        for (origin, until) in found {
            self.know(origin, until);
        }
        let mut changes = self.expire(now);
        while self.until.len() > self.rule.capacity as usize
            && let Some((_, first)) = self.by_end.first().copied()
        {
            changes.push(self.forget(first));
        }
        changes
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Boot) -> Vec<KnownChange> {
        let mut forgotten = Vec::new();
        while let Some((_, origin)) = self.by_end.first().copied().filter(|(until, _)| *until <= now) {
            forgotten.push(self.forget(origin));
        }
        forgotten
    }

    /// Each origin, and until when it is known.
    pub fn iter(&self) -> impl Iterator<Item = (Address, Boot)> {
        self.until.iter().map(|(origin, until)| (*origin, *until))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    fn know(&mut self, origin: Address, until: Boot) -> KnownChange {
        if let Some(before) = self.until.insert(origin, until) {
            self.by_end.remove(&(before, origin));
        }
        self.by_end.insert((until, origin));
        KnownChange::Know(origin, until)
    }

    fn forget(&mut self, origin: Address) -> KnownChange {
        if let Some(until) = self.until.remove(&origin) {
            self.by_end.remove(&(until, origin));
        }
        KnownChange::Forget(origin)
    }
}

fn origin(source: Address) -> Address {
    source.halves().origin().address()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: KnownRule = KnownRule { span: Duration::from_secs(1000), capacity: 3 };

    fn at(secs: u64) -> Boot {
        Boot::from_nanos(secs * 1_000_000_000)
    }

    fn v4(last: u8) -> Address {
        Address::v4([192, 0, 2, last])
    }

    #[test]
    fn an_origin_is_known_for_its_time_and_renewed_once_a_minute() {
        let mut known = KnownOrigins::new(RULE);
        assert_eq!(known.authentic(v4(1), at(1)), [KnownChange::Know(v4(1), at(1001))]);
        assert_eq!(known.authentic(v4(1), at(60)), []);
        assert_eq!(known.authentic(v4(1), at(61)), [KnownChange::Know(v4(1), at(1061))]);
        assert!(known.holds(v4(1), at(1060)) && !known.holds(v4(1), at(1061)));
        assert_eq!(known.expire(at(1061)), [KnownChange::Forget(v4(1))]);
        assert!(known.is_empty());
    }

    #[test]
    fn a_64_is_one_origin() {
        let [one, other, far] = [1, 2, 3].map(|n: u8| {
            let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n];
            octets[7] = n / 3;
            Address::v6(octets)
        });
        let mut known = KnownOrigins::new(RULE);
        known.authentic(one, at(1));
        assert!(known.holds(other, at(2)) && !known.holds(far, at(2)));
    }

    #[test]
    fn when_it_is_full_the_one_that_ends_first_goes() {
        let mut known = KnownOrigins::new(RULE);
        for (last, secs) in [(1, 1), (2, 2), (3, 3), (1, 100)] {
            known.authentic(v4(last), at(secs));
        }
        let changes = known.authentic(v4(4), at(101));
        assert_eq!(changes, [KnownChange::Forget(v4(2)), KnownChange::Know(v4(4), at(1101))]);
        assert_eq!(known.len(), 3);
    }

    #[test]
    fn what_is_over_is_not_taken_over() {
        let mut known = KnownOrigins::new(RULE);
        known.authentic(v4(9), at(1));
        let found = [(v4(1), at(10)), (v4(2), at(20))];
        assert_eq!(known.take_over(found, at(10)), [KnownChange::Forget(v4(1))]);
        assert_eq!(known.iter().collect::<Vec<_>>(), [(v4(2), at(20))]);
    }

    proptest! {
        #[test]
        fn the_list_is_what_the_changes_say_and_never_too_long(knocks in prop::collection::vec((0..8_u8, 0..400_u64), 1..80)) {
            let (mut known, mut list, mut now) = (KnownOrigins::new(RULE), BTreeMap::new(), 0);
            for (last, later) in knocks {
                now += later;
                for change in known.authentic(v4(last), at(now)) {
                    match change {
                        KnownChange::Know(origin, until) => { list.insert(origin, until); }
                        KnownChange::Forget(origin) => { list.remove(&origin); }
                    }
                    prop_assert!(list.len() <= RULE.capacity as usize);
                }
                prop_assert!(known.holds(v4(last), at(now)));
                prop_assert_eq!(known.iter().collect::<Vec<_>>(), list.clone().into_iter().collect::<Vec<_>>());
            }
        }
    }
}
