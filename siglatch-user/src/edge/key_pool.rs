//! The threads that use the private key. Never decides which datagram is worth it, and never what it means.
//!
//! Bounded: as many datagrams are under way as there are places; whoever feeds the pool waits for one
//! ([`KeyPool::one_of`]), and what waits outside waits in the kernel.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use siglatch_common::layout::Candidate;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, Packet, Payload, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::randomness;
use crate::gate::{Decoy, Opened, Refusal, open};
use crate::keys::Keyring;

/// The pool. Dropping it ends the threads, after the work that is under way.
#[derive(Debug)]
pub struct KeyPool {
    queue: Option<SyncSender<Job>>,
    submitted: AtomicU64,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

/// A place in the pool, given back when dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Places in the pool, had for the asking.
#[derive(Debug, Default)]
pub struct Places {
    permits: Option<OwnedSemaphorePermit>,
}

/// A datagram on its way through.
#[derive(Debug)]
struct Job {
    number: u64,
    candidate: Candidate,
    place: Place,
}

/// What the private key said. Holds its place until dropped.
#[derive(Debug)]
pub struct Answer {
    /// The how manieth datagram it was, from 0: threads do not finish in the order in which they began.
    pub number: u64,
    /// What came in.
    pub candidate: Candidate,
    /// What it is.
    pub opened: Result<Opened, Refusal>,
    _place: Place,
}

impl KeyPool {
    /// Starts the threads, and waits until each has used the key once. Each answer goes to `answer`, on the thread that
    /// found it; every datagram has one.
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
        let (warm, warmed) = sync_channel(threads);
        let threads = (0..threads).map(|index| {
            let (keys, jobs, answer, warm) = (Arc::clone(keys), Arc::clone(&jobs), answer.clone(), warm.clone());
            let decoy = randomness::decoy().map_err(io::Error::other)?;
            thread::Builder::new().name(format!("key-{index}")).spawn(move || {
                warm_up(&keys, &decoy);
                drop(warm);
                while let Some(Job { number, candidate, place }) = next(&jobs) {
                    let opened = match (candidate.payload(), Wire::from_number(candidate.wire)) {
                        (Some(datagram), Some(wire)) => open(datagram, wire, &keys, &decoy),
                        _ => Err(Refusal::Unauthentic),
                    };
                    answer(Answer { number, candidate, opened, _place: place });
                }
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        drop(warm);
        // Nothing is ever sent: the last thread to drop its end is the last to be warm.
        let _: Result<(), _> = warmed.recv();
        Ok(Self { queue: Some(queue), submitted: AtomicU64::new(0), places: Arc::new(Semaphore::new(places)), threads })
    }

    /// One of the places had; when there are none, waits until there is room for several more.
    pub async fn one_of(&self, places: &mut Places) -> Place {
        let mut permits = match places.permits.take() {
            Some(permits) => permits,
            None => self.acquire(PLACES_AT_A_TIME).await,
        };
        match permits.split(1) {
            Some(one) if permits.num_permits() > 0 => {
                places.permits = Some(permits);
                Place { _permit: one }
            }
            Some(one) => Place { _permit: one },
            None => Place { _permit: permits },
        }
    }

    async fn acquire(&self, count: u32) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.places).acquire_many_owned(count).await;
        permits.expect("the semaphore is never closed")
    }

    /// Gives a datagram to the threads. Never waits: the queue is as long as there are places.
    pub fn submit(&self, candidate: Candidate, place: Place) {
        if let Some(queue) = &self.queue {
            let number = self.submitted.fetch_add(1, Ordering::Relaxed);
            let _ = queue.try_send(Job { number, candidate, place });
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

/// Opens one sound block: the first of a process seeds the blinding, which takes as long as fifty knocks.
fn warm_up(keys: &Keyring, decoy: &Decoy) {
    let packet = Packet {
        timestamp: 0,
        user: UserId(0),
        action: ActionId(0),
        challenge: 0,
        hmac: [0; 32],
        payload: Payload::EMPTY,
    };
    if let Ok(sealed) = keys.server().public().seal(&packet) {
        // It is nobody's: the HMAC is of zeros.
        let _ = open(&sealed, Wire::Sealed, keys, decoy);
    }
}

/// Enough that a thread never waits for the feeder; few enough that a knock never waits long behind junk.
const PLACES_PER_THREAD: usize = 8;
/// So that a feeder under load wakes once for several datagrams; no more than one thread has.
const PLACES_AT_A_TIME: u32 = 4;
