//! The grants that there were: connections outlive them, and whose they are is told by nothing else. Never lets anybody in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use siglatch_common::units::Boot;

use super::{GrantKey, Revocation};

/// Grants that have ended, each once, however often it was opened. Only users' knocks put something in here.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The number of each: the later it ended, the higher.
    numbers: HashMap<Arc<Ended>, u64>,
    by_number: BTreeMap<u64, (Boot, Arc<Ended>)>,
    next: u64,
    /// Until when one would still be known that was forgotten for want of room.
    lacking_until: Option<Boot>,
}

/// What is known of a grant that has ended.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Ended {
    key: GrantKey,
    label: Box<str>,
}

impl Past {
    /// Grants known at once, some 200 bytes each; the one that ended first is forgotten first.
    pub(super) const CAPACITY: usize = 65_536;

    /// How long one is known after its end: as long as connections commonly live. An address may be another's by then.
    pub(super) const KEPT: Duration = Duration::from_secs(7 * 86_400);

    /// A grant has ended, or somebody has been let in by another's.
    pub(super) fn note(&mut self, key: GrantKey, label: &str, now: Boot) {
        self.forget(now);
        let ended = Arc::new(Ended { key, label: label.into() });
        if let Some(before) = self.numbers.insert(Arc::clone(&ended), self.next) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.next, (now, ended));
        self.next += 1;
        if self.numbers.len() > Self::CAPACITY {
            self.lacking_until = self.forget_first().map(|at| at.after(Self::KEPT));
        }
    }

    /// Those that an operator means, whoever else has the same key.
    pub(super) fn meant(&mut self, revocation: &Revocation, now: Boot) -> impl Iterator<Item = GrantKey> {
        self.forget(now);
        let meant = self.numbers.keys().filter(|ended| revocation.means(&ended.key, &ended.label));
        meant.map(|ended| ended.key)
    }

    /// Whether there were more than there is room for.
    pub(super) fn lacks(&self, now: Boot) -> bool {
        self.lacking_until.is_some_and(|until| until > now)
    }

    fn forget(&mut self, now: Boot) {
        while self.by_number.first_key_value().is_some_and(|(_, (at, _))| at.after(Self::KEPT) <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) -> Option<Boot> {
        let (_, (at, ended)) = self.by_number.pop_first()?;
        self.numbers.remove(&ended);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use siglatch_common::address::Address;

    use super::*;

    #[test]
    fn a_grant_is_known_once_and_for_its_time() {
        let mut past = Past::default();
        past.note(key(1), "alice ssh", at(0));
        past.note(key(1), "bob ssh", at(1));
        past.note(key(1), "alice ssh", at(2));
        assert_eq!((past.numbers.len(), past.by_number.len()), (2, 2));
        let kept = Past::KEPT.as_secs();
        assert_eq!(past.meant(&of("bob"), at(kept)).collect::<Vec<_>>(), [key(1)]);
        assert_eq!(past.meant(&of("bob"), at(kept + 1)).count(), 0);
        assert_eq!(past.meant(&of("alice"), at(kept + 1)).collect::<Vec<_>>(), [key(1)], "it was opened again");
        assert_eq!(past.meant(&of("alice"), at(kept + 2)).count(), 0);
        assert_eq!((past.numbers.len(), past.by_number.len()), (0, 0));
        assert!(!past.lacks(at(0)));
    }

    #[test]
    fn what_ended_first_gives_way_and_that_is_known() {
        let mut past = Past::default();
        let many = u32::try_from(Past::CAPACITY).unwrap();
        for n in 0..many {
            past.note(key(n), "alice ssh", at(1));
        }
        assert!(!past.lacks(at(1)));
        past.note(key(many), "bob ssh", at(2));
        assert_eq!((past.numbers.len(), past.by_number.len()), (Past::CAPACITY, Past::CAPACITY));
        assert_eq!(past.meant(&of("bob"), at(2)).collect::<Vec<_>>(), [key(many)]);
        assert!(!past.meant(&of("alice"), at(2)).any(|known| known == key(0)));
        let kept = Past::KEPT.as_secs();
        assert!(past.lacks(at(kept)) && !past.lacks(at(kept + 1)), "it would be forgotten by then anyway");
    }

    fn key(n: u32) -> GrantKey {
        GrantKey { source: Address::v4(n.to_be_bytes()), destination: None, service: "tcp/22".parse().unwrap() }
    }

    fn of(user: &str) -> Revocation {
        Revocation { user: Some(user.to_owned()), ..Revocation::default() }
    }

    const fn at(secs: u64) -> Boot {
        Boot::from_nanos(secs * 1_000_000_000)
    }
}
