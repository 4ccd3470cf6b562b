//! Honest people during a flood at the generator's maximum: whoever has knocked before gets in every time, and so does
//! everybody who has a stamp; first-time users of a sealed port do unless the flood comes from everywhere.

#![expect(clippy::disallowed_methods, reason = "knocks come at a pace")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use siglatch_common::outcome::Outcome;
use siglatch_tests::flood::{Flood, Junk, Limits, core};
use siglatch_tests::gateway::{BRIEF, LENIENT, OPEN, Plan, STAMPED, STAMPED_PORT, knock, sealed, stamped};
use siglatch_tests::netns::DOOR;
use siglatch_tests::packet::Frame;
use siglatch_tests::process::{PATIENCE, let_pass, wait_until};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, SOURCE_PORT};
use siglatch_tests::stage::{Stage, client};
use siglatch_user::edge::lists::Lists as _;
use siglatch_user::edge::xdp::Maps;

#[test]
fn a_flood_of_wrong_lengths_keeps_nobody_out() -> Result<()> {
    let at_sealed = at_the_sealed_port(&Junk::wrong_length(), ATTEMPTS)?;
    ensure!(at_sealed == Honoured { known: KNOCKS, strangers: KNOCKS }, "{at_sealed:?}");
    at_the_stamped_port(&Junk::wrong_length())
}

#[test]
fn a_flood_of_the_right_length_from_one_source_keeps_nobody_out() -> Result<()> {
    let at_sealed = at_the_sealed_port(&Junk::one_source(), ATTEMPTS)?;
    ensure!(at_sealed == Honoured { known: KNOCKS, strangers: KNOCKS }, "{at_sealed:?}");
    at_the_stamped_port(&Junk::one_source().long(264))
}

#[test]
fn a_flood_from_everywhere_keeps_nobody_out_who_is_known_or_stamped() -> Result<()> {
    let at_sealed = at_the_sealed_port(&Junk::forged(), ATTEMPTS)?;
    writeln!(std::io::stdout(), "\n{} of {KNOCKS} knocks of first-time users were honoured", at_sealed.strangers)?;
    ensure!(at_sealed.known == KNOCKS, "{at_sealed:?}");
    at_the_stamped_port(&Junk::forged().long(264))
}

/// Knocks that were honoured.
#[derive(Debug, Eq, PartialEq)]
struct Honoured {
    known: usize,
    strangers: usize,
}

/// A hundred knocks from a known address, and one each from a hundred addresses that were never seen before, ten a
/// second, while junk comes in at the same port.
fn at_the_sealed_port(junk: &Junk, attempts: u32) -> Result<Honoured> {
    let (alone, stage) = stage()?;
    stage.knock(&knock(BRIEF), client(true))?;
    stage.daemon.wait_for("knock admitted")?;
    let before = admitted(&stage).len();
    let mut strangers = BTreeSet::new();
    let flood = Flood::start(&stage.street.outside, DOOR, &junk.clone().at(SEALED_PORT), LIMITS)?;
    knocks(&stage, |number| {
        let stranger = newcomer(number);
        strangers.insert(stranger);
        let to = SocketAddr::new(GATEWAY.of(true), SEALED_PORT);
        Ok(vec![(client(true), to, sealed(&knock(OPEN))?), (stranger, to, sealed(&knock(OPEN))?)])
    })?;
    let sent = end(flood)?;
    let all = before + 2 * KNOCKS;
    // Whoever is not honoured by then was not.
    let _ = wait_until(LATE, || admitted(&stage).len() == all);
    let admitted = admitted(&stage);
    let known = admitted.iter().filter(|source| **source == client(true)).count() - before;
    let honoured = Honoured { known, strangers: admitted.iter().filter(|source| strangers.contains(source)).count() };
    ensure!(sent > 100_000, "only {sent} frames are no flood");
    if honoured.known < KNOCKS {
        // What the cable has lost has never come to the gateway, and says nothing about it.
        let lost = stage.street.lost()?;
        writeln!(
            std::io::stdout(),
            "\n{honoured:?}; of {sent} frames the cable has lost {lost}; {}",
            counters(&stage)?
        )?;
        if lost > 0 && attempts > 1 {
            drop(stage);
            drop(alone);
            return at_the_sealed_port(junk, attempts - 1);
        }
    }
    stage.opens(client(true))?;
    Ok(honoured)
}

/// A hundred knocks with stamps, each from an address that was never seen before, while junk comes in at the same port:
/// all are honoured, and the private key is used for them alone.
fn at_the_stamped_port(junk: &Junk) -> Result<()> {
    let (_alone, stage) = stage()?;
    let flood = Flood::start(&stage.street.outside, DOOR, &junk.clone().at(STAMPED_PORT), LIMITS)?;
    knocks(&stage, |number| {
        let to = SocketAddr::new(GATEWAY.of(true), STAMPED_PORT);
        Ok(vec![(newcomer(number), to, stamped(&knock(OPEN))?)])
    })?;
    let sent = end(flood)?;
    ensure!(sent > 100_000, "only {sent} frames are no flood");
    let honoured = || admitted(&stage).len() == KNOCKS;
    ensure!(wait_until(PATIENCE, honoured), "{} of {KNOCKS}; {}", admitted(&stage).len(), counters(&stage)?);
    for (outcome, expected) in [("submitted_stamped", KNOCKS), ("submitted_known", 0), ("submitted_unknown", 0)] {
        ensure!(stage.gateway.counted(outcome)? == expected as u64, "{outcome}: {}", counters(&stage)?);
    }
    ensure!(!stage.daemon.said().contains("knock refused"), "junk has reached the private key");
    Ok(())
}

/// The gateway on the product's own terms, with a stamped port beside the sealed one; and nobody else floods meanwhile.
fn stage() -> Result<(MutexGuard<'static, ()>, Stage)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    core::join()?;
    let stage = core::apart(|| Stage::with(&Plan::with(LENIENT, STAMPED)))?;
    core::hush(&stage.street)?;
    Ok((alone, stage))
}

/// Sends what `of` makes for each of a hundred numbers, at its time.
fn knocks(stage: &Stage, mut of: impl FnMut(u16) -> Result<Vec<(IpAddr, SocketAddr, Vec<u8>)>>) -> Result<()> {
    // The flood is at its height before the first knock comes.
    let_pass(Duration::from_millis(500));
    let began = Instant::now();
    for number in 0..KNOCKS as u16 {
        let due = PACE * u32::from(number);
        let_pass(due.saturating_sub(began.elapsed()));
        for (source, to, datagram) in of(number)? {
            let frame = Frame::udp(SocketAddr::new(source, SOURCE_PORT), to, &datagram).bytes();
            stage.street.outside.send_frame(&frame, DOOR)?;
        }
    }
    Ok(())
}

fn end(flood: Flood) -> Result<u64> {
    ensure!(flood.is_under_way(), "the flood was over before the last knock");
    Ok(flood.stop()?.frames)
}

/// Where each admitted knock came from, in order.
fn admitted(stage: &Stage) -> Vec<IpAddr> {
    let said = stage.daemon.said();
    let lines = said.lines().filter(|line| line.contains("knock admitted"));
    lines.filter_map(|line| line.split("source=").nth(1)?.split_whitespace().next()?.parse().ok()).collect()
}

/// Every counter that is not zero.
fn counters(stage: &Stage) -> Result<String> {
    let counters = Maps::open(stage.gateway.pins())?.counters()?;
    let moved = Outcome::ALL.into_iter().filter(|outcome| counters.of(*outcome) > 0);
    Ok(moved.map(|outcome| format!("{}={}", outcome.label(), counters.of(outcome))).collect::<Vec<_>>().join(" "))
}

/// An address that has never been seen (RFC 2544).
fn newcomer(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low + 1).into()
}

const KNOCKS: usize = 100;
/// Runs until one is not spoilt by the cable.
const ATTEMPTS: u32 = 3;
/// What has not been judged this long after the last knock never will be.
const LATE: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(100);
const LIMITS: Limits = Limits::time(Duration::from_secs(15));
