//! Decides whose knocks are told in full, and for how long: debugging of one user or one source. Never tells a key or an
//! HMAC, and never goes on by itself.

#![forbid(unsafe_code)]

mod exhibit;

use std::collections::BTreeMap;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use siglatch_common::wire::v1::UserId;

pub use exhibit::{datagram_text, payload_text};

/// On whom the light falls, and until when.
///
/// Bounded: [`Spotlight::CAPACITY`] at once, and [`Spotlight::A_SECOND`] datagrams told a second, since a source can be
/// forged.
#[derive(Debug)]
pub struct Spotlight {
    lit: BTreeMap<Target, Boot>,
    second: Boot,
    told: u32,
    untold: u64,
}

/// Somebody whose knocks can be told in full.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Target {
    /// A user's, wherever they come from.
    User(UserId),
    /// Whatever comes from there.
    Source(Address),
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl Spotlight {
    /// Targets at once.
    pub const CAPACITY: usize = 32;
    /// Datagrams told in a second.
    pub const A_SECOND: u32 = 20;

    /// Falls on nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { lit: BTreeMap::new(), second: Boot::from_nanos(0), told: 0, untold: 0 }
    }

    /// Falls on the target until then, in place of an earlier end.
    ///
    /// # Errors
    /// [`Full`] if it falls on too many already.
    pub fn turn_on(&mut self, target: Target, until: Boot) -> Result<(), Full> {
        if self.lit.len() >= Self::CAPACITY && !self.lit.contains_key(&target) {
            return Err(Full);
        }
        self.lit.insert(target, until);
        Ok(())
    }

    /// Does not fall on that target any more; without one, on nobody. Says on whom it fell.
    pub fn turn_off(&mut self, target: Option<Target>) -> Vec<Target> {
        match target {
            Some(target) => self.lit.remove(&target).map(|_| target).into_iter().collect(),
            None => std::mem::take(&mut self.lit).into_keys().collect(),
        }
    }

    /// Whether a datagram is told: an authentic knock for its user's sake, any for its source's.
    #[must_use]
    pub fn falls_on(&mut self, user: Option<UserId>, source: Address, now: Boot) -> bool {
        let is_lit = |target| self.lit.get(&target).is_some_and(|until| now < *until);
        if self.lit.is_empty() || !(user.map(Target::User).is_some_and(is_lit) || is_lit(Target::Source(source))) {
            return false;
        }
        if now.since(self.second).as_secs() > 0 {
            (self.second, self.told) = (now, 0);
        }
        let may = self.told < Self::A_SECOND;
        self.told += u32::from(may);
        self.untold += u64::from(!may);
        may
    }

    /// How many datagrams were not told since this was asked last, because there were too many.
    pub fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// On whom it falls, and until when.
    pub fn lit(&self) -> impl Iterator<Item = (Target, Boot)> {
        self.lit.iter().map(|(target, until)| (*target, *until))
    }

    /// When [`Spotlight::expire`] has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Boot> {
        self.lit.values().min().copied()
    }

    /// Ends what is over, and says what that was.
    pub fn expire(&mut self, now: Boot) -> Vec<Target> {
        self.lit.extract_if(.., |_, until| *until <= now).map(|(target, _)| target).collect()
    }
}

impl Default for Spotlight {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserId = UserId(1);
    const HOME: Address = Address::v4([192, 0, 2, 7]);
    const ELSEWHERE: Address = Address::v4([198, 51, 100, 9]);

    #[test]
    fn a_user_is_told_from_everywhere_and_nobody_else_is() {
        let mut light = Spotlight::new();
        assert!(!light.falls_on(Some(ALICE), HOME, at(0)));
        light.turn_on(Target::User(ALICE), at(10)).unwrap();
        assert!(light.falls_on(Some(ALICE), HOME, at(1)) && light.falls_on(Some(ALICE), ELSEWHERE, at(1)));
        assert!(!light.falls_on(Some(UserId(2)), HOME, at(1)) && !light.falls_on(None, HOME, at(1)));
    }

    #[test]
    fn a_source_is_told_whoever_it_is() {
        let mut light = Spotlight::new();
        light.turn_on(Target::Source(HOME), at(10)).unwrap();
        assert!(light.falls_on(Some(ALICE), HOME, at(1)) && light.falls_on(None, HOME, at(1)));
        assert!(!light.falls_on(Some(ALICE), ELSEWHERE, at(1)));
    }

    #[test]
    fn it_turns_itself_off() {
        let mut light = Spotlight::new();
        light.turn_on(Target::User(ALICE), at(10)).unwrap();
        light.turn_on(Target::Source(HOME), at(5)).unwrap();
        assert_eq!(light.next_expiry(), Some(at(5)));
        assert!(light.falls_on(None, HOME, at(4)) && !light.falls_on(None, HOME, at(5)));
        assert_eq!(light.expire(at(5)), [Target::Source(HOME)]);
        assert_eq!(light.expire(at(10)), [Target::User(ALICE)]);
        assert_eq!(light.next_expiry(), None);
    }

    #[test]
    fn it_is_turned_off_for_one_or_for_all() {
        let mut light = Spotlight::new();
        for target in [Target::User(ALICE), Target::Source(HOME), Target::Source(ELSEWHERE)] {
            light.turn_on(target, at(10)).unwrap();
        }
        assert_eq!(light.turn_off(Some(Target::User(UserId(2)))), []);
        assert_eq!(light.turn_off(Some(Target::User(ALICE))), [Target::User(ALICE)]);
        assert_eq!(light.turn_off(None).len(), 2);
        assert_eq!(light.lit().count(), 0);
    }

    #[test]
    fn a_flood_from_a_told_source_is_told_in_part_and_counted() {
        let mut light = Spotlight::new();
        light.turn_on(Target::Source(HOME), at(100)).unwrap();
        let told = (0..1000).filter(|_| light.falls_on(None, HOME, at(7))).count();
        assert_eq!((told, light.take_untold()), (20, 980));
        assert!(light.falls_on(None, HOME, at(8)), "the next second has room again");
        assert_eq!(light.take_untold(), 0);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut light = Spotlight::new();
        for user in 0..32 {
            light.turn_on(Target::User(UserId(user)), at(10)).unwrap();
        }
        assert_eq!(light.turn_on(Target::User(UserId(32)), at(10)), Err(Full));
        light.turn_on(Target::User(UserId(31)), at(20)).unwrap();
    }

    fn at(secs: u64) -> Boot {
        Boot::from_nanos(1_000_000_000_000 + secs * 1_000_000_000)
    }
}
