//! A disk that takes no more: what cannot be remembered opens nothing, not even later; what is opened is remembered.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use siglatch_client::knocker::Knock;
use siglatch_tests::gateway::{OPEN, SSH, clear, knock, with_words};
use siglatch_tests::process::{PATIENCE, let_pass, wait_until};
use siglatch_tests::service::closes_within;
use siglatch_tests::small_disk::{PAGE, SmallDisk};
use siglatch_tests::stage::{Stage, client};

#[test]
fn what_cannot_be_remembered_opens_nothing_until_there_is_room_again() -> Result<()> {
    let (mut stage, disk, crowd) = on_a_small_disk()?;
    let late = client(true);
    disk.fill()?;
    let (admitted, in_vain) = until_one_is_lost(&stage, &crowd)?;
    let early = admitted[0].1;
    stage.opens(early)?;
    let line = |log: &str| log.lines().rfind(|line| line.contains(LOST)).unwrap_or_default().to_owned();
    let said = line(&stage.daemon.said());
    ensure!(said.contains("ERROR") && said.contains("No space left") && said.contains("nonces.current"), "{said}");

    let nobody = Sent(knock(OPEN), late);
    send(&stage, &nobody)?;
    stage.daemon.wait_until("the second loss", |log| log.matches(LOST).count() == 2)?;
    stage.is_shut(late)?;

    // What is put back is what was opened, and no more.
    stage.street.gateway.shell("nft flush ruleset")?;
    let sources: BTreeSet<_> = admitted.iter().map(|sent| sent.1).collect();
    stage.daemon.wait_for(&format!("the firewall was put back table=Missing grants={}", sources.len()))?;
    stage.is_shut(late)?;
    stage.opens(early)?;

    disk.make_room()?;
    stage.knock(&knock(OPEN), late)?;
    stage.opens(late)?;
    send_again(&stage, &[in_vain, nobody])?;

    // Every knock that was admitted is known to the next daemon.
    stage.daemon.kill()?;
    stage.daemon = disk.start(&stage.gateway)?;
    stage.daemon.wait_for("every nonce of earlier runs is known")?;
    send_again(&stage, &admitted)
}

#[test]
fn an_extension_that_cannot_be_remembered_leaves_the_grant_as_it_was() -> Result<()> {
    let (stage, disk, crowd) = on_a_small_disk()?;
    let brief = client(true);
    stage.knock(&with_words(knock(OPEN), "ttl=8s"), brief)?;
    stage.opens(brief)?;
    disk.fill()?;
    until_one_is_lost(&stage, &crowd)?;
    send(&stage, &Sent(knock(OPEN), brief))?;
    stage.daemon.wait_until("the second loss", |log| log.matches(LOST).count() == 2)?;
    // What is put back has the earlier end, too.
    stage.street.gateway.shell("nft flush ruleset")?;
    stage.daemon.wait_for("the firewall was put back")?;
    closes_within(PATIENCE, &stage.street.outside, brief, stage.service(SSH, brief))?;
    Ok(())
}

#[test]
fn killed_with_a_full_disk_and_started_with_room_nothing_is_admitted_twice() -> Result<()> {
    let (mut stage, disk, crowd) = on_a_small_disk()?;
    disk.fill()?;
    let (admitted, in_vain) = until_one_is_lost(&stage, &crowd)?;
    stage.daemon.kill()?;
    disk.make_room()?;
    stage.daemon = disk.start(&stage.gateway)?;
    send_again(&stage, &admitted)?;
    // Nothing came of the one that found no room: it is admitted now, once.
    stage.knock(&in_vain.0, in_vain.1)?;
    stage.daemon.wait_for("knock admitted")?;
    stage.knock(&in_vain.0, in_vain.1)?;
    stage.daemon.wait_until("one more refused", |log| log.matches(REPLAY).count() == admitted.len() + 1)?;
    Ok(())
}

#[test]
fn a_lease_that_found_no_room_is_written_before_the_next_knock_opens() -> Result<()> {
    let (mut stage, disk, crowd) = on_a_small_disk()?;
    let late = client(true);
    // With its magic number and the mark of an opened store, the next daemon's file fills one page.
    let nonces = PAGE / RECORD - 2;
    for times in 1..=nonces {
        send(&stage, &crowd.knock(times - 1))?;
        stage.daemon.wait_until("the grant opened", |log| log.matches("grant opened").count() == times)?;
    }
    stage.daemon.kill()?;
    stage.daemon = disk.start(&stage.gateway)?;
    disk.fill()?;
    // The first knock of a daemon takes a lease.
    send(&stage, &Sent(knock(OPEN), late))?;
    stage.daemon.wait_for(LOST)?;
    ensure!(disk.read("nonces.current")?.len() == PAGE);
    stage.is_shut(late)?;
    disk.make_room()?;
    send(&stage, &Sent(knock(OPEN), late))?;
    stage.opens(late)?;
    let records = disk.read("nonces.current")?;
    let kinds: Vec<_> = records[PAGE..].iter().step_by(RECORD).collect();
    ensure!(kinds == [&LEASE, &NONCE], "{kinds:?}");
    Ok(())
}

/// A knock, and where it came from.
struct Sent(Knock, IpAddr);

/// So many that none of them sends more than one source may.
struct Crowd(Vec<IpAddr>);

impl Crowd {
    /// A new knock, of the one whose turn it is.
    fn knock(&self, number: usize) -> Sent {
        Sent(knock(OPEN), self.0[number / EACH])
    }
}

/// A daemon with its nonces on a disk that is small.
fn on_a_small_disk() -> Result<(Stage, SmallDisk, Crowd)> {
    let mut stage = Stage::new()?;
    let crowd = Crowd((0..=PAGE / RECORD / EACH).map(|_| stage.newcomer()).collect::<Result<_>>()?);
    stage.daemon.kill()?;
    let disk = SmallDisk::over(stage.gateway.file("state"), Some("nonces.current"))?;
    stage.daemon = disk.start(&stage.gateway)?;
    Ok((stage, disk, crowd))
}

#[test]
fn what_operators_say_holds_on_a_full_disk_and_is_kept_when_there_is_room() -> Result<()> {
    let (mut stage, disk, _) = on_a_small_disk()?;
    disk.fill()?;
    let (first, second) = (client(true), client(false));
    let said = stage.gateway.ctl(&["disable", "action", "open"])?;
    ensure!(said.contains("is forgotten if the daemon ends") && said.contains("No space left"), "{said}");
    stage.knock(&knock(OPEN), first)?;
    stage.refuses(1, "disabled_action", first)?;
    let said = stage.gateway.ctl(&["ban", "198.51.100.7"])?;
    ensure!(said.contains("could not be written to the disk"), "{said}");

    disk.make_room()?;
    stage.daemon.wait_for("what is switched off is kept on the disk again")?;
    let names_it = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains("198.51.100.7");
    let is_kept = wait_until(PATIENCE, || disk.read("bans.json").is_ok_and(names_it));
    ensure!(is_kept, "the ban is not on the disk");
    stage.daemon.kill()?;
    stage.daemon = disk.start(&stage.gateway)?;
    stage.knock(&knock(OPEN), second)?;
    stage.refuses(1, "disabled_action", second)?;
    ensure!(stage.gateway.ctl(&["bans"])?.contains("198.51.100.7"));
    Ok(())
}

/// Sends one knock after the other, until one of them cannot be remembered: those before, and that one.
fn until_one_is_lost(stage: &Stage, crowd: &Crowd) -> Result<(Vec<Sent>, Sent)> {
    let before = stage.daemon.said().matches("grant opened").count();
    let mut admitted = Vec::new();
    // The file has begun a page.
    while admitted.len() <= PAGE / RECORD {
        let sent = crowd.knock(admitted.len());
        send(stage, &sent)?;
        let said = stage.daemon.wait_until("what came of the knock", |log| {
            log.matches("grant opened").count() + log.matches(LOST).count() > before + admitted.len()
        })?;
        if said.contains(LOST) {
            return Ok((admitted, sent));
        }
        admitted.push(sent);
    }
    bail!("a full disk takes everything")
}

/// Sends them all again, sealed: a datagram that is not a copy to the filter, with the same nonce. All must be refused.
fn send_again(stage: &Stage, sent: &[Sent]) -> Result<()> {
    for Sent(knock, source) in sent {
        stage.knock(knock, *source)?;
        let_pass(BETWEEN);
    }
    stage.daemon.wait_until(&format!("{} refused", sent.len()), |log| log.matches(REPLAY).count() == sent.len())?;
    Ok(())
}

/// To the clear port: hundreds of them cost little.
fn send(stage: &Stage, Sent(knock, source): &Sent) -> Result<()> {
    stage.send_clear(&clear(knock)?, *source)?;
    let_pass(BETWEEN);
    Ok(())
}

/// What the daemon says when the nonces cannot be kept.
const LOST: &str = "knocks cannot be remembered";
/// What it says of a knock whose nonce it knows.
const REPLAY: &str = "reason=\"replay\"";
/// No lane takes more than it can: 200 a second, on one core.
const BETWEEN: Duration = Duration::from_millis(5);
/// Knocks of one source, sent twice.
const EACH: usize = 10;
/// Bytes of a record in the nonce store; the first says what kind it is.
const RECORD: usize = 16;
const NONCE: u8 = 1;
const LEASE: u8 = 2;
