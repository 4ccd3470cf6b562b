//! The grants that hold, and until when. Never opens or closes anything: the kernel's timeouts do that.

use std::collections::{BTreeMap, BTreeSet};

use siglatch_common::address::Address;
use siglatch_common::units::Boot;

use super::permit::Opening;
use super::{Grant, GrantKey, Refusal};
use crate::policy::{Protocol, Service};

/// The grants that hold.
#[derive(Debug, Default)]
pub(super) struct Grants {
    held: BTreeMap<GrantKey, Held>,
    by_end: BTreeSet<(Boot, GrantKey)>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Held {
    until: Boot,
    label: String,
}

/// A grant that was opened or extended, and what it was before.
#[derive(Debug)]
pub(super) struct Change {
    key: GrantKey,
    before: Option<Held>,
}

impl Grants {
    /// Grants held at once. A nftables element of ours takes some 200 bytes of kernel memory.
    pub(super) const CAPACITY: usize = 65_536;

    /// Takes over what the firewall still holds from an earlier run.
    pub(super) fn take_over(&mut self, grants: &[Grant], now: Boot) {
        for grant in grants {
            self.hold(grant.key, now.after(grant.ttl), &grant.label);
        }
    }

    /// Opens or extends; never shortens.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if there is no room.
    pub(super) fn open(&mut self, opening: &Opening<'_>, now: Boot) -> Result<Vec<Grant>, Refusal> {
        self.expire(now);
        if self.held.len() + opening.services.len() > Self::CAPACITY {
            return Err(Refusal::Overloaded);
        }
        let label = format!("{} {}", opening.user.name, opening.action.name);
        let grants = opening.services.iter().map(|&service| {
            let key = GrantKey { source: opening.source, destination: None, service };
            let wanted = now.after(opening.ttl);
            let change = self.hold(key, wanted, &label);
            self.changes.extend(change);
            let until = self.held.get(&key).map_or(wanted, |held| held.until);
            Grant { key, ttl: until.since(now), label: label.clone() }
        });
        Ok(grants.collect())
    }

    /// What [`Grants::open`] has changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Makes everything as it was before these changes, which must be the latest: a grant that was extended ends when
    /// it would have ended.
    pub(super) fn undo(&mut self, changes: Vec<Change>) {
        for Change { key, before } in changes.into_iter().rev() {
            if let Some(held) = self.held.remove(&key) {
                self.by_end.remove(&(held.until, key));
            }
            if let Some(before) = before {
                self.by_end.insert((before.until, key));
                self.held.insert(key, before);
            }
        }
    }

    /// Everything that holds now, with the time left.
    pub(super) fn live(&self, now: Boot) -> Vec<Grant> {
        let left = |held: &Held| held.until.since(now);
        let live = self.held.iter().filter(|(_, held)| !left(held).is_zero());
        live.map(|(key, held)| Grant { key: *key, ttl: left(held), label: held.label.clone() }).collect()
    }

    /// How many there are; those that are over count until [`Grants::expire`].
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether somebody holds a grant of whatever service now.
    pub(super) fn is_held_by(&self, source: Address, now: Boot) -> bool {
        let first = GrantKey { source, destination: None, service: Service { protocol: Protocol::Tcp, port: 0 } };
        let held = self.held.range(first..).take_while(|(key, _)| key.source == source);
        held.into_iter().any(|(_, held)| held.until > now)
    }

    pub(super) fn next_expiry(&self) -> Option<Boot> {
        self.by_end.first().map(|(until, _)| *until)
    }

    pub(super) fn expire(&mut self, now: Boot) {
        while let Some(&(until, key)) = self.by_end.first() {
            if until > now {
                break;
            }
            self.by_end.pop_first();
            self.held.remove(&key);
        }
    }

    /// Opens or extends; nothing changes if it holds so long already.
    fn hold(&mut self, key: GrantKey, until: Boot, label: &str) -> Option<Change> {
        if self.held.get(&key).is_some_and(|held| held.until >= until) {
            return None;
        }
        let before = self.held.insert(key, Held { until, label: label.to_owned() });
        if let Some(before) = &before {
            self.by_end.remove(&(before.until, key));
        }
        self.by_end.insert((until, key));
        Some(Change { key, before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_grant_is_held_by_its_source_until_its_end() {
        let (holder, other) = (Address::v4([192, 0, 2, 7]), Address::v4([192, 0, 2, 8]));
        let grant = |source, port, secs| Grant {
            key: GrantKey { source, destination: None, service: Service { protocol: Protocol::Udp, port } },
            ttl: Duration::from_secs(secs),
            label: "alice ssh".to_owned(),
        };
        let at = |secs: u64| Boot::from_nanos(secs * 1_000_000_000);
        let mut grants = Grants::default();
        grants.take_over(&[grant(holder, 1, 10), grant(holder, 65_535, 20)], at(0));
        assert!(grants.is_held_by(holder, at(19)) && !grants.is_held_by(holder, at(20)));
        assert!(!grants.is_held_by(other, at(1)) && !grants.is_held_by(Address::v4([192, 0, 2, 6]), at(1)));
    }
}
