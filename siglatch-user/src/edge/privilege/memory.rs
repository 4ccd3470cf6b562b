//! Keeps keys in memory alone: no core dump, no swap. Never touches what is in it.

use std::fs;

use rustix::mm::{MlockAllFlags, MlockFlags, mlock_with, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::PrivilegeError;

/// How far memory is kept from swap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memory {
    /// All that there is, and all that there will be.
    Locked,
    /// What there was when rights were given up: the limit allows no more.
    LockedAtStart,
    /// None.
    Unlocked,
}

impl Memory {
    /// The name in the log and in the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::LockedAtStart => "locked at start",
            Self::Unlocked => "unlocked",
        }
    }
}

/// Switches core dumps off, and keeps this process's memory from others of its user. Also takes `/proc/PID` from that user,
/// but not from the process itself.
pub(in crate::edge) fn never_dump() -> Result<(), PrivilegeError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(PrivilegeError::system("switch core dumps off"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(PrivilegeError::system("switch core dumps off"))
}

/// Locks memory as it is used. What will be used later counts against the limit, and a program that reaches it gets no more
/// memory at all: so that is locked only where there is no limit.
pub(super) fn lock() -> Memory {
    let unlimited = Rlimit { current: None, maximum: None };
    let is_unlimited = getrlimit(Resource::Memlock) == unlimited || setrlimit(Resource::Memlock, unlimited).is_ok();
    if is_unlimited && mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok() {
        return Memory::Locked;
    }
    if lock_what_is_there() { Memory::LockedAtStart } else { Memory::Unlocked }
}

/// Locks every mapping that is written to, as its pages are used; but not the stack, which has to grow.
#[expect(unsafe_code, reason = "addresses come from the kernel's own list")]
fn lock_what_is_there() -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut all = !maps.is_empty();
    for mapping in maps.lines().filter_map(Mapping::read).filter(Mapping::is_data) {
        let Mapping { start, end, .. } = mapping;
        // SAFETY: nothing is read or written; a range that is gone meanwhile is refused.
        let locked = unsafe { mlock_with(start as *mut _, end - start, MlockFlags::ONFAULT) };
        all &= locked.is_ok();
    }
    all
}

/// A line of `/proc/self/maps`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Mapping<'l> {
    start: usize,
    end: usize,
    rights: &'l str,
    name: &'l str,
}

impl<'l> Mapping<'l> {
    fn read(line: &'l str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let rights = fields.next()?;
        Some(Self {
            start: usize::from_str_radix(start, 16).ok()?,
            end: usize::from_str_radix(end, 16).ok()?,
            rights,
            name: fields.nth(3).unwrap_or(""),
        })
    }

    fn is_data(&self) -> bool {
        self.rights.starts_with("rw-p") && self.name != "[stack]"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_as_the_kernel_writes_it() {
        let heap =
            Mapping::read("55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0                          [heap]").unwrap();
        assert_eq!((heap.end - heap.start, heap.name, heap.is_data()), (0x21000, "[heap]", true));
        let nameless = Mapping::read("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((nameless.name, nameless.is_data()), ("", true));
        let stack = Mapping::read("7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]").unwrap();
        assert!(!stack.is_data());
        let code = Mapping::read("7f0000000000-7f0000001000 r-xp 00000000 fe:00 12 /usr/lib/libc.so.6").unwrap();
        assert!(!code.is_data());
        assert_eq!(Mapping::read("nonsense"), None);
    }
}
