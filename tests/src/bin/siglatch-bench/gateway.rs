//! The daemon's figures, in the order that costs least: one gateway, two starts. Never shows them.

use anyhow::Result;

use crate::bed::{Bed, Terms};
use crate::figures::{Figure, Target};
use crate::memory::Resident;
use crate::{knocks, latency, operations};

/// Measures the daemon, and the operations that it is made of.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    let bed = Bed::build()?;
    let lonely = bed.start(1, Terms::WITHOUT_LIMITS)?;
    let floor = Resident::of(&lonely)?;
    lonely.stop()?;

    let daemon = bed.start(USERS, Terms::WITHOUT_LIMITS)?;
    let started = Resident::of(&daemon)?;
    let mut figures = latency::figures(&bed, 0, LATENCY_KNOCKS)?;
    knocks::figure(&bed, LATENCY_KNOCKS, KNOCKS, 1)?;
    let after = Resident::of(&daemon)?;
    figures.push(knocks::figure(&bed, LATENCY_KNOCKS + KNOCKS, RUSH, ROUNDS)?);
    figures.extend(memory(floor, started, after));
    figures.extend(operations::private_key(&bed)?);
    figures.extend(operations::nonces(&bed.state_folder())?);
    daemon.stop()?;
    Ok(figures)
}

fn memory(floor: Resident, started: Resident, after: Resident) -> Vec<Figure> {
    let figure = |name: &str, value: u64, floor: u64, target| Figure {
        name: name.into(),
        value: megabytes(value),
        unit: "MB",
        floor: megabytes(floor),
        target,
    };
    vec![
        figure("daemon_rss", after.all, floor.all, Some(Target::ValueAtMost(30.0))),
        figure("daemon_rss.at_start", started.all, floor.all, None),
        figure("daemon_rss.anonymous", after.anonymous, floor.anonymous, None),
    ]
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

const USERS: u16 = 1000;
const LATENCY_KNOCKS: u32 = 200;
/// After which the memory is looked at again.
const KNOCKS: u32 = 1000;
/// Knocks of one round of `knocks_per_second`: half a second's work, so that whatever else the machine does meanwhile
/// slows the rounds of the floor as much.
const RUSH: u32 = 1500;
const ROUNDS: u32 = 15;
