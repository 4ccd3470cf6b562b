//! What a knock opens, for whom, and for how long: a real daemon between real namespaces.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use siglatch_tests::gateway::{ALICE, BOB, BRIEF, OPEN, SSH, knock, with_words};
use siglatch_tests::process::{let_pass, outcome, program};
use siglatch_tests::scene::{GATEWAY, STRANGER};
use siglatch_tests::service::{closes_within, is_open, say, talk};
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_knock_opens_for_its_own_address_and_for_no_other_v4() -> Result<()> {
    a_knock_opens_for_its_own_address_and_for_no_other(true)
}

#[test]
fn a_knock_opens_for_its_own_address_and_for_no_other_v6() -> Result<()> {
    a_knock_opens_for_its_own_address_and_for_no_other(false)
}

#[test]
fn a_grant_ends_by_itself_in_both_families_and_open_connections_outlive_it() -> Result<()> {
    let stage = Stage::new()?;
    let outside = &stage.street.outside;
    let connections = [true, false].map(|v4| {
        stage.knock(&knock(BRIEF), client(v4))?;
        stage.opens(client(v4))?;
        Ok::<_, anyhow::Error>(talk(outside, client(v4), service(v4))?)
    });
    for (v4, connection) in [true, false].into_iter().zip(connections) {
        closes_within(LATE, outside, client(v4), service(v4))?;
        say(&mut connection?, b"still here")?;
    }
    Ok(())
}

#[test]
fn a_grant_ends_even_if_the_daemon_is_dead() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.knock(&knock(BRIEF), client(true))?;
    stage.opens(client(true))?;
    stage.daemon.kill()?;
    closes_within(LATE, &stage.street.outside, client(true), service(true))?;
    Ok(())
}

#[test]
fn a_renewal_extends() -> Result<()> {
    let stage = Stage::new()?;
    let (outside, client) = (&stage.street.outside, client(true));
    stage.knock(&knock(BRIEF), client)?;
    stage.opens(client)?;
    let_pass(Duration::from_millis(1500));
    stage.knock(&knock(BRIEF), client)?;
    stage.daemon.wait_until("two grants opened", |log| log.matches("grant opened").count() == 2)?;
    // The first one alone would be over after half a second.
    let open_for = closes_within(LATE, outside, client, service(true))?;
    ensure!(open_for > Duration::from_millis(1200), "open for {open_for:?} after the renewal");
    Ok(())
}

#[test]
fn a_renewal_never_shortens() -> Result<()> {
    let stage = Stage::new()?;
    let client = client(true);
    stage.knock(&knock(OPEN), client)?;
    stage.opens(client)?;
    stage.knock(&knock(BRIEF), client)?;
    stage.daemon.wait_until("two grants opened", |log| log.matches("grant opened").count() == 2)?;
    let list = stage.street.gateway.shell("nft list set inet siglatch grants_v4")?;
    ensure!(list.contains("expires 9m5"), "{list}");
    Ok(())
}

#[test]
fn a_knock_may_ask_for_less_time_and_gets_no_more_than_the_longest() -> Result<()> {
    let stage = Stage::new()?;
    let (greedy, modest) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&with_words(knock(BRIEF), "ttl=1h"), greedy)?;
    stage.opens(greedy)?;
    stage.knock(&with_words(knock(OPEN), "ttl=1s"), modest)?;
    stage.opens(modest)?;
    for source in [greedy, modest] {
        closes_within(LATE, &stage.street.outside, source, service(true))?;
    }
    Ok(())
}

#[test]
fn the_command_opens_with_the_file_handed_over() -> Result<()> {
    let stage = Stage::new()?;
    let home = stage.gateway.file("home");
    let siglatch = |arguments: &[&str]| {
        let mut command = stage.street.outside.command(program("siglatch")?);
        command.env("XDG_CONFIG_HOME", &home).env("HOME", &home).args(arguments);
        outcome(&mut command)
    };
    let handed_over = stage.gateway.file("alice.siglatch");
    let (code, said) = siglatch(&["import", &handed_over.display().to_string()])?;
    ensure!(code == 0, "{said}");
    let (code, said) = siglatch(&["knock", "gateway", "ssh", "--json"])?;
    ensure!(code == 0, "{said}");
    stage.opens(client(true))?;
    Ok(())
}

#[test]
fn the_command_opens_with_explicit_keys_over_both_families() -> Result<()> {
    let stage = Stage::new()?;
    for (v4, user, key) in [(true, BOB, "bob.key"), (false, ALICE, "alice.key")] {
        let mut command = stage.street.outside.command(program("siglatch")?);
        let host = GATEWAY.of(v4).to_string();
        command.args(["knock", "--host", &host, "--user-id", &user.0.to_string(), "--action-id", "1"]);
        command.args(["--bind", &client(v4).to_string()]);
        command.arg("--server-key").arg(stage.gateway.file("server.pub.pem"));
        command.arg("--hmac-key").arg(stage.gateway.file(key));
        let (code, said) = outcome(&mut command)?;
        ensure!(code == 0, "{said}");
        stage.opens(client(v4))?;
    }
    Ok(())
}

fn a_knock_opens_for_its_own_address_and_for_no_other(v4: bool) -> Result<()> {
    let stage = Stage::new()?;
    let outside = &stage.street.outside;
    ensure!(!is_open(outside, client(v4), service(v4)), "open before the knock");
    stage.knock(&knock(OPEN), client(v4))?;
    stage.opens(client(v4))?;
    ensure!(!is_open(outside, STRANGER.of(v4), service(v4)), "open to another address");
    ensure!(!is_open(outside, client(!v4), service(!v4)), "open to the other family");
    Ok(())
}

fn service(v4: bool) -> SocketAddr {
    SocketAddr::new(GATEWAY.of(v4), SSH)
}

/// Two seconds of grant, and as much for a slow machine.
const LATE: Duration = Duration::from_secs(4);
