//! Knocks that are told in full: those of one user or one source, for a time, and never a key or an HMAC.
#![expect(clippy::disallowed_types, reason = "an operator runs the command")]

use std::process::Command;

use anyhow::{Result, ensure};
use siglatch_client::knocker::Knock;
use siglatch_tests::gateway::{BOB, Gateway, OPEN, clear, knock, sealed, with_words};
use siglatch_tests::process::{outcome, program};
use siglatch_tests::scene::payload;
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_users_knocks_are_told_in_full_and_nobody_elses() -> Result<()> {
    let stage = Stage::new()?;
    let source = client(true);
    let said = stage.gateway.ctl(&["debug", "on", "--user", "alice", "--for", "10m"])?;
    ensure!(said.starts_with("Told in full, in the daemon's log: user alice, for "), "{said}");
    stage.daemon.wait_for("DEBUGGING: these knocks are told in full, payloads included whose=\"user alice\"")?;

    let bobs = Knock { user: BOB, ..with_words(knock(OPEN), "ttl=71s") };
    stage.knock(&bobs, source)?;
    let alices = with_words(knock(OPEN), "ttl=72s");
    let datagram = sealed(&alices)?;
    stage.send(&datagram, source)?;
    stage.daemon.wait_until("the knock told", |log| log.contains(TOLD))?;

    let log = stage.daemon.said();
    let told: Vec<_> = log.lines().filter(|line| line.contains(TOLD)).collect();
    let [line] = told[..] else { anyhow::bail!("{told:?}") };
    for part in [
        "wire=\"sealed\" decision=\"admitted\"",
        "user=1 name=\"alice\" action=1 action_name=\"open\"",
        "payload=\"ttl=72s\"",
        &format!("challenge={}", alices.challenge),
        &format!("raw=\"{}\"", hex(&datagram)),
    ] {
        ensure!(line.contains(part), "{part} in {line}");
    }
    Ok(())
}

#[test]
fn what_comes_from_a_source_is_told_junk_included_and_no_hmac() -> Result<()> {
    let stage = Stage::new()?;
    let (source, other) = (client(true), stage.newcomer()?);
    stage.gateway.ctl(&["debug", "on", "--source", &source.to_string()])?;
    let junk = payload(256);
    stage.send(&junk, other)?;
    stage.send(&junk, source)?;
    stage.daemon.wait_for("decision=\"refused\" reason=\"unauthentic\" raw=")?;
    ensure!(stage.daemon.said().matches(TOLD).count() == 1, "the other source's is not told");

    let datagram = clear(&knock(OPEN))?;
    stage.send_clear(&datagram, source)?;
    stage.daemon.wait_for("wire=\"clear\" decision")?;
    let (log, hmac) = (stage.daemon.said(), hex(&datagram[12..44]));
    ensure!(!log.contains(&hmac), "the HMAC is nowhere in the log");
    let raw = format!("{}{}{}", hex(&datagram[..12]), ".".repeat(64), hex(&datagram[44..]));
    ensure!(log.contains(&raw), "{raw} in {log}");
    Ok(())
}

#[test]
fn it_ends_by_itself_or_when_told_to() -> Result<()> {
    let stage = Stage::new()?;
    let nobody = "Nobody's knocks are told in full.\n";
    ensure!(stage.gateway.ctl(&["debug", "list"])? == nobody);
    stage.gateway.ctl(&["debug", "on", "--user", "alice", "--for", "1s"])?;
    stage.daemon.wait_for("debugging has ended by itself whose=\"user alice\"")?;
    ensure!(stage.gateway.ctl(&["debug", "list"])? == nobody);

    stage.gateway.ctl(&["debug", "on", "--user", "bob"])?;
    stage.gateway.ctl(&["debug", "on", "--user", "alice"])?;
    let listed = stage.gateway.ctl_json(&["debug", "list"])?;
    ensure!(listed["told"].as_array().map(Vec::len) == Some(2) && listed["told"][0]["user"] == "alice", "{listed}");
    ensure!(stage.gateway.ctl(&["debug", "off", "--user", "bob"])?.contains("user alice"));
    ensure!(stage.gateway.ctl(&["debug", "off"])? == nobody);
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    ensure!(!stage.daemon.said().contains(TOLD));
    Ok(())
}

#[test]
fn whoever_is_not_there_is_not_debugged() -> Result<()> {
    let stage = Stage::new()?;
    fails(&stage.gateway, &["debug", "on", "--user", "mallory"], "there is no user \"mallory\"")?;
    fails(&stage.gateway, &["debug", "on"], "--user <NAME>|--source <ADDRESS>")
}

fn fails(gateway: &Gateway, arguments: &[&str], message: &str) -> Result<()> {
    let mut command = Command::new(program("siglatchctl")?);
    let (code, said) = outcome(command.args(arguments).arg("--config").arg(gateway.config()))?;
    ensure!(code != 0 && said.contains(message), "{code}: {said}");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TOLD: &str = "debug: a datagram in full";
