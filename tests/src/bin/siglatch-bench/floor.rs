//! What nothing could beat: the bare operations that a knock needs, each alone. Never runs a daemon.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use siglatch_common::address::Address;
use siglatch_common::wire::v1::SEALED_LEN;
use siglatch_user::config;
use siglatch_user::edge::clock;
use siglatch_user::edge::firewall::Firewall;
use siglatch_user::gate::{Grant, GrantKey};
use siglatch_user::keys::ServerKey;

/// One private-key operation on a sound knock.
pub(crate) fn key_operation(key: &ServerKey, sealed: &[u8; SEALED_LEN]) -> Result<Duration> {
    let begin = Instant::now();
    let opened = key.open(sealed);
    let took = begin.elapsed();
    ensure!(opened.is_some(), "the server key does not open its own knock");
    Ok(took)
}

/// Private-key operations a second of so many threads that do nothing else.
pub(crate) fn key_operations_a_second(
    key: &ServerKey,
    sealed: &[u8; SEALED_LEN],
    threads: usize,
    span: Duration,
) -> Result<f64> {
    let (count, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let took = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::black_box(key.open(sealed));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The first use of the key by a thread takes as long as fifty others.
        thread::sleep(WARM_UP);
        let (begin, before) = (Instant::now(), count.load(Ordering::Relaxed));
        thread::sleep(span);
        let done = count.load(Ordering::Relaxed) - before;
        let took = begin.elapsed();
        over.store(true, Ordering::Relaxed);
        (done, took)
    });
    let (done, took) = took;
    ensure!(done > 0, "no private-key operation has ended");
    Ok(done as f64 / took.as_secs_f64())
}

/// A table like the daemon's in a network namespace of its own, to write grants into.
pub(crate) struct SetWriter {
    firewall: Firewall,
    written: u32,
}

impl SetWriter {
    pub(crate) fn open() -> Result<Self> {
        let protect = vec!["tcp/22".parse().expect("a service")];
        let table =
            config::Firewall::Table(config::OwnTable { name: "siglatch_floor".into(), protect, ..Default::default() });
        // The namespace lives as long as the firewall's socket, which is all that writing needs.
        let opened = thread::spawn(move || {
            // SAFETY: NEWNET moves this thread alone, which opens nothing but that socket.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            Ok::<_, anyhow::Error>(Firewall::open(&table, &[], clock::boot())?.0)
        });
        let firewall = opened.join().ok().context("the thread of the floor's firewall has panicked")??;
        Ok(Self { firewall, written: 0 })
    }

    /// Writes one grant that was not there.
    pub(crate) fn write(&mut self) -> Result<Duration> {
        self.written += 1;
        let source = Address::v4((0x0a00_0000 + self.written).to_be_bytes());
        let key = GrantKey { source, destination: None, service: "tcp/22".parse().expect("a service") };
        let grant = [Grant { key, ttl: Duration::from_secs(600), label: "user-1 ssh".into() }];
        let begin = Instant::now();
        self.firewall.write(&grant, clock::boot())?;
        Ok(begin.elapsed())
    }
}

const WARM_UP: Duration = Duration::from_millis(150);
