//! The project's own flood: as many frames as one core can put on a cable, out of the kernel itself.
//! Never sends more than it was told, nor for longer, nor outside of the namespace that it was given.
//!
//! `BPF_PROG_TEST_RUN` runs a small program on real frames ("live frames", Linux 5.18), which it redirects out of an
//! interface. The other end of a veth takes such frames only where an XDP program is attached, or generic receive
//! offload is on.

pub mod core;
mod junk;
mod offload;
mod program;

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use junk::{Junk, Source};
pub use offload::receive_offload;

use crate::netns::Namespace;
use crate::raw_bpf::{Mode, Number, Program, attach, release};

/// A flood under way. Dropping it stops it.
#[derive(Debug)]
pub struct Flood {
    valve: Arc<Valve>,
    thread: Option<JoinHandle<Result<Duration>>>,
}

/// When a flood ends by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// After so many frames.
    pub frames: u64,
    /// After so long.
    pub span: Duration,
}

/// What a flood has done.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames that were handed to the interface. A cable whose other end is slower loses some of them.
    pub frames: u64,
    /// From the first to the last.
    pub span: Duration,
}

/// What everybody who has to do with a flood shares.
#[derive(Debug)]
struct Valve {
    closed: AtomicBool,
    /// Frames sent so far, as the generator's program counts them.
    sent: Number,
}

impl Flood {
    /// Begins to send out of an interface of a namespace, from one core, as fast as that goes.
    ///
    /// # Errors
    /// Without root, before Linux 5.18, or if there is no such interface.
    pub fn start(namespace: &Namespace, interface: &str, junk: &Junk, limits: Limits) -> Result<Self> {
        let valve = Arc::new(Valve { closed: AtomicBool::new(false), sent: Number::new()? });
        let built = junk.frame();
        let program = program::load(junk, &built, namespace.index(interface)?, &valve.sent);
        let program = program.context("the generator's program")?;
        // Attached anywhere, it keeps its place among those that the kernel calls directly. Otherwise it would be given
        // one at the beginning of each call and lose it at the end: a pause of some 20 ms without any frame.
        let idle = Namespace::new("idle")?;
        let place = attach(program.as_fd(), &idle, "lo", Mode::Any)?;
        let (inside, shared) = (namespace.clone(), Arc::clone(&valve));
        let thread = thread::spawn(move || {
            let poured = inside.within(|| pour(&program, &built.bytes, limits, &shared));
            drop((place, idle));
            poured?
        });
        Ok(Self { valve, thread: Some(thread) })
    }

    /// How many frames have been sent so far.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn sent(&self) -> Result<u64> {
        self.valve.sent()
    }

    /// Whether it still goes on.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If the kernel did not send.
    pub fn finish(mut self) -> Result<Sent> {
        let span = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(span)) => span?,
            Some(Err(panicked)) => std::panic::resume_unwind(panicked),
            None => Duration::ZERO,
        };
        Ok(Sent { frames: self.sent()?, span })
    }

    /// Stops it.
    ///
    /// # Errors
    /// If the kernel did not send.
    pub fn stop(self) -> Result<Sent> {
        self.valve.close();
        self.finish()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.valve.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Valve {
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn sent(&self) -> Result<u64> {
        Ok(self.sent.get()?)
    }
}

impl Sent {
    /// Frames a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.span.as_secs_f64()
    }
}

impl Limits {
    /// As many frames as can be sent in so long.
    #[must_use]
    pub const fn time(span: Duration) -> Self {
        Self { frames: u64::MAX, span }
    }

    /// So many frames, if they can be sent in [`LONGEST`].
    #[must_use]
    pub const fn frames(frames: u64) -> Self {
        Self { frames, span: LONGEST }
    }
}

/// Sends, on one core, until a limit is reached or the valve is closed.
fn pour(program: &Program, frame: &[u8], limits: Limits, valve: &Valve) -> Result<Duration> {
    core::join()?;
    let span = limits.span.min(LONGEST);
    let began = Instant::now();
    while !valve.is_closed() {
        let (sent, gone) = (valve.sent()?, began.elapsed());
        let (left, time_left) = (limits.frames.saturating_sub(sent), span.saturating_sub(gone));
        if left == 0 || time_left.is_zero() {
            break;
        }
        let rate = sent as f64 / gone.as_secs_f64();
        let stride = (rate * STRIDE.min(time_left).as_secs_f64()) as u64;
        let stride = stride.clamp(BATCH.into(), MOST).min(left) as u32;
        release(program.as_fd(), frame, stride, BATCH).context("the kernel sends no live frames")?;
        ensure!(valve.sent()? > sent, "the generator's program has sent nothing");
    }
    Ok(began.elapsed())
}

/// No flood is longer, whatever its limits say.
pub const LONGEST: Duration = Duration::from_secs(120);
/// Frames that are handed over at a time: a veth holds 256 that its other end has not taken yet.
const BATCH: u32 = 64;
/// How long the kernel is left alone with the frames of one call.
const STRIDE: Duration = Duration::from_millis(50);
const MOST: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::netns::{CLIENT, DOOR, GATE, Street};
    use crate::raw_bpf::Answer;
    use crate::scene::{GATEWAY, SEALED_PORT, STRANGER};

    #[test]
    fn limits_of_count_and_time_are_kept() -> Result<()> {
        let street = Street::new()?;
        let _drain = attach(Program::empty(Answer::Drop)?.as_fd(), &street.gateway, GATE, Mode::Native)?;
        let sent = start(&street, &Junk::wrong_length(), Limits::frames(12_345))?.finish()?;
        assert_eq!(sent.frames, 12_345);

        let sent = start(&street, &Junk::forged(), Limits::time(Duration::from_millis(500)))?.finish()?;
        println!("{:.0} frames a second", sent.rate());
        ensure!(sent.frames > 50_000 && sent.span < Duration::from_secs(2), "{sent:?}");

        let flood = start(&street, &Junk::replay(&[7; 256]), Limits::time(LONGEST))?;
        while flood.sent()? < 100_000 {
            ensure!(flood.is_under_way());
        }
        let sent = flood.stop()?;
        ensure!(sent.span < Duration::from_secs(2), "{sent:?}");
        Ok(())
    }

    #[test]
    fn junk_arrives_as_it_is_described() -> Result<()> {
        let street = Street::new()?;
        street.gateway.ip(&format!("route add default via {}", CLIENT.v4))?;
        receive_offload(&street.gateway, GATE, true)?;
        for (junk, length, sources, payloads) in [
            (Junk::wrong_length(), 200, 1, 32),
            (Junk::one_source(), 256, 1, 32),
            (Junk::forged(), 256, 32, 32),
            (Junk::replay(&[7; 256]), 256, 32, 1),
            (Junk::in_the_name_of(CLIENT.v4), 256, 1, 32),
            (Junk::forged().long(264), 264, 32, 32),
        ] {
            let socket = street.gateway.udp(SocketAddr::new(GATEWAY.of(true), SEALED_PORT))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            start(&street, &junk, Limits::frames(32))?.finish()?;
            let (mut from, mut seen) = (HashSet::new(), HashSet::new());
            for _ in 0..32 {
                let mut bytes = [0; 300];
                let (read, source) = socket.recv_from(&mut bytes)?;
                assert_eq!(read, length);
                let source = source.ip();
                let believable = match (junk.source(), source) {
                    (Source::Fixed(address), _) => source == address,
                    (Source::Forged, IpAddr::V4(v4)) => !matches!(v4.octets()[0], 0 | 127 | 192 | 198 | 224..),
                    (Source::Forged, IpAddr::V6(_)) => false,
                };
                ensure!(believable, "{junk:?} came from {source}");
                from.insert(source);
                seen.insert(bytes);
            }
            assert_eq!((from.len(), seen.len()), (sources, payloads), "{junk:?}");
        }
        assert_eq!(Junk::one_source().source(), Source::Fixed(STRANGER.v4));
        Ok(())
    }

    fn start(street: &Street, junk: &Junk, limits: Limits) -> Result<Flood> {
        Flood::start(&street.outside, DOOR, junk, limits)
    }
}
