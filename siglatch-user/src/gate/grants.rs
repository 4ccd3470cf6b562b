//! The grants that hold, and until when. Never opens or closes anything: the kernel's timeouts do that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;

use super::deed::Opening;
use super::past::Past;
use super::{Grant, GrantKey, Refusal, Revocation};

/// The grants that hold. Opening one among many takes no longer than among few: by address, no order is kept, and it is hashed
/// with a key of this process's own, as users choose addresses.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// By the address that holds them, each in the order of their keys; never none.
    held: HashMap<Address, Vec<Held>>,
    /// When there is something to end, and for which address.
    by_end: BTreeSet<(Boot, Address)>,
    count: usize,
    past: Past,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Held {
    key: GrantKey,
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
            self.hold(grant.key, now.after(grant.ttl), &grant.label, now);
        }
    }

    /// Makes sure that there is room for so many more.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if there is none.
    pub(super) fn check(&mut self, more: usize, now: Boot) -> Result<(), Refusal> {
        self.expire(now);
        if self.count + more > Self::CAPACITY {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// Opens or extends; never shortens.
    pub(super) fn open(&mut self, opening: &Opening<'_>, label: &str, now: Boot) -> Vec<Grant> {
        for key in &opening.keys {
            let change = self.hold(*key, now.after(opening.ttl), label, now);
            self.changes.extend(change);
        }
        self.preview(opening, label, now)
    }

    /// What [`Grants::open`] would give.
    pub(super) fn preview(&self, opening: &Opening<'_>, label: &str, now: Boot) -> Vec<Grant> {
        let wanted = now.after(opening.ttl);
        let grants = opening.keys.iter().map(|key| {
            let until = self.get(key).map_or(wanted, |held| held.until.max(wanted));
            Grant { key: *key, ttl: until.since(now), label: label.to_owned() }
        });
        grants.collect()
    }

    /// Ends those of an address that have one of these labels.
    pub(super) fn close(&mut self, source: Address, labels: &BTreeSet<String>, now: Boot) -> Vec<Grant> {
        let grants = self.labelled(source, labels, now);
        for grant in &grants {
            let before = self.take(&grant.key);
            self.changes.push(Change { key: grant.key, before });
        }
        self.note_ended(&grants, now);
        grants
    }

    /// What [`Grants::close`] would give.
    pub(super) fn labelled(&self, source: Address, labels: &BTreeSet<String>, now: Boot) -> Vec<Grant> {
        let of_source = self.of_source(source).iter();
        let meant = of_source.filter(|held| held.until > now && labels.contains(&held.label));
        meant.map(|held| held.to_grant(now)).collect()
    }

    /// Ends those that an operator means; no knock that is taken back brings them back.
    pub(super) fn revoke(&mut self, revocation: &Revocation, now: Boot) -> Vec<Grant> {
        let means = |held: &Held| revocation.means(&held.key, &held.label);
        let meant = self.held.values().flatten().filter(|held| means(held));
        let mut ended: BTreeMap<_, _> = meant.map(|held| (held.key, held.to_grant(now))).collect();
        for key in ended.keys() {
            self.take(key);
        }
        for Change { key, before } in &mut self.changes {
            if let Some(before) = before.take_if(|before| means(before)) {
                ended.entry(*key).or_insert_with(|| before.to_grant(now));
            }
        }
        let ended: Vec<_> = ended.into_values().collect();
        self.note_ended(&ended, now);
        ended.into_iter().filter(|grant| !grant.ttl.is_zero()).collect()
    }

    /// Ends those that are no longer to be held. What knocks have changed before is not taken back any more.
    pub(super) fn retain(&mut self, may_stay: impl Fn(&GrantKey, &str) -> bool, now: Boot) -> Vec<Grant> {
        self.changes.clear();
        let over = self.in_order(|held| !may_stay(&held.key, &held.label));
        let ended: Vec<_> = over.into_iter().map(|held| held.to_grant(now)).collect();
        for grant in &ended {
            self.take(&grant.key);
        }
        self.note_ended(&ended, now);
        ended.into_iter().filter(|grant| !grant.ttl.is_zero()).collect()
    }

    /// Extends those that an operator means, and shortens none. Gives all that are meant, as they stand now, and which of them
    /// hold longer than before.
    pub(super) fn extend(&mut self, revocation: &Revocation, ttl: Duration, now: Boot) -> (Vec<Grant>, Vec<Grant>) {
        let until = now.after(ttl);
        let is_meant = |held: &Held| held.until > now && revocation.means(&held.key, &held.label);
        let keys: Vec<_> = self.in_order(is_meant).into_iter().map(|held| held.key).collect();
        let (mut meant, mut extended) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(held) = self.get(&key) else { continue };
            let is_shorter = held.until < until;
            let grant = Grant { ttl: held.until.max(until).since(now), ..held.to_grant(now) };
            if is_shorter {
                self.hold(key, until, &grant.label, now);
                extended.push(grant.clone());
            }
            meant.push(grant);
        }
        (meant, extended)
    }

    /// How long one holds from now; nothing if it does not.
    pub(super) fn left(&self, key: &GrantKey, now: Boot) -> Option<Duration> {
        self.get(key).map(|held| held.until.since(now)).filter(|left| !left.is_zero())
    }

    /// What knocks have changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Makes everything as it was before these changes, which must be the latest: a grant that was extended ends when
    /// it would have ended.
    pub(super) fn undo(&mut self, changes: Vec<Change>) {
        for Change { key, before } in changes.into_iter().rev() {
            self.take(&key);
            if let Some(before) = before {
                self.put(before);
            }
        }
    }

    /// Everything that holds now, in the order of the keys, with the time left.
    pub(super) fn live(&self, now: Boot) -> Vec<Grant> {
        self.in_order(|held| held.until > now).into_iter().map(|held| held.to_grant(now)).collect()
    }

    /// Everything that holds now, in no order, with the time left and the label.
    pub(super) fn each(&self, now: Boot) -> impl Iterator<Item = (&GrantKey, Duration, &str)> {
        let live = self.held.values().flatten().filter(move |held| held.until > now);
        live.map(move |held| (&held.key, held.until.since(now), held.label.as_str()))
    }

    /// How many there are; those that are over count until [`Grants::expire`].
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether somebody holds a grant of whatever service now.
    pub(super) fn is_held_by(&self, source: Address, now: Boot) -> bool {
        self.of_source(source).iter().any(|held| held.until > now)
    }

    pub(super) fn next_expiry(&self) -> Option<Boot> {
        self.by_end.first().map(|(until, _)| *until)
    }

    pub(super) fn expire(&mut self, now: Boot) {
        while let Some(&(until, source)) = self.by_end.first() {
            if until > now {
                break;
            }
            self.by_end.pop_first();
            let Some(of_source) = self.held.get_mut(&source) else { continue };
            let before = of_source.len();
            for Held { key, label, .. } in of_source.extract_if(.., |held| held.until <= now) {
                self.past.note(key, &label, now);
            }
            self.count -= before - of_source.len();
            if of_source.is_empty() {
                self.held.remove(&source);
            }
        }
    }

    /// Those have ended, wherever they were held.
    pub(super) fn note_ended(&mut self, grants: &[Grant], now: Boot) {
        for grant in grants {
            self.past.note(grant.key, &grant.label, now);
        }
    }

    /// What grants were for that an operator means and that have ended; those that are over count from [`Grants::expire`] on.
    pub(super) fn past(&mut self, revocation: &Revocation, now: Boot) -> impl Iterator<Item = GrantKey> {
        self.past.meant(revocation, now)
    }

    /// Whether there were more than are known.
    pub(super) fn lacks_past(&self, now: Boot) -> bool {
        self.past.lacks(now)
    }

    /// In the order of the keys.
    fn in_order(&self, is_meant: impl Fn(&Held) -> bool) -> Vec<&Held> {
        let mut meant: Vec<_> = self.held.values().flatten().filter(|held| is_meant(held)).collect();
        meant.sort_unstable_by_key(|held| held.key);
        meant
    }

    fn of_source(&self, source: Address) -> &[Held] {
        self.held.get(&source).map_or(&[], Vec::as_slice)
    }

    fn get(&self, key: &GrantKey) -> Option<&Held> {
        let of_source = self.of_source(key.source);
        let place = of_source.binary_search_by_key(key, |held| held.key).ok()?;
        of_source.get(place)
    }

    fn take(&mut self, key: &GrantKey) -> Option<Held> {
        let of_source = self.held.get_mut(&key.source)?;
        let place = of_source.binary_search_by_key(key, |held| held.key).ok()?;
        let held = of_source.remove(place);
        self.count -= 1;
        if !of_source.iter().any(|other| other.until == held.until) {
            self.by_end.remove(&(held.until, key.source));
        }
        if of_source.is_empty() {
            self.held.remove(&key.source);
        }
        Some(held)
    }

    /// There must be none of that key.
    fn put(&mut self, held: Held) {
        self.by_end.insert((held.until, held.key.source));
        // Most addresses hold one.
        let of_source = self.held.entry(held.key.source).or_insert_with(|| Vec::with_capacity(1));
        let place = of_source.partition_point(|other| other.key < held.key);
        of_source.insert(place, held);
        self.count += 1;
    }

    /// Opens or extends; nothing changes if it holds so long already. It is of one knock; whoever else has it is known, too.
    fn hold(&mut self, key: GrantKey, until: Boot, label: &str, now: Boot) -> Option<Change> {
        if let Some(held) = self.get(&key).filter(|held| held.until >= until) {
            if held.label != label {
                self.past.note(key, label, now);
            }
            return None;
        }
        let before = self.take(&key);
        if let Some(before) = before.as_ref().filter(|before| before.label != label) {
            self.past.note(key, &before.label, now);
        }
        self.put(Held { key, until, label: label.to_owned() });
        Some(Change { key, before })
    }
}

impl Held {
    fn to_grant(&self, now: Boot) -> Grant {
        Grant { key: self.key, ttl: self.until.since(now), label: self.label.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Protocol, Service};

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
