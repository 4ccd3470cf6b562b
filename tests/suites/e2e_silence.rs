//! Strangers hear nothing: not one packet, whatever they send, with the daemon or without it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use siglatch_common::wire::Wire;
use siglatch_tests::capture::Capture;
use siglatch_tests::gateway::{DATABASE, OPEN, SSH, clear, forged, knock, sealed};
use siglatch_tests::netns::{DOOR, Street};
use siglatch_tests::packet::{Extension, Frame, Tag, Transport};
use siglatch_tests::process::{outcome, wait_until};
use siglatch_tests::scene::{CLEAR_PORT, GATEWAY, LONGEST_CHAIN, SEALED_PORT, SOURCE_PORT, STRANGER, payload};
use siglatch_tests::service::is_open;
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_scan_of_knock_ports_and_protected_ports_is_never_answered() -> Result<()> {
    let stage = Stage::new()?;
    let capture = Capture::start(&stage.street)?;
    scan(&stage.street)?;
    knock_in_vain(&stage)?;
    ensure_silent(capture)
}

#[test]
fn not_even_a_valid_knock_is_answered() -> Result<()> {
    let stage = Stage::new()?;
    let capture = Capture::start(&stage.street)?;
    for v4 in [true, false] {
        stage.send(&sealed(&knock(OPEN))?, client(v4))?;
        stage.send_clear(&clear(&knock(OPEN))?, client(v4))?;
    }
    stage.daemon.wait_until("four knocks admitted", |log| log.matches("knock admitted").count() == 4)?;
    ensure_silent(capture)
}

#[test]
fn no_socket_shows_for_the_knock_ports() -> Result<()> {
    let stage = Stage::new()?;
    let sockets = stage.street.gateway.shell("ss -H -lun; ss -H -lxwn")?;
    for port in [SEALED_PORT, CLEAR_PORT] {
        ensure!(!sockets.contains(&format!(":{port} ")), "{sockets}");
    }
    Ok(())
}

#[test]
fn a_gateway_whose_daemon_is_dead_stays_silent() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let capture = Capture::start(&stage.street)?;
    scan(&stage.street)?;
    ensure_silent(capture)
}

#[test]
fn a_detached_filter_betrays_nothing_while_the_table_stands() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let (code, said) = outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(code == 0 && said.contains("detached from gate"), "{code}: {said}");
    let capture = Capture::start(&stage.street)?;
    scan(&stage.street)?;
    ensure_silent(capture)?;

    // Without the table the network stack speaks, and the capture hears it.
    stage.street.gateway.shell("nft delete table inet siglatch")?;
    let capture = Capture::start(&stage.street)?;
    let to = SocketAddr::new(GATEWAY.of(true), SEALED_PORT);
    let socket = stage.street.outside.udp(SocketAddr::new(STRANGER.of(true), 0))?;
    socket.connect(to)?;
    socket.send(&payload(255))?;
    ensure!(wait_until(siglatch_tests::process::PATIENCE, || matches!(socket.take_error(), Ok(Some(_)))), "no ICMP");
    let packets = capture.finish()?;
    ensure!(packets.iter().any(|packet| packet.contains("unreachable")), "{packets:?}");
    Ok(())
}

/// Everything that a stranger may try, over both families.
fn scan(street: &Street) -> Result<()> {
    let outside = &street.outside;
    for v4 in [true, false] {
        let stranger = STRANGER.of(v4);
        for port in [SEALED_PORT, CLEAR_PORT] {
            let to = SocketAddr::new(GATEWAY.of(v4), port);
            for length in [0, 1, 8, 244, 245, 246, 255, 256, 257, 263, 264, 265, 300, 1400, 3000] {
                outside.send(&payload(length), stranger, to)?;
            }
            for frame in odd_frames(v4, port) {
                outside.send_frame(&frame.bytes(), DOOR)?;
            }
        }
        for port in [SSH, DATABASE] {
            let to = SocketAddr::new(GATEWAY.of(v4), port);
            ensure!(!is_open(outside, stranger, to), "{to} is open to a stranger");
            // SYN, ACK, FIN, RST, SYN+ACK, the Christmas tree, nothing.
            for flags in [0x02, 0x10, 0x01, 0x04, 0x12, 0x29, 0x00] {
                let frame = Frame::udp(SocketAddr::new(stranger, SOURCE_PORT), to, b"").carrying(Transport::Tcp(flags));
                outside.send_frame(&frame.bytes(), DOOR)?;
            }
        }
    }
    Ok(())
}

/// Datagrams to a knock port in headers that a socket does not write.
fn odd_frames(v4: bool, port: u16) -> Vec<Frame> {
    let from = SocketAddr::new(STRANGER.of(v4), SOURCE_PORT);
    let plain = Frame::udp(from, SocketAddr::new(GATEWAY.of(v4), port), &payload(256));
    let mut frames = vec![
        plain.clone().piece(0, false),
        plain.clone().piece(32, false),
        plain.clone().with_payload(&payload(100)),
        plain.clone().behind(&[Tag::Customer(10)]),
        plain.clone().from(SocketAddr::new(GATEWAY.of(v4), SOURCE_PORT)),
    ];
    if v4 {
        frames.push(plain.clone().with_options(10));
    } else {
        // Longer than the filter follows: the table drops it.
        frames.push(plain.clone().with_extensions(&[Extension::Destination(0); LONGEST_CHAIN + 1]));
        frames.push(plain.clone().with_extensions(&[Extension::HopByHop(0), Extension::Destination(2)]));
    }
    frames
}

/// Datagrams that come as far as the private key.
fn knock_in_vain(stage: &Stage) -> Result<()> {
    for v4 in [true, false] {
        stage.send(&forged(&knock(OPEN), Wire::Sealed, |packet| packet.hmac[0] ^= 1)?, STRANGER.of(v4))?;
        stage.send_clear(&forged(&knock(OPEN), Wire::Clear, |packet| packet.hmac[0] ^= 1)?, STRANGER.of(v4))?;
    }
    let judged = |log: &str| log.matches("knock refused").count() >= 4;
    stage.daemon.wait_until("four refusals", judged).context("the scan was not judged")?;
    Ok(())
}

fn ensure_silent(capture: Capture<'_>) -> Result<()> {
    let packets = capture.finish()?;
    ensure!(packets.is_empty(), "the gateway sent:\n{}", packets.join("\n"));
    Ok(())
}
