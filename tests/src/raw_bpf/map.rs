//! Maps for the hand-made programs. Never knows what they hold.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::bpf;

/// A map.
#[derive(Debug)]
pub struct Map {
    descriptor: OwnedFd,
    kind: MapKind,
    key_len: usize,
    value_len: usize,
}

/// `linux/bpf.h`, `enum bpf_map_type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MapKind {
    /// Hash, as large as its content at first and no further.
    Hash = 1,
    /// Array.
    Array = 2,
    /// Programs to call.
    Programs = 3,
    /// An array for each CPU.
    PerCpuArray = 6,
    /// Hash that forgets what was not used for longest.
    LruHash = 9,
    /// Longest prefix.
    Trie = 11,
}

impl Map {
    /// Makes one with room for so many entries of these lengths, in bytes.
    ///
    /// # Errors
    /// Without root, or without that much memory.
    pub fn new(kind: MapKind, key_len: usize, value_len: usize, entries: u32) -> io::Result<Self> {
        // A trie has no memory before it has entries.
        let flags = if kind == MapKind::Trie { BPF_F_NO_PREALLOC } else { 0 };
        let mut attributes = CreateAttributes {
            kind: kind as u32,
            key_len: u32::try_from(key_len).map_err(io::Error::other)?,
            value_len: u32::try_from(value_len).map_err(io::Error::other)?,
            entries,
            flags,
        };
        let made = bpf(BPF_MAP_CREATE, &mut attributes)?;
        // SAFETY: BPF_MAP_CREATE returned it just now, and nobody else knows of it.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(made) }, kind, key_len, value_len })
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// If there is no room, if `key` or `value` has another length than the map's, or if there is one for each CPU.
    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.lengths(key, value)?;
        let mut attributes = self.element(key, value.as_ptr() as u64);
        bpf(BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop)
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// If there is none, if `key` has another length than the map's, or if there is one for each CPU.
    pub fn get(&self, key: &[u8]) -> io::Result<Vec<u8>> {
        let mut value = vec![0; self.value_len];
        self.lengths(key, &value)?;
        let mut attributes = self.element(key, value.as_mut_ptr() as u64);
        bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes)?;
        Ok(value)
    }

    /// The map's descriptor.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    fn lengths(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        // Values for each CPU are longer, to the kernel, than the map's value length.
        if self.kind != MapKind::PerCpuArray && key.len() == self.key_len && value.len() == self.value_len {
            Ok(())
        } else {
            Err(io::Error::other("an entry of another length than the map's"))
        }
    }

    fn element(&self, key: &[u8], value: u64) -> ElementAttributes {
        let map = self.descriptor.as_raw_fd() as u32;
        ElementAttributes { map, padding: 0, key: key.as_ptr() as u64, value, flags: 0 }
    }
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_MAP_CREATE, as far as it is used.
#[repr(C)]
struct CreateAttributes {
    kind: u32,
    key_len: u32,
    value_len: u32,
    entries: u32,
    flags: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of the BPF_MAP_*_ELEM commands.
#[repr(C)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `linux/bpf.h`, `enum bpf_cmd`.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
/// `linux/bpf.h`.
const BPF_F_NO_PREALLOC: u32 = 1;
