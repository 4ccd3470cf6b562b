//! How many candidates wait in the daemon's ring, read from the pages that kernel and daemon share.
//! Never takes one.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use siglatch_common::layout::Candidate;

/// The two positions of a ring buffer map.
pub(crate) struct Gauge {
    consumer: NonNull<AtomicU64>,
    producer: NonNull<AtomicU64>,
    page: usize,
}

impl Gauge {
    /// Maps the pages of a pinned ring.
    pub(crate) fn open(pin: &Path) -> Result<Self> {
        let map = MapData::from_pin(pin).with_context(|| pin.display().to_string())?;
        let page = rustix::param::page_size();
        // SAFETY: a new mapping at an address of the kernel's choice; it stays valid when the descriptor is closed.
        let pages = unsafe {
            libc::mmap(ptr::null_mut(), 2 * page, libc::PROT_READ, libc::MAP_SHARED, map.fd().as_fd().as_raw_fd(), 0)
        };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("the ring's pages cannot be mapped");
        }
        let consumer = NonNull::new(pages.cast::<AtomicU64>()).context("no mapping")?;
        // SAFETY: the mapping is two pages long, and the producer's position begins the second.
        let producer = unsafe { consumer.byte_add(page) };
        Ok(Self { consumer, producer, page })
    }

    /// Candidates that the daemon has not taken.
    pub(crate) fn waiting(&self) -> usize {
        // SAFETY: both positions lie in a mapping that lives as long as `self`; kernel and daemon write them whole.
        let consumer = unsafe { self.consumer.as_ref() }.load(Ordering::Acquire);
        // SAFETY: as above.
        let producer = unsafe { self.producer.as_ref() }.load(Ordering::Acquire);
        usize::try_from(producer.saturating_sub(consumer)).unwrap_or(usize::MAX) / RECORD
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `open` made, and nobody looks at it any more.
        unsafe { libc::munmap(self.consumer.as_ptr().cast(), 2 * self.page) };
    }
}

/// A candidate and the kernel's header of 8 bytes (`BPF_RINGBUF_HDR_SZ`, `linux/bpf.h`).
const RECORD: usize = size_of::<Candidate>() + 8;
