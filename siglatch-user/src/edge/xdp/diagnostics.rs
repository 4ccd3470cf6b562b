//! Brings what the XDP program tells of single frames to the log, in words. Never asks it to tell anything.

use std::io;

use aya::maps::{Map, MapData, RingBuf};
use siglatch_common::layout::Told;
use siglatch_common::outcome::Outcome;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::info;
use zerocopy::FromBytes as _;

use super::XdpError;

/// What the program tells of single frames; nothing, as long as the rules want nothing told.
pub struct Diagnostics(AsyncFd<RingBuf<MapData>>);

impl Diagnostics {
    /// Must be called within a tokio runtime.
    pub(super) fn new(map: Map) -> Result<Self, XdpError> {
        let ring = RingBuf::try_from(map).map_err(XdpError::map("frames"))?;
        // SAFETY: the ring owns its descriptor, gives always the same one, and keeps it open as long as it lives.
        #[expect(unsafe_code, reason = "aya's ring buffer hands out its descriptor; tokio wants a promise about it")]
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        ring.map(Self).map_err(|error| XdpError::Poll(error.into()))
    }

    /// Logs what is told, as long as the daemon runs.
    ///
    /// # Errors
    /// If it can no longer be waited for.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable_mut().await?;
            ready.clear_ready();
            while let Some(record) = ready.get_inner_mut().next() {
                if let Ok(told) = Told::read_from_bytes(&record) {
                    tell(&told);
                }
            }
        }
    }
}

fn tell(told: &Told) {
    if let Some(outcome) = Outcome::from_number(told.outcome) {
        info!(outcome = outcome.label(), source = %told.source, "frame");
    }
}
