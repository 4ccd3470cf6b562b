//! The kernel's end of the candidates' way. Never looks inside a datagram.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aya::maps::{Map, MapData, RingBuf};
use siglatch_common::layout::Candidate;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zerocopy::FromBytes as _;

use super::{Gauge, XdpError};

/// The ring that the XDP program submits a lane to. What is not taken stays in it, for this daemon or the next; when it
/// is full, the kernel drops.
pub struct Candidates {
    ring: AsyncFd<Ring>,
    gauge: Arc<Gauge>,
}

impl Candidates {
    /// Must be called within a tokio runtime.
    pub(super) fn new(map: Map) -> Result<Self, XdpError> {
        let ring = RingBuf::try_from(map).map_err(XdpError::map("candidates"))?;
        let gauge = Arc::new(Gauge::new(ring.as_fd()).map_err(XdpError::Poll)?);
        // SAFETY: the ring owns its descriptor, gives always the same one, and keeps it open as long as it lives.
        #[expect(unsafe_code, reason = "aya's ring buffer hands out its descriptor; tokio wants a promise about it")]
        let ring = unsafe { AsyncFd::register_with_interest(Ring(ring), Interest::READABLE) };
        let ring = ring.map_err(|error| XdpError::Poll(error.into()))?;
        Ok(Self { ring, gauge })
    }

    /// Whether there is one to take.
    pub fn is_waiting(&mut self) -> bool {
        self.ring.get_mut().is_waiting()
    }

    /// Takes the next candidate, if there is one.
    pub fn take(&mut self) -> Option<Candidate> {
        self.ring.get_mut().take()
    }

    /// Waits for the ring's bell, and stills it. It rings when something comes into the empty ring; whoever hears it must
    /// look again, for what comes between the two rings no second one.
    ///
    /// # Errors
    /// If the ring can no longer be waited for.
    pub fn poll_bell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rung = ready!(self.ring.poll_read_ready_mut(context))?;
        rung.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// How full the ring is, for whoever wants to know.
    #[must_use]
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }
}

struct Ring(RingBuf<MapData>);

impl Ring {
    /// Drops what is no candidate: it is of another length only if the object and this program were built apart.
    fn is_waiting(&mut self) -> bool {
        while let Some(item) = self.0.next() {
            if item.len() == size_of::<Candidate>() {
                // An item that is dropped is taken out of the ring.
                std::mem::forget(item);
                return true;
            }
        }
        false
    }

    fn take(&mut self) -> Option<Candidate> {
        while let Some(item) = self.0.next() {
            if let Ok(candidate) = Candidate::read_from_bytes(&item) {
                return Some(candidate);
            }
        }
        None
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
