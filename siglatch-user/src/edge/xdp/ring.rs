//! The kernel's end of the candidates' way. Never looks inside a datagram.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Map, MapData, RingBuf};
use siglatch_common::layout::Candidate;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zerocopy::FromBytes as _;

use super::XdpError;

/// The ring that the XDP program submits to.
pub struct Candidates {
    ring: AsyncFd<Ring>,
}

impl Candidates {
    /// Must be called within a tokio runtime.
    pub(super) fn new(map: Map) -> Result<Self, XdpError> {
        let ring = RingBuf::try_from(map).map_err(XdpError::map("candidates"))?;
        // SAFETY: the ring owns its descriptor, gives always the same one, and keeps it open as long as it lives.
        #[expect(unsafe_code, reason = "aya's ring buffer hands out its descriptor; tokio wants a promise about it")]
        let ring = unsafe { AsyncFd::register_with_interest(Ring(ring), Interest::READABLE) };
        let ring = ring.map_err(|error| XdpError::Poll(error.into()))?;
        Ok(Self { ring })
    }

    /// Waits for the next candidate. What is not taken stays in the ring; when that is full, the kernel drops.
    ///
    /// # Errors
    /// If the ring can no longer be waited for.
    pub async fn next(&mut self) -> io::Result<Candidate> {
        loop {
            if let Some(candidate) = self.ring.get_mut().take() {
                return Ok(candidate);
            }
            let mut ready = self.ring.readable_mut().await?;
            // Looked at once more after clearing: what came in between rings no second bell.
            ready.clear_ready();
            if let Some(candidate) = ready.get_inner_mut().take() {
                return Ok(candidate);
            }
        }
    }
}

struct Ring(RingBuf<MapData>);

impl Ring {
    fn take(&mut self) -> Option<Candidate> {
        loop {
            let item = self.0.next()?;
            // Of another length only if the object and this program were built apart.
            if let Ok(candidate) = Candidate::read_from_bytes(&item) {
                return Some(candidate);
            }
        }
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
