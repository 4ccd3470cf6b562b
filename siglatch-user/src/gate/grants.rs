//! The grants that hold, and until when. Never opens or closes anything: the kernel's timeouts do that.

use std::collections::{BTreeMap, BTreeSet};

use siglatch_common::units::Boot;

use super::permit::Opening;
use super::{Grant, GrantKey, Refusal};

/// The grants that hold.
#[derive(Debug, Default)]
pub(super) struct Grants {
    held: BTreeMap<GrantKey, Held>,
    by_end: BTreeSet<(Boot, GrantKey)>,
}

#[derive(Debug)]
struct Held {
    until: Boot,
    label: String,
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
            let key = GrantKey { source: opening.source, service };
            let until = self.hold(key, now.after(opening.ttl), &label);
            Grant { key, ttl: until.since(now), label: label.clone() }
        });
        Ok(grants.collect())
    }

    /// Everything that holds now, with the time left.
    pub(super) fn live(&self, now: Boot) -> Vec<Grant> {
        let left = |held: &Held| held.until.since(now);
        let live = self.held.iter().filter(|(_, held)| !left(held).is_zero());
        live.map(|(key, held)| Grant { key: *key, ttl: left(held), label: held.label.clone() }).collect()
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

    fn hold(&mut self, key: GrantKey, until: Boot, label: &str) -> Boot {
        let until = match self.held.get(&key) {
            Some(held) if held.until >= until => return held.until,
            Some(held) => {
                self.by_end.remove(&(held.until, key));
                until
            }
            None => until,
        };
        self.by_end.insert((until, key));
        self.held.insert(key, Held { until, label: label.to_owned() });
        until
    }
}
