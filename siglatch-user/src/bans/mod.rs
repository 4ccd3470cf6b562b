//! Decides who is banned and who is known: what sources did, orders, files and time in; effects out. No IO, no clock.

#![forbid(unsafe_code)]

mod known;
mod past;
mod reconcile;
mod record;
mod strikes;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::{Ban, Reason};
use siglatch_common::siphash::Key;
use siglatch_common::units::Now;

pub use known::{KnownChange, KnownOrigins};
pub use reconcile::{Change, ChangeKind};
pub use record::{BanRecord, Deadline, PastRecord, Records};

use crate::admin::{BanEntry, BanOrder, Banned, Comment, Lifted, network_text};
use crate::config::BanRule;
use past::Past;
use strikes::Strikes;
use table::{Held, Table};

/// The bans. The caller owns the filter's lists, the clock, the disk and the files:
///
/// 1. [`Bans::new`], [`Bans::restore`] what was kept, [`Bans::begin`] with what stands in the filter's lists;
/// 2. tell it what happens, and carry out every effect, in order ([`Bans::take_effects`]);
/// 3. call [`Bans::expire`] and [`Bans::reconcile`] every few seconds.
#[derive(Debug)]
pub struct Bans {
    rule: BanRule,
    strikes: Strikes,
    past: Past,
    table: Table,
    listed: Listed,
    /// Bans that were earned, and for which there was no room.
    turned_away: u64,
    effects: Vec<Effect>,
}

/// What the caller must now do, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Set the ban in the filter's lists; [`Bans::could_not_set`], if they do not take it.
    Set(Network, Ban),
    /// Take it out there.
    Lift(Network),
    /// Keep [`Bans::records`].
    Keep(Urgency),
}

/// How soon something must be on the disk.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// In some seconds.
    Soon,
    /// Before the operator is told that it is done.
    Now,
}

/// A ban that a source has earned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sentence {
    /// Who.
    pub source: Address,
    /// What for.
    pub reason: Reason,
    /// The how manieth in a row.
    pub step: u32,
    /// For how long.
    pub span: Duration,
}

/// What the files of banned networks say, all together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Listed {
    /// What the operator is shown for each file.
    pub names: Vec<Comment>,
    /// Each network, and the place of its file among the names.
    pub networks: BTreeMap<Network, usize>,
    /// Whether each file could be read at least once. Until then nothing is lifted.
    pub is_complete: bool,
}

/// What has become of a new reading of the files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    /// Networks that are banned because of it.
    pub added: usize,
    /// Networks that are not any more.
    pub removed: usize,
    /// Networks for which there was no room.
    pub left_out: usize,
}

/// There is no room for another ban of that kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full {
    /// How many there is room for.
    pub capacity: u32,
}

/// Why a ban is not lifted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotLifted {
    /// There is none; perhaps one of a wider network, which is named.
    NotBanned(Option<Network>),
    /// A file says it: that one.
    FromFile(Comment),
}

impl Bans {
    /// No bans yet. The key spreads sources over a table.
    #[must_use]
    pub fn new(rule: BanRule, key: Key) -> Self {
        let capacity = rule.capacity as usize;
        Self {
            strikes: Strikes::new(key, rule.strikes, rule.within),
            past: Past::new(capacity),
            table: Table::new(capacity),
            listed: Listed { is_complete: true, ..Listed::default() },
            turned_away: 0,
            effects: Vec::new(),
            rule,
        }
    }

    /// Goes by another rule from now on. Bans that hold, strikes that were counted and room for bans stay as they are.
    pub fn set_rule(&mut self, rule: BanRule) {
        self.strikes.set_rule(rule.strikes, rule.within);
        self.rule = BanRule { capacity: self.rule.capacity, ..rule };
    }

    /// A datagram of nobody's has come from a source, which is banned if that is one too many. Whoever is allowed,
    /// known or holds a grant is protected.
    pub fn strike(&mut self, source: Address, is_protected: bool, now: Now) -> Option<Sentence> {
        if self.rule.strikes == 0 || is_protected || !self.strikes.count(source, now.boot) {
            return None;
        }
        self.sentence(source, Reason::Unauthentic, now)
    }

    /// A source has sent so many frames over its rate within [`Bans::FLOOD_SPAN`].
    pub fn flood(&mut self, source: Address, frames_over: u64, is_protected: bool, now: Now) -> Option<Sentence> {
        if self.rule.flood == 0 || is_protected || frames_over < u64::from(self.rule.flood) {
            return None;
        }
        self.sentence(source, Reason::Flood, now)
    }

    /// What floods are counted in.
    pub const FLOOD_SPAN: Duration = Duration::from_secs(10);

    /// An authentic knock has come from a source: what it is accused of, somebody else must have done. True if that
    /// lifts a ban.
    pub fn authentic(&mut self, source: Address, now: Now) -> bool {
        self.strikes.clear(source, now.boot);
        let network = Network::of(source);
        if !self.table.get(network).is_some_and(Held::is_earned) {
            return false;
        }
        self.table.remove(network);
        self.past.forget(source);
        self.effects.extend([Effect::Lift(network), Effect::Keep(Urgency::Soon)]);
        true
    }

    /// Bans somebody because the operator says so.
    ///
    /// # Errors
    /// If there is no room.
    pub fn ban(&mut self, order: &BanOrder, now: Now) -> Result<Banned, Full> {
        self.expire(now);
        let network = order.network;
        if !self.table.has_room_for(network) {
            return Err(Full { capacity: self.rule.capacity });
        }
        let held = Held {
            until: order.seconds.map(|seconds| now.boot.after(Duration::from_secs(seconds.get()))),
            reason: Reason::Operator,
            step: 0,
            hits: self.table.get(network).map_or(0, |held| held.hits),
            since: now.wall,
            comment: order.comment.clone(),
        };
        let entry = entry(network, &held, now);
        let replaced = self.hold(network, held).is_some();
        self.effects.push(Effect::Keep(Urgency::Now));
        Ok(Banned { entry, replaced, note: None })
    }

    /// Lifts a ban because the operator says so, and forgets the earlier ones with it.
    ///
    /// # Errors
    /// If there is none, or a file says it.
    pub fn lift(&mut self, network: Network, now: Now) -> Result<Lifted, NotLifted> {
        self.expire(now);
        let held = self.table.get(network).ok_or_else(|| NotLifted::NotBanned(self.table.around(network)))?;
        if held.reason == Reason::File {
            return Err(NotLifted::FromFile(held.comment.clone()));
        }
        let entry = entry(network, held, now);
        self.table.remove(network);
        if let Some(source) = network.as_single() {
            self.past.forget(source);
            self.strikes.clear(source, now.boot);
        }
        let note = if self.release(network, now) {
            Some("A file of the configuration bans it all the same".to_owned())
        } else {
            self.table.around(network).map(|wider| format!("{} around it is still banned", network_text(wider)))
        };
        self.effects.push(Effect::Keep(Urgency::Now));
        Ok(Lifted { entry, note })
    }

    /// Goes by a new reading of the files: what they say now and did not say before is banned for good, and the other
    /// way round. The operator's own bans stand above what files say.
    pub fn set_listed(&mut self, mut listed: Listed, now: Now) -> Turn {
        let mut turn = Turn::default();
        if !listed.is_complete {
            let before = self.listed.networks.iter().filter(|(network, _)| !listed.networks.contains_key(network));
            let before: Vec<_> = before.map(|(network, _)| (*network, usize::MAX)).collect();
            listed.networks.extend(before);
        }
        let before = std::mem::replace(&mut self.listed, listed);
        for network in before.networks.keys().filter(|network| !self.listed.networks.contains_key(network)) {
            if self.table.get(*network).is_some_and(|held| held.reason == Reason::File) {
                self.table.remove(*network);
                self.effects.push(Effect::Lift(*network));
                turn.removed += 1;
            }
        }
        self.name_files();
        let new: Vec<_> =
            self.listed.networks.keys().filter(|net| !before.networks.contains_key(net)).copied().collect();
        for network in new {
            if self.table.get(network).is_some_and(|held| !held.is_earned()) {
                continue;
            }
            if self.table.has_room_for(network) {
                self.hold_listed(network, now);
                turn.added += 1;
            } else {
                turn.left_out += 1;
            }
        }
        turn
    }

    /// Ends the bans that are over.
    pub fn expire(&mut self, now: Now) {
        self.past.expire(now.boot);
        while let Some(network) = self.table.pop_ended(now.boot) {
            self.release(network, now);
            self.effects.push(Effect::Keep(Urgency::Soon));
        }
    }

    /// The filter's lists have not taken a ban.
    pub fn could_not_set(&mut self, network: Network) {
        self.table.remove(network);
    }

    /// What is to be done, in order; empty until something happens again.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// How many bans were earned for which there was no room, since it was asked last.
    #[must_use]
    pub fn take_turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    /// The bans that stand, as the operator sees them; by network.
    pub fn entries(&self, now: Now) -> impl Iterator<Item = BanEntry> {
        let held = self.table.iter().filter(move |(_, held)| held.until.is_none_or(|until| until > now.boot));
        held.map(move |(network, held)| entry(network, held, now))
    }

    /// How many bans of one address stand.
    #[must_use]
    pub const fn addresses(&self) -> usize {
        self.table.single()
    }

    /// How many bans stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bans a source that has earned it, unless it is banned already or there is no room.
    fn sentence(&mut self, source: Address, reason: Reason, now: Now) -> Option<Sentence> {
        self.expire(now);
        let network = Network::of(source);
        if self.table.get(network).is_some() {
            return None;
        }
        if !self.table.has_room_for_earned() {
            self.turned_away += 1;
            return None;
        }
        let step = self.past.steps(source, now.boot).saturating_add(1);
        let place = (step as usize - 1).min(self.rule.steps.len().saturating_sub(1));
        let span = self.rule.steps.get(place).copied()?;
        let until = now.boot.after(span);
        self.past.remember(source, step, until.after(self.rule.forget));
        let comment = Comment::default();
        self.hold(network, Held { until: Some(until), reason, step, hits: 0, since: now.wall, comment });
        self.effects.push(Effect::Keep(Urgency::Soon));
        Some(Sentence { source, reason, step, span })
    }

    /// After a ban is gone: what a file says holds again, and otherwise nothing. True if a file says something.
    fn release(&mut self, network: Network, now: Now) -> bool {
        let is_listed = self.listed.networks.contains_key(&network) && self.table.has_room_for(network);
        if is_listed {
            self.hold_listed(network, now);
        } else {
            self.effects.push(Effect::Lift(network));
        }
        is_listed
    }

    /// Says of bans that were said by a file before the daemon started which one it is.
    fn name_files(&mut self) {
        for (network, file) in &self.listed.networks {
            if let Some(name) = self.listed.names.get(*file) {
                self.table.name_file(*network, name);
            }
        }
    }

    fn hold_listed(&mut self, network: Network, now: Now) {
        let file = self.listed.networks.get(&network);
        let comment = file.and_then(|file| self.listed.names.get(*file)).cloned().unwrap_or_default();
        self.hold(network, Held { until: None, reason: Reason::File, step: 0, hits: 0, since: now.wall, comment });
    }

    fn hold(&mut self, network: Network, held: Held) -> Option<Held> {
        self.effects.push(Effect::Set(network, held.ban()));
        self.table.put(network, held)
    }
}

fn entry(network: Network, held: &Held, now: Now) -> BanEntry {
    let deadline = held.until.map(|until| Deadline::at(until, now));
    BanEntry {
        network,
        reason: held.reason,
        until: deadline.map(|deadline| deadline.wall.as_secs()),
        left: held.until.map(|until| until.since(now.boot).as_secs()),
        since: Some(held.since.as_secs()),
        step: held.step,
        hits: held.hits,
        comment: held.comment.clone(),
    }
}
