//! The threads that use the private key. Never decides which datagram is worth it, and never what it means.
//!
//! Bounded: as many datagrams are under way as there are places; whoever feeds the pool waits for one
//! ([`KeyPool::one_of`]), and what waits outside waits in the kernel.
//!
//! Keys can be given anew while datagrams are under way ([`KeyPool::swap`]). Each is opened with the keys that held when it
//! was submitted, so that there is one number from which on everything is opened with the new ones.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use siglatch_common::layout::Candidate;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, Packet, Payload, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{clock, randomness};
use crate::gate::{Decoy, Opened, Refusal, open};
use crate::keys::Keyring;

/// The pool. Dropping it ends the threads, after the work that is under way.
#[derive(Debug)]
pub struct KeyPool {
    queue: Option<SyncSender<Job>>,
    intake: Mutex<Intake>,
    decoy: Decoy,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
    /// Nothing is ever sent: the last thread to drop its end is the last to be warm.
    warm: Mutex<Receiver<()>>,
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

/// What the next datagram gets. Locked for as long as it takes to read both.
#[derive(Debug)]
struct Intake {
    number: u64,
    keys: Arc<Keyring>,
}

/// A datagram on its way through.
#[derive(Debug)]
struct Job {
    number: u64,
    keys: Arc<Keyring>,
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
    /// How long that took to find out.
    pub took: Duration,
    _place: Place,
}

impl KeyPool {
    /// Datagrams that are under way at once with so many threads.
    #[must_use]
    pub const fn places(threads: usize) -> usize {
        threads * PLACES_PER_THREAD
    }

    /// Starts the threads, and has each use the key once before anything else. Each answer goes to `answer`, on the thread
    /// that found it; every datagram has one.
    ///
    /// # Errors
    /// If the system gives no threads or no randomness.
    pub fn start(
        keys: &Arc<Keyring>,
        threads: usize,
        answer: impl Fn(Answer) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let places = Self::places(threads);
        let (queue, jobs) = sync_channel(places);
        let jobs = Arc::new(Mutex::new(jobs));
        let (warm, warmed) = sync_channel(threads);
        let threads = (0..threads).map(move |index| {
            let (keys, jobs, answer, warm) = (Arc::clone(keys), Arc::clone(&jobs), answer.clone(), warm.clone());
            let decoy = randomness::decoy().map_err(io::Error::other)?;
            thread::Builder::new().name(format!("key-{index}")).spawn(move || {
                warm_up(&keys, &decoy);
                drop(warm);
                drop(keys);
                while let Some(Job { number, keys, candidate, place }) = next(&jobs) {
                    let began = clock::boot();
                    let opened = match (candidate.payload(), Wire::from_number(candidate.wire)) {
                        (Some(datagram), Some(wire)) => open(datagram, wire, &keys, &decoy),
                        _ => Err(Refusal::Unauthentic),
                    };
                    let took = clock::boot().since(began);
                    answer(Answer { number, candidate, opened, took, _place: place });
                }
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self {
            queue: Some(queue),
            intake: Mutex::new(Intake { number: 0, keys: Arc::clone(keys) }),
            decoy: randomness::decoy().map_err(io::Error::other)?,
            places: Arc::new(Semaphore::new(places)),
            threads,
            warm: Mutex::new(warmed),
        })
    }

    /// Waits until each thread has used the key once: what comes in then takes no longer than what comes later.
    pub fn wait_until_warm(&self) {
        let _: Result<(), _> = self.warm.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }

    /// Opens everything that is submitted from now on with these keys, and tells `herald` the number of the first such
    /// datagram, before there is one: what `herald` sends somewhere comes there before any of their answers. It must not wait.
    ///
    /// Uses the new key once before, which takes as long as some knocks.
    pub fn swap(&self, keys: Arc<Keyring>, herald: impl FnOnce(u64)) -> u64 {
        warm_up(&keys, &self.decoy);
        let (from, before) = {
            let mut intake = self.intake();
            let from = intake.number;
            herald(from);
            (from, std::mem::replace(&mut intake.keys, keys))
        };
        // Wiping many keys takes a while.
        drop(before);
        from
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
            let (number, keys) = self.intake().take();
            let _ = queue.try_send(Job { number, keys, candidate, place });
        }
    }

    /// Ends the threads after the work under way.
    pub fn finish(mut self) {
        self.end();
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Intake {
    fn take(&mut self) -> (u64, Arc<Keyring>) {
        let number = self.number;
        self.number += 1;
        (number, Arc::clone(&self.keys))
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

/// Opens one sound block: the first of a process seeds the blinding, which takes as long as fifty knocks, and the first of a
/// key makes its blinding factors.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    use siglatch_common::seal::{HmacKey, authenticate};
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::keys::ServerKey;

    #[test]
    fn from_the_number_that_a_swap_names_and_not_before_the_new_keys_open() {
        let (told, answers) = channel();
        let pool = KeyPool::start(&keyring(0), 3, move |Answer { number, candidate, opened, .. }| {
            told.send((number, candidate, opened)).unwrap();
        })
        .unwrap();
        let (swaps, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut found = BTreeMap::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=20 {
                    let heard = Mutex::new(None);
                    let from = pool.swap(keyring(round), |from| *heard.lock().unwrap() = Some(from));
                    assert_eq!(*heard.lock().unwrap(), Some(from));
                    swaps.lock().unwrap().push((from, round));
                    thread::sleep(Duration::from_millis(5));
                }
                is_over.store(true, Ordering::Relaxed);
            });
            // Each datagram is one that some keyring of the 21 opens, and no other: which one did says which keys were used.
            let mut places = Places::default();
            let mut user = 0;
            while !is_over.load(Ordering::Relaxed) {
                user = (user + 1) % 21;
                let place = runtime.block_on(pool.one_of(&mut places));
                pool.submit(candidate(user), place);
            }
        });
        pool.finish();
        for (number, candidate, opened) in answers {
            assert!(found.insert(number, (candidate, opened)).is_none(), "one answer each");
        }
        let swaps = swaps.into_inner().unwrap();
        assert_eq!(swaps.len(), 20);
        assert!(found.keys().copied().eq(0..found.len() as u64), "every datagram has its answer");
        for (number, (candidate, opened)) in found {
            let round = swaps.iter().rev().find(|(from, _)| *from <= number).map_or(0, |(_, round)| *round);
            let is_sealed_for_it = candidate.source_port == round;
            assert_eq!(opened.is_ok(), is_sealed_for_it, "datagram {number}, round {round}");
        }
    }

    #[test]
    fn what_the_herald_sends_comes_before_every_answer_of_the_new_keys() {
        let (inputs, heard) = channel();
        let answers = inputs.clone();
        let pool = KeyPool::start(&keyring(0), 2, move |answer| {
            answers.send(Some(answer.number)).unwrap();
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut froms = Vec::new();
        thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let swap = |round| pool.swap(keyring(round), |_| inputs.send(None).unwrap());
                (1..=10).map(swap).collect::<Vec<_>>()
            });
            let mut places = Places::default();
            while !swapper.is_finished() {
                let place = runtime.block_on(pool.one_of(&mut places));
                pool.submit(candidate(0), place);
            }
            froms = swapper.join().unwrap();
        });
        pool.finish();
        drop(inputs);
        let mut swaps = froms.into_iter();
        let mut reached = 0;
        let mut heralded = 0;
        for input in heard {
            match input {
                None => {
                    heralded = swaps.next().unwrap();
                    assert!(reached <= heralded, "{reached} was answered before the herald of {heralded}");
                }
                Some(number) => reached = reached.max(number + 1),
            }
        }
        assert!(heralded > 0);
        assert_eq!(swaps.next(), None);
    }

    /// Knows user `round` alone.
    fn keyring(round: u16) -> Arc<Keyring> {
        let pem = include_str!("../../tests/data/throwaway-server.key");
        let users = [(UserId(round), HmacKey::parse(&[7; 32]).unwrap())];
        Arc::new(Keyring::new(ServerKey::from_pem(pem).unwrap(), users, HmacKey::parse(&[0xee; 32]).unwrap()))
    }

    /// Signed by user `round`; the source port says so, too.
    fn candidate(round: u16) -> Candidate {
        let packet = Packet {
            timestamp: 0,
            user: UserId(round),
            action: ActionId(1),
            challenge: 0,
            hmac: [0; 32],
            payload: Payload::EMPTY,
        };
        let packet = authenticate(packet, &HmacKey::parse(&[7; 32]).unwrap()).encode();
        let mut datagram = [0; Candidate::ROOM];
        datagram[..packet.len()].copy_from_slice(&packet);
        Candidate {
            source_port: round,
            wire: Wire::Clear.number(),
            length: packet.len() as u16,
            datagram,
            ..Candidate::new_zeroed()
        }
    }
}
