//! What stamped knocks open, and what the kernel keeps from the daemon for want of a stamp.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use siglatch_client::knocker::Knock;
use siglatch_common::stamp::EPOCH_SECS;
use siglatch_common::wire::Wire;
use siglatch_tests::gateway::{OPEN, Plan, RULES, STAMPED, STAMPED_PORT, forged, knock, now, stamped};
use siglatch_tests::process::{PATIENCE, let_pass, outcome, program, wait_until};
use siglatch_tests::scene::{GATEWAY, payload};
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_stamped_knock_opens_over_both_families() -> Result<()> {
    let stage = Stage::with(&plan())?;
    for v4 in [true, false] {
        stage.is_shut(client(v4))?;
        send(&stage, &stamped(&knock(OPEN))?, client(v4))?;
        stage.opens(client(v4))?;
    }
    ensure!(stage.gateway.counted("submitted_stamped")? == 2, "{}", stage.gateway.dump("counters")?);
    Ok(())
}

#[test]
fn without_a_stamp_of_ours_the_daemon_never_hears_of_it() -> Result<()> {
    let stage = Stage::with(&plan())?;
    let sound = stamped(&knock(OPEN))?;
    let mut wrong = vec![payload(sound.len())];
    // A bit of the stamp, of its slot, and of what it covers.
    wrong.extend([(7, 0x80), (0, 0x10), (0, 0x0c), (8, 1), (263, 1)].map(|(at, bit)| {
        let mut changed = sound.clone();
        changed[at] ^= bit;
        changed
    }));
    for datagram in &wrong {
        send(&stage, datagram, client(true))?;
    }
    is_counted(&stage, "wrong_stamp", wrong.len() as u64)?;
    send(&stage, &sound[8..], client(true))?;
    is_counted(&stage, "wrong_length", 1)?;
    ensure!(stage.gateway.counted("submitted_stamped")? == 0, "{}", stage.gateway.dump("counters")?);
    stage.is_shut(client(true))?;
    send(&stage, &sound, client(true))?;
    stage.opens(client(true))
}

#[test]
fn a_stamp_of_a_neighbouring_epoch_is_judged_and_an_older_one_is_not() -> Result<()> {
    let stage = Stage::with(&plan())?;
    let left = EPOCH_SECS - u64::from(now()) % EPOCH_SECS;
    if left < 10 {
        // One epoch is enough for all that follows.
        let_pass(Duration::from_secs(left));
    }
    let at = |epochs: i64| {
        let knock = knock(OPEN);
        let timestamp = i64::from(knock.timestamp) + EPOCH_SECS.cast_signed() * epochs;
        stamped(&Knock { timestamp: u32::try_from(timestamp)?, ..knock })
    };
    for epochs in [-1, 1] {
        send(&stage, &at(epochs)?, client(true))?;
    }
    // The knock itself says the same time, and the gate does not take that.
    stage.refuses(2, "stale", client(true))?;
    for epochs in [-3, -2, 2, 3] {
        send(&stage, &at(epochs)?, client(true))?;
    }
    is_counted(&stage, "wrong_stamp", 4)
}

#[test]
fn a_stamp_admits_nobody() -> Result<()> {
    let stage = Stage::with(&plan())?;
    let forged = forged(&knock(OPEN), Wire::Stamped, |packet| packet.hmac[0] ^= 1)?;
    send(&stage, &forged, client(true))?;
    stage.refuses(1, "unauthentic", client(true))?;
    stage.is_shut(client(true))
}

#[test]
fn a_gate_key_is_changed_without_shutting_anybody_out() -> Result<()> {
    let mut stage = Stage::with(&plan())?;
    let (old, new, newer) = (client(true), stage.newcomer()?, stage.newcomer()?);
    let knocks_with_the_new_file = |stage: &Stage, from: IpAddr| {
        user(stage, &["knock", "gateway", "open", "--bind", &from.to_string()])?;
        stage.opens(from)
    };
    operator(&stage, &["gate-key", "rotate"])?;
    let file = stage.gateway.file("new.siglatch").display().to_string();
    operator(&stage, &["user", "enrol", "alice", "--wire", "stamped", "--out", &file])?;
    user(&stage, &["import", &file])?;
    stage.daemon = stage.gateway.start()?;

    send(&stage, &stamped(&knock(OPEN))?, old)?;
    stage.opens(old)?;
    knocks_with_the_new_file(&stage, new)?;

    operator(&stage, &["gate-key", "drop", "0"])?;
    stage.daemon = stage.gateway.start()?;
    let before = stage.gateway.counted("wrong_stamp")?;
    send(&stage, &stamped(&knock(OPEN))?, old)?;
    is_counted(&stage, "wrong_stamp", before + 1)?;
    knocks_with_the_new_file(&stage, newer)
}

/// The default, with a stamped port.
fn plan() -> Plan {
    Plan { rules: format!("{RULES}{STAMPED}"), ..Plan::default() }
}

fn send(stage: &Stage, datagram: &[u8], source: IpAddr) -> Result<()> {
    stage.street.outside.send(datagram, source, SocketAddr::new(GATEWAY.of(source.is_ipv4()), STAMPED_PORT))
}

fn is_counted(stage: &Stage, label: &str, count: u64) -> Result<()> {
    let is_so = wait_until(PATIENCE, || stage.gateway.counted(label).is_ok_and(|found| found == count));
    ensure!(is_so, "not {count} of {label}: {}", stage.gateway.dump("counters")?);
    Ok(())
}

/// Types a command on the gateway.
fn operator(stage: &Stage, arguments: &[&str]) -> Result<()> {
    let mut command = stage.street.gateway.command(program("siglatchctl")?);
    let (code, said) = outcome(command.args(arguments).arg("--config").arg(stage.gateway.config()))?;
    ensure!(code == 0, "{said}");
    Ok(())
}

/// Types a command on the user's machine.
fn user(stage: &Stage, arguments: &[&str]) -> Result<()> {
    let home = stage.gateway.file("home");
    let mut command = stage.street.outside.command(program("siglatch")?);
    let (code, said) = outcome(command.env("XDG_CONFIG_HOME", &home).env("HOME", &home).args(arguments))?;
    ensure!(code == 0, "{said}");
    Ok(())
}
