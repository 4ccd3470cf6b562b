//! The bans that stand, by network and by end. Never decides who gets one.

use std::collections::{BTreeMap, BTreeSet};

use siglatch_common::address::Network;
use siglatch_common::ban::{Ban, Reason};
use siglatch_common::units::{Boot, Wall};

use crate::admin::Comment;

/// The bans that stand.
#[derive(Debug)]
pub(super) struct Table {
    capacity: usize,
    held: BTreeMap<Network, Held>,
    ends: BTreeSet<(Boot, Network)>,
    /// Those that the daemon made by itself.
    earned: usize,
    /// Those of one address.
    single: usize,
}

/// A ban that stands.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// When it ends; nothing if it is for good.
    pub(super) until: Option<Boot>,
    pub(super) reason: Reason,
    pub(super) step: u32,
    pub(super) hits: u64,
    pub(super) since: Wall,
    pub(super) comment: Comment,
}

impl Table {
    /// With room for so many addresses, and for so many networks.
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, held: BTreeMap::new(), ends: BTreeSet::new(), earned: 0, single: 0 }
    }

    pub(super) fn get(&self, network: Network) -> Option<&Held> {
        self.held.get(&network)
    }

    /// Puts a ban, in place of the one that was there.
    pub(super) fn put(&mut self, network: Network, held: Held) -> Option<Held> {
        let before = self.remove(network);
        self.ends.extend(held.until.map(|until| (until, network)));
        self.earned += usize::from(is_earned(held.reason));
        self.single += usize::from(network.as_single().is_some());
        self.held.insert(network, held);
        before
    }

    pub(super) fn remove(&mut self, network: Network) -> Option<Held> {
        let held = self.held.remove(&network)?;
        if let Some(until) = held.until {
            self.ends.remove(&(until, network));
        }
        self.earned -= usize::from(is_earned(held.reason));
        self.single -= usize::from(network.as_single().is_some());
        Some(held)
    }

    /// How many there are of one address.
    pub(super) const fn single(&self) -> usize {
        self.single
    }

    /// Notes how many frames a ban has dropped.
    pub(super) fn set_hits(&mut self, network: Network, hits: u64) {
        if let Some(held) = self.held.get_mut(&network) {
            held.hits = hits;
        }
    }

    /// Notes which file it is that says a ban, if it is a file and not known yet.
    pub(super) fn name_file(&mut self, network: Network, name: &Comment) {
        let held = self.held.get_mut(&network);
        if let Some(held) = held.filter(|held| held.reason == Reason::File && held.comment.is_empty()) {
            held.comment = name.clone();
        }
    }

    /// Takes out one that is over.
    pub(super) fn pop_ended(&mut self, now: Boot) -> Option<Network> {
        let (_, network) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.remove(network);
        Some(network)
    }

    /// Whether there is room for a ban of that network, or it has one already.
    pub(super) fn has_room_for(&self, network: Network) -> bool {
        let taken = if network.as_single().is_some() { self.single } else { self.held.len() - self.single };
        taken < self.capacity || self.held.contains_key(&network)
    }

    /// Whether there is room for one that the daemon makes by itself: the last quarter is the operator's.
    pub(super) const fn has_room_for_earned(&self) -> bool {
        self.earned < self.capacity - self.capacity / 4 && self.single < self.capacity
    }

    /// The narrowest ban of a network around this one.
    pub(super) fn around(&self, network: Network) -> Option<Network> {
        let wider = (0..network.bits()).rev().map(|bits| Network::with_bits(network.address(), bits));
        wider.filter(|wider| wider.contains(network.address())).find(|wider| self.held.contains_key(wider))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Network, &Held)> {
        self.held.iter().map(|(network, held)| (*network, held))
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

impl Held {
    /// As it stands in the maps.
    pub(super) fn ban(&self) -> Ban {
        // 0 would be for good.
        let until = self.until.map_or(0, |until| until.as_nanos().max(1));
        Ban { until, hits: self.hits, reason: self.reason.number(), step: self.step }
    }

    /// Whether that is this ban, however often it has hit.
    pub(super) fn is(&self, ban: &Ban) -> bool {
        self.ban() == Ban { hits: self.hits, ..*ban }
    }

    /// Whether the daemon made it by itself.
    pub(super) fn is_earned(&self) -> bool {
        is_earned(self.reason)
    }
}

/// Whether bans for this reason are made by the daemon itself.
pub(super) const fn is_earned(reason: Reason) -> bool {
    match reason {
        Reason::Operator | Reason::File => false,
        Reason::Unauthentic | Reason::Flood => true,
    }
}
