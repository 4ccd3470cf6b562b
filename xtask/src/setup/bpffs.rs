//! Sees to the BPF file system, in which maps, program and link are pinned.

use std::fs;
use std::process::Command;

use anyhow::Result;
use xtask::programs::answer;

/// Where every tool expects it.
pub(super) const FOLDER: &str = "/sys/fs/bpf";

/// Whether it is mounted at [`FOLDER`] in this mount namespace.
pub(super) fn is_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts_bpffs(&mounts))
}

/// Mounts it, until the next reboot.
///
/// # Errors
/// If mount fails: without root, or in a container with a read-only `/sys`.
pub(super) fn mount() -> Result<()> {
    answer(Command::new("mount").args(["-t", "bpf", "bpf", FOLDER])).map(drop)
}

fn mounts_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ');
        fields.nth(1) == Some(FOLDER) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bpf_file_system_at_its_place_counts() {
        assert!(mounts_bpffs("sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n"));
        assert!(!mounts_bpffs("tmpfs /sys/fs/bpf tmpfs rw 0 0\nbpf /run/bpf bpf rw 0 0\n"));
    }
}
