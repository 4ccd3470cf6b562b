//! The effects that wait to be taken, and which of them come back if they cannot be carried out. Never decides on one.

use std::time::Duration;

use super::{Effect, GrantKey, GrantsOpened};

/// Effects, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect>,
    /// Those of them that no knock takes back.
    lasting: Vec<Effect>,
}

impl Outbox {
    /// What comes of a knock: if it cannot be carried out, it never was.
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// What comes of time, of the end of a program, or of an operator: it stays wanted until it is carried out.
    pub(super) fn push_lasting(&mut self, effect: Effect) {
        self.lasting.push(effect.clone());
        self.effects.push(effect);
    }

    /// The effects themselves.
    pub(super) const fn effects(&mut self) -> &mut Vec<Effect> {
        &mut self.effects
    }

    /// Changes the effects that wait, and leaves out those for which that says no.
    pub(super) fn retain(&mut self, mut change: impl FnMut(&mut Effect) -> bool) {
        self.effects.retain_mut(&mut change);
        self.lasting.retain_mut(&mut change);
    }

    /// Has what an operator has extended, and the disk did not take at once, hold no longer than it was to.
    pub(super) fn refresh(&mut self, left: impl Fn(&GrantKey) -> Option<Duration>) {
        self.retain(|effect| {
            let Effect::Open(GrantsOpened { knock: None, grants }) = effect else { return true };
            grants.retain_mut(|grant| left(&grant.key).map(|left| grant.ttl = left).is_some());
            !grants.is_empty()
        });
    }

    /// All, and a copy of those that last.
    pub(super) fn take(&mut self) -> (Vec<Effect>, Vec<Effect>) {
        (std::mem::take(&mut self.effects), std::mem::take(&mut self.lasting))
    }

    /// Wants these again, before everything else.
    pub(super) fn put_back(&mut self, lasting: Vec<Effect>) {
        self.effects.splice(..0, lasting.iter().cloned());
        self.lasting.splice(..0, lasting);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
}
