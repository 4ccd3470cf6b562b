//! Remembers what must be on disk before the next nonce, and is not yet. Never touches a disk.
//!
//! The gate asks for a lease or a floor once, and counts on it from then on. What the disk did not take is therefore
//! owed: it comes before the next nonce, and as long as it cannot be written, nothing opens.

use siglatch_common::units::Wall;

/// What is owed to the nonce store, and the lease that it has.
#[derive(Debug, Default)]
pub(super) struct Owed {
    lease: Option<Wall>,
    floor: Option<Wall>,
    /// The last lease that was written.
    leased: Option<Wall>,
}

/// One write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// [`crate::edge::nonce_store::NonceStore::lease`].
    Lease(Wall),
    /// [`crate::edge::nonce_store::NonceStore::forget`], with the lease that holds.
    Forget(Wall, Option<Wall>),
}

impl Owed {
    /// No stamp up to this one may be taken for fresh after a loss of power.
    pub(super) fn lease(&mut self, until: Wall) {
        self.lease = self.lease.max(Some(until));
    }

    /// A generation ends, and no stamp up to this one is fresh any more. Of several that could not be written, the last
    /// floor stands for all: on disk, generations then end later than in the gate, and never earlier.
    pub(super) fn forget(&mut self, floor: Wall) {
        self.floor = self.floor.max(Some(floor));
    }

    /// What is to be written next. A lease comes first: it makes sure of what is still in the files.
    pub(super) fn next(&self) -> Option<Due> {
        let lease = self.lease.map(Due::Lease);
        lease.or_else(|| self.floor.map(|floor| Due::Forget(floor, self.leased)))
    }

    /// That was written.
    pub(super) fn written(&mut self, due: Due) {
        match due {
            Due::Lease(until) => {
                self.leased = Some(until);
                self.lease = None;
            }
            Due::Forget(..) => self.floor = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_stays_owed() {
        let mut owed = Owed::default();
        assert_eq!(owed.next(), None);
        owed.lease(at(30));
        owed.forget(at(5));
        for _ in 0..3 {
            assert_eq!(owed.next(), Some(Due::Lease(at(30))), "until it is written");
        }
        owed.written(Due::Lease(at(30)));
        for _ in 0..3 {
            assert_eq!(owed.next(), Some(Due::Forget(at(5), Some(at(30)))), "until it is written");
        }
        owed.written(Due::Forget(at(5), Some(at(30))));
        assert_eq!(owed.next(), None);
    }

    #[test]
    fn a_new_generation_carries_the_lease_that_was_written_and_no_other() {
        let mut owed = Owed::default();
        owed.forget(at(1));
        assert_eq!(owed.next(), Some(Due::Forget(at(1), None)));
        owed.lease(at(30));
        assert_eq!(owed.next(), Some(Due::Lease(at(30))), "the lease comes first");
    }

    #[test]
    fn the_latest_lease_and_the_highest_floor_stand_for_those_before() {
        let mut owed = Owed::default();
        owed.lease(at(30));
        owed.lease(at(60));
        owed.lease(at(40));
        owed.forget(at(5));
        owed.forget(at(9));
        owed.written(Due::Lease(at(60)));
        assert_eq!(owed.next(), Some(Due::Forget(at(9), Some(at(60)))));
    }

    fn at(secs: u64) -> Wall {
        Wall::from_secs(secs)
    }
}
