//! The grants that hold, and until when. Never opens or closes anything: the kernel's timeouts do that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;

use super::deed::Opening;
use super::{Grant, GrantKey, Refusal, Revocation};
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

/// A grant that a knock has opened, extended or ended, and what it was before.
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

    /// Makes sure that there is room for so many more.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if there is none.
    pub(super) fn check(&mut self, more: usize, now: Boot) -> Result<(), Refusal> {
        self.expire(now);
        if self.held.len() + more > Self::CAPACITY {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// Opens or extends; never shortens.
    pub(super) fn open(&mut self, opening: &Opening<'_>, label: &str, now: Boot) -> Vec<Grant> {
        for key in &opening.keys {
            let change = self.hold(*key, now.after(opening.ttl), label);
            self.changes.extend(change);
        }
        self.preview(opening, label, now)
    }

    /// What [`Grants::open`] would give.
    pub(super) fn preview(&self, opening: &Opening<'_>, label: &str, now: Boot) -> Vec<Grant> {
        let wanted = now.after(opening.ttl);
        let grants = opening.keys.iter().map(|key| {
            let until = self.held.get(key).map_or(wanted, |held| held.until.max(wanted));
            Grant { key: *key, ttl: until.since(now), label: label.to_owned() }
        });
        grants.collect()
    }

    /// Ends those of an address that have one of these labels.
    pub(super) fn close(&mut self, source: Address, labels: &BTreeSet<String>, now: Boot) -> Vec<Grant> {
        let grants = self.labelled(source, labels, now);
        for grant in &grants {
            let before = self.drop(grant.key);
            self.changes.push(Change { key: grant.key, before });
        }
        grants
    }

    /// What [`Grants::close`] would give.
    pub(super) fn labelled(&self, source: Address, labels: &BTreeSet<String>, now: Boot) -> Vec<Grant> {
        let of_source = self.of_source(source).filter(|(_, held)| held.until > now && labels.contains(&held.label));
        of_source.map(|(key, held)| held.to_grant(*key, now)).collect()
    }

    /// Ends those that an operator means; no knock that is taken back brings them back.
    pub(super) fn revoke(&mut self, revocation: &Revocation, now: Boot) -> Vec<Grant> {
        let means = |key: &GrantKey, held: &Held| revocation.means(key, &held.label);
        let meant = self.held.iter().filter(|(key, held)| means(key, held));
        let mut ended: BTreeMap<_, _> = meant.map(|(key, held)| (*key, held.to_grant(*key, now))).collect();
        for key in ended.keys() {
            self.drop(*key);
        }
        for Change { key, before } in &mut self.changes {
            if let Some(before) = before.take_if(|before| means(key, before)) {
                ended.entry(*key).or_insert_with(|| before.to_grant(*key, now));
            }
        }
        ended.into_values().filter(|grant| !grant.ttl.is_zero()).collect()
    }

    /// Ends those that are no longer to be held. What knocks have changed before is not taken back any more.
    pub(super) fn retain(&mut self, may_stay: impl Fn(&GrantKey, &str) -> bool, now: Boot) -> Vec<Grant> {
        self.changes.clear();
        let over = self.held.iter().filter(|(key, held)| !may_stay(key, &held.label));
        let ended: Vec<_> = over.map(|(key, held)| held.to_grant(*key, now)).collect();
        for grant in &ended {
            self.drop(grant.key);
        }
        ended.into_iter().filter(|grant| !grant.ttl.is_zero()).collect()
    }

    /// Extends those that an operator means, and shortens none. Gives all that are meant, as they stand now, and which of them
    /// hold longer than before.
    pub(super) fn extend(&mut self, revocation: &Revocation, ttl: Duration, now: Boot) -> (Vec<Grant>, Vec<Grant>) {
        let until = now.after(ttl);
        let is_meant = |key: &GrantKey, held: &Held| held.until > now && revocation.means(key, &held.label);
        let keys: Vec<_> = self.held.iter().filter(|(key, held)| is_meant(key, held)).map(|(key, _)| *key).collect();
        let (mut meant, mut extended) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(held) = self.held.get(&key) else { continue };
            let is_shorter = held.until < until;
            let grant = Grant { ttl: held.until.max(until).since(now), ..held.to_grant(key, now) };
            if is_shorter {
                self.hold(key, until, &grant.label);
                extended.push(grant.clone());
            }
            meant.push(grant);
        }
        (meant, extended)
    }

    /// How long one holds from now; nothing if it does not.
    pub(super) fn left(&self, key: &GrantKey, now: Boot) -> Option<Duration> {
        self.held.get(key).map(|held| held.until.since(now)).filter(|left| !left.is_zero())
    }

    /// What knocks have changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Makes everything as it was before these changes, which must be the latest: a grant that was extended ends when
    /// it would have ended.
    pub(super) fn undo(&mut self, changes: Vec<Change>) {
        for Change { key, before } in changes.into_iter().rev() {
            self.drop(key);
            if let Some(before) = before {
                self.by_end.insert((before.until, key));
                self.held.insert(key, before);
            }
        }
    }

    /// Everything that holds now, with the time left.
    pub(super) fn live(&self, now: Boot) -> Vec<Grant> {
        let live = self.held.iter().filter(|(_, held)| held.until > now);
        live.map(|(key, held)| held.to_grant(*key, now)).collect()
    }

    /// Everything that holds now, in the order of the keys, with the time left and the label.
    pub(super) fn each(&self, now: Boot) -> impl Iterator<Item = (&GrantKey, Duration, &str)> {
        let live = self.held.iter().filter(move |(_, held)| held.until > now);
        live.map(move |(key, held)| (key, held.until.since(now), held.label.as_str()))
    }

    /// How many there are; those that are over count until [`Grants::expire`].
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether somebody holds a grant of whatever service now.
    pub(super) fn is_held_by(&self, source: Address, now: Boot) -> bool {
        self.of_source(source).any(|(_, held)| held.until > now)
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

    fn of_source(&self, source: Address) -> impl Iterator<Item = (&GrantKey, &Held)> {
        let first = GrantKey { source, destination: None, service: Service { protocol: Protocol::Tcp, port: 0 } };
        self.held.range(first..).take_while(move |(key, _)| key.source == source)
    }

    fn drop(&mut self, key: GrantKey) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.by_end.remove(&(held.until, key));
        Some(held)
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

impl Held {
    fn to_grant(&self, key: GrantKey, now: Boot) -> Grant {
        Grant { key, ttl: self.until.since(now), label: self.label.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
