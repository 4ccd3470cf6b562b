//! What operators have switched off while the daemon runs, and until when. Never switches anything in a daemon.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use siglatch_common::units::Wall;
use thiserror::Error;

use crate::admin::{Switch, SwitchKind, SwitchTarget};
use crate::config::Settings;

/// Everything that is switched off. It stays so when the configuration changes, and when the daemon starts anew.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Switches {
    /// Until when; nothing: until it is switched on.
    off: BTreeMap<SwitchTarget, Option<Wall>>,
}

/// There is no room for another one.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{} things are switched off already", Switches::CAPACITY)]
pub struct Full;

impl Switches {
    /// The most that can be off at once.
    pub const CAPACITY: usize = 4096;

    /// Switches something off, or changes until when it is; whether that is new.
    ///
    /// # Errors
    /// [`Full`] if too much is off already.
    pub fn turn_off(&mut self, target: SwitchTarget, until: Option<Wall>) -> Result<bool, Full> {
        if self.off.len() >= Self::CAPACITY && !self.off.contains_key(&target) {
            return Err(Full);
        }
        Ok(self.off.insert(target, until) != Some(until))
    }

    /// Switches something on; whether it was off.
    pub fn turn_on(&mut self, target: &SwitchTarget) -> bool {
        self.off.remove(target).is_some()
    }

    /// Whether it is off.
    #[must_use]
    pub fn is_off(&self, target: &SwitchTarget) -> bool {
        self.off.contains_key(target)
    }

    /// Switches on whatever was off until now, and names it.
    pub fn expire(&mut self, now: Wall) -> Vec<SwitchTarget> {
        self.off.extract_if(.., |_, until| until.is_some_and(|until| until <= now)).map(|(target, _)| target).collect()
    }

    /// When [`Switches::expire`] has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Wall> {
        self.off.values().flatten().min().copied()
    }

    /// Everything that is off, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = Switch> {
        self.off
            .iter()
            .map(|(target, until)| Switch { target: target.clone(), until: until.map(|until| until.as_secs()) })
    }

    /// Those that were kept; none that is more than there may be.
    #[must_use]
    pub fn of(kept: impl IntoIterator<Item = Switch>) -> Self {
        let off = kept.into_iter().take(Self::CAPACITY);
        Self { off: off.map(|Switch { target, until }| (target, until.map(Wall::from_secs))).collect() }
    }

    /// The settings as they hold with this off. What they do not name stays off for when they do.
    #[must_use]
    pub fn laid_over(&self, mut settings: Settings) -> Settings {
        for (SwitchTarget { kind, name }, until) in &self.off {
            match kind {
                SwitchKind::User => settings.policy.disable_user(name, *until),
                SwitchKind::Action => settings.policy.disable_action(name, *until),
                SwitchKind::Sequence => settings.policy.disable_sequence(name, *until),
                SwitchKind::Port => settings.ports.retain(|port| port.port.to_string() != *name),
            }
        }
        settings
    }
}

impl SwitchTarget {
    /// Whether the settings have such a thing.
    #[must_use]
    pub fn is_in(&self, settings: &Settings) -> bool {
        let (policy, name) = (&settings.policy, &self.name);
        match self.kind {
            SwitchKind::User => policy.user_named(name).is_some(),
            SwitchKind::Action => policy.action_named(name).is_some(),
            SwitchKind::Sequence => policy.sequences().iter().any(|sequence| sequence.name == *name),
            SwitchKind::Port => settings.ports.iter().any(|port| port.port.to_string() == *name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> SwitchTarget {
        SwitchTarget { kind: SwitchKind::User, name: name.to_owned() }
    }

    fn at(secs: u64) -> Wall {
        Wall::from_secs(secs)
    }

    #[test]
    fn what_is_off_until_then_is_on_then_and_the_rest_stays_off() {
        let mut switches = Switches::default();
        assert_eq!(switches.next_expiry(), None);
        assert_eq!(switches.turn_off(user("alice"), Some(at(100))), Ok(true));
        assert_eq!(switches.turn_off(user("bob"), None), Ok(true));
        assert_eq!(switches.turn_off(user("carol"), Some(at(50))), Ok(true));
        assert_eq!(switches.turn_off(user("carol"), Some(at(50))), Ok(false), "it was off already");
        assert_eq!(switches.next_expiry(), Some(at(50)));
        assert_eq!(switches.expire(at(49)), []);
        assert_eq!(switches.expire(at(50)), [user("carol")]);
        assert_eq!(switches.expire(at(1000)), [user("alice")]);
        assert!(switches.is_off(&user("bob")) && switches.next_expiry().is_none());
        assert!(switches.turn_on(&user("bob")) && !switches.turn_on(&user("bob")));
    }

    #[test]
    fn there_is_room_for_so_many_and_what_is_off_can_still_be_changed() {
        let mut switches = Switches::default();
        for number in 0..Switches::CAPACITY {
            switches.turn_off(user(&number.to_string()), None).unwrap();
        }
        assert_eq!(switches.turn_off(user("one more"), None), Err(Full));
        assert_eq!(switches.turn_off(user("7"), Some(at(1))), Ok(true));
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut switches = Switches::default();
        switches.turn_off(user("alice"), Some(at(100))).unwrap();
        switches.turn_off(SwitchTarget { kind: SwitchKind::Port, name: "62201".to_owned() }, None).unwrap();
        assert_eq!(Switches::of(switches.iter()), switches);
    }
}
