//! What still counts of a ledger: the last word about each user, action and debt. Never touches a file.

use std::collections::BTreeMap;
use std::time::Duration;

use siglatch_common::units::Now;

use crate::gate::{Debt, DebtId, Entry, Noted};

/// The last word about everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Book {
    users: BTreeMap<String, u32>,
    actions: BTreeMap<String, u32>,
    debts: BTreeMap<DebtId, Debt>,
}

impl Book {
    /// A later word about something.
    pub(super) fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::UserUsed { name, times } => drop(self.users.insert(name, times)),
            Entry::ActionUsed { name, times } => drop(self.actions.insert(name, times)),
            Entry::Owed(debt) => drop(self.debts.insert(debt.id, *debt)),
            Entry::Settled(id) => drop(self.debts.remove(&id)),
        }
    }

    /// The machine has started anew: its clock has, too. What ends with it has ended.
    pub(super) fn start_anew(&mut self, now: Now) {
        for debt in self.debts.values_mut() {
            let left = match debt.ends_with_boot {
                true => 0,
                false => debt.due_wall.as_secs().saturating_sub(now.wall.as_secs()),
            };
            debt.due = now.boot.after(Duration::from_secs(left));
        }
    }

    /// As much as it takes to say all of this again.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let users = self.users.iter().map(|(name, times)| Entry::UserUsed { name: name.clone(), times: *times });
        let actions = self.actions.iter().map(|(name, times)| Entry::ActionUsed { name: name.clone(), times: *times });
        let debts = self.debts.values().map(|debt| Entry::Owed(Box::new(debt.clone())));
        users.chain(actions).chain(debts)
    }

    /// The same for the gate.
    pub(super) fn noted(&self, rebooted: bool, damaged: bool) -> Noted {
        Noted {
            users: self.users.clone().into_iter().collect(),
            actions: self.actions.clone().into_iter().collect(),
            debts: self.debts.values().cloned().collect(),
            rebooted,
            damaged,
        }
    }
}
