//! What stands in the filter's lists, beside what ought to: bans survive there, and operators change them by hand.
//! Never reads a list.

use std::collections::BTreeMap;

use siglatch_common::address::Network;
use siglatch_common::ban::{Ban, Reason};
use siglatch_common::units::{Boot, Now};

use super::record::{BanRecord, Deadline, PastRecord, Records};
use super::table::{Held, is_earned};
use super::{Bans, Effect, Urgency};
use crate::admin::Comment;

/// Something that somebody has changed by hand in the filter's lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// Whose ban.
    pub network: Network,
    /// What.
    pub kind: ChangeKind,
}

/// What somebody has changed by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// There is a ban where none was. It ends then, or never.
    Set(Option<Boot>),
    /// There is another ban than there was. It ends then, or never.
    Altered(Option<Boot>),
    /// There is none where one was.
    Lifted,
}

impl Bans {
    /// Takes over what an earlier daemon has kept; `rebooted` if that was before the machine started anew.
    pub fn restore(&mut self, records: Records, rebooted: bool, now: Now) {
        for BanRecord { network, until, reason, step, hits, since, comment } in records.bans {
            let until = until.map(|until| {
                let longest = until.wall.skew(since);
                until.boot(rebooted, longest, now)
            });
            if until.is_none_or(|until| until > now.boot) && self.table.has_room_for(network) {
                self.table.put(network, Held { until, reason, step, hits, since, comment });
            }
        }
        let longest = self.rule.forget + self.rule.steps.iter().max().copied().unwrap_or_default();
        for PastRecord { source, step, forget } in records.past {
            let forget = forget.boot(rebooted, longest, now);
            if forget > now.boot {
                self.past.remember(source, step, forget);
            }
        }
    }

    /// Begins with what stands in the filter's lists. They are the earlier daemon's if they have `survived`: then what
    /// lacks there was lifted by hand. Otherwise they are new, and what ought to stand there is set.
    pub fn begin(&mut self, mut found: Vec<(Network, Ban)>, survived: bool, now: Now) -> Vec<Change> {
        for (network, ban) in &found {
            self.take_over(*network, ban, now);
        }
        if !survived {
            let set: Vec<_> = self.table.iter().map(|(network, held)| (network, held.ban())).collect();
            self.effects.extend(set.iter().map(|(network, ban)| Effect::Set(*network, *ban)));
            // Before whatever else there is: of two bans of one network the first counts.
            found.splice(0..0, set);
        }
        self.reconcile(found, now)
    }

    /// Compares what stands in the filter's lists with what ought to. What differs was changed by hand, and holds: it
    /// is the operator's from then on. Every effect must have been carried out before the lists were read.
    pub fn reconcile(&mut self, found: Vec<(Network, Ban)>, now: Now) -> Vec<Change> {
        let mut there = BTreeMap::new();
        for (network, ban) in found {
            there.entry(network).or_insert(ban);
        }
        let mut changes = Vec::new();
        let lacking: Vec<_> =
            self.table.iter().map(|(network, _)| network).filter(|network| !there.contains_key(network)).collect();
        for network in lacking {
            self.lifted_by_hand(network);
            changes.push(Change { network, kind: ChangeKind::Lifted });
        }
        for (network, ban) in there {
            let held = self.table.get(network);
            if held.is_some_and(|held| held.is(&ban)) {
                self.table.set_hits(network, ban.hits);
            } else if ban.holds(now.boot.as_nanos()) {
                let until = until(&ban);
                let kind = if held.is_some() { ChangeKind::Altered(until) } else { ChangeKind::Set(until) };
                self.adopt(network, &ban, now);
                changes.push(Change { network, kind });
            } else {
                if held.is_some() {
                    self.lifted_by_hand(network);
                    changes.push(Change { network, kind: ChangeKind::Lifted });
                }
                self.effects.push(Effect::Lift(network));
            }
        }
        if !changes.is_empty() {
            self.effects.push(Effect::Keep(Urgency::Now));
        }
        changes
    }

    /// What is to be kept across restarts. What files say is not: they will say it again.
    #[must_use]
    pub fn records(&self, now: Now) -> Records {
        let bans = self.table.iter().filter(|(_, held)| held.reason != Reason::File);
        let bans = bans.map(|(network, held)| BanRecord {
            network,
            until: held.until.map(|until| Deadline::at(until, now)),
            reason: held.reason,
            step: held.step,
            hits: held.hits,
            since: held.since,
            comment: held.comment.clone(),
        });
        let past = self.past.iter();
        let past = past.map(|(source, step, end)| PastRecord { source, step, forget: Deadline::at(end, now) });
        Records { bans: bans.collect(), past: past.collect() }
    }

    /// A ban of an earlier daemon's that it had no time to keep, or that a file said.
    fn take_over(&mut self, network: Network, ban: &Ban, now: Now) {
        let reason = Reason::from_number(ban.reason);
        let is_ours = match (network.as_single(), until(ban)) {
            (Some(source), Some(until)) if is_earned(reason) && ban.step > 0 => {
                self.past.remember(source, ban.step, until.after(self.rule.forget));
                true
            }
            (_, None) if reason == Reason::File && ban.step == 0 => {
                self.listed.networks.insert(network, usize::MAX);
                true
            }
            (_, _) => false,
        };
        if is_ours && self.table.get(network).is_none() && ban.holds(now.boot.as_nanos()) {
            let comment = Comment::default();
            let held = Held { until: until(ban), reason, step: ban.step, hits: ban.hits, since: now.wall, comment };
            self.table.put(network, held);
            self.effects.push(Effect::Keep(Urgency::Soon));
        }
    }

    /// Makes a ban that somebody has set by hand the operator's.
    fn adopt(&mut self, network: Network, ban: &Ban, now: Now) {
        let comment = BY_HAND.parse().unwrap_or_default();
        let reason = Reason::Operator;
        let held = Held { until: until(ban), reason, step: 0, hits: ban.hits, since: now.wall, comment };
        // Where it says something else, it is made to say whose it is.
        if !held.is(ban) {
            self.effects.push(Effect::Set(network, held.ban()));
        }
        self.table.put(network, held);
    }

    fn lifted_by_hand(&mut self, network: Network) {
        self.table.remove(network);
        if let Some(source) = network.as_single() {
            self.past.forget(source);
        }
    }
}

fn until(ban: &Ban) -> Option<Boot> {
    (ban.until != 0).then(|| Boot::from_nanos(ban.until))
}

/// The comment of bans that were set without siglatch.
const BY_HAND: &str = "by hand";
