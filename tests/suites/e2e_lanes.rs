//! Who is served first when more waits than the private key can do: what has piled up while no daemon ran.

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use siglatch_common::address::Address;
use siglatch_common::lane::{Lane, PerLane};
use siglatch_tests::gateway::{LENIENT, OPEN, Plan, knock};
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::scene::{STRANGER, payload};
use siglatch_tests::stage::{Stage, client};
use siglatch_user::edge::lists::Lists as _;
use siglatch_user::edge::xdp::{Gauge, Maps};

#[test]
fn a_knock_from_a_known_source_comes_before_the_junk_of_strangers() -> Result<()> {
    let mut stage = piled_up(STRANGER.of(true), &[client(true)])?;
    stage.knock(&knock(OPEN), client(true))?;
    waits(&stage, PerLane { stamped: 0, known: 1, unknown: JUNK })?;
    stage.daemon = stage.gateway.start()?;
    let at = place_of_the_knock(&stage)?;
    ensure!(at == 0, "number {at}");
    waits(&stage, PerLane::default())?;
    stage.opens(client(true))
}

#[test]
fn a_knock_of_a_stranger_has_its_share_beside_the_junk_of_a_known_source() -> Result<()> {
    let mut stage = piled_up(STRANGER.of(true), &[STRANGER.of(true)])?;
    stage.knock(&knock(OPEN), client(true))?;
    waits(&stage, PerLane { stamped: 0, known: JUNK, unknown: 1 })?;
    stage.daemon = stage.gateway.start()?;
    let at = place_of_the_knock(&stage)?;
    // Five of a hundred: one of twenty.
    ensure!((15..=25).contains(&at), "number {at}");
    stage.opens(client(true))
}

/// Junk of one source in the rings of a gateway whose daemon has ended, and that knows these.
fn piled_up(source: IpAddr, known: &[IpAddr]) -> Result<Stage> {
    let unlimited = format!("{LENIENT}\n[lane.known]\nbudget = 0\n");
    let mut stage = Stage::with(&Plan::with(LENIENT, &unlimited))?;
    stage.daemon.kill()?;
    let mut lists = Maps::open(stage.gateway.pins())?;
    for origin in known {
        lists.set_known(Address::from(*origin).halves().origin().address(), u64::MAX)?;
    }
    for number in 0..JUNK {
        let mut junk = payload(256);
        junk[12..20].copy_from_slice(&number.to_le_bytes());
        stage.send(&junk, source)?;
    }
    Ok(stage)
}

fn waits(stage: &Stage, wanted: PerLane<usize>) -> Result<()> {
    let gauge = |lane: Lane| {
        let ring = MapData::from_pin(stage.gateway.pins().join(format!("lane_{}", lane.label())))?;
        Ok::<_, anyhow::Error>(Gauge::new(ring.fd().as_fd())?)
    };
    let gauges = PerLane { stamped: gauge(Lane::Stamped)?, known: gauge(Lane::Known)?, unknown: gauge(Lane::Unknown)? };
    let waiting = || PerLane::from_fn(|lane| gauges.of(lane).waiting());
    ensure!(wait_until(PATIENCE, || waiting() == wanted), "{:?} wait, and should be {wanted:?}", waiting());
    Ok(())
}

/// How many datagrams the daemon has judged before the knock.
fn place_of_the_knock(stage: &Stage) -> Result<usize> {
    let said = stage.daemon.wait_until("everything judged", |log| log.matches("knock refused").count() == JUNK)?;
    let mut judged = said.lines().filter(|line| line.contains("knock refused") || line.contains("knock admitted"));
    judged.position(|line| line.contains("knock admitted")).context("no knock was admitted")
}

/// More than twenty places in the key pool, and less than a ring holds.
const JUNK: usize = 200;
