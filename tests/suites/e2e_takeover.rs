//! From one daemon to the next: nothing slips through, nothing is lost, and everything stays when one is killed.
#![expect(clippy::disallowed_methods, reason = "that the daemon ends at once takes a clock to see")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use siglatch_tests::gateway::{Gateway, OPEN, Plan, SSH, knock, sealed};
use siglatch_tests::netns::{GATE, Street, join};
use siglatch_tests::process::{PATIENCE, let_pass, outcome, wait_until};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, STRANGER, payload};
use siglatch_tests::service::opens_within;
use siglatch_tests::stage::{Stage, client};

#[test]
fn nothing_reaches_the_stack_while_daemons_come_and_are_killed() -> Result<()> {
    let mut stage = Stage::new()?;
    witness(&stage.street)?;
    let Stage { daemon, gateway, street, .. } = &mut stage;
    let sent = meanwhile(
        || {
            let stranger = street.outside.udp(SocketAddr::new(STRANGER.of(true), 0))?;
            Ok(move || Ok(stranger.send_to(&payload(255), knock_port()).map(|_| ())?))
        },
        || {
            for _ in 0..3 {
                *daemon = gateway.start()?;
                daemon.kill()?;
                *daemon = gateway.start()?;
            }
            Ok(())
        },
    )?;
    ensure!(sent > 200, "only {sent} datagrams were sent");
    ensure!(witnessed(street)? == 0, "of {sent} datagrams {} slipped through", witnessed(street)?);
    ensure!(gateway.counted("wrong_length")? >= sent * 9 / 10, "{sent} were sent: {}", gateway.dump("counters")?);

    // The witness is awake.
    outcome(gateway.command()?.arg("--detach"))?;
    street.outside.send(&payload(255), STRANGER.of(true), knock_port())?;
    ensure!(wait_until(PATIENCE, || witnessed(street).is_ok_and(|count| count == 1)));
    Ok(())
}

#[test]
fn knocks_sent_during_a_takeover_are_honoured() -> Result<()> {
    let mut stage = Stage::new()?;
    let Stage { daemon, gateway, street, .. } = &mut stage;
    let mut earlier = String::new();
    let sent = meanwhile(
        || Ok(|| street.outside.send(&sealed(&knock(OPEN))?, client(true), knock_port())),
        || {
            for _ in 0..3 {
                let next = gateway.start()?;
                let (status, said) = std::mem::replace(daemon, next).end()?;
                ensure!(status.success(), "{status}: {said}");
                earlier.push_str(&said);
            }
            Ok(())
        },
    )?;
    let admitted = |log: &str| log.matches("knock admitted").count() as u64;
    let before = admitted(&earlier);
    daemon.wait_until(&format!("{sent} knocks admitted, after {before}"), |log| before + admitted(log) == sent)?;
    Ok(())
}

#[test]
fn knocks_sent_while_no_daemon_runs_wait_for_the_next() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let sources = [stage.newcomer()?, stage.newcomer()?, client(false)];
    for source in sources {
        stage.knock(&knock(OPEN), source)?;
        stage.is_shut(source)?;
    }
    stage.daemon = stage.gateway.start()?;
    sources.into_iter().try_for_each(|source| stage.opens(source))
}

#[test]
fn a_copy_that_waits_behind_its_original_gains_nothing() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let mut thieves = Vec::new();
    for _ in 0..40 {
        let (owner, thief) = (stage.newcomer()?, stage.newcomer()?);
        let knock = sealed(&knock(OPEN))?;
        stage.send(&knock, owner)?;
        stage.send(&knock, thief)?;
        thieves.push(thief);
    }
    stage.daemon = stage.gateway.start()?;
    thieves.iter().try_for_each(|thief| stage.refuses(1, "replay", *thief))?;
    stage.is_shut(thieves[0])
}

#[test]
fn the_running_daemon_gives_way_to_a_second_one() -> Result<()> {
    let mut stage = Stage::new()?;
    let second = stage.gateway.start()?;
    ensure!(second.said().contains("taking over from the running daemon"), "{}", second.said());
    let (status, said) = std::mem::replace(&mut stage.daemon, second).end()?;
    ensure!(status.code() == Some(0) && said.contains("stopping"), "{status}: {said}");
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))
}

#[test]
fn grants_survive_a_kill_and_are_taken_over() -> Result<()> {
    let mut stage = Stage::new()?;
    for v4 in [true, false] {
        stage.knock(&knock(OPEN), client(v4))?;
        stage.opens(client(v4))?;
    }
    stage.daemon.kill()?;
    stage.opens(client(true))?;
    stage.daemon = stage.gateway.start()?;
    let said = stage.daemon.said();
    ensure!(said.contains("grants of an earlier run taken over grants=2"), "{said}");
    // Whoever deletes them now finds that the new daemon knows them.
    stage.street.gateway.shell("nft flush set inet siglatch grants_v4; nft flush set inet siglatch grants_v6")?;
    stage.opens(client(true))?;
    stage.opens(client(false))
}

#[test]
fn the_filter_stays_when_the_daemon_is_killed() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let before = stage.gateway.counted("wrong_length")?;
    for _ in 0..5 {
        stage.send(&payload(257), STRANGER.of(true))?;
    }
    counts(&stage.gateway, "wrong_length", before + 5)?;
    stage.is_shut(STRANGER.of(true))
}

#[test]
fn pinned_maps_read_as_an_operator_would_read_them() -> Result<()> {
    let stage = Stage::new()?;
    for length in [0, 1, 245, 255, 257, 264, 1400] {
        stage.send(&payload(length), STRANGER.of(false))?;
    }
    stage.send(&payload(256), STRANGER.of(true))?;
    counts(&stage.gateway, "wrong_length", 7)?;
    counts(&stage.gateway, "submitted_unknown", 1)?;
    let own = stage.gateway.dump("own_addresses")?.to_string();
    ensure!(own.contains("\"octets\"") && own.contains("192,0,2,1]"), "this host's address is not among {own}");
    Ok(())
}

#[test]
fn pinned_maps_of_another_layout_are_replaced_with_a_message() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.daemon.kill()?;
    let pins = stage.gateway.pins().display().to_string();
    stage.street.gateway.shell(&format!(
        "rm {pins}/counters; bpftool map create {pins}/counters type array key 4 value 8 entries 3 name counters"
    ))?;
    stage.daemon = stage.gateway.start()?;
    let said = stage.daemon.said();
    ensure!(said.contains("another layout: replaced, what it held is gone map=\"counters\""), "{said}");
    ensure!(said.matches("another layout").count() == 1, "the others are as they were: {said}");
    works(&stage)?;

    // The same shape, and an earlier meaning; what waits in the rings means the same.
    stage.daemon.kill()?;
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.street.gateway.shell(&format!("bpftool map update pinned {pins}/layout key 0 0 0 0 value 1 0 0 0"))?;
    stage.daemon = stage.gateway.start()?;
    for map in ["own_addresses", "counters", "blacklist", "known", "layout"] {
        ensure!(stage.daemon.said().contains(&format!("is gone map=\"{map}\"")), "{map}: {}", stage.daemon.said());
    }
    ensure!(!stage.daemon.said().contains("lane_"), "{}", stage.daemon.said());
    stage.opens(source)?;
    works(&stage)
}

#[test]
fn other_knock_ports_take_effect_at_the_next_start() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.gateway.configure(&Plan::with("port = 62201", "port = 62209"))?;
    stage.daemon = stage.gateway.start()?;
    let (before, source) = (stage.gateway.counted("other_port")?, stage.newcomer()?);
    stage.knock(&knock(OPEN), source)?;
    counts(&stage.gateway, "other_port", before + 1)?;
    stage.is_shut(source)?;
    stage.street.outside.send(&sealed(&knock(OPEN))?, source, SocketAddr::new(GATEWAY.of(true), 62209))?;
    stage.opens(source)
}

#[test]
fn several_interfaces_are_watched_and_one_that_is_taken_out_is_let_go() -> Result<()> {
    let mut stage = Stage::new()?;
    let (gateway, outside) = (&stage.street.gateway, &stage.street.outside);
    join((gateway, "side"), (outside, "wing"))?;
    for (namespace, interface, address) in [(gateway, "side", "198.51.100.1/24"), (outside, "wing", "198.51.100.2/24")]
    {
        namespace.ip(&format!("link set {interface} up"))?;
        namespace.ip(&format!("address add {address} dev {interface}"))?;
    }
    let both = Plan { ingress: "interfaces = [\"gate\", \"side\"]".to_owned(), ..Plan::default() };
    stage.gateway.configure(&both)?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    let (source, host) = ("198.51.100.2".parse()?, "198.51.100.1".parse()?);
    outside.send(&sealed(&knock(OPEN))?, source, SocketAddr::new(host, SEALED_PORT))?;
    opens_within(PATIENCE, outside, source, SocketAddr::new(host, SSH))?;

    stage.gateway.configure(&Plan::default())?;
    stage.daemon = stage.gateway.start()?;
    let said = stage.daemon.said();
    ensure!(said.contains("no longer among the interfaces interface=side"), "{said}");
    ensure!(wait_until(PATIENCE, || gateway.ip("link show side").is_ok_and(|link| !link.contains("xdp"))));
    ensure!(is_attached(&stage.street)?);
    Ok(())
}

#[test]
fn detaching_takes_filter_and_pins_away() -> Result<()> {
    let mut stage = Stage::new()?;
    ensure!(is_attached(&stage.street)?);
    stage.daemon.kill()?;
    ensure!(is_attached(&stage.street)? && stage.gateway.pins().is_dir());
    let (code, said) = outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(code == 0 && said.contains("detached from gate"), "{code}: {said}");
    ensure!(!stage.gateway.pins().exists());
    ensure!(wait_until(PATIENCE, || is_attached(&stage.street).is_ok_and(|attached| !attached)));
    let (code, said) = outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(code == 0 && said.contains("nothing was attached"), "{code}: {said}");
    stage.daemon = stage.gateway.start()?;
    works(&stage)
}

#[test]
fn taken_down_it_leaves_nothing_in_the_kernel_and_what_was_closed_is_open() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.is_shut(client(true))?;
    stage.daemon.kill()?;
    let (code, said) = outcome(stage.gateway.command()?.arg("--take-down"))?;
    ensure!(code == 0 && said.contains("detached from gate") && said.contains("firewall table"), "{code}: {said}");
    ensure!(!stage.gateway.pins().exists());
    ensure!(stage.street.gateway.shell("nft list tables")?.is_empty());
    stage.opens(client(true))?;
    let (code, said) = outcome(stage.gateway.command()?.arg("--take-down"))?;
    ensure!(code == 0 && said.contains("nothing was attached"), "{code}: {said}");
    stage.daemon = stage.gateway.start()?;
    works(&stage)
}

#[test]
fn interrupted_it_ends_at_once_and_leaves_the_filter() -> Result<()> {
    let Stage { daemon, gateway: _gateway, street, .. } = Stage::new()?;
    daemon.signal(Signal::INT)?;
    let start = Instant::now();
    let (status, said) = daemon.end()?;
    ensure!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    ensure!(status.code() == Some(0), "{status}: {said}");
    ensure!(said.contains("the filter stays attached") && said.contains("SIGINT"), "{said}");
    ensure!(is_attached(&street)?);
    Ok(())
}

fn is_attached(street: &Street) -> Result<bool> {
    Ok(street.gateway.ip(&format!("link show {GATE}"))?.contains(" xdp "))
}

/// A new knock opens, and a wrong length is counted.
fn works(stage: &Stage) -> Result<()> {
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    let before = stage.gateway.counted("wrong_length")?;
    stage.send(&payload(7), source)?;
    counts(&stage.gateway, "wrong_length", before + 1)
}

fn counts(gateway: &Gateway, outcome: &str, wanted: u64) -> Result<()> {
    let counted = wait_until(PATIENCE, || gateway.counted(outcome).is_ok_and(|count| count == wanted));
    ensure!(counted, "{outcome} should be {wanted}: {}", gateway.dump("counters")?);
    Ok(())
}

/// Does `work`, and all the while, about once in a millisecond, what `prepare` has prepared; says how often.
fn meanwhile<S: FnMut() -> Result<()>>(
    prepare: impl FnOnce() -> Result<S> + Send,
    work: impl FnOnce() -> Result<()>,
) -> Result<u64> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut step = prepare()?;
            let mut steps = 0;
            while !done.load(Ordering::Relaxed) {
                step()?;
                steps += 1;
                let_pass(Duration::from_millis(1));
            }
            Ok(steps)
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let steps = sender.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked));
        worked.and(steps)
    })
}

/// A table of somebody else's that counts what the filter lets through, before siglatch's own would drop it.
fn witness(street: &Street) -> Result<()> {
    street.gateway.shell(
        "nft 'add table inet witness; \
         add chain inet witness seen { type filter hook prerouting priority -400; }; \
         add rule inet witness seen udp dport 62201 counter'",
    )?;
    Ok(())
}

fn witnessed(street: &Street) -> Result<u64> {
    let list: serde_json::Value = serde_json::from_str(&street.gateway.shell("nft -j list chain inet witness seen")?)?;
    let rules = list["nftables"].as_array().into_iter().flatten();
    let counters = rules.filter_map(|rule| rule["rule"]["expr"].as_array()).flatten();
    Ok(counters.filter_map(|expression| expression["counter"]["packets"].as_u64()).sum())
}

fn knock_port() -> SocketAddr {
    SocketAddr::new(GATEWAY.of(true), SEALED_PORT)
}
