//! What waits for the private key, lane by lane: rings of the kernel, or queues of this process. Never decides which lane
//! comes next.

mod queues;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::Candidate;

use super::xdp::{Candidates, Gauge};
use crate::precedence::Precedence;

pub use queues::Queues;

/// The daemon's end of every lane.
pub enum Lanes {
    /// The rings that the XDP program submits to.
    Rings(Box<PerLane<Candidates>>),
    /// The queues that the sockets submit to.
    Queues(Arc<Queues>),
}

/// How much waits in each lane, for whoever wants to know.
#[derive(Clone, Debug)]
pub struct Depths(Measured);

#[derive(Clone, Debug)]
enum Measured {
    Rings(Arc<PerLane<Arc<Gauge>>>),
    Queues(Arc<Queues>),
}

impl Lanes {
    /// Waits for the next candidate, of the lane that has precedence when there is one. May be given up at any moment:
    /// what was not handed out stays where it is.
    ///
    /// # Errors
    /// If a ring can no longer be waited for.
    pub async fn next(&mut self, precedence: &mut Precedence) -> io::Result<Candidate> {
        loop {
            if let Some(candidate) = self.take(precedence) {
                return Ok(candidate);
            }
            self.bell().await?;
        }
    }

    /// A view of how much waits.
    #[must_use]
    pub fn depths(&self) -> Depths {
        Depths(match self {
            Self::Rings(rings) => Measured::Rings(Arc::new(PerLane::from_fn(|lane| rings.of(lane).gauge()))),
            Self::Queues(queues) => Measured::Queues(Arc::clone(queues)),
        })
    }

    /// Takes the next candidate, if there is one.
    pub fn take(&mut self, precedence: &mut Precedence) -> Option<Candidate> {
        match self {
            Self::Rings(rings) => {
                let waiting = PerLane::from_fn(|lane| rings.of_mut(lane).is_waiting());
                rings.of_mut(precedence.next(waiting)?).take()
            }
            Self::Queues(queues) => queues.take(precedence),
        }
    }

    /// Waits until something may have come. What came before it was called counts as well.
    async fn bell(&mut self) -> io::Result<()> {
        match self {
            Self::Rings(rings) => {
                poll_fn(|context| {
                    let mut rung = Poll::Pending;
                    // All of them: whoever is not asked rings no bell.
                    for lane in Lane::ALL {
                        if rings.of_mut(lane).poll_bell(context)?.is_ready() {
                            rung = Poll::Ready(Ok(()));
                        }
                    }
                    rung
                })
                .await
            }
            Self::Queues(queues) => {
                queues.bell().await;
                Ok(())
            }
        }
    }
}

impl Depths {
    /// Candidates that wait, by lane. A ring's count is read while kernel and daemon go on, and is off by those under way.
    #[must_use]
    pub fn waiting(&self) -> PerLane<usize> {
        match &self.0 {
            Measured::Rings(gauges) => PerLane::from_fn(|lane| gauges.of(lane).waiting()),
            Measured::Queues(queues) => queues.waiting(),
        }
    }
}

#[cfg(test)]
mod tests;
