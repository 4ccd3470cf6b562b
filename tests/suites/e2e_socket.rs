//! The same gate behind a plain UDP socket.

use anyhow::{Result, ensure};
use siglatch_tests::gateway::{LENIENT, OPEN, Plan, clear, knock, sealed};
use siglatch_tests::process::outcome;
use siglatch_tests::scene::{STRANGER, payload};
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_knock_opens_over_both_families_and_both_wires() -> Result<()> {
    let stage = Stage::with(&socket())?;
    for v4 in [true, false] {
        stage.is_shut(client(v4))?;
        stage.send(&sealed(&knock(OPEN))?, client(v4))?;
        stage.opens(client(v4))?;
        stage.is_shut(STRANGER.of(v4))?;
    }
    let by_clear = stage.newcomer()?;
    stage.send_clear(&clear(&knock(OPEN))?, by_clear)?;
    stage.opens(by_clear)
}

#[test]
fn wrong_lengths_and_replays_open_nothing() -> Result<()> {
    let stage = Stage::with(&socket())?;
    let datagram = sealed(&knock(OPEN))?;
    for v4 in [true, false] {
        for length in [0, 1, 245, 255, 257, 264, 265, 1400] {
            stage.send(&payload(length), STRANGER.of(v4))?;
        }
        stage.send(&[&datagram[..], &[0]].concat(), STRANGER.of(v4))?;
        stage.send(&datagram[..255], STRANGER.of(v4))?;
    }
    stage.send(&datagram, client(true))?;
    stage.opens(client(true))?;
    // All of them came before, and none was judged.
    ensure!(!stage.daemon.said().contains("knock refused"), "{}", stage.daemon.said());
    for v4 in [true, false] {
        stage.send(&datagram, STRANGER.of(v4))?;
        stage.refuses(1, "replay", STRANGER.of(v4))?;
        stage.is_shut(STRANGER.of(v4))?;
    }
    Ok(())
}

#[test]
fn one_source_sends_no_more_than_its_rate_and_the_others_do_not_notice() -> Result<()> {
    let strict = Plan::with(LENIENT, "[limits]\nrate = 1\nburst = 3\n");
    let stage = Stage::with(&Plan { rules: strict.rules, ..socket() })?;
    let junk = |number: u8| [&[number; 20][..], &payload(236)].concat();
    for number in 0..50 {
        stage.send(&junk(number), STRANGER.of(true))?;
    }
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    let judged = stage.daemon.said().matches("reason=\"unauthentic\"").count();
    ensure!((3..=6).contains(&judged), "{judged} of 50 were judged: {}", stage.daemon.said());
    Ok(())
}

#[test]
fn a_copy_is_dropped_before_anybody_opens_it() -> Result<()> {
    let strict = Plan::with(LENIENT, "[limits]\ncopies = 1024\n");
    let stage = Stage::with(&Plan { rules: strict.rules, ..socket() })?;
    let knock = knock(OPEN);
    let datagram = sealed(&knock)?;
    stage.send(&datagram, client(true))?;
    stage.opens(client(true))?;
    stage.send(&datagram, STRANGER.of(true))?;
    // Sealed anew, it is another datagram with the same nonce.
    stage.knock(&knock, client(true))?;
    stage.refuses(1, "replay", client(true))?;
    stage.refuses(0, "replay", STRANGER.of(true))
}

#[test]
fn no_filter_is_attached_and_the_log_says_what_is_lost() -> Result<()> {
    let stage = Stage::with(&socket())?;
    ensure!(stage.daemon.said().contains("no XDP: junk costs a trip through the network stack"));
    ensure!(!stage.street.gateway.ip("link show gate")?.contains("xdp"));
    let sockets = stage.street.gateway.shell("ss -H -lun")?;
    ensure!(sockets.matches(":62201 ").count() == 2 && sockets.matches(":62205 ").count() == 2, "{sockets}");
    Ok(())
}

#[test]
fn the_option_goes_before_the_configuration() -> Result<()> {
    let mut stage = Stage::new()?;
    let (code, said) = outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(code == 0, "{said}");
    stage.daemon = stage.gateway.start_with(&["--ingress", "socket"])?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))
}

fn socket() -> Plan {
    Plan { ingress: "mode = \"socket\"".to_owned(), ..Plan::default() }
}
