//! How often those have knocked who may do so only so often, and the same of actions. Never says which knocks count.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::{Entry, Noted, Refusal};
use crate::policy::{Action, User};

/// The counts of users and actions with a number of uses; others are not counted. By name, as numbers may be given anew, and
/// of everybody that the ledger knows: whoever is gone may come back.
#[derive(Debug, Default)]
pub(super) struct Uses {
    users: HashMap<String, Count>,
    actions: HashMap<String, Count>,
    /// Some counts of earlier runs are lost, and nobody knows whose.
    are_unknown: bool,
    changes: Vec<Use>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// As the ledger has it.
    real: u32,
    /// Those of actions that are only told: they count until the daemon stops.
    dry: u32,
}

/// One use, as far as it was counted.
#[derive(Clone, Debug)]
pub(super) struct Use {
    user: Option<String>,
    action: Option<String>,
    is_dry: bool,
}

impl Uses {
    /// The counts that the ledger has.
    pub(super) fn new(noted: &Noted) -> Self {
        Self {
            users: by_name(&noted.users),
            actions: by_name(&noted.actions),
            are_unknown: noted.damaged,
            changes: Vec::new(),
        }
    }

    /// Makes sure that both have a use left.
    ///
    /// # Errors
    /// [`Refusal::UserUsedUp`] or [`Refusal::ActionUsedUp`]; also if nobody knows.
    pub(super) fn check(&self, user: &User, action: &Action) -> Result<(), Refusal> {
        if !self.has_left(user.uses, self.users.get(&user.name)) {
            return Err(Refusal::UserUsedUp);
        }
        if !self.has_left(action.uses, self.actions.get(&action.name)) {
            return Err(Refusal::ActionUsedUp);
        }
        Ok(())
    }

    /// Counts a use of both, and says what must be noted of it.
    pub(super) fn count(&mut self, user: &User, action: &Action) -> Vec<Entry> {
        let is_dry = action.dry_run;
        let counted = Use {
            user: user.uses.map(|_| user.name.clone()),
            action: action.uses.map(|_| action.name.clone()),
            is_dry,
        };
        let mut entries = Vec::new();
        if let Some(name) = &counted.user {
            let count = self.users.entry(name.clone()).or_default();
            count.add(is_dry);
            entries.push(Entry::UserUsed { name: name.clone(), times: count.real });
        }
        if let Some(name) = &counted.action {
            let count = self.actions.entry(name.clone()).or_default();
            count.add(is_dry);
            entries.push(Entry::ActionUsed { name: name.clone(), times: count.real });
        }
        if !entries.is_empty() {
            self.changes.push(counted);
        }
        if is_dry { Vec::new() } else { entries }
    }

    /// What was counted since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Use> {
        std::mem::take(&mut self.changes)
    }

    /// Gives these uses back.
    pub(super) fn undo(&mut self, uses: Vec<Use>) {
        for Use { user, action, is_dry } in uses {
            let user = user.and_then(|name| self.users.get_mut(&name));
            let action = action.and_then(|name| self.actions.get_mut(&name));
            user.into_iter().chain(action).for_each(|count| count.take_back(is_dry));
        }
    }

    /// How many uses a user has left; nothing if they are not counted, or nobody knows.
    pub(super) fn left_of_user(&self, user: &User) -> Option<u32> {
        self.left(user.uses, self.users.get(&user.name))
    }

    /// How many an action has left; nothing if they are not counted, or nobody knows.
    pub(super) fn left_of_action(&self, action: &Action) -> Option<u32> {
        self.left(action.uses, self.actions.get(&action.name))
    }

    fn left(&self, uses: Option<NonZeroU32>, count: Option<&Count>) -> Option<u32> {
        let uses = uses.filter(|_| !self.are_unknown)?;
        Some(uses.get().saturating_sub(count.map_or(0, |count| count.in_all())))
    }

    fn has_left(&self, uses: Option<NonZeroU32>, count: Option<&Count>) -> bool {
        let Some(uses) = uses else {
            return true;
        };
        !self.are_unknown && count.is_none_or(|count| count.in_all() < uses.get())
    }
}

impl Count {
    fn in_all(self) -> u32 {
        self.real.saturating_add(self.dry)
    }

    fn add(&mut self, is_dry: bool) {
        let part = if is_dry { &mut self.dry } else { &mut self.real };
        *part = part.saturating_add(1);
    }

    fn take_back(&mut self, is_dry: bool) {
        let part = if is_dry { &mut self.dry } else { &mut self.real };
        *part = part.saturating_sub(1);
    }
}

fn by_name(counts: &[(String, u32)]) -> HashMap<String, Count> {
    counts.iter().map(|(name, times)| (name.clone(), Count { real: *times, dry: 0 })).collect()
}
