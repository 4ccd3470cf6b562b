//! What a minute of flood costs the daemon: processor time, memory, log. Never judges who gets in meanwhile.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use siglatch_tests::flood::{Flood, Junk, Limits};
use siglatch_tests::netns::DOOR;

use super::field::{Field, Ingress};
use crate::bed::Daemon;
use crate::figures::{Figure, Target, median};
use crate::memory::Resident;

/// What one flood cost.
struct Cost {
    /// Of one core.
    cpu: f64,
    /// How many bytes more, or less.
    memory: f64,
    /// How many bytes more.
    log: f64,
}

/// Floods a gateway for a minute with each of two kinds of junk, so many times.
pub(super) fn figures(rounds: u32) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, junk, busy) in [("wrong_length", Junk::wrong_length(), CPU), ("forged", Junk::forged(), None)] {
        let costs = (0..rounds).map(|_| cost_of(&junk)).collect::<Result<Vec<_>>>()?;
        let median_of = |of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
        for (what, value, unit, floor, target) in [
            ("cpu", median_of(|cost| cost.cpu), "of a core", 1.0, busy),
            ("memory", median_of(|cost| cost.memory) / 1e6, "MB", 1.0, Some(Target::ValueAtMost(1.0))),
            ("log", median_of(|cost| cost.log), "bytes", 10_000.0, Some(Target::ValueAtMost(10_000.0))),
        ] {
            let name = format!("flood.daemon.{name}.{what}");
            figures.push(Figure { name, value, unit, floor, target });
        }
    }
    Ok(figures)
}

fn cost_of(junk: &Junk) -> Result<Cost> {
    let mut field = Field::new(Ingress::Xdp)?;
    // Everything has been used once.
    field.introduce(PEOPLE)?;
    let (memory, log) = (Resident::of(&field.daemon)?.all, field.bed.log_bytes()?);
    let cpu = cpu_time(&field.daemon)?;
    let flood = Flood::start(&field.bed.street.outside, DOOR, junk, Limits::time(SPAN))?.finish()?;
    let cpu = cpu_time(&field.daemon)? - cpu;
    // What is told once a minute is told by then.
    thread::sleep(TELLING.saturating_sub(flood.span));
    Ok(Cost {
        cpu: cpu.as_secs_f64() / flood.span.as_secs_f64(),
        memory: Resident::of(&field.daemon)?.all as f64 - memory as f64,
        log: (field.bed.log_bytes()? - log) as f64,
    })
}

/// Processor time of all its threads, in user space and in the kernel on its behalf: proc(5), fields 14 and 15.
fn cpu_time(daemon: &Daemon) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid()))?;
    // The second field is a name in brackets, with whatever in it.
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks = rest.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

const SPAN: Duration = Duration::from_secs(60);
/// A little more than the daemon's pause between two summaries.
const TELLING: Duration = Duration::from_secs(65);
const PEOPLE: u32 = 20;
/// Three hundredths of a core.
const CPU: Option<Target> = Some(Target::ValueAtMost(0.03));
