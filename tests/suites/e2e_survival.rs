//! What a daemon lives through: kills at any moment, state files that make no sense, no descriptors left. Nothing is admitted
//! twice, no grant outlives its time, no ban is lost. (A full disk is in `e2e_disk`, a firewall that others change in
//! `e2e_firewall`, a clock that is set in `e2e_clock`.)
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files of the state folder are what is damaged here, and a daemon is begun with less than it needs"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use siglatch_client::knocker::Knock;
use siglatch_tests::gateway::{BRIEF, OPEN, Plan, SSH, clear, knock};
use siglatch_tests::http::get;
use siglatch_tests::process::{PATIENCE, Process, let_pass, outcome, wait_until};
use siglatch_tests::service::closes_within;
use siglatch_tests::stage::{Stage, client};
use siglatch_user::ctl::exit;
use siglatch_user::edge::descriptors;

#[test]
fn killed_twenty_times_under_knocks_nothing_is_admitted_twice_no_grant_stays_and_no_ban_is_lost() -> Result<()> {
    let mut stage = Stage::new()?;
    let mut told = String::new();
    let mut sent: Vec<(Knock, IpAddr)> = Vec::new();
    let mut banned = Vec::new();
    for round in 0..ROUNDS {
        // A ban that the operator was told of outlives whatever comes next.
        let network = format!("198.51.100.{round}");
        stage.gateway.ctl(&["ban", &network])?;
        banned.push(network);
        for action in [OPEN, BRIEF, OPEN] {
            let (knock, source) = (knock(action), stage.newcomer()?);
            stage.send_clear(&clear(&knock)?, source)?;
            sent.push((knock, source));
        }
        // At another moment each time: before the first is judged, between disk and firewall, after all of it.
        let_pass(Duration::from_micros(700 * u64::from(round)));
        stage.daemon.kill()?;
        told.push_str(&stage.daemon.said());
        stage.daemon = stage.gateway.start()?;
        // Everything once more, in other datagrams: none is a copy to the filter.
        for (knock, source) in sent.iter().rev().take(6) {
            stage.knock(knock, *source)?;
        }
    }
    for (knock, source) in &sent {
        stage.knock(knock, *source)?;
        let_pass(Duration::from_millis(10));
    }
    // Each was judged by now, for the last of all is.
    let last = stage.newcomer()?;
    stage.knock(&knock(OPEN), last)?;
    stage.opens(last)?;
    told.push_str(&stage.daemon.said());
    let opened = |source: &IpAddr| told.matches(&format!("grant opened source={source} ")).count();
    for (_, source) in &sent {
        ensure!(opened(source) <= 1, "{source} was let in {} times:\n{told}", opened(source));
    }
    ensure!(sent.iter().filter(|(_, source)| opened(source) == 1).count() > ROUNDS as usize, "hardly any was admitted");

    for (knock, source) in &sent {
        if knock.action.0 == BRIEF {
            closes_within(PATIENCE, &stage.street.outside, *source, stage.service(SSH, *source))?;
        }
    }
    let bans = stage.gateway.ctl_json(&["bans"])?.to_string();
    for network in &banned {
        ensure!(
            bans.contains(&format!("\"{network}\"")) || bans.contains(&format!("\"{network}/32\"")),
            "no {network} in {bans}"
        );
    }
    Ok(())
}

#[test]
fn nonces_that_make_no_sense_are_told_and_what_was_admitted_is_not_admitted_again() -> Result<()> {
    let (mut stage, before) = with_a_knock()?;
    damage(&stage, "nonces.current")?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("the nonce store is damaged: knocks stamped up to then (Unix time) are refused")?;
    stage.knock(&before, client(true))?;
    stage.refuses(1, "stale", client(true))
}

#[test]
fn a_ledger_that_makes_no_sense_is_told_and_set_aside() -> Result<()> {
    let (mut stage, before) = with_a_knock()?;
    damage(&stage, "ledger")?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("ledger.damaged")?;
    ensure!(stage.gateway.file("state/ledger.damaged").exists());
    stage.knock(&before, client(true))?;
    stage.refuses(1, "replay", client(true))?;
    // What counts nothing works all the same.
    stage.knock(&knock(OPEN), client(false))?;
    stage.opens(client(false))
}

#[test]
fn bans_that_make_no_sense_are_told_and_those_of_the_filter_are_kept() -> Result<()> {
    let (mut stage, _) =
        with_a_knock_and(|stage| stage.gateway.ctl(&["ban", "198.51.100.7", "--for", "1h"]).map(drop))?;
    damage(&stage, "bans.json")?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("the file of bans made no sense and is set aside")?;
    ensure!(stage.gateway.ctl(&["bans"])?.contains("198.51.100.7"));
    // And it is written anew, for the next.
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    ensure!(!stage.daemon.said().contains("made no sense"), "{}", stage.daemon.said());
    ensure!(stage.gateway.ctl(&["bans"])?.contains("198.51.100.7"));
    Ok(())
}

#[test]
fn switches_that_make_no_sense_let_nobody_in_until_they_are_mended() -> Result<()> {
    let (mut stage, _) = with_a_knock_and(|stage| stage.gateway.ctl(&["disable", "action", "open"]).map(drop))?;
    damage(&stage, "switches.json")?;
    // Not to be started again in vain: with the status of a configuration that no restart can mend.
    let (code, said) = outcome(&mut stage.gateway.command()?)?;
    ensure!(code == 78 && said.contains("switches.json makes no sense"), "{code}: {said}");
    ensure!(said.contains("siglatchctl disable"), "{said}");
    fs::remove_file(stage.gateway.file("state/switches.json"))?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&knock(OPEN), client(false))?;
    stage.opens(client(false))
}

#[test]
fn known_sources_that_make_no_sense_are_told_and_those_of_the_filter_are_kept() -> Result<()> {
    // They are written some while after a change, and when the daemon stops.
    let (mut stage, _) = with_a_knock_and(|stage| {
        stage.daemon.signal(Signal::TERM)?;
        let is_kept = || stage.gateway.file("state/known.json").exists();
        ensure!(wait_until(PATIENCE, is_kept), "known sources are not kept: {}", stage.daemon.said());
        Ok(())
    })?;
    damage(&stage, "known.json")?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("the file of known sources made no sense and is set aside")?;
    let status = stage.gateway.ctl_json(&["status"])?;
    ensure!(status["known"] == 1, "{status}");
    Ok(())
}

#[test]
fn an_audit_log_and_its_head_that_make_no_sense_are_told_and_set_aside() -> Result<()> {
    for file in ["audit.jsonl", "state/audit.head"] {
        let (mut stage, before) = with_a_knock()?;
        let path = stage.gateway.file(file);
        ensure!(path.exists(), "there is no {file}");
        fs::write(&path, NONSENSE)?;
        stage.daemon = stage.gateway.start()?;
        stage.daemon.wait_for("the audit log is not as it was left: siglatchctl audit verify")?;
        stage.knock(&before, client(true))?;
        stage.refuses(1, "replay", client(true))?;
    }
    Ok(())
}

#[test]
fn without_descriptors_knocks_are_judged_and_operators_hear_what_to_do() -> Result<()> {
    let stage = Stage::with(&Plan::plus(&format!("[metrics]\nlisten = \"{METRICS}\"\n")))?;
    let daemon = Pid::from_raw(stage.daemon.id().cast_signed()).context("a process has a number")?;
    let limit_to = |limit: u64| {
        // What it may raise it to stays, which is ours: only so can it be raised again by everybody.
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(Some(daemon), Resource::Nofile, Rlimit { current: Some(limit), maximum })
    };
    let open = || -> Result<BTreeSet<u64>> {
        let open = fs::read_dir(format!("/proc/{}/fd", stage.daemon.id()))?;
        open.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?)).collect()
    };
    let asks = || stage.gateway.ctl(&["status"]).map_err(|error| format!("{error:#}"));
    // The first number that is free: none can be had from here on, and there is no answer.
    let before = open()?;
    let plenty = limit_to((0..).find(|number| !before.contains(number)).context("some number is free")?)?;
    ensure!(asks().is_err());
    prlimit(Some(daemon), Resource::Nofile, plenty)?;
    asks().map_err(anyhow::Error::msg)?;
    // What the daemon keeps in hand for the next time has a low number from here on; silent visitors take the others.
    let new = open()?.difference(&before).copied().max().context("nothing is kept in hand")?;
    let plenty = limit_to(new + 1)?;
    let mut silent = Vec::new();
    let mut tries = 0;
    let refused = loop {
        match asks() {
            Err(refused) => break refused,
            Ok(_) => silent.extend(visitor(&stage)?),
        }
        tries += 1;
        ensure!(tries < OPERATORS, "there is always one more below {new}: {:?}", open()?);
    };
    let is_clear = |said: &str| said.contains("no descriptors left") && said.contains("LimitNOFILE=");
    ensure!(is_clear(&refused), "{refused}");
    for v4 in [true, false] {
        stage.knock(&knock(OPEN), client(v4))?;
        stage.opens(client(v4))?;
    }
    // And so does the next.
    ensure!(asks().is_err_and(|refused| is_clear(&refused)));
    let told = stage.daemon.wait_for("no descriptors are left")?;
    ensure!(told.contains(&format!("prlimit --pid {} --nofile=", stage.daemon.id())), "{told}");
    ensure!(told.matches("no descriptors are left").count() == 1, "told more than once a minute:\n{told}");

    prlimit(Some(daemon), Resource::Nofile, plenty)?;
    asks().map_err(anyhow::Error::msg)?;
    stage.daemon.wait_for("there are descriptors again")?;
    drop(silent);
    let metrics = get(&stage.street.gateway, METRICS.parse()?, "/metrics", "")?.body;
    let shortages = metrics.lines().find_map(|line| line.strip_prefix("siglatch_descriptor_shortages_total "));
    ensure!(shortages.is_some_and(|count| count.parse().is_ok_and(|count: u64| count >= 2)), "{metrics}");
    Ok(())
}

#[test]
fn a_start_that_may_have_too_few_descriptors_says_what_to_do() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let start = |limit: &str| -> Result<Process> {
        let daemon = stage.gateway.command()?;
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nofile={limit}")).arg("--").arg(daemon.get_program()).args(daemon.get_args());
        limited.envs(daemon.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Process::start(&mut limited)
    };
    for limit in [6_u64, 8, 16, 32, 64, 128, descriptors::NEEDED - 1] {
        let (status, said) = start(&limit.to_string())?.end()?;
        ensure!(status.code() == Some(exit::EX_OSERR.into()), "{limit}: {status}:\n{said}");
        for words in [format!("no more than {limit} files open"), "LimitNOFILE=".to_owned(), "ulimit -n".to_owned()] {
            ensure!(said.contains(&words), "{limit}: no {words} in:\n{said}");
        }
    }
    // What it may have it takes by itself.
    for limit in ["16:1024".to_owned(), descriptors::NEEDED.to_string()] {
        stage.daemon = start(&limit)?;
        stage.daemon.wait_for(" ready ")?;
        stage.knock(&knock(OPEN), client(true))?;
        stage.opens(client(true))?;
        stage.gateway.ctl(&["status"])?;
    }
    Ok(())
}

/// Somebody who has connected and says nothing; nobody if the daemon has sent him away, for another was not gone yet.
fn visitor(stage: &Stage) -> Result<Option<UnixStream>> {
    let_pass(Duration::from_millis(300));
    let mut visitor = UnixStream::connect(stage.gateway.file("admin.sock"))?;
    visitor.set_read_timeout(Some(Duration::from_millis(300)))?;
    let is_in = visitor.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    Ok(is_in.then_some(visitor))
}

/// A daemon that has admitted a knock of the client's, killed; and that knock.
fn with_a_knock() -> Result<(Stage, Knock)> {
    with_a_knock_and(|_| Ok(()))
}

/// The same, after something else was done.
fn with_a_knock_and(more: impl FnOnce(&Stage) -> Result<()>) -> Result<(Stage, Knock)> {
    let mut stage = Stage::new()?;
    let before = knock(OPEN);
    stage.send_clear(&clear(&before)?, client(true))?;
    stage.opens(client(true))?;
    more(&stage)?;
    stage.daemon.kill()?;
    Ok((stage, before))
}

/// Puts nonsense in the place of a file of the state folder.
fn damage(stage: &Stage, name: &str) -> Result<()> {
    let path = stage.gateway.file("state").join(name);
    let length = fs::metadata(&path).with_context(|| format!("there is no {name}"))?.len();
    let nonsense: Vec<u8> =
        NONSENSE.iter().copied().cycle().take(usize::try_from(length)?.max(NONSENSE.len())).collect();
    Ok(fs::write(&path, nonsense)?)
}

const ROUNDS: u16 = 20;
/// Operators whom the daemon serves at once.
const OPERATORS: usize = 16;
const METRICS: &str = "127.0.0.1:9707";
const NONSENSE: &[u8] = b"{\"what is this?\x00\xff\n";
