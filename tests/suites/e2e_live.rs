//! Keys, wires and rates change while the daemon is at work, and the next knock is judged by what is new. What else changes live is
//! `e2e_reload`'s.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an operator has files, and runs the command")]

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use siglatch_client::knocker::{Keys, Stamper, datagram};
use siglatch_common::seal::{GateKey, HmacKey, ServerPublicKey};
use siglatch_tests::gateway::{GATE_KEY, Gateway, OPEN, Plan, RULES, STAMPED, STAMPED_PORT, knock, sealed, stamped};
use siglatch_tests::netns::{GATE, run};
use siglatch_tests::process::{PATIENCE, program, wait_until};
use siglatch_tests::scene::GATEWAY;
use siglatch_tests::stage::{Stage, client};

#[test]
fn another_server_key_opens_what_is_sealed_for_it_and_nothing_else() -> Result<()> {
    let stage = Stage::new()?;
    let (other, host) = (stage.gateway.file("other"), GATEWAY.v4.to_string());
    run(Command::new(program("siglatchctl")?).args(["init", "--host", &host, "--iface", GATE, "--dir"]).arg(&other))?;
    fs::copy(other.join("server.key"), stage.gateway.file("server.key"))?;
    let public = ServerPublicKey::from_pem(&fs::read_to_string(other.join("server.pub.pem"))?)?;
    changes(&stage.gateway, "server")?;
    stage.send(&sealed(&knock(OPEN))?, client(true))?;
    stage.refuses(1, "unauthentic", client(true))?;
    let keys = Keys::sealed(key_in(&stage.gateway, "alice.key")?, public);
    stage.send(&datagram(&knock(OPEN), &keys)?, client(true))?;
    stage.opens(client(true))
}

#[test]
fn another_key_of_a_user_s_is_asked_for_from_the_next_knock_on() -> Result<()> {
    let stage = Stage::new()?;
    fs::write(stage.gateway.file("alice.key"), "5c".repeat(32))?;
    changes(&stage.gateway, "alice")?;
    stage.send(&sealed(&knock(OPEN))?, client(true))?;
    stage.refuses(1, "unauthentic", client(true))?;
    let public = ServerPublicKey::from_pem(&fs::read_to_string(stage.gateway.file("server.pub.pem"))?)?;
    let keys = Keys::sealed(key_in(&stage.gateway, "alice.key")?, public);
    stage.send(&datagram(&knock(OPEN), &keys)?, client(true))?;
    stage.opens(client(true))
}

#[test]
fn stamps_of_another_gate_key_are_passed_on_and_the_earlier_ones_dropped() -> Result<()> {
    let stage = Stage::with(&Plan::plus(STAMPED))?;
    send_stamped(&stage, &stamped(&knock(OPEN))?)?;
    stage.opens(client(true))?;
    fs::write(stage.gateway.file("gate-0.key"), "a7".repeat(16))?;
    changes(&stage.gateway, "gate")?;
    send_stamped(&stage, &stamped(&knock(OPEN))?)?;
    let is_dropped = || stage.gateway.counted("wrong_stamp").is_ok_and(|count| count == 1);
    ensure!(wait_until(PATIENCE, is_dropped), "{}", stage.gateway.dump("counters")?);
    let gate_key = GateKey::parse(&fs::read(stage.gateway.file("gate-0.key"))?)?;
    let stamper = Stamper::new(GATE_KEY, gate_key).context("there is no such gate key")?;
    let public = ServerPublicKey::from_pem(&fs::read_to_string(stage.gateway.file("server.pub.pem"))?)?;
    let keys = Keys::stamped(key_in(&stage.gateway, "alice.key")?, public, stamper);
    send_stamped(&stage, &datagram(&knock(OPEN), &keys)?)?;
    let is_passed_on = || stage.gateway.counted("submitted_stamped").is_ok_and(|count| count == 2);
    ensure!(wait_until(PATIENCE, is_passed_on), "{}", stage.gateway.dump("counters")?);
    Ok(())
}

#[test]
fn a_port_takes_another_wire_and_no_longer_the_one_before() -> Result<()> {
    let stage = Stage::with(&Plan::plus(&STAMPED.replace("wire = \"stamped\"", "wire = \"sealed\"")))?;
    send_stamped(&stage, &sealed(&knock(OPEN))?)?;
    stage.opens(client(true))?;
    stage.gateway.configure(&Plan::plus(STAMPED))?;
    changes(&stage.gateway, "port")?;
    send_stamped(&stage, &sealed(&knock(OPEN))?)?;
    let is_dropped = || stage.gateway.counted("wrong_length").is_ok_and(|count| count == 1);
    ensure!(wait_until(PATIENCE, is_dropped), "{}", stage.gateway.dump("counters")?);
    send_stamped(&stage, &stamped(&knock(OPEN))?)?;
    let is_passed_on = || stage.gateway.counted("submitted_stamped").is_ok_and(|count| count == 1);
    ensure!(wait_until(PATIENCE, is_passed_on), "{}", stage.gateway.dump("counters")?);
    Ok(())
}

#[test]
fn a_rate_that_is_lowered_holds_for_the_next_datagram() -> Result<()> {
    let stage = Stage::new()?;
    let slow = RULES.replace("rate = 100_000\nburst = 100_000", "rate = 1\nburst = 2");
    stage.gateway.configure(&Plan { rules: slow, ..Plan::default() })?;
    changes(&stage.gateway, "limits")?;
    for _ in 0..20 {
        stage.send(&sealed(&knock(OPEN))?, client(true))?;
    }
    let is_dropped = || stage.gateway.counted("over_rate").is_ok_and(|count| count >= 10);
    ensure!(wait_until(PATIENCE, is_dropped), "{}", stage.gateway.dump("counters")?);
    stage.gateway.configure(&Plan::default())?;
    changes(&stage.gateway, "limits")?;
    let dropped = stage.gateway.counted("over_rate")?;
    for _ in 0..20 {
        stage.send(&sealed(&knock(OPEN))?, client(true))?;
    }
    stage.opens(client(true))?;
    ensure!(stage.gateway.counted("over_rate")? == dropped, "{}", stage.gateway.dump("counters")?);
    Ok(())
}

/// Has the daemon read its configuration again, which must name that among the changes.
fn changes(gateway: &Gateway, what: &str) -> Result<()> {
    let said = gateway.ctl(&["reload"])?;
    ensure!(said.contains(what) && said.contains("the daemon goes by it now"), "{said}");
    Ok(())
}

fn key_in(gateway: &Gateway, name: &str) -> Result<HmacKey> {
    Ok(HmacKey::parse(&fs::read(gateway.file(name))?)?)
}

fn send_stamped(stage: &Stage, datagram: &[u8]) -> Result<()> {
    stage.street.outside.send(datagram, client(true), SocketAddr::new(GATEWAY.of(true), STAMPED_PORT))
}
