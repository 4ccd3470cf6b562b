//! A queue for each lane within the process: what the rings are to the XDP program, for the sockets.
//! Never waits to take something in: what finds no room is refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::Candidate;
use tokio::sync::Notify;

use crate::precedence::Precedence;

/// The queues. Many put something in, one takes it out.
///
/// What is in them when the process ends is gone, as is what waits in its sockets.
#[derive(Debug)]
pub struct Queues {
    lanes: Mutex<PerLane<VecDeque<Candidate>>>,
    bell: Notify,
}

impl Queues {
    /// Candidates that a lane has room for: a third of a second of private-key operations on one core.
    pub const ROOM: usize = 512;

    /// Puts a candidate at the end of its lane; false if there is no room.
    #[must_use]
    pub fn put(&self, lane: Lane, candidate: Candidate) -> bool {
        let mut lanes = self.lanes();
        let queue = lanes.of_mut(lane);
        if queue.len() >= Self::ROOM {
            return false;
        }
        queue.push_back(candidate);
        drop(lanes);
        self.bell.notify_one();
        true
    }

    /// Candidates that wait, by lane.
    #[must_use]
    pub fn waiting(&self) -> PerLane<usize> {
        let lanes = self.lanes();
        PerLane::from_fn(|lane| lanes.of(lane).len())
    }

    /// Takes the first of the lane that has precedence.
    pub(super) fn take(&self, precedence: &mut Precedence) -> Option<Candidate> {
        let mut lanes = self.lanes();
        let waiting = PerLane::from_fn(|lane| !lanes.of(lane).is_empty());
        lanes.of_mut(precedence.next(waiting)?).pop_front()
    }

    /// Waits until something has been put in since it last returned.
    pub(super) async fn bell(&self) {
        self.bell.notified().await;
    }

    fn lanes(&self) -> MutexGuard<'_, PerLane<VecDeque<Candidate>>> {
        // Whoever panicked, a queue is whole between any two calls of its methods.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Queues {
    /// Empty, with all the memory that they will ever take.
    fn default() -> Self {
        Self { lanes: Mutex::new(PerLane::from_fn(|_| VecDeque::with_capacity(Self::ROOM))), bell: Notify::new() }
    }
}
