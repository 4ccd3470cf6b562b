//! Remembers how often a source was banned lately, so that the next ban is longer. Never bans.

use std::collections::{BTreeMap, BTreeSet};

use siglatch_common::address::Address;
use siglatch_common::units::Boot;

/// Who was banned how often in a row, until that is forgotten. When it is full, what would be forgotten first goes.
#[derive(Debug)]
pub(super) struct Past {
    capacity: usize,
    steps: BTreeMap<Address, (u32, Boot)>,
    by_end: BTreeSet<(Boot, Address)>,
}

impl Past {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, steps: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    /// How many bans in a row there were; none, if that is forgotten.
    pub(super) fn steps(&self, source: Address, now: Boot) -> u32 {
        self.steps.get(&source).filter(|(_, end)| *end > now).map_or(0, |(step, _)| *step)
    }

    /// Remembers the how manieth ban it was, until `end`.
    pub(super) fn remember(&mut self, source: Address, step: u32, end: Boot) {
        self.forget(source);
        if self.steps.len() >= self.capacity
            && let Some((_, first)) = self.by_end.first().copied()
        {
            self.forget(first);
        }
        self.steps.insert(source, (step, end));
        self.by_end.insert((end, source));
    }

    /// As if the source had never been banned.
    pub(super) fn forget(&mut self, source: Address) {
        if let Some((_, end)) = self.steps.remove(&source) {
            self.by_end.remove(&(end, source));
        }
    }

    /// Forgets what is to be forgotten by now.
    pub(super) fn expire(&mut self, now: Boot) {
        while let Some((_, source)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.forget(source);
        }
    }

    /// Source, steps and end of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Address, u32, Boot)> {
        self.steps.iter().map(|(source, (step, end))| (*source, *step, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_lasts() {
        let mut past = Past::new(2);
        let (end, source) = (Boot::from_nanos, |last| Address::v4([192, 0, 2, last]));
        for (last, until) in [(1, 30), (2, 10), (3, 20), (3, 25)] {
            past.remember(source(last), u32::from(last), end(until));
        }
        assert_eq!([1, 2, 3].map(|last| past.steps(source(last), end(5))), [1, 0, 3]);
        past.expire(end(25));
        assert_eq!([1, 2, 3].map(|last| past.steps(source(last), end(25))), [1, 0, 0]);
        assert_eq!((past.steps.len(), past.by_end.len()), (1, 1));
    }
}
