//! Whom a process that starts programs can become for one. Never becomes anybody.

use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::account::Account;
use super::survey::Unfit;
use crate::policy::Program;

/// Who a process can be for a program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Becoming {
    /// Every user.
    Everybody,
    /// The user who it is, without other groups.
    Itself {
        /// The user.
        uid: u32,
        /// Its own group.
        gid: u32,
    },
    /// Nobody: root, without what changing takes.
    Nobody,
}

impl Becoming {
    /// What this process can.
    pub(super) fn of_this_process() -> Self {
        if !geteuid().is_root() {
            return Self::Itself { uid: geteuid().as_raw(), gid: getegid().as_raw() };
        }
        let has_all = capabilities(None).is_ok_and(|held| held.effective.contains(CHANGING));
        if has_all { Self::Everybody } else { Self::Nobody }
    }

    /// Says whether the program's user is among them. A user that there is not is somebody else's finding.
    ///
    /// # Errors
    /// [`Unfit::OtherUser`].
    pub fn check(self, program: &Program) -> Result<(), Unfit> {
        match Account::of(program) {
            Ok(account) if !self.is_among(&account) => Err(Unfit::OtherUser { user: shown(program) }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn is_among(self, account: &Account) -> bool {
        match self {
            Self::Everybody => true,
            Self::Itself { uid, gid } => account.uid == uid && account.gid == gid && account.groups.is_empty(),
            Self::Nobody => false,
        }
    }
}

/// The user, with the other groups that are wanted for it.
fn shown(program: &Program) -> String {
    match program.run_groups.is_empty() {
        true => program.run_as.clone(),
        false => format!("{} in {}", program.run_as, program.run_groups.join(", ")),
    }
}

/// To become somebody, and to leave nothing behind that root could use.
const CHANGING: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::SETPCAP);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_root_is_himself_alone() {
        let me = Becoming::Itself { uid: 7, gid: 8 };
        let account = |uid, gid, groups: &[u32]| Account { uid, gid, groups: groups.to_vec() };
        assert!(me.is_among(&account(7, 8, &[])));
        for other in [account(0, 8, &[]), account(7, 9, &[]), account(7, 8, &[8])] {
            assert!(!me.is_among(&other) && !Becoming::Nobody.is_among(&other) && Becoming::Everybody.is_among(&other));
        }
    }
}
