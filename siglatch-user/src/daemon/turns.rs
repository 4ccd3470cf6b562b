//! Gives everything its turn: in the order in which it came in, not in that in which it was done. Never waits.
//!
//! Two threads open two datagrams at once, and the later may be done first. A copy sent by somebody on the path must
//! not be admitted before the original because of that, nor the second step of a sequence before the first.

use std::collections::BTreeMap;

/// What is done already, but has others before it.
#[derive(Debug)]
pub(super) struct Turns<T> {
    next: u64,
    /// Never more than there are places in the key pool.
    early: BTreeMap<u64, T>,
}

impl<T> Turns<T> {
    pub(super) const fn new() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }

    /// Takes the item with that number; every number comes once.
    pub(super) fn put(&mut self, number: u64, item: T) {
        self.early.insert(number, item);
    }

    /// The number of the item whose turn is next.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The next item, if it is done.
    pub(super) fn take(&mut self) -> Option<T> {
        let item = self.early.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_of_doing_the_order_of_coming_counts() {
        let mut turns = Turns::new();
        let mut taken = Vec::new();
        for number in [2, 0, 1, 5, 4, 3, 6] {
            turns.put(number, number);
            taken.extend(std::iter::from_fn(|| turns.take()));
        }
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn nothing_is_taken_before_what_came_first_is_done() {
        let mut turns = Turns::new();
        turns.put(1, "copy");
        assert_eq!(turns.take(), None);
        turns.put(0, "original");
        assert_eq!((turns.take(), turns.take(), turns.take()), (Some("original"), Some("copy"), None));
    }
}
