//! How many candidates wait in a ring, read from the pages that kernel and daemon share. Never takes one.
#![expect(unsafe_code, reason = "aya keeps the positions of a ring to itself; the kernel shows them in mapped pages")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use siglatch_common::layout::Candidate;

/// The two positions of a ring. Outlives the descriptor that it was made from.
#[derive(Debug)]
pub struct Gauge {
    /// Two pages: the consumer's position begins the first, the producer's the second.
    pages: NonNull<AtomicUsize>,
    page: usize,
}

// SAFETY: the pages are only ever read, and each position is an atomic.
unsafe impl Send for Gauge {}
// SAFETY: as above.
unsafe impl Sync for Gauge {}

impl Gauge {
    /// Bytes that a candidate takes in a ring, with the kernel's header of 8 bytes (`BPF_RINGBUF_HDR_SZ`,
    /// `linux/bpf.h`).
    pub const RECORD: usize = size_of::<Candidate>() + 8;

    /// Maps the pages of a ring.
    ///
    /// # Errors
    /// If the kernel does not map them.
    pub fn new(ring: BorrowedFd<'_>) -> io::Result<Self> {
        let page = rustix::param::page_size();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let pages =
            unsafe { libc::mmap(ptr::null_mut(), 2 * page, libc::PROT_READ, libc::MAP_SHARED, ring.as_raw_fd(), 0) };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = NonNull::new(pages.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pages, page })
    }

    /// Candidates that nobody has taken. Those that are being written, and those that were given up, count as well; there
    /// are at most as many of them as CPUs.
    #[must_use]
    pub fn waiting(&self) -> usize {
        // SAFETY: the position lies in a mapping that lives as long as `self`.
        let consumer = unsafe { self.pages.as_ref() }.load(Ordering::Acquire);
        // SAFETY: as above: the mapping is two pages long, and the position begins the second.
        let producer = unsafe { self.pages.byte_add(self.page).as_ref() }.load(Ordering::Acquire);
        producer.wrapping_sub(consumer) / Self::RECORD
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nobody looks at it any more.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), 2 * self.page) };
    }
}
