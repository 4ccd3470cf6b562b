//! What is expected of the gateway, and whether it is so. Never shows anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_client::knocker::{Keys, Knock, Stamper, datagram};
use siglatch_common::outcome::Outcome;
use siglatch_common::seal::{GateKey, HmacKey, ServerPublicKey};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};
use siglatch_tests::netns::run;
use siglatch_tests::probe::Probe;
use siglatch_tests::process::{Process, wait_until};

use crate::commands::Desk;
use crate::town::Host;

/// Nobody answers: not with yes, and not with no either.
pub(crate) fn silence(at: &Host, from: IpAddr, to: SocketAddr) -> Result<String> {
    let opened = at.place.within(|| Probe::new(from, to).every(SILENCE / ATTEMPTS).opens_within(SILENCE))??;
    ensure!(!opened, "a connection from {from} to {to} stands");
    Ok(format!("no answer, {ATTEMPTS} tries"))
}

/// A port that was closed opens while a command runs, or soon after; says how long after it was typed, and when.
pub(crate) fn opens_by(
    command: impl FnOnce() -> Result<String>,
    at: &Host,
    from: IpAddr,
    to: SocketAddr,
) -> Result<(Duration, Instant)> {
    ensure!(!at.place.within(|| Probe::new(from, to).opens_within(BRIEFLY))??, "the port was open before");
    let (typed, opened) = thread::scope(|scope| -> Result<_> {
        let probing = scope.spawn(|| {
            at.place.within(|| Ok::<_, anyhow::Error>(Probe::new(from, to).opens_within(PATIENCE)?.then(Instant::now)))
        });
        let typed = Instant::now();
        command()?;
        let opened = probing.join().ok().context("the probe has panicked")???;
        Ok((typed, opened.with_context(|| format!("still closed after {PATIENCE:?}"))?))
    })?;
    Ok((opened - typed, opened))
}

/// A grant ends when its time is over; says how long it lasted.
pub(crate) fn ends_after(ttl: Duration, opened: Instant, at: &Host, from: IpAddr, to: SocketAddr) -> Result<Duration> {
    let lasted = at.place.within(|| -> Result<Duration> {
        loop {
            let asked = opened.elapsed();
            if !Probe::new(from, to).every(ANSWER).opens_within(ANSWER)? {
                return Ok(asked);
            }
            ensure!(asked < ttl + TOLERANCE, "still open {:.1} s after the knock", asked.as_secs_f64());
            thread::sleep(Duration::from_millis(20));
        }
    })??;
    ensure!(lasted + TOLERANCE > ttl, "closed after {:.1} s already", lasted.as_secs_f64());
    silence(at, from, to)?;
    Ok(lasted)
}

/// The daemon refuses what is done now, for this reason.
pub(crate) fn refused(daemon: &Process, source: IpAddr, reason: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = daemon.said().len();
    act()?;
    let (source, reason) = (format!("source={source} "), format!("reason=\"{reason}\""));
    let is_refusal = |line: &str| line.contains("knock refused") && line.contains(&source) && line.contains(&reason);
    let says_so = || daemon.said().get(before..).unwrap_or_default().lines().any(is_refusal);
    ensure!(wait_until(PATIENCE, says_so), "the daemon does not say that it refuses {source}{reason}");
    Ok(())
}

/// The kernel drops what is done now, with this outcome, and the daemon never hears of it.
pub(crate) fn dropped(
    daemon: &Process,
    source: IpAddr,
    outcome: Outcome,
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let said = daemon.said().len();
    let count = || Ok::<_, anyhow::Error>(counters()?.get(outcome.label()).copied().unwrap_or(0));
    let before = count()?;
    act()?;
    let is_counted = || count().is_ok_and(|after| after == before + 1);
    ensure!(wait_until(PATIENCE, is_counted), "the filter counts no {}", outcome.label());
    let source = format!("source={source} ");
    let told = daemon.said().get(said..).unwrap_or_default().lines().any(|line| line.contains(&source));
    ensure!(!told, "the daemon got it all the same");
    Ok(())
}

/// Frames that the filter has counted, by outcome, over all CPUs.
pub(crate) fn counters() -> Result<BTreeMap<String, u64>> {
    let dump = run(Command::new("bpftool").args(["-j", "map", "dump", "pinned", "/sys/fs/bpf/siglatch/counters"]))?;
    let dump: serde_json::Value = serde_json::from_str(&dump)?;
    let values = dump[0]["formatted"]["values"].as_array().context("no values in the counters")?;
    let mut counters = BTreeMap::new();
    for (label, count) in values.iter().filter_map(|cpu| cpu["value"].as_object()).flatten() {
        *counters.entry(label.clone()).or_default() += count.as_u64().context("a counter is a number")?;
    }
    Ok(counters)
}

/// What is in front of a forged knock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stamp {
    /// Made with a key that the forger made up.
    Guessed,
    /// Made with the gate key, which everybody who is enrolled has.
    Valid,
}

/// A knock in alice's name by somebody who has the public key, and not hers.
pub(crate) fn forged(desk: &Desk, stamp: Stamp) -> Result<Vec<u8>> {
    let mut guess = [0; 52];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut guess)?;
    let (key, guess) = guess.split_first_chunk::<32>().context("32 bytes of 52")?;
    let (gate_key, challenge) = guess.split_first_chunk::<16>().context("16 bytes of 20")?;
    let challenge = u32::from_ne_bytes(challenge.try_into()?);
    let gate_key = match stamp {
        Stamp::Guessed => GateKey::parse(gate_key)?,
        Stamp::Valid => GateKey::parse(desk.read("gw/keys/gate-0.key")?.as_bytes())?,
    };
    let stamper = Stamper::new(0, gate_key).context("there is no gate key 0")?;
    let server = ServerPublicKey::from_pem(&desk.read("gw/server.pub.pem")?)?;
    let timestamp = siglatch_tests::gateway::now();
    let knock = Knock { user: UserId(1), action: ActionId(1), payload: Payload::EMPTY, timestamp, challenge };
    Ok(datagram(&knock, &Keys::stamped(HmacKey::parse(key)?, server, stamper))?)
}

/// A port that nobody guards answers that it is closed: the way there and back is open.
pub(crate) fn is_answered(at: &Host, from: IpAddr, to: SocketAddr) -> Result<()> {
    match at.place.within(|| Probe::new(from, to).opens_within(SILENCE))? {
        Err(error) if error.to_string().contains("refused") => Ok(()),
        Err(error) => Err(error),
        Ok(_) => bail!("{to} does not answer {from}"),
    }
}

/// How long silence is listened to: an open port answers a hundred times faster.
pub(crate) const SILENCE: Duration = Duration::from_millis(250);
const ATTEMPTS: u32 = 10;
const BRIEFLY: Duration = Duration::from_millis(2);
const ANSWER: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel counts in ticks, and this machine has other things to do.
const TOLERANCE: Duration = Duration::from_millis(500);
