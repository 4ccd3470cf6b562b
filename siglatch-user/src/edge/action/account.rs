//! Who a program runs as: names of this machine, as numbers. Never becomes anybody.
#![expect(unsafe_code, reason = "only the C library knows all of a machine's users and groups")]

use std::ffi::{CStr, CString};
use std::ptr;

use super::survey::Unfit;
use crate::policy::Program;

/// A user, and its groups, by number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// The others: those of the program, not those that the machine lists for the user.
    pub groups: Vec<u32>,
}

impl Account {
    /// That of a program. A number without a name has the group of the same number.
    pub(super) fn of(program: &Program) -> Result<Self, Unfit> {
        let (uid, gid) = match number(&program.run_as) {
            Some(uid) => (uid, group_of_user(uid).unwrap_or(uid)),
            None => user_named(&program.run_as).ok_or_else(|| Unfit::NoUser { name: program.run_as.clone() })?,
        };
        let groups = program.run_groups.iter().map(|name| {
            number(name).or_else(|| group_named(name)).ok_or_else(|| Unfit::NoGroup { name: name.clone() })
        });
        Ok(Self { uid, gid, groups: groups.collect::<Result<_, _>>()? })
    }

    /// That of a user of this machine, by name or number, with its own group alone.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (uid, gid) = match number(name) {
            Some(uid) => (uid, group_of_user(uid)?),
            None => user_named(name)?,
        };
        Some(Self { uid, gid, groups: Vec::new() })
    }

    /// Whether it may read (4) or execute and enter (1) a thing of that owner, group and mode.
    pub(super) fn may(&self, what: u32, owner: u32, group: u32, mode: u32) -> bool {
        let given = if self.uid == owner {
            mode >> 6
        } else if self.gid == group || self.groups.contains(&group) {
            mode >> 3
        } else {
            mode
        };
        given & what != 0
    }
}

/// The number that the text is, if it is one. The two highest numbers mean "nobody in particular" to the kernel.
pub(in crate::edge) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < u32::MAX - 1)
}

/// Number and own group of the user with that name.
pub(in crate::edge) fn user_named(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    user(|entry, buffer, found| {
        // SAFETY: all point to live memory of the stated length, and the name ends with a zero.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

/// The own group of the user with that number.
pub(in crate::edge) fn group_of_user(uid: u32) -> Option<u32> {
    let (_, gid) = user(|entry, buffer, found| {
        // SAFETY: all point to live memory of the stated length.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })?;
    Some(gid)
}

fn user(
    ask: impl Fn(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> libc::c_int,
) -> Option<(u32, u32)> {
    for size in BUFFERS {
        let (mut buffer, mut found) = (vec![0; size], ptr::null_mut());
        // SAFETY: a record of numbers and pointers; zeroes are such a record.
        let mut entry = unsafe { std::mem::zeroed::<libc::passwd>() };
        match ask(&raw mut entry, &mut buffer, &raw mut found) {
            0 => return (!found.is_null()).then_some((entry.pw_uid, entry.pw_gid)),
            libc::ERANGE => {}
            _ => return None,
        }
    }
    None
}

/// The number of the group with that name.
pub(in crate::edge) fn group_named(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let name: &CStr = &name;
    for size in BUFFERS {
        let (mut buffer, mut found) = (vec![0; size], ptr::null_mut());
        // SAFETY: a record of numbers and pointers; zeroes are such a record.
        let mut entry = unsafe { std::mem::zeroed::<libc::group>() };
        // SAFETY: all point to live memory of the stated length, and the name ends with a zero.
        let asked = unsafe {
            libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
        };
        match asked {
            0 => return (!found.is_null()).then_some(entry.gr_gid),
            libc::ERANGE => {}
            _ => return None,
        }
    }
    None
}

/// Room for a record's texts, in bytes; a group lists its members.
const BUFFERS: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same_account() {
        assert_eq!(user_named("root"), Some((0, 0)));
        assert_eq!((number("0"), group_of_user(0), group_named("root")), (Some(0), Some(0), Some(0)));
        let (uid, gid) = user_named("nobody").unwrap();
        assert_eq!(group_of_user(uid), Some(gid));
        assert_eq!((user_named("no such user"), group_named("no such group")), (None, None));
        assert_eq!((number("-1"), number("4294967295"), number("4294967294"), number("")), (None, None, None, None));
    }

    #[test]
    fn the_owners_bits_count_for_the_owner_alone() {
        let account = Account { uid: 7, gid: 8, groups: vec![9] };
        assert!(account.may(1, 7, 0, 0o100) && !account.may(1, 7, 8, 0o011));
        assert!(account.may(1, 0, 8, 0o010) && account.may(1, 0, 9, 0o010) && !account.may(1, 0, 9, 0o101));
        assert!(account.may(4, 0, 0, 0o004) && !account.may(4, 0, 0, 0o071));
    }
}
