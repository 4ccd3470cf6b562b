//! Who may ask the daemon what: root and the daemon's own user everything, others as the configuration says. Never asks
//! the kernel who somebody is.

use super::protocol::Role;
use crate::config::{AdminRule, Peer};

/// Who may ask for what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roles {
    operators: Vec<Peer>,
    observers: Vec<Peer>,
}

/// The process at the other end of a socket, as the kernel says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

impl Roles {
    /// What a process may do; nothing if it may not ask at all. `own` is the daemon's user.
    #[must_use]
    pub fn of(&self, caller: &Caller, own: u32) -> Option<Role> {
        let means = |peers: &[Peer]| peers.iter().any(|peer| caller.is(*peer));
        if caller.uid == ROOT || caller.uid == own || means(&self.operators) {
            return Some(Role::Operate);
        }
        means(&self.observers).then_some(Role::Observe)
    }
}

impl From<&AdminRule> for Roles {
    fn from(rule: &AdminRule) -> Self {
        Self { operators: rule.operators.clone(), observers: rule.observers.clone() }
    }
}

impl Caller {
    fn is(&self, peer: Peer) -> bool {
        match peer {
            Peer::User(uid) => self.uid == uid,
            Peer::Group(gid) => self.gid == gid || self.groups.contains(&gid),
        }
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_the_highest_role_that_is_theirs() {
        let roles = Roles {
            operators: vec![Peer::User(1000), Peer::Group(27)],
            observers: vec![Peer::User(1001), Peer::Group(4), Peer::User(1000)],
        };
        let role = |uid, gid, groups: &[u32]| roles.of(&Caller { uid, gid, groups: groups.to_vec() }, 990);
        for (uid, gid, groups, expected) in [
            (0, 0, &[][..], Some(Role::Operate)),
            (990, 990, &[], Some(Role::Operate)),
            (1000, 1000, &[], Some(Role::Operate)),
            (1002, 27, &[], Some(Role::Operate)),
            (1002, 1002, &[4, 27], Some(Role::Operate)),
            (1001, 1001, &[], Some(Role::Observe)),
            (1002, 4, &[], Some(Role::Observe)),
            (1002, 1002, &[5, 4], Some(Role::Observe)),
            (1002, 1002, &[5], None),
            // Root's group is nobody's user, and a user's number no group's.
            (1002, 0, &[0], None),
            (27, 1001, &[1000], None),
        ] {
            assert_eq!(role(uid, gid, groups), expected, "{uid} {gid} {groups:?}");
        }
        assert_eq!(Roles::default().of(&Caller { uid: 1000, gid: 1000, groups: vec![0] }, 0), None);
    }
}
