//! Who is banned by a real daemon, what outlives it, and what an operator's bpftool does behind its back.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files of networks and commands of operators are what is tested here"
)]

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::{Ban, Reason};
use siglatch_tests::gateway::{LENIENT, OPEN, Plan, SSH, knock};
use siglatch_tests::netns::run;
use siglatch_tests::process::{PATIENCE, let_pass, outcome, wait_until};
use siglatch_tests::scene::payload;
use siglatch_tests::service::closes_within;
use siglatch_tests::stage::{Stage, client};
use siglatch_user::edge::clock;
use siglatch_user::edge::lists::Lists as _;
use siglatch_user::edge::xdp::Maps;

#[test]
fn five_datagrams_of_nobodys_are_one_too_many() -> Result<()> {
    let stage = stage(STRIKES)?;
    let (four, five) = (stage.newcomer()?, stage.newcomer()?);
    junk(&stage, four, 4)?;
    stage.refuses(4, "unauthentic", four)?;
    junk(&stage, five, 5)?;
    stage.daemon.wait_for(&format!("banned source={five} reason=\"unauthentic\" step=1 seconds=600"))?;
    let bans = bans(&stage)?;
    ensure!(bans.len() == 1, "{bans:?}");
    let (network, ban) = bans[0];
    let left = Duration::from_nanos(ban.until - clock::boot().as_nanos()).as_secs();
    ensure!(network == Network::of(five.into()) && (590..=600).contains(&left), "{network} {left}");
    ensure!((ban.reason, ban.step) == (Reason::Unauthentic.number(), 1), "{ban:?}");

    ensure!(stage.gateway.counted("banned")? == 0);
    stage.knock(&knock(OPEN), five)?;
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("banned").is_ok_and(|count| count == 1)));
    stage.is_shut(five)?;
    stage.knock(&knock(OPEN), four)?;
    stage.opens(four)
}

#[test]
fn whoever_is_known_or_allowed_is_never_banned() -> Result<()> {
    let stage = stage("[allow]\nnetworks = [\"192.0.2.101\"]\n")?;
    let (known, allowed, other) = (stage.newcomer()?, stage.newcomer()?, stage.newcomer()?);
    ensure!(allowed.to_string() == "192.0.2.101");
    stage.knock(&knock(OPEN), known)?;
    stage.opens(known)?;
    for source in [known, allowed, other] {
        junk(&stage, source, 12)?;
    }
    stage.refuses(12, "unauthentic", known)?;
    stage.refuses(12, "unauthentic", allowed)?;
    stage.daemon.wait_for(&format!("banned source={other}"))?;
    ensure!(bans(&stage)?.len() == 1 && !stage.daemon.said().contains(&format!("banned source={known}")));
    stage.knock(&knock(OPEN), allowed)?;
    stage.opens(allowed)
}

#[test]
fn a_flood_over_the_rate_is_banned_unless_it_is_a_known_sources() -> Result<()> {
    let stage = stage("[limits]\nrate = 1\nburst = 2\n[ban]\nflood = 500\nstrikes = 0\n")?;
    let (known, other) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), known)?;
    stage.opens(known)?;
    // More than once, because the ten seconds may end in the middle.
    let banned = format!("banned source={other} reason=\"flood\"");
    ensure!(wait_until(4 * PATIENCE, || {
        let sent = junk(&stage, other, 500).and_then(|()| junk(&stage, known, 500));
        sent.is_ok() && stage.daemon.said().contains(&banned)
    }));
    ensure!(bans(&stage)?.len() == 1, "{:?}", bans(&stage)?);
    Ok(())
}

#[test]
fn bans_grow_and_end_by_themselves() -> Result<()> {
    let stage = stage("[ban]\nstrikes = 2\nsteps = [\"1s\", \"2s\", \"1h\"]\n")?;
    let source = stage.newcomer()?;
    for (step, seconds) in [(1, 1), (2, 2), (3, 3600)] {
        junk(&stage, source, 2)?;
        stage
            .daemon
            .wait_for(&format!("banned source={source} reason=\"unauthentic\" step={step} seconds={seconds}"))?;
        if step < 3 {
            ensure!(wait_until(PATIENCE, || bans(&stage).is_ok_and(|bans| bans.is_empty())));
        }
    }
    Ok(())
}

#[test]
fn bans_and_known_sources_outlive_restart_kill_and_the_loss_of_the_maps() -> Result<()> {
    let mut stage = stage(STRIKES)?;
    let (banned, known) = (stage.newcomer()?, stage.newcomer()?);
    junk(&stage, banned, 5)?;
    stage.daemon.wait_for(&format!("banned source={banned}"))?;
    set_by_hand(&stage, "198.51.100.0/24", 0)?;
    stage.daemon.wait_for("ban set by hand network=198.51.100.0/24 seconds=\"for good\"")?;
    stage.knock(&knock(OPEN), known)?;
    stage.opens(known)?;
    let before = bans(&stage)?;
    ensure!(before.len() == 2, "{before:?}");

    // Another daemon takes over; it finds everything as it was, and so does one after a kill.
    let next = stage.gateway.start()?;
    std::mem::replace(&mut stage.daemon, next).end()?;
    ensure!(bans(&stage)? == before, "{:?}", bans(&stage)?);
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    ensure!(bans(&stage)? == before && !stage.daemon.said().contains("by hand"), "{}", stage.daemon.said());

    // What a reboot takes away: maps, program and links.
    stage.daemon.signal(rustix::process::Signal::TERM)?;
    ensure!(wait_until(PATIENCE, || !stage.daemon.is_running()));
    outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(!stage.gateway.pins().exists());
    stage.daemon = stage.gateway.start()?;
    ensure!(bans(&stage)? == before && !stage.daemon.said().contains("by hand"), "{}", stage.daemon.said());
    let origins = Maps::open(stage.gateway.pins())?.known()?;
    ensure!(origins.len() == 1 && origins[0].0 == known.into(), "{origins:?}");
    stage.knock(&knock(OPEN), banned)?;
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("banned").is_ok_and(|count| count == 1)));
    Ok(())
}

#[test]
fn what_bpftool_does_takes_effect_at_once_and_is_noticed() -> Result<()> {
    let mut stage = stage(STRIKES)?;
    for (source, name) in [(client(true), "192.0.2.2"), (client(false), "2001:db8::2")] {
        set_by_hand(&stage, name, clock::boot().after(Duration::from_secs(3600)).as_nanos())?;
        let banned = stage.gateway.counted("banned")?;
        stage.knock(&knock(OPEN), source)?;
        ensure!(wait_until(PATIENCE, || stage.gateway.counted("banned").is_ok_and(|count| count == banned + 1)));
        stage.daemon.wait_for(&format!("ban set by hand network={name}"))?;
        set_by_hand(&stage, name, 0)?;
        stage.daemon.wait_for(&format!("ban changed by hand network={name} seconds=\"for good\""))?;
        lift_by_hand(&stage, name)?;
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
        stage.daemon.wait_for(&format!("ban lifted by hand network={name}"))?;
    }
    // Without a daemon as well: the next one takes it over.
    set_by_hand(&stage, "203.0.113.7", 0)?;
    stage.daemon.wait_for("ban set by hand network=203.0.113.7")?;
    stage.daemon.kill()?;
    lift_by_hand(&stage, "203.0.113.7")?;
    set_by_hand(&stage, "203.0.113.0/24", 0)?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("ban lifted by hand network=203.0.113.7")?;
    stage.daemon.wait_for("ban set by hand network=203.0.113.0/24")?;
    let_pass(Duration::from_secs(2));
    let bans = bans(&stage)?;
    ensure!(bans.len() == 1 && bans[0].0 == "203.0.113.0/24".parse().unwrap(), "{bans:?}");
    Ok(())
}

#[test]
fn a_ban_stops_acting_when_it_ends_and_no_daemon_is_needed_for_it() -> Result<()> {
    let mut stage = stage(STRIKES)?;
    stage.daemon.kill()?;
    let end = clock::boot().after(Duration::from_secs(2)).as_nanos();
    set_by_hand(&stage, "192.0.2.2", end)?;
    set_by_hand(&stage, "2001:db8::/64", end)?;
    for v4 in [true, false] {
        stage.send(&payload(256), client(v4))?;
    }
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("banned").is_ok_and(|count| count == 2)));
    ensure!(wait_until(PATIENCE, || clock::boot().as_nanos() >= end));
    for v4 in [true, false] {
        stage.send(&payload(256), client(v4))?;
    }
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("submitted_unknown").is_ok_and(|count| count == 2)));
    ensure!(stage.gateway.counted("banned")? == 2);
    // The next daemon takes them out.
    stage.daemon = stage.gateway.start()?;
    ensure!(bans(&stage)?.is_empty());
    Ok(())
}

#[test]
fn files_of_networks_are_followed_and_a_bad_one_changes_nothing() -> Result<()> {
    let mut stage = stage("[blacklist]\nfiles = [\"list.txt\", \"none.txt\"]\n")?;
    let list = stage.gateway.file("list.txt");
    stage.daemon.wait_for("a file of banned networks makes no sense")?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    fs::write(&list, "# ours\n192.0.2.0/28 # all of them\n2001:db8::2\n")?;
    stage.daemon.wait_for("file of banned networks read")?;
    stage.daemon.wait_for("bans that files say added=2 removed=0")?;
    ensure!(bans(&stage)?.iter().all(|(_, ban)| ban.reason == Reason::File.number() && ban.until == 0));
    // Known or not: what the operator says counts.
    stage.knock(&knock(OPEN), client(true))?;
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("banned").is_ok_and(|count| count == 1)));

    fs::write(&list, "192.0.2.0/28\n192.0.2.7/24\n")?;
    stage.daemon.wait_for("bits are set behind the prefix: it names a host")?;
    ensure!(bans(&stage)?.len() == 2);
    // A restart in the meantime lifts nothing either.
    stage.daemon = stage.gateway.start()?;
    ensure!(bans(&stage)?.len() == 2);
    fs::write(&list, "")?;
    fs::write(stage.gateway.file("none.txt"), "")?;
    stage.daemon.wait_for("bans that files say added=0 removed=2")?;
    ensure!(bans(&stage)?.is_empty());
    Ok(())
}

#[test]
fn a_damaged_store_is_set_aside_and_the_maps_are_what_is_left() -> Result<()> {
    let mut stage = stage(STRIKES)?;
    let source = stage.newcomer()?;
    junk(&stage, source, 5)?;
    stage.daemon.wait_for(&format!("banned source={source}"))?;
    let before = bans(&stage)?;
    stage.daemon.kill()?;
    fs::write(stage.gateway.file("state/bans.json"), "{")?;
    stage.daemon = stage.gateway.start()?;
    stage.daemon.wait_for("the file of bans made no sense and is set aside")?;
    ensure!(stage.gateway.file("state/bans.json.damaged").exists());
    ensure!(bans(&stage)? == before, "{:?}", bans(&stage)?);
    Ok(())
}

#[test]
fn a_grant_outlives_the_ban_of_its_holder() -> Result<()> {
    let stage = stage(STRIKES)?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    set_by_hand(&stage, "192.0.2.2", 0)?;
    let service = stage.service(SSH, client(true));
    let closed = closes_within(Duration::from_millis(500), &stage.street.outside, client(true), service);
    ensure!(closed.is_err(), "a ban is for knocks, unless the operator says otherwise");
    Ok(())
}

#[test]
fn with_scope_host_a_ban_is_for_everything() -> Result<()> {
    let stage = stage("[allow]\nnetworks = [\"203.0.113.0/24\"]\n[ban]\nscope = \"host\"\n")?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    set_by_hand(&stage, "192.0.2.2", 0)?;
    closes_within(PATIENCE, &stage.street.outside, client(true), stage.service(SSH, client(true)))?;
    lift_by_hand(&stage, "192.0.2.2")?;
    stage.opens(client(true))
}

#[test]
fn sockets_ban_as_well() -> Result<()> {
    let strict = Plan::with(LENIENT, STRIKES);
    let mut stage = Stage::with(&Plan { ingress: "mode = \"socket\"".to_owned(), ..strict })?;
    let (other, banned) = (stage.newcomer()?, stage.newcomer()?);
    junk(&stage, banned, 5)?;
    stage.daemon.wait_for(&format!("banned source={banned}"))?;
    stage.knock(&knock(OPEN), banned)?;
    stage.knock(&knock(OPEN), other)?;
    stage.opens(other)?;
    stage.is_shut(banned)?;
    // Nothing of it is pinned, and it is there again all the same.
    let next = stage.gateway.start()?;
    std::mem::replace(&mut stage.daemon, next).end()?;
    stage.daemon.wait_for("bans and known sources that stand bans=1 known=1")?;
    stage.knock(&knock(OPEN), banned)?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    stage.is_shut(banned)
}

/// The default plan, but for what it says of strangers.
fn stage(strangers: &str) -> Result<Stage> {
    Stage::with(&Plan::with(LENIENT, strangers))
}

/// Datagrams of the right length that are nobody's, no two alike.
fn junk(stage: &Stage, source: IpAddr, count: u32) -> Result<()> {
    for _ in 0..count {
        let mut junk = payload(256);
        junk[12..20].copy_from_slice(&clock::boot().as_nanos().to_le_bytes());
        stage.send(&junk, source)?;
    }
    Ok(())
}

/// The bans in the pinned maps, without their hits.
fn bans(stage: &Stage) -> Result<Vec<(Network, Ban)>> {
    let bans = Maps::open(stage.gateway.pins())?.bans()?;
    let mut bans: Vec<_> = bans.into_iter().map(|(network, ban)| (network, Ban { hits: 0, ..ban })).collect();
    bans.sort_by_key(|(network, _)| *network);
    Ok(bans)
}

/// Sets a ban as an operator does who has nothing but bpftool. `until` is a boot time in nanoseconds, 0 for good.
fn set_by_hand(stage: &Stage, network: &str, until: u64) -> Result<()> {
    let (map, key) = entry(network)?;
    let value = [&until.to_le_bytes()[..], &[0; 16]].concat();
    bpftool(stage, "update", map, &format!("key hex {} value hex {}", hex(&key), hex(&value)))
}

fn lift_by_hand(stage: &Stage, network: &str) -> Result<()> {
    let (map, key) = entry(network)?;
    bpftool(stage, "delete", map, &format!("key hex {}", hex(&key)))
}

fn bpftool(stage: &Stage, what: &str, map: &str, arguments: &str) -> Result<()> {
    let path = stage.gateway.pins().join(map);
    let mut command = Command::new("bpftool");
    command.args(["map", what, "pinned"]).arg(path).args(arguments.split(' '));
    run(&mut command).map(drop).context("bpftool")
}

/// The map that a ban of this network is in, and its key there.
fn entry(network: &str) -> Result<(&'static str, Vec<u8>)> {
    let network: Network = network.parse().map_err(|flaw| anyhow::anyhow!("{network}: {flaw:?}"))?;
    Ok(match network.as_single() {
        Some(Address { octets }) => ("blacklist", octets.to_vec()),
        None => {
            let bits = u32::from(network.bits()).to_ne_bytes();
            ("blacklist_networks", [&bits[..], &network.address().octets].concat())
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Bans for five strikes, and nothing else that could be in a test's way.
const STRIKES: &str = "[limits]\nrate = 100_000\nburst = 100_000\ncopies = 0\n\n[lane.unknown]\nbudget = 0\n";
