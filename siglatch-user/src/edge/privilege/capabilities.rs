//! Which capabilities this process keeps. Never raises one that it does not have.
#![expect(unsafe_code, reason = "one bare system call asks what the kernel allows")]

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_keep_capabilities,
};

use super::{Plan, PrivilegeError};

/// A set of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities(CapabilitySet);

impl Capabilities {
    /// What opening everything takes: loading the program, finding pins below a folder that is root's, ending an earlier
    /// daemon that is still root, giving the socket to its group, locking memory, and giving all this up.
    pub(super) const FOR_OPENING: Self = Self(
        CapabilitySet::BPF
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::NET_ADMIN)
            .union(CapabilitySet::NET_BIND_SERVICE)
            .union(CapabilitySet::DAC_READ_SEARCH)
            .union(CapabilitySet::CHOWN)
            .union(CapabilitySet::KILL)
            .union(CapabilitySet::IPC_LOCK)
            .union(CapabilitySet::SETPCAP),
    );

    /// The only one that running `nft` takes.
    pub(in crate::edge) const FOR_NFT: Self = Self(CapabilitySet::NET_ADMIN);

    /// What the daemon needs from here on.
    pub(super) fn kept(plan: &Plan) -> Self {
        let mut kept = CapabilitySet::empty();
        if plan.changes_firewall {
            kept |= CapabilitySet::NET_ADMIN;
        }
        if plan.binds_low_ports {
            kept |= CapabilitySet::NET_BIND_SERVICE;
        }
        if maps_want_a_capability() {
            kept |= CapabilitySet::BPF;
        }
        let held = capabilities(None).map_or(CapabilitySet::empty(), |held| held.permitted);
        Self(kept & held)
    }

    /// Their bits, as `/proc/PID/status` shows them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0.bits()
    }
}

impl fmt::Display for Capabilities {
    /// `net_admin,bpf`; `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

/// Lets the next change of user take only the effective ones.
pub(in crate::edge) fn keep_through_change() -> Result<(), PrivilegeError> {
    set_keep_capabilities(true).map_err(PrivilegeError::system("keep capabilities"))
}

/// Keeps these, as far as they are held, and no others; effective, and not for other programs.
pub(super) fn hold(wanted: &Capabilities) -> Result<(), PrivilegeError> {
    let refused = PrivilegeError::system("set capabilities");
    let held = capabilities(None).map_err(&refused)?.permitted & wanted.0;
    set_capabilities(None, CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() })
        .map_err(refused)
}

/// The same, and nothing ever gives it others: not a program that it executes, not its number being 0.
pub(super) fn hold_for_good(wanted: &Capabilities) -> Result<(), PrivilegeError> {
    narrow(CapabilitySet::empty())?;
    hold(wanted)
}

/// As [`hold_for_good`], but programs that this process executes have these, too.
pub(in crate::edge) fn hand_on(wanted: &Capabilities) -> Result<(), PrivilegeError> {
    let refused = PrivilegeError::system("set capabilities");
    let held = capabilities(None).map_err(&refused)?.permitted & wanted.0;
    let all = capabilities(None).map_err(&refused)?;
    // What is ambient must be inheritable before, and raising it must not be locked yet.
    let all = all.permitted;
    set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: held }).map_err(&refused)?;
    for one in held.iter() {
        configure_capability_in_ambient_set(one, true).map_err(&refused)?;
    }
    narrow(held)?;
    set_capabilities(None, CapabilitySets { effective: held, permitted: held, inheritable: held }).map_err(refused)
}

/// Takes all others out of the bounding and the ambient set, and locks how capabilities come and go, as far as that is this
/// process's to do.
fn narrow(but: CapabilitySet) -> Result<(), PrivilegeError> {
    let refused = PrivilegeError::system("give up capabilities");
    if but.is_empty() {
        clear_ambient_capability_set().map_err(&refused)?;
    }
    if !capabilities(None).map_err(&refused)?.effective.contains(CapabilitySet::SETPCAP) {
        // Begun by somebody else with just what it needs: the bounding set is his to narrow.
        return Ok(());
    }
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if but.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(refused(error)),
        }
    }
    let mut bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED;
    bits |= CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(bits).map_err(PrivilegeError::system("lock how capabilities are given"))
}

/// Whether this kernel, before 5.19, refuses every `bpf` command without `CAP_BPF`: asks about a descriptor that is none.
fn maps_want_a_capability() -> bool {
    let Ok(all) = capabilities(None) else { return false };
    let without = CapabilitySets { effective: all.effective - CapabilitySet::BPF, ..all };
    if !all.effective.contains(CapabilitySet::BPF) || set_capabilities(None, without).is_err() {
        return false;
    }
    // `bpf_fd`, `info_len` and `info` of `union bpf_attr`, in an all-zero union but for the descriptor.
    let mut attributes = [0_u32; 32];
    attributes[0] = u32::MAX;
    // SAFETY: the kernel reads so many bytes of a live array.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, attributes.as_mut_ptr(), size_of_val(&attributes))
    };
    let is_refused = answer < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    let _ = set_capabilities(None, all);
    is_refused
}

/// `enum bpf_cmd`, linux/bpf.h.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_shown_by_their_names() {
        assert_eq!(Capabilities::FOR_NFT.to_string(), "net_admin");
        assert_eq!(Capabilities(CapabilitySet::empty()).to_string(), "none");
        assert_eq!(Capabilities(CapabilitySet::NET_ADMIN | CapabilitySet::BPF).to_string(), "net_admin,bpf");
        assert_eq!(Capabilities::FOR_NFT.bits(), 1 << 12);
    }

    #[test]
    fn a_daemon_that_leaves_the_firewall_alone_keeps_nothing() {
        assert_eq!(Capabilities::kept(&Plan::default()).0 & CapabilitySet::NET_ADMIN, CapabilitySet::empty());
    }
}
