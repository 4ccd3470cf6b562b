//! The threads that use the private key. Never decides which datagram is worth it, and never what it means.
//!
//! Bounded: as many datagrams are under way as there are places; whoever feeds the pool waits for one
//! ([`KeyPool::place`]), and what waits outside waits in the kernel.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use siglatch_common::layout::Candidate;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::SEALED_LEN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::randomness;
use crate::gate::{Opened, Refusal, open};
use crate::keys::Keyring;

/// The pool. Dropping it ends the threads, after the work that is under way.
#[derive(Debug)]
pub struct KeyPool {
    queue: Option<SyncSender<Job>>,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

/// A place in the pool, taken before a datagram is, and given back when dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A datagram on its way through.
#[derive(Debug)]
struct Job {
    candidate: Candidate,
    place: Place,
}

/// What the private key said. Holds its place until dropped.
#[derive(Debug)]
pub struct Answer {
    /// What came in.
    pub candidate: Candidate,
    /// What it is.
    pub opened: Result<Opened, Refusal>,
    _place: Place,
}

impl KeyPool {
    /// Starts the threads. Each answer goes to `answer`, on the thread that found it.
    ///
    /// # Errors
    /// If the system gives no threads or no randomness.
    pub fn start(
        keys: &Arc<Keyring>,
        threads: usize,
        answer: impl Fn(Answer) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let places = threads * PLACES_PER_THREAD;
        let (queue, jobs) = sync_channel(places);
        let jobs = Arc::new(Mutex::new(jobs));
        let threads = (0..threads).map(|index| {
            let (keys, jobs, answer) = (Arc::clone(keys), Arc::clone(&jobs), answer.clone());
            let decoy = randomness::decoy().map_err(io::Error::other)?;
            thread::Builder::new().name(format!("key-{index}")).spawn(move || {
                // The first use of the key seeds this thread's blinding, which takes as long as fifty knocks.
                let _ = open(&[0; SEALED_LEN], Wire::Sealed, &keys, &decoy);
                while let Some(Job { candidate, place }) = next(&jobs) {
                    let opened = match (candidate.payload(), Wire::from_number(candidate.wire)) {
                        (Some(datagram), Some(wire)) => open(datagram, wire, &keys, &decoy),
                        _ => Err(Refusal::Unauthentic),
                    };
                    answer(Answer { candidate, opened, _place: place });
                }
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { queue: Some(queue), places: Arc::new(Semaphore::new(places)), threads })
    }

    /// Waits until there is room for one more.
    pub async fn place(&self) -> Place {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        Place { _permit: permit.expect("the semaphore is never closed") }
    }

    /// Gives a datagram to the threads. Never waits: there are as many places in the queue as there are places.
    pub fn submit(&self, candidate: Candidate, place: Place) {
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Job { candidate, place });
        }
    }

    /// Ends the threads after the work under way.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for KeyPool {
    fn drop(&mut self) {
        self.end();
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().ok()?.recv().ok()
}

/// Enough that a thread never waits for the feeder; few enough that a knock never waits long behind junk.
const PLACES_PER_THREAD: usize = 8;
