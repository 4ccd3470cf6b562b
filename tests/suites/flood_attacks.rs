//! What an attacker can do with a flood beyond noise: forge a victim's address, repeat a captured knock, wait for the
//! daemon to die. Each at the generator's maximum.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_tests::flood::{Flood, Junk, Limits, core};
use siglatch_tests::gateway::{LENIENT, OPEN, Plan, STAMPED, STAMPED_PORT, knock, sealed, stamped};
use siglatch_tests::netns::{CLIENT, DOOR};
use siglatch_tests::packet::Frame;
use siglatch_tests::process::let_pass;
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, SOURCE_PORT};
use siglatch_tests::stage::{Stage, client};
use siglatch_user::edge::lists::Lists as _;
use siglatch_user::edge::xdp::Maps;

#[test]
fn at_a_stamped_port_a_forged_victim_gets_in_every_time_while_it_lasts() -> Result<()> {
    let (_alone, stage) = stage(STAMPED)?;
    // Banned for the sealed port, too: five datagrams are enough, and the flood is long.
    let at_sealed = flood(&stage, &Junk::in_the_name_of(CLIENT.v4).at(SEALED_PORT), Limits::time(SECOND))?;
    stage.daemon.wait_for(&format!("banned source={}", client(true)))?;
    at_sealed.stop()?;
    let at_stamped = flood(&stage, &Junk::in_the_name_of(CLIENT.v4).long(264).at(STAMPED_PORT), Limits::time(LONG))?;
    for number in 1..=30 {
        send(&stage, client(true), STAMPED_PORT, &stamped(&knock(OPEN))?)?;
        stage.daemon.wait_until(&format!("knock {number}"), |log| log.matches("knock admitted").count() == number)?;
        let_pass(SECOND / 10);
    }
    ensure!(at_stamped.is_under_way(), "the flood was over before the last knock");
    at_stamped.stop()?;
    Ok(())
}

#[test]
fn at_a_sealed_port_a_known_victim_gets_in_as_soon_as_it_ends() -> Result<()> {
    let (_alone, stage) = stage("")?;
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    stage.daemon.wait_for("knock admitted")?;
    let at_sealed = flood(&stage, &Junk::in_the_name_of(CLIENT.v4).at(SEALED_PORT), Limits::time(LONG))?;
    // Longer than floods are counted for.
    let_pass(12 * SECOND);
    at_sealed.stop()?;
    // One token, at ten a second.
    let_pass(SECOND / 5);
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    stage.daemon.wait_until("the second knock", |log| log.matches("knock admitted").count() == 2)?;
    ensure!(bans(&stage)?.is_empty(), "{:?}", bans(&stage)?);
    ensure!(stage.gateway.counted("over_rate")? > 100_000, "that was no flood");
    Ok(())
}

#[test]
fn at_a_sealed_port_a_first_time_victim_gets_in_after_the_shortest_step() -> Result<()> {
    let (_alone, stage) = stage("[ban]\nsteps = [\"3s\", \"1h\"]\n")?;
    let at_sealed = flood(&stage, &Junk::in_the_name_of(CLIENT.v4).at(SEALED_PORT), Limits::time(SECOND))?;
    stage.daemon.wait_for(&format!("banned source={}", client(true)))?;
    at_sealed.stop()?;
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    let_pass(3 * SECOND);
    ensure!(!stage.daemon.said().contains("knock admitted"), "he was not even banned");
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    stage.daemon.wait_for("knock admitted")?;
    Ok(())
}

#[test]
fn a_captured_datagram_costs_one_key_operation_however_often_and_from_wherever_it_is_sent() -> Result<()> {
    let (_alone, stage) = stage("")?;
    let captured = sealed(&knock(OPEN))?;
    send(&stage, client(true), SEALED_PORT, &captured)?;
    stage.daemon.wait_for("knock admitted")?;
    let again = flood(&stage, &Junk::replay(&captured).at(SEALED_PORT), Limits::time(3 * SECOND))?;
    let sent = again.finish()?;
    ensure!(sent.frames > 100_000, "only {} frames are no flood", sent.frames);
    for (outcome, expected) in [("submitted_unknown", 1), ("submitted_known", 0)] {
        ensure!(stage.gateway.counted(outcome)? == expected, "{outcome}: {}", stage.gateway.counted(outcome)?);
    }
    ensure!(stage.gateway.counted("copy")? > 1000);
    Ok(())
}

#[test]
fn the_filter_outlives_the_daemon_and_the_next_one_finds_its_lists() -> Result<()> {
    let (_alone, mut stage) = stage("")?;
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    stage.daemon.wait_for("knock admitted")?;
    let banned = Network::of(Address::v4([203, 0, 113, 7]));
    Maps::open(stage.gateway.pins())?.set_ban(banned, Ban::default())?;
    // Whatever gets past the filter is heard here.
    let ear = stage.street.gateway.udp(SocketAddr::new([0, 0, 0, 0].into(), SEALED_PORT))?;
    ear.set_nonblocking(true)?;
    stage.street.gateway.shell("nft flush chain inet siglatch input 2>/dev/null || true")?;
    let junk = flood(&stage, &Junk::one_source().at(SEALED_PORT), Limits::time(LONG))?;
    let_pass(SECOND);
    stage.daemon.kill()?;
    let dropped =
        |stage: &Stage| Ok::<_, anyhow::Error>(stage.gateway.counted("over_rate")? + stage.gateway.counted("banned")?);
    let before = dropped(&stage)?;
    let_pass(SECOND);
    ensure!(dropped(&stage)? > before + 10_000, "the filter has stopped");
    stage.daemon = core::apart(|| stage.gateway.start())?;
    send(&stage, client(true), SEALED_PORT, &sealed(&knock(OPEN))?)?;
    stage.daemon.wait_for("knock admitted")?;
    ensure!(stage.gateway.counted("submitted_known")? >= 1, "the source was known before");
    ensure!(bans(&stage)?.iter().any(|(network, _)| *network == banned), "{:?}", bans(&stage)?);
    // Still flooded, and the flood's source is banned before long.
    stage.daemon.wait_until("the ban", |log| log.contains("banned source=") || log.contains("bans and known"))?;
    ensure!(junk.is_under_way(), "the flood was over too early");
    junk.stop()?;
    let mut bytes = [0; 2000];
    let heard = ear.recv_from(&mut bytes);
    ensure!(matches!(&heard, Err(error) if error.kind() == ErrorKind::WouldBlock), "{heard:?}");
    Ok(())
}

/// The gateway on the product's own terms, and these beside them; and nobody else floods meanwhile.
fn stage(terms: &str) -> Result<(MutexGuard<'static, ()>, Stage)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    core::join()?;
    let stage = core::apart(|| Stage::with(&Plan::with(LENIENT, terms)))?;
    core::hush(&stage.street)?;
    Ok((alone, stage))
}

fn flood(stage: &Stage, junk: &Junk, limits: Limits) -> Result<Flood> {
    Flood::start(&stage.street.outside, DOOR, junk, limits)
}

fn send(stage: &Stage, source: IpAddr, port: u16, datagram: &[u8]) -> Result<()> {
    let to = SocketAddr::new(GATEWAY.of(true), port);
    let frame = Frame::udp(SocketAddr::new(source, SOURCE_PORT), to, datagram).bytes();
    stage.street.outside.send_frame(&frame, DOOR)
}

fn bans(stage: &Stage) -> Result<Vec<(Network, Ban)>> {
    Ok(Maps::open(stage.gateway.pins())?.bans()?)
}

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);
