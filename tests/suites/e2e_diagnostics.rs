//! Single frames in the log, if the operator asks for them: told in words, so many a second, and otherwise not at all.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use siglatch_tests::gateway::{Gateway, Plan};
use siglatch_tests::netns::Street;
use siglatch_tests::process::wait_until;
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, STRANGER};

#[test]
fn drops_are_told_one_by_one_if_asked_for_and_a_flood_of_them_is_not() -> Result<()> {
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, &Plan::default())?;
    let daemon = gateway.start_with(&["--diagnostics", "drops"])?;
    let source = STRANGER.of(true);
    junk(&street, 3)?;
    let told = format!("frame outcome=\"wrong_length\" source={source}");
    daemon.wait_until("three frames", |log| log.matches(&told).count() == 3)?;
    junk(&street, 2000)?;
    let dropped = || gateway.counted("wrong_length").is_ok_and(|count| count >= 2003);
    ensure!(wait_until(std::time::Duration::from_secs(5), dropped), "they did not arrive");
    let told = daemon.said().matches(&told).count();
    ensure!((50..1000).contains(&told), "{told} of 2003 were told");
    Ok(())
}

#[test]
fn without_being_asked_no_frame_is_told() -> Result<()> {
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, &Plan::default())?;
    let daemon = gateway.start()?;
    junk(&street, 10)?;
    let dropped = || gateway.counted("wrong_length").is_ok_and(|count| count >= 10);
    ensure!(wait_until(std::time::Duration::from_secs(5), dropped), "they did not arrive");
    let (_, said) = daemon.terminate()?;
    ensure!(!said.contains("frame outcome"), "{said}");
    Ok(())
}

fn junk(street: &Street, count: usize) -> Result<()> {
    let to = SocketAddr::new(GATEWAY.of(true), SEALED_PORT);
    (0..count).try_for_each(|_| street.outside.send(&[0x55; 100], STRANGER.of(true), to))
}
