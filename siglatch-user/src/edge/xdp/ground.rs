//! Whether this machine can carry the shield at all: asked before anything is touched. Never changes anything.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use super::XdpError;

/// Checks kernel, capabilities and bpffs, in the order in which a person would cure them.
pub(super) fn check(pin_dir: &Path) -> Result<(), XdpError> {
    kernel()?;
    capability()?;
    bpffs(pin_dir)
}

/// The interfaces of this network namespace, for messages.
pub(super) fn known_interfaces() -> String {
    // Not /sys/class/net: that shows the namespace in which it was mounted.
    let table = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let mut names: Vec<_> = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    names.sort_unstable();
    if names.is_empty() { "there are none".into() } else { format!("there are: {}", names.join(", ")) }
}

/// `bpf_xdp_load_bytes` and programs for fragmented buffers came with Linux 5.18.
fn kernel() -> Result<(), XdpError> {
    let release = uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|digits| digits.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (5, 18) => Err(XdpError::KernelTooOld { release }),
        _ => Ok(()),
    }
}

fn capability() -> Result<(), XdpError> {
    let Ok(held) = capabilities(None) else {
        return Ok(());
    };
    let held = held.effective;
    let wanted = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    ];
    let missing: Vec<_> = wanted.into_iter().filter(|(set, _)| !held.contains(*set)).map(|(_, name)| name).collect();
    if missing.is_empty() { Ok(()) } else { Err(XdpError::Capability { missing: missing.join(" ") }) }
}

/// Whether pins can be made there.
pub(super) fn bpffs(pin_dir: &Path) -> Result<(), XdpError> {
    let existing = pin_dir.ancestors().find_map(|path| statfs(path).ok());
    match existing {
        Some(found) if found.f_type == BPF_FS_MAGIC => Ok(()),
        Some(_) | None => Err(XdpError::NoBpffs { path: pin_dir.to_owned() }),
    }
}

/// linux/magic.h
const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;
