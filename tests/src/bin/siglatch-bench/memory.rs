//! What the daemon keeps in memory, without the pages that it shares with the kernel's maps. Never counts those twice.

use std::fs;

use anyhow::{Context as _, Result};

use crate::bed::Daemon;

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// Everything, besides the maps.
    pub(crate) all: u64,
    /// Of it, what is no file's.
    pub(crate) anonymous: u64,
}

impl Resident {
    /// Of a process, as it stands.
    pub(crate) fn of(daemon: &Daemon) -> Result<Self> {
        let proc = format!("/proc/{}", daemon.pid());
        let status = fs::read_to_string(format!("{proc}/status"))?;
        let maps = map_pages(&fs::read_to_string(format!("{proc}/smaps"))?);
        Ok(Self { all: field(&status, "VmRSS:")?.saturating_sub(maps), anonymous: field(&status, "RssAnon:")? })
    }
}

/// Resident pages of BPF maps: `anon_inode:bpf-map`.
fn map_pages(smaps: &str) -> u64 {
    let (mut sum, mut in_map) = (0, false);
    for line in smaps.lines() {
        match line.split_ascii_whitespace().next() {
            // The heading of the next mapping: addresses, and what is mapped.
            Some(first) if !first.ends_with(':') => in_map = line.contains("bpf-map") || line.contains("bpf_map"),
            Some("Rss:") if in_map => sum += field(line, "Rss:").unwrap_or(0),
            _ => {}
        }
    }
    sum
}

/// A field in kB, in bytes.
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in /proc"))?;
    let number = line.trim().trim_end_matches(" kB");
    Ok(number.parse::<u64>().with_context(|| format!("{name} is {number}"))? * 1024)
}
