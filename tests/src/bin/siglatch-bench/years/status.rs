//! How long the daemon takes to tell its status while a real flood is at its height, beside without. Never floods anything but a
//! gateway of its own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use siglatch_tests::flood::{Flood, Junk, Limits, core};
use siglatch_tests::netns::DOOR;
use siglatch_user::admin::Status;
use siglatch_user::admin::protocol::Request;

use crate::bed::Bed;
use crate::figures::{Figure, Target, quantile};
use crate::flood::field::{Field, Ingress};

/// Asks under each of three kinds of junk.
pub(super) fn figures() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, junk) in
        [("wrong_length", Junk::wrong_length()), ("one_source", Junk::one_source()), ("forged", Junk::forged())]
    {
        let field = Field::new(Ingress::Xdp)?;
        let calm = ask(&field.bed)?;
        let flood = Flood::start(&field.bed.street.outside, DOOR, &junk, Limits::time(SPAN))?;
        thread::sleep(RISE);
        let before = flood.sent()?;
        let flooded = ask(&field.bed)?;
        let sent = flood.sent()? - before;
        ensure!(flood.is_under_way() && sent > LEAST, "that was no flood: {sent} frames");
        flood.stop()?;
        for (what, share, target) in [("p50", 0.5, MOST), ("p99", 0.99, MOST), ("worst", 1.0, None)] {
            let of = |values: &[f64]| quantile(values.to_vec(), share);
            let (value, floor) = (of(&flooded), of(&calm));
            figures.push(Figure { name: format!("status.{name}.{what}"), value, unit: "ms", floor, target });
        }
    }
    Ok(figures)
}

/// Milliseconds from each of many requests to its reply, each by a connection of its own, as `siglatchctl` asks.
fn ask(bed: &Bed) -> Result<Vec<f64>> {
    let ask_once = || {
        let begin = Instant::now();
        let status: Status = bed.admin()?.ask(&Request::Status {})?;
        let took = begin.elapsed();
        ensure!(status.interfaces.len() == 1, "a status without the interface: {status:?}");
        thread::sleep(PAUSE);
        Ok(took.as_secs_f64() * 1e3)
    };
    // Beside the generator nobody would get to ask.
    core::apart(|| (0..TIMES).map(|_| ask_once()).collect())
}

const TIMES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Until it is at its height.
const RISE: Duration = Duration::from_millis(500);
/// Longer than all requests take; it is stopped when they are answered.
const SPAN: Duration = Duration::from_secs(60);
const LEAST: u64 = 100_000;
const MOST: Option<Target> = Some(Target::ValueAtMost(50.0));
