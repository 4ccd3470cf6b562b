//! What is expected of the gateway, and whether it is so. Never shows anything.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_client::knocker::{Keys, Knock, datagram};
use siglatch_common::seal::{HmacKey, ServerPublicKey};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};
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

/// A knock in alice's name by somebody who has the public key, and not hers.
pub(crate) fn forged(desk: &Desk) -> Result<Vec<u8>> {
    let mut guess = [0; 36];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut guess)?;
    let (key, challenge) = guess.split_first_chunk::<32>().context("32 bytes of 36")?;
    let challenge = u32::from_ne_bytes(challenge.try_into()?);
    let server = ServerPublicKey::from_pem(&desk.read("gw/server.pub.pem")?)?;
    let timestamp = siglatch_tests::gateway::now();
    let knock = Knock { user: UserId(1), action: ActionId(1), payload: Payload::EMPTY, timestamp, challenge };
    Ok(datagram(&knock, &Keys::sealed(HmacKey::parse(key)?, server))?)
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
