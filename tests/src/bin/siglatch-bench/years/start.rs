//! From the start of the daemon's process to the first knock that has an effect, with many users: on a host where nothing of it is
//! left, and on one where an earlier run's filter and table stand. Never counts a knock whose effect it has not seen.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use siglatch_common::wire::v1::SEALED_LEN;

use super::reload::bare_reading;
use crate::bed::{Bed, KNOCKS, Terms};
use crate::figures::{Figure, Target, median, quantile};

/// What one start has come to, in milliseconds.
struct Start {
    /// Until it has said that it is ready.
    ready: f64,
    /// Until a knock has opened the port.
    effect: f64,
}

/// Starts so many times each way, in turns.
pub(super) fn figures() -> Result<Vec<Figure>> {
    let bed = Bed::build()?;
    bed.configure(USERS, Terms::WITHOUT_LIMITS)?;
    let (mut bare, mut again, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..WARM_UP + TURNS {
        bed.take_down()?;
        let starts = [start(&bed)?, start(&bed)?];
        let floor = bare_reading(&bed, USERS)?;
        if turn >= WARM_UP {
            let [first, second] = starts;
            bare.push(first);
            again.push(second);
            floors.push(floor);
        }
    }
    bed.take_down()?;
    let floor = median(floors);
    let mut figures = Vec::new();
    for (name, starts) in [("bare", bare), ("again", again)] {
        let all = |of: fn(&Start) -> f64| starts.iter().map(of).collect::<Vec<_>>();
        let effects = all(|start| start.effect);
        for (what, value, target) in [
            ("knock_p50", median(effects.clone()), Some(Target::ValueAtMost(300.0))),
            ("knock_worst", quantile(effects, 1.0), None),
            ("ready_p50", median(all(|start| start.ready)), None),
        ] {
            figures.push(Figure { name: format!("start.{name}.{what}"), value, unit: "ms", floor, target });
        }
    }
    Ok(figures)
}

/// Starts the daemon while somebody knocks all the time, and ends it again.
fn start(bed: &Bed) -> Result<Start> {
    let letters = bed.writer()?.knocks(LETTERS)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let knocking = scope.spawn(|| bed.street.outside.within(|| knock_on(&letters, &is_over)));
        let begin = Instant::now();
        let daemon = bed.begin()?;
        let start = watch(bed, begin);
        is_over.store(true, Ordering::Relaxed);
        knocking.join().ok().context("the thread that knocks has panicked")???;
        let start = start?;
        daemon.stop()?;
        Ok(start)
    })
}

/// Reads what the daemon says until it has let somebody in: its last word about a knock comes after the kernel has the grant.
fn watch(bed: &Bed, begin: Instant) -> Result<Start> {
    let deadline = begin + PATIENCE;
    let mut ready = None;
    loop {
        let log = bed.log()?;
        let now = begin.elapsed().as_secs_f64() * 1e3;
        if ready.is_none() && log.contains(" ready") {
            ready = Some(now);
        }
        if let (Some(ready), true) = (ready, log.contains("grant opened")) {
            return Ok(Start { ready, effect: now });
        }
        if Instant::now() > deadline {
            bail!("no knock has had an effect: {log}");
        }
        thread::sleep(STEP);
    }
}

/// Sends one knock after the other, from one address, until it is over.
fn knock_on(letters: &[[u8; SEALED_LEN]], is_over: &AtomicBool) -> Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(Bed::source(0), 0))?;
    for letter in letters {
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Where nobody listens yet, the kernel may say so.
        let _ = socket.send_to(letter, KNOCKS);
        thread::sleep(PACE);
    }
    bail!("{LETTERS} knocks are not enough")
}

const USERS: u16 = 10_000;
const WARM_UP: u32 = 1;
const TURNS: u32 = 10;
/// A knock finds the filter attached so much later at most.
const PACE: Duration = Duration::from_millis(2);
const STEP: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(10);
const LETTERS: usize = 6000;
