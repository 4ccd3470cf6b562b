//! Each refusal once, and beside it the knock that is admitted because one thing is different.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use siglatch_client::knocker::Knock;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, UserId};
use siglatch_tests::gateway::{
    ALICES, BOB, DATABASE, MATCH, OPEN, STEPS, clear, forged, knock, now, sealed, with_words,
};
use siglatch_tests::process::let_pass;
use siglatch_tests::scene::STRANGER;
use siglatch_tests::stage::{Stage, client};

#[test]
fn one_wrong_bit_in_the_hmac_opens_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let (refused, admitted) = (stage.newcomer()?, stage.newcomer()?);
    stage.send(&forged(&knock(OPEN), Wire::Sealed, |packet| packet.hmac[31] ^= 1)?, refused)?;
    stage.send(&forged(&knock(OPEN), Wire::Sealed, |packet| packet.hmac = [0; 32])?, refused)?;
    stage.send_clear(&forged(&knock(OPEN), Wire::Clear, |packet| packet.hmac[0] ^= 0x80)?, refused)?;
    stage.refuses(3, "unauthentic", refused)?;
    stage.is_shut(refused)?;
    stage.send(&forged(&knock(OPEN), Wire::Sealed, |_| ())?, admitted)?;
    stage.opens(admitted)
}

#[test]
fn malformed_packets_are_refused_like_forged_ones_and_the_daemon_goes_on() -> Result<()> {
    let stage = Stage::new()?;
    let (refused, admitted) = (stage.newcomer()?, stage.newcomer()?);
    let sound = clear(&knock(OPEN))?;
    let damages: [fn(&mut [u8]); 5] = [
        |packet| packet[0] = 2,
        |packet| packet[44..46].copy_from_slice(&u16::MAX.to_le_bytes()),
        |packet| packet[44..46].copy_from_slice(&200_u16.to_le_bytes()),
        |packet| packet[244] = 1,
        |packet| packet.fill(0xff),
    ];
    for (count, damage) in (1..).zip(damages) {
        let mut packet = sound.clone();
        damage(&mut packet);
        stage.send_clear(&packet, refused)?;
        stage.refuses(count, "unauthentic", refused)?;
    }
    // Under the right length, and sealed for nobody.
    stage.send(&[0x5a; 256], refused)?;
    stage.send(&[0xff; 256], refused)?;
    stage.refuses(7, "unauthentic", refused)?;
    stage.is_shut(refused)?;
    stage.send_clear(&sound, admitted)?;
    stage.opens(admitted)
}

#[test]
fn a_knock_is_admitted_once_from_whatever_address() -> Result<()> {
    let stage = Stage::new()?;
    let (first, thief) = (stage.newcomer()?, stage.newcomer()?);
    let datagram = sealed(&knock(OPEN))?;
    stage.send(&datagram, first)?;
    stage.opens(first)?;
    stage.send(&datagram, first)?;
    stage.refuses(1, "replay", first)?;
    stage.send(&datagram, thief)?;
    stage.refuses(1, "replay", thief)?;
    stage.is_shut(thief)?;
    stage.send(&sealed(&knock(OPEN))?, thief)?;
    stage.opens(thief)
}

#[test]
fn the_same_knock_sealed_anew_is_still_the_same_knock() -> Result<()> {
    let stage = Stage::new()?;
    let (first, thief) = (stage.newcomer()?, stage.newcomer()?);
    let knock = knock(OPEN);
    stage.send(&sealed(&knock)?, first)?;
    stage.opens(first)?;
    stage.send(&sealed(&knock)?, thief)?;
    stage.send_clear(&clear(&knock)?, thief)?;
    stage.refuses(2, "replay", thief)?;
    stage.is_shut(thief)?;
    stage.send(&sealed(&Knock { challenge: !knock.challenge, ..knock })?, thief)?;
    stage.opens(thief)
}

#[test]
fn a_replay_is_refused_after_a_kill_and_a_restart() -> Result<()> {
    let mut stage = Stage::new()?;
    let (first, thief) = (stage.newcomer()?, stage.newcomer()?);
    let datagram = sealed(&knock(OPEN))?;
    stage.send(&datagram, first)?;
    stage.opens(first)?;
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    stage.send(&datagram, thief)?;
    stage.refuses(1, "replay", thief)?;
    stage.is_shut(thief)?;
    stage.knock(&knock(OPEN), thief)?;
    stage.opens(thief)
}

#[test]
fn a_stamp_beyond_the_skew_is_stale_in_either_direction() -> Result<()> {
    let stage = Stage::new()?;
    for (far, near) in [(now() - 65, now() - 50), (now() + 70, now() + 50)] {
        let (refused, admitted) = (stage.newcomer()?, stage.newcomer()?);
        stage.knock(&Knock { timestamp: far, ..knock(OPEN) }, refused)?;
        stage.refuses(1, "stale", refused)?;
        stage.is_shut(refused)?;
        stage.knock(&Knock { timestamp: near, ..knock(OPEN) }, admitted)?;
        stage.opens(admitted)?;
    }
    Ok(())
}

#[test]
fn users_and_actions_that_nobody_knows_are_refused() -> Result<()> {
    let stage = Stage::new()?;
    let [user, action, not_his, his, hers] = newcomers(&stage)?;
    stage.knock(&Knock { user: UserId(99), ..knock(OPEN) }, user)?;
    stage.refuses(1, "unauthentic", user)?;
    stage.knock(&Knock { action: ActionId(200), ..knock(OPEN) }, action)?;
    stage.refuses(1, "unknown_action", action)?;
    stage.knock(&Knock { user: BOB, ..knock(ALICES) }, not_his)?;
    stage.refuses(1, "not_allowed", not_his)?;
    for shut in [user, action, not_his] {
        stage.is_shut(shut)?;
    }
    stage.knock(&Knock { user: BOB, ..knock(OPEN) }, his)?;
    stage.opens(his)?;
    stage.knock(&knock(ALICES), hers)?;
    stage.opens(hers)
}

#[test]
fn a_payload_of_unknown_words_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    let [refused, admitted] = newcomers(&stage)?;
    for (count, words) in (1..).zip(["hello", "ttl=5", "ttl=5m user=bob"]) {
        stage.knock(&with_words(knock(OPEN), words), refused)?;
        stage.refuses(count, "bad_payload", refused)?;
    }
    stage.is_shut(refused)?;
    stage.knock(&with_words(knock(OPEN), "ttl=5m"), admitted)?;
    stage.opens(admitted)
}

#[test]
fn a_knock_that_names_its_source_is_of_no_use_to_a_thief() -> Result<()> {
    let stage = Stage::new()?;
    let [owner, thief, silent] = newcomers(&stage)?;
    let stolen = sealed(&with_words(knock(MATCH), &format!("source={owner}")))?;
    stage.send(&stolen, thief)?;
    stage.refuses(1, "source_mismatch", thief)?;
    stage.knock(&knock(MATCH), silent)?;
    stage.refuses(1, "source_missing", silent)?;
    for shut in [thief, silent, owner] {
        stage.is_shut(shut)?;
    }
    stage.knock(&with_words(knock(MATCH), &format!("source={owner}")), owner)?;
    stage.opens(owner)
}

#[test]
fn a_sequence_opens_in_its_order_alone() -> Result<()> {
    let stage = Stage::new()?;
    let [right, wrong, alone, late] = newcomers(&stage)?;
    let [first, second, third] = STEPS;
    let knocks = |steps: &[u8], source| steps.iter().try_for_each(|step| take(&stage, *step, source));
    knocks(&[first, second], late)?;
    knocks(&[first, third, second], wrong)?;
    stage.refuses(2, "out_of_order", wrong)?;
    knocks(&[third], alone)?;
    stage.refuses(1, "out_of_order", alone)?;
    for shut in [wrong, alone] {
        stage.port_is_shut(DATABASE, shut)?;
    }
    knocks(&[first, second, third], right)?;
    stage.port_opens(DATABASE, right)?;
    stage.is_shut(right)?;

    let_pass(Duration::from_secs(2));
    knocks(&[third], late)?;
    stage.refuses(1, "out_of_order", late)?;
    stage.port_is_shut(DATABASE, late)?;
    knocks(&[first, second, third], late)?;
    stage.port_opens(DATABASE, late)
}

#[test]
fn a_sequence_belongs_to_one_address_and_one_user() -> Result<()> {
    let stage = Stage::new()?;
    let [one, other] = newcomers(&stage)?;
    let [first, second, third] = STEPS;
    for (step, source) in [(first, one), (second, one), (third, other)] {
        take(&stage, step, source)?;
    }
    stage.refuses(1, "out_of_order", other)?;
    stage.knock(&Knock { user: BOB, ..knock(third) }, one)?;
    stage.refuses(1, "out_of_order", one)?;
    for shut in [one, other] {
        stage.port_is_shut(DATABASE, shut)?;
    }
    // Neither of them has disturbed hers.
    stage.knock(&knock(third), one)?;
    stage.port_opens(DATABASE, one)
}

#[test]
fn sealed_and_clear_ports_stand_side_by_side_and_take_their_own_wire_alone() -> Result<()> {
    let stage = Stage::new()?;
    let [by_sealed, by_clear, crossed] = newcomers(&stage)?;
    let before = stage.gateway.counted("wrong_length")?;
    stage.send(&clear(&knock(OPEN))?, crossed)?;
    stage.send_clear(&sealed(&knock(OPEN))?, crossed)?;
    stage.send(&sealed(&knock(OPEN))?, by_sealed)?;
    stage.send_clear(&clear(&knock(OPEN))?, by_clear)?;
    stage.opens(by_sealed)?;
    stage.opens(by_clear)?;
    stage.is_shut(crossed)?;
    ensure!(stage.gateway.counted("wrong_length")? == before + 2, "crossed wires are of a wrong length");
    Ok(())
}

#[test]
fn both_families_are_refused_alike() -> Result<()> {
    let stage = Stage::new()?;
    let (refused, admitted) = (STRANGER.of(false), client(false));
    let datagram = sealed(&knock(OPEN))?;
    stage.send(&forged(&knock(OPEN), Wire::Sealed, |packet| packet.hmac[7] ^= 1)?, refused)?;
    stage.refuses(1, "unauthentic", refused)?;
    stage.send(&datagram, admitted)?;
    stage.opens(admitted)?;
    stage.send(&datagram, refused)?;
    stage.refuses(1, "replay", refused)?;
    stage.is_shut(refused)
}

/// Knocks, and waits until the daemon has judged: datagrams in flight together may change places.
fn take(stage: &Stage, step: u8, source: IpAddr) -> Result<()> {
    let from = format!("source={source} ");
    let judged = |log: &str| {
        let verdicts = ["step taken", "knock refused", "knock admitted"];
        log.lines().filter(|line| line.contains(&from) && verdicts.iter().any(|verdict| line.contains(verdict))).count()
    };
    let before = judged(&stage.daemon.said());
    stage.knock(&knock(step), source)?;
    stage.daemon.wait_until(&format!("what becomes of step {step} of {source}"), |log| judged(log) > before)?;
    Ok(())
}

fn newcomers<const N: usize>(stage: &Stage) -> Result<[IpAddr; N]> {
    let mut addresses = [client(true); N];
    for address in &mut addresses {
        *address = stage.newcomer()?;
    }
    Ok(addresses)
}
