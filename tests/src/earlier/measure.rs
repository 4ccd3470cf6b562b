//! What an upgrade costs: an earlier daemon at work, this workspace's taking over from it, knocks and junk all the while.
//! Says what became of each knock; never how it ought to be.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::record;
use crate::gateway::{Gateway, OPEN, Plan, knock, sealed, sealed_port};
use crate::netns::{CLIENT, Street};
use crate::process::{PATIENCE, Process, let_pass, wait_until};
use crate::scene::{STRANGER, payload};

/// What knocks and junk have come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Valid knocks, each another one.
    pub knocks: u64,
    /// Datagrams that can be no knock.
    pub junk: u64,
}

/// Sends a knock from the client, and junk from a stranger, every `pause`, as long as `work` takes.
///
/// # Errors
/// If the work fails, or something does not leave.
pub fn under_knocks<T>(street: &Street, pause: Duration, work: impl FnOnce() -> Result<T>) -> Result<(Sent, T)> {
    let [client, stranger] = [CLIENT.of(true), STRANGER.of(false)];
    let [honest, other] = [client, stranger].map(|source| street.outside.udp(SocketAddr::new(source, 0)));
    let (honest, other) = (honest?, other?);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = Sent::default();
            while !done.load(Ordering::Relaxed) {
                honest.send_to(&sealed(&knock(OPEN))?, sealed_port(client))?;
                other.send_to(&payload(255), sealed_port(stranger))?;
                sent = Sent { knocks: sent.knocks + 1, junk: sent.junk + 1 };
                let_pass(pause);
            }
            Ok(sent)
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let sent: Result<Sent> = sender.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked));
        Ok((sent?, worked?))
    })
}

/// Upgrades so many times, and prints a line about each; if it is said so, from a daemon that is root to one that becomes a user
/// without files of its own.
///
/// # Errors
/// If a daemon does not start or end.
pub fn measure(daemon: &Path, rounds: u32, to_a_user: bool) -> Result<()> {
    println!("round  sent  before  after  lost  unfiltered  pause ms");
    for round in 1..=rounds {
        let street = Street::new()?;
        witness(&street)?;
        let gateway = Gateway::new(&street.gateway, &Plan::default())?;
        let config = fs::read_to_string(gateway.config())?;
        // One folder for all that it writes: one that also holds keys is not given away.
        let config = config.replace("\"admin.sock\"", "\"state/admin.sock\"");
        let config = config.replace("\"audit.jsonl\"", "\"state/audit.jsonl\"");
        fs::write(gateway.config(), &config)?;
        fs::set_permissions(gateway.file(""), fs::Permissions::from_mode(0o755))?;
        let earlier = record::start(&gateway, daemon)?;
        gateway.ctl(&["ban", "198.51.100.9"])?;
        let (sent, current) = under_knocks(&street, Duration::from_millis(2), || {
            let_pass(Duration::from_secs(1));
            if to_a_user {
                fs::write(gateway.config(), format!("[daemon]\nuser = \"nobody\"\n\n{config}"))?;
            }
            let current = gateway.start()?;
            ensure!(gateway.ctl(&["bans"])?.contains("198.51.100.9"), "the ban is gone: {}", current.said());
            let_pass(Duration::from_secs(1));
            Ok(current)
        })?;
        let (status, before) = earlier.end()?;
        ensure!(status.success(), "{status}: {before}");
        let earlier = admissions(&before)?;
        wait_until(PATIENCE, || admitted(&current) + earlier.len() as u64 >= sent.knocks);
        let after = admissions(&current.said())?;
        let lost = sent.knocks.saturating_sub((earlier.len() + after.len()) as u64);
        let times: Vec<_> = earlier.iter().chain(&after).copied().collect();
        let pause = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        println!(
            "{round:5} {:5} {:7} {:6} {lost:5} {:11} {:9.1}",
            sent.knocks,
            earlier.len(),
            after.len(),
            witnessed(&street)?,
            pause as f64 / 1000.0
        );
        let (status, said) = current.terminate()?;
        ensure!(status.success() && !said.contains("ermission denied"), "{status}: {said}");
    }
    Ok(())
}

/// How many knocks a daemon has admitted so far.
#[must_use]
pub fn admitted(daemon: &Process) -> u64 {
    daemon.said().matches("knock admitted").count() as u64
}

/// A table of somebody else's that counts what the filter lets through, before siglatch's own would drop it.
///
/// # Errors
/// If `nft` fails.
pub fn witness(street: &Street) -> Result<()> {
    street.gateway.shell(
        "nft 'add table inet witness; \
         add chain inet witness seen { type filter hook prerouting priority -400; }; \
         add rule inet witness seen udp dport 62201 counter'",
    )?;
    Ok(())
}

/// How many datagrams it has counted.
///
/// # Errors
/// If `nft` fails.
pub fn witnessed(street: &Street) -> Result<u64> {
    let list: serde_json::Value = serde_json::from_str(&street.gateway.shell("nft -j list chain inet witness seen")?)?;
    let rules = list["nftables"].as_array().into_iter().flatten();
    let counters = rules.filter_map(|rule| rule["rule"]["expr"].as_array()).flatten();
    Ok(counters.filter_map(|expression| expression["counter"]["packets"].as_u64()).sum())
}

/// When knocks were admitted, in microseconds of the day, by the times of the log's lines.
fn admissions(said: &str) -> Result<Vec<u64>> {
    let lines = said.lines().filter(|line| line.contains("knock admitted"));
    let times = lines.map(|line| {
        let (_, time) = line.split_once('T').context("a line of the log begins with a date")?;
        let time = time.get(..15).context("a time has microseconds")?;
        let number = |from: usize, to: usize| time[from..to].parse::<u64>().context(time.to_owned());
        Ok(((number(0, 2)? * 60 + number(3, 5)?) * 60 + number(6, 8)?) * 1_000_000 + number(9, 15)?)
    });
    times.collect()
}
