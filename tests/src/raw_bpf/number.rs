//! A number that a hand-made program writes and user space reads: an array of one. Never knows what it counts.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::bpf;

/// The number; zero at first.
#[derive(Debug)]
pub struct Number(OwnedFd);

impl Number {
    /// Makes one.
    ///
    /// # Errors
    /// Without root.
    pub fn new() -> io::Result<Self> {
        let mut attributes =
            CreateAttributes { kind: BPF_MAP_TYPE_ARRAY, key_len: 4, value_len: size_of::<u64>() as u32, entries: 1 };
        let made = bpf(BPF_MAP_CREATE, &mut attributes)?;
        // SAFETY: BPF_MAP_CREATE returned it just now, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(made) }))
    }

    /// What it is.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn get(&self) -> io::Result<u64> {
        let (key, mut value) = (0_u32, 0_u64);
        let map = self.0.as_raw_fd() as u32;
        let (key, value_at) = (&raw const key as u64, &raw mut value as u64);
        bpf(BPF_MAP_LOOKUP_ELEM, &mut ElementAttributes { map, padding: 0, key, value: value_at, flags: 0 })?;
        Ok(value)
    }
}

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_MAP_CREATE, as far as it is used.
#[repr(C)]
struct CreateAttributes {
    kind: u32,
    key_len: u32,
    value_len: u32,
    entries: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_MAP_LOOKUP_ELEM.
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
/// `linux/bpf.h`, `enum bpf_map_type`.
const BPF_MAP_TYPE_ARRAY: u32 = 2;
