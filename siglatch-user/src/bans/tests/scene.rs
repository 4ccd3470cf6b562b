//! Bans beside the filter's lists as their effects make them, and a clock that tests set.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use siglatch_common::units::{Boot, Wall};

use super::super::*;

/// Bans, and the filter's lists as the effects make them.
pub(super) struct Scene {
    pub(super) bans: Bans,
    pub(super) lists: BTreeMap<Network, Ban>,
    pub(super) secs: u64,
    pub(super) kept: Option<Urgency>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(BanRule::default())
    }

    pub(super) fn with(rule: BanRule) -> Self {
        Self { bans: Bans::new(rule, KEY), lists: BTreeMap::new(), secs: 1_000_000, kept: None }
    }

    /// With a ban that was earned, one of the operator's and one of a file's.
    pub(super) fn of_all_kinds() -> Self {
        let mut scene = Self::new();
        scene.flood("192.0.2.7", 1000, false);
        scene.order("192.0.2.9", Some(HOUR)).unwrap();
        scene.read(&["198.51.100.0/24"]);
        scene
    }

    pub(super) fn now(&self) -> Now {
        Now { boot: boot(self.secs), wall: Wall::from_secs(WALL + self.secs) }
    }

    pub(super) fn carry_out(&mut self) {
        for effect in self.bans.take_effects() {
            match effect {
                Effect::Set(network, ban) => drop(self.lists.insert(network, ban)),
                Effect::Lift(network) => drop(self.lists.remove(&network)),
                Effect::Keep(urgency) => self.kept = self.kept.max(Some(urgency)),
            }
        }
    }

    pub(super) fn strike(&mut self, source: &str) -> Option<Sentence> {
        let sentence = self.bans.strike(address(source), false, self.now());
        self.carry_out();
        sentence
    }

    pub(super) fn flood(&mut self, source: &str, frames_over: u64, is_protected: bool) -> Option<Sentence> {
        let sentence = self.bans.flood(address(source), frames_over, is_protected, self.now());
        self.carry_out();
        sentence
    }

    pub(super) fn authentic(&mut self, source: &str) -> bool {
        let lifted = self.bans.authentic(address(source), self.now());
        self.carry_out();
        lifted
    }

    pub(super) fn order(&mut self, text: &str, seconds: Option<u64>) -> Result<Banned, Full> {
        let comment = "a comment".parse().unwrap();
        let order = BanOrder { network: network(text), seconds: seconds.and_then(NonZeroU64::new), comment };
        let banned = self.bans.ban(&order, self.now());
        self.carry_out();
        banned
    }

    pub(super) fn lift(&mut self, text: &str) -> Result<Lifted, NotLifted> {
        let lifted = self.bans.lift(network(text), self.now());
        self.carry_out();
        lifted
    }

    pub(super) fn read(&mut self, lines: &[&str]) -> Turn {
        let networks = lines.iter().map(|line| (network(line), 0)).collect();
        let listed = Listed { names: vec!["list.txt".parse().unwrap()], networks, is_complete: true };
        let turn = self.bans.set_listed(listed, self.now());
        self.carry_out();
        turn
    }

    pub(super) fn expire(&mut self) {
        self.bans.expire(self.now());
        self.carry_out();
    }

    pub(super) fn reconcile(&mut self) -> Vec<Change> {
        let found = self.lists.iter().map(|(network, ban)| (*network, *ban)).collect();
        let changes = self.bans.reconcile(found, self.now());
        self.carry_out();
        changes
    }

    /// Lets it be banned for a flood, and the ban end; how manieth it was, and how long.
    pub(super) fn is_banned_again(&mut self, source: &str) -> (u32, u64) {
        self.expire();
        if let Some(ban) = self.lists.get(&network(source)) {
            self.secs = ban.until / 1_000_000_000;
            self.expire();
        }
        let sentence = self.flood(source, 1000, false).expect("it is banned");
        self.secs += sentence.span.as_secs();
        self.expire();
        assert!(!self.lists.contains_key(&network(source)));
        self.secs += 1;
        (sentence.step, sentence.span.as_secs())
    }

    /// Another daemon begins; with the lists of the first, or with empty ones.
    pub(super) fn restart(&mut self, survived: bool) -> Vec<Change> {
        let records = self.bans.records(self.now());
        self.bans = Bans::new(self.bans.rule.clone(), KEY);
        self.bans.restore(records, false, self.now());
        if !survived {
            self.lists.clear();
        }
        self.begin(survived)
    }

    /// The machine starts anew, so many seconds later.
    pub(super) fn reboot(&mut self, later: u64) {
        let records = self.bans.records(self.now());
        let rule = self.bans.rule.clone();
        let mut other = Self::with(rule);
        other.secs = 0;
        // The clock on the wall goes on.
        let now = Now { boot: boot(0), wall: Wall::from_secs(WALL + self.secs + later) };
        other.bans.restore(records, true, now);
        assert_eq!(other.bans.begin(Vec::new(), false, now), []);
        other.carry_out();
        let listed = self.bans.listed.clone();
        other.bans.set_listed(listed, now);
        other.carry_out();
        *self = other;
    }

    pub(super) fn begin(&mut self, survived: bool) -> Vec<Change> {
        let found = self.lists.iter().map(|(network, ban)| (*network, *ban)).collect();
        let changes = self.bans.begin(found, survived, self.now());
        self.carry_out();
        changes
    }

    /// What stands in the lists, with its end in seconds, 0 for none.
    pub(super) fn list(&self) -> Vec<(String, u64, Reason)> {
        let list = self.lists.iter();
        list.map(|(network, ban)| (network.to_string(), ban.until / 1_000_000_000, Reason::from_number(ban.reason)))
            .collect()
    }
}

pub(super) fn network(text: &str) -> Network {
    text.parse().unwrap()
}

pub(super) fn address(text: &str) -> Address {
    network(text).as_single().unwrap()
}

pub(super) fn boot(secs: u64) -> Boot {
    Boot::from_nanos(secs * 1_000_000_000)
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the clock on the wall is ahead of the other, in seconds.
pub(super) const WALL: u64 = 1_700_000_000;

pub(super) const KEY: Key = Key { k0: 1, k1: 2 };
pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
