//! What must outlive the daemon, beside nonces: how often somebody knocked who may do so only so often, and what is still
//! to be undone. Never writes it.

use siglatch_common::units::{Boot, Wall};

use super::{Call, DebtId};

/// One line of the ledger. Counts and debts are told whole, so that the last line about each is all that counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A user with [`crate::policy::User::uses`] has knocked so often, with effect.
    UserUsed {
        /// The user's name: a number may be given to somebody else one day.
        name: String,
        /// In all.
        times: u32,
    },
    /// An action with [`crate::policy::Action::uses`] has had an effect so often.
    ActionUsed {
        /// The action's name.
        name: String,
        /// In all.
        times: u32,
    },
    /// Something is to be undone.
    Owed(Box<Debt>),
    /// It was undone, or never came to be.
    Settled(DebtId),
}

/// Something that is to be undone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Debt {
    /// Its number.
    pub id: DebtId,
    /// The name of the program that does it: its number may be another's after a restart.
    pub program: String,
    /// What it is told.
    pub call: Call,
    /// When, by the clock that counts suspended time too; good until the next reboot.
    pub due: Boot,
    /// The same by the clock on the wall, for after a reboot.
    pub due_wall: Wall,
    /// Whether it undoes a grant. Grants do not outlive a reboot.
    pub ends_with_boot: bool,
}

/// What the ledger of earlier runs said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Noted {
    /// Users by name, and how often they have knocked.
    pub users: Vec<(String, u32)>,
    /// Actions by name, and how often they had an effect.
    pub actions: Vec<(String, u32)>,
    /// What is still to be undone, with the number of each.
    pub debts: Vec<Debt>,
    /// Whether the machine was started anew since then.
    pub rebooted: bool,
    /// Whether some of it is lost: then nobody knows how often anybody has knocked, and nobody who may do so only so often
    /// is let in.
    pub damaged: bool,
}
