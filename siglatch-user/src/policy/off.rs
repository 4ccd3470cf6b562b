//! What of a policy is switched off, for now. Never decides what is.

use std::collections::BTreeMap;

use siglatch_common::units::Wall;
use siglatch_common::wire::v1::{ActionId, UserId};

use super::Policy;

/// What operators have switched off, and until when; nothing: until it is switched on. Who has no right any more by the
/// configuration is not here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Off {
    users: BTreeMap<UserId, Until>,
    actions: BTreeMap<ActionId, Until>,
    /// By their place.
    sequences: BTreeMap<usize, Until>,
}

type Until = Option<Wall>;

impl Policy {
    /// Refuses the user's knocks like a stranger's. What the user holds stays until its time is over.
    pub fn disable_user(&mut self, name: &str, until: Option<Wall>) {
        self.off.users.extend(self.user_names.get(name).map(|id| (*id, until)));
    }

    /// Refuses knocks for the action. What earlier ones have done stays.
    pub fn disable_action(&mut self, name: &str, until: Option<Wall>) {
        self.off.actions.extend(self.action_names.get(name).map(|id| (*id, until)));
    }

    /// Refuses the steps of the sequence.
    pub fn disable_sequence(&mut self, name: &str, until: Option<Wall>) {
        let place = self.sequences.iter().position(|sequence| sequence.name == name);
        self.off.sequences.extend(place.map(|place| (place, until)));
    }

    /// Whether the user's knocks are not refused like a stranger's.
    #[must_use]
    pub fn may_knock(&self, id: UserId) -> bool {
        self.user(id).is_some_and(|user| user.enabled) && self.user_off(id).is_none()
    }

    /// Until when the user is switched off; nothing if the user is not.
    #[must_use]
    pub fn user_off(&self, id: UserId) -> Option<Option<Wall>> {
        self.off.users.get(&id).copied()
    }

    /// Until when the action is switched off; nothing if it is not.
    #[must_use]
    pub fn action_off(&self, id: ActionId) -> Option<Option<Wall>> {
        self.off.actions.get(&id).copied()
    }

    /// Until when the sequence in that place is switched off; nothing if it is not.
    #[must_use]
    pub fn sequence_off(&self, place: usize) -> Option<Option<Wall>> {
        self.off.sequences.get(&place).copied()
    }
}
