//! The daemon's user: found by name, and become. Never goes back.

use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::PrivilegeError;
use crate::edge::action::Account;

/// A user of this machine, with its own group and no other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::edge) struct Identity {
    pub(in crate::edge) name: String,
    pub(in crate::edge) uid: u32,
    pub(in crate::edge) gid: u32,
}

impl Identity {
    /// The one that is wanted, if one is.
    pub(in crate::edge) fn find(wanted: Option<&str>) -> Result<Option<Self>, PrivilegeError> {
        let Some(name) = wanted else { return Ok(None) };
        match Account::named(name) {
            None => Err(PrivilegeError::NoUser { name: name.to_owned() }),
            Some(Account { uid, gid, .. }) => Ok(Some(Self { name: name.to_owned(), uid, gid })),
        }
    }
}

/// Changes all three of both numbers, and gives up all groups. For a process of one thread.
pub(in crate::edge) fn become_identity(identity: &Identity) -> Result<(), PrivilegeError> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    set_thread_groups(&[]).map_err(PrivilegeError::system("give up groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(PrivilegeError::system("change the group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(PrivilegeError::system("change the user"))
}

/// How a user is shown.
pub(super) fn name_of(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { uid.to_string() }
}
