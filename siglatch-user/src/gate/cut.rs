//! Whose connections an operator has cut. Never cuts one.
//!
//! A connection is known by its address and where it goes, and by nothing else: whoever shares the address with a user whose
//! connections are cut loses theirs, too. The other way round the one who is to be out would stay.

use std::collections::{BTreeSet, HashSet};

use siglatch_common::address::Address;
use siglatch_common::units::Now;

use super::past::Past;
use super::{Gate, GrantKey, Revocation};
use crate::policy::{Door, Service};

/// Whose connections are cut.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Whose {
    /// Those that one of these grants could have let in.
    Of(HashSet<GrantKey>),
    /// Everybody's to these services, but this host's own.
    Everybody(Closed),
}

/// Services that are closed, or were opened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Closed {
    /// Of this host.
    pub here: BTreeSet<Service>,
    /// Of hosts behind it.
    pub behind: BTreeSet<Door>,
}

/// Whose connections are cut, and what is to be known about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// Whose they are.
    pub whose: Whose,
    /// Of how many of their grants another one opens the same to the same address: whoever is there can come back by it.
    pub shared: usize,
    /// Why connections that are meant may be left.
    pub lack: Option<Lack>,
}

/// Why not every grant that a user ever had is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// Those that had ended before the daemon was started are not.
    Started,
    /// There were too many.
    Room,
}

impl Gate {
    /// Whose connections are to be cut along with these grants: of those that were just revoked, and of those that have ended
    /// before, by whatever. To be called when they were revoked.
    #[must_use]
    pub fn connections(&mut self, revocation: &Revocation, now: Now) -> Cut {
        self.grants.expire(now.boot);
        let lack = match () {
            () if self.grants.lacks_past(now.boot) => Some(Lack::Room),
            () if now.boot.since(self.begun) < Past::KEPT => Some(Lack::Started),
            () => None,
        };
        let keys: HashSet<_> = self.grants.past(revocation, now.boot).collect();
        let shared = keys.iter().filter(|key| self.grants.left(key, now.boot).is_some()).count();
        Cut { whose: Whose::Of(keys), shared, lack }
    }

    /// Everybody's connections to what is closed, to what the rules may open, and to what was opened.
    #[must_use]
    pub fn everybody(&mut self, closed: impl IntoIterator<Item = (Option<Address>, Service)>, now: Now) -> Cut {
        self.grants.expire(now.boot);
        let anything = Revocation::default();
        let opened = self.grants.past(&anything, now.boot).map(|key| (key.destination, key.service));
        let places = closed.into_iter().chain(self.policy.opens()).chain(opened);
        let closed = if self.policy.is_dry() { Closed::default() } else { places.collect() };
        Cut { whose: Whose::Everybody(closed), shared: 0, lack: None }
    }

    /// Whether an operator means a grant that has ended.
    pub fn knows_ended(&mut self, revocation: &Revocation, now: Now) -> bool {
        self.grants.expire(now.boot);
        self.grants.past(revocation, now.boot).next().is_some()
    }
}

impl Whose {
    /// Whether a connection that such a grant could have let in is meant. `is_own` says whether an address is this host's.
    pub fn means(&self, key: &GrantKey, is_own: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Of(keys) => keys.contains(key),
            Self::Everybody(closed) => closed.has(key) && !is_own(),
        }
    }

    /// Whether nobody is meant.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        match self {
            Self::Of(keys) => keys.is_empty(),
            Self::Everybody(Closed { here, behind }) => here.is_empty() && behind.is_empty(),
        }
    }

    /// The services of this host that are meant.
    #[must_use]
    pub fn here(&self) -> BTreeSet<Service> {
        match self {
            Self::Of(keys) => keys.iter().filter(|key| key.destination.is_none()).map(|key| key.service).collect(),
            Self::Everybody(closed) => closed.here.clone(),
        }
    }
}

impl Closed {
    fn has(&self, key: &GrantKey) -> bool {
        let GrantKey { source: _, destination, service } = *key;
        match destination {
            None => self.here.contains(&service),
            Some(destination) => self.behind.contains(&Door { destination, service }),
        }
    }
}

impl FromIterator<(Option<Address>, Service)> for Closed {
    /// Services, each with the host behind this one that it is of; nothing: this one's own.
    fn from_iter<T: IntoIterator<Item = (Option<Address>, Service)>>(places: T) -> Self {
        let mut closed = Self::default();
        for (destination, service) in places {
            match destination {
                None => closed.here.insert(service),
                Some(destination) => closed.behind.insert(Door { destination, service }),
            };
        }
        closed
    }
}
