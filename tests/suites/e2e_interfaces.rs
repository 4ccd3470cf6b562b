//! The filter's interfaces over years: late, recreated, renamed, down, several, taken by others; and its pins, removed.
#![expect(clippy::disallowed_types, reason = "what others do to the filter is done")]

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use siglatch_tests::gateway::{Gateway, OPEN, Plan, knock};
use siglatch_tests::netns::{GATE, Namespace, Street, join, run};
use siglatch_tests::process::{PATIENCE, Process, let_pass, outcome, program, wait_until};
use siglatch_tests::raw_bpf::{Answer, Mode, Program, attach, replace};
use siglatch_tests::scene::{SEALED_PORT, payload};
use siglatch_tests::stage::Stage;

/// Another interface of the gateway's.
const SIDE: &str = "side";

#[test]
fn an_interface_that_comes_late_is_waited_for() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    let said = stage.daemon.said();
    ensure!(said.contains("there is no such interface yet") && said.contains("there are: gate, lo"), "{said}");
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "waiting")])?;
    works(&stage)?;

    let lane = Lane::to(&stage.street)?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
    lane.is_filtered(&stage.gateway)?;
    works(&stage)?;
    let states: Vec<_> = stage.gateway.wait_audited("xdp", 3)?.iter().map(state).collect();
    ensure!(states == ["gate native", "side waiting", "side native"], "{states:?}");
    Ok(())
}

#[test]
fn without_any_interface_the_daemon_waits_as_well() -> Result<()> {
    let stage = Stage::with(&watching(&[SIDE]))?;
    stands(&stage.gateway, &[(SIDE, "waiting")])?;
    let lane = Lane::to(&stage.street)?;
    stands(&stage.gateway, &[(SIDE, "native")])?;
    lane.is_filtered(&stage.gateway)
}

#[test]
fn a_recreated_interface_gets_the_program_again_as_often_as_it_is() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    for round in 1..=3 {
        let lane = Lane::to(&stage.street)?;
        stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
        lane.is_filtered(&stage.gateway)?;
        ensure!(stage.gateway.pins().join("link_side").exists(), "its link is not pinned in round {round}");
        stage.street.gateway.ip("link del side")?;
        stands(&stage.gateway, &[(GATE, "native"), (SIDE, "waiting")])?;
        ensure!(!stage.gateway.pins().join("link_side").exists(), "the pin of a dead link stays");
    }
    works(&stage)
}

#[test]
fn deleted_and_created_at_once_it_is_filtered_too() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    for _ in 0..5 {
        let lane = Lane::to(&stage.street)?;
        stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
        // No time to see that it is gone.
        stage.street.gateway.shell("ip link del side; ip link add side type veth peer name back")?;
        drop(lane);
        stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
        ensure!(wait_until(PATIENCE, || has_program(&stage.street.gateway, SIDE)));
        stage.street.gateway.ip("link del side")?;
        stands(&stage.gateway, &[(GATE, "native"), (SIDE, "waiting")])?;
    }
    Ok(())
}

#[test]
fn a_flapping_link_stays_filtered() -> Result<()> {
    let stage = Stage::new()?;
    for _ in 0..5 {
        stage.street.gateway.ip("link set gate down")?;
        stage.street.gateway.ip("link set gate up")?;
    }
    // The kernel has thrown its IPv6 address away.
    ensure!(wait_until(PATIENCE, || stage
        .street
        .gateway
        .ip("link show gate")
        .is_ok_and(|link| link.contains("state UP"))));
    stands(&stage.gateway, &[(GATE, "native")])?;
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}

#[test]
fn a_renamed_interface_stays_filtered_and_is_told() -> Result<()> {
    let stage = Stage::new()?;
    for (from, to, state) in [(GATE, "wan0", "renamed"), ("wan0", GATE, "native")] {
        stage.street.gateway.ip(&format!("link set {from} down"))?;
        stage.street.gateway.ip(&format!("link set {from} name {to}"))?;
        stage.street.gateway.ip(&format!("link set {to} up"))?;
        stands(&stage.gateway, &[(GATE, state)])?;
        ensure!(has_program(&stage.street.gateway, to));
        let source = stage.newcomer()?;
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
    }
    ensure!(stage.daemon.said().contains("another name now"), "{}", stage.daemon.said());
    Ok(())
}

#[test]
fn a_program_that_somebody_detaches_comes_back() -> Result<()> {
    let stage = Stage::new()?;
    for already in 1..=2 {
        detach_by_force(&stage.gateway, GATE)?;
        let again = |log: &str| log.matches("again=true").count() == already;
        stage.daemon.wait_until("the program attached again", again)?;
        stands(&stage.gateway, &[(GATE, "native")])?;
        ensure!(has_program(&stage.street.gateway, GATE));
        let source = stage.newcomer()?;
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
    }
    // Its pin is the new link's: the filter outlives the daemon as ever.
    let Stage { mut daemon, gateway, street, .. } = stage;
    daemon.kill()?;
    ensure!(has_program(&street.gateway, GATE));
    let daemon = gateway.start()?;
    ensure!(!daemon.said().contains("another XDP program"), "{}", daemon.said());
    Ok(())
}

#[test]
fn a_program_that_somebody_puts_into_the_link_goes_again() -> Result<()> {
    let stage = Stage::new()?;
    let foreign = Program::empty(Answer::Drop)?;
    replace(foreign.as_fd(), &stage.gateway.pins().join(format!("link_{GATE}")))?;
    stage.daemon.wait_for("another XDP program had been put into our link")?;
    stands(&stage.gateway, &[(GATE, "native")])?;
    works(&stage)
}

#[test]
fn another_program_in_its_place_is_told_and_its_place_taken_when_it_goes() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    let _lane = Lane::to(&stage.street)?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
    stage.street.gateway.ip("link del side")?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "waiting")])?;

    // Somebody is faster: under another name, where nobody looks.
    stage.street.gateway.ip("link add quick type veth peer name back")?;
    let foreign = Program::empty(Answer::Pass)?;
    let theirs = attach(foreign.as_fd(), &stage.street.gateway, "quick", Mode::Native)?;
    stage.street.gateway.ip("link set quick name side")?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "occupied")])?;
    stage.daemon.wait_for("another XDP program is attached")?;
    works(&stage)?;
    drop(theirs);
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])
}

#[test]
fn what_detach_takes_down_stays_down_until_the_next_start() -> Result<()> {
    let mut stage = Stage::new()?;
    let (code, said) = outcome(stage.gateway.command()?.arg("--detach"))?;
    ensure!(code == 0 && said.contains("detached from gate"), "{code}: {said}");
    ensure!(!has_program(&stage.street.gateway, GATE));
    stands(&stage.gateway, &[(GATE, "taken_down")])?;
    stage.daemon.wait_for("taken down on purpose")?;
    // Longer than the time between two looks.
    let_pass(Duration::from_secs(6));
    ensure!(!has_program(&stage.street.gateway, GATE) && !stage.gateway.pins().exists());
    stage.daemon = stage.gateway.start()?;
    works(&stage)
}

#[test]
fn an_interface_that_a_reload_drops_loses_the_program_whoever_else_holds_its_link() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    let _lane = Lane::to(&stage.street)?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
    let pins = stage.gateway.pins();
    run(Command::new("bpftool").args(["link", "pin", "pinned"]).arg(pins.join("link_side")).arg(pins.join("held")))?;
    stage.gateway.configure(&watching(&[GATE]))?;
    stage.gateway.ctl(&["reload"])?;
    stands(&stage.gateway, &[(GATE, "native")])?;
    ensure!(wait_until(PATIENCE, || !has_program(&stage.street.gateway, SIDE)), "it is still attached to {SIDE}");
    works(&stage)
}

#[test]
fn what_a_reload_cannot_do_at_its_end_is_told_and_the_rest_is_done() -> Result<()> {
    let stage = Stage::with(&watching(&[GATE, SIDE]))?;
    let _lane = Lane::to(&stage.street)?;
    stands(&stage.gateway, &[(GATE, "native"), (SIDE, "native")])?;
    // What cannot be removed as a file is.
    let pin = stage.gateway.pins().join("link_side");
    std::fs::remove_file(&pin)?;
    std::fs::create_dir(&pin)?;
    stage.gateway.configure(&watching(&[GATE, "later"]))?;
    let mut reload = Command::new(program("siglatchctl")?);
    let (code, said) = outcome(reload.args(["reload", "--config"]).arg(stage.gateway.config()))?;
    std::fs::remove_dir(&pin)?;
    ensure!(code == 1, "{code}: {said}");
    for part in ["the daemon goes by it now, but", "link_side", "siglatchctl status"] {
        ensure!(said.contains(part), "{part} is not in {said}");
    }
    let events = stage.gateway.wait_audited("reload", 1)?;
    ensure!(events.last().is_some_and(|event| event["result"] == "partly"), "{events:?}");
    stands(&stage.gateway, &[(GATE, "native"), ("later", "waiting")])?;
    ensure!(!has_program(&stage.street.gateway, SIDE));
    works(&stage)?;
    // It is the file that holds: there is nothing more to do.
    ensure!(stage.gateway.ctl(&["reload"])?.contains("nothing has changed"));
    Ok(())
}

#[test]
fn removed_pins_are_made_again_and_nothing_is_lost() -> Result<()> {
    let mut stage = Stage::new()?;
    works(&stage)?;
    for pin in std::fs::read_dir(stage.gateway.pins())? {
        std::fs::remove_file(pin?.path())?;
    }
    ensure!(has_program(&stage.street.gateway, GATE), "the program went with its pins");
    works(&stage)?;
    stage.gateway.ctl(&["status"])?;
    stage.daemon.wait_for("pins had been removed")?;
    ensure!(stage.gateway.counted("submitted_unknown")? > 0, "the counters are others");
    stage.daemon.kill()?;
    ensure!(has_program(&stage.street.gateway, GATE), "the link was not pinned again");
    stage.daemon = stage.gateway.start()?;
    ensure!(!stage.daemon.said().contains("another layout"), "{}", stage.daemon.said());
    works(&stage)
}

#[test]
fn without_a_file_system_for_pins_the_daemon_goes_on() -> Result<()> {
    let mut stage = Stage::new()?;
    outcome(stage.gateway.command()?.arg("--detach"))?;
    // In a mount namespace of the daemon's own, so that nobody else loses his.
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        "mount -t bpf bpf /sys/fs/bpf; exec \"$@\"",
        "sh",
    ]);
    let inner = stage.gateway.command()?;
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    stage.daemon = Process::start(&mut command)?;
    stage.daemon.wait_for(" ready ")?;
    let inside = format!("--mount=/proc/{}/ns/mnt", stage.daemon.id());
    let mount = |line: &str| run(Command::new("nsenter").args([&inside, "sh", "-ec", line])).map(drop);
    works(&stage)?;

    mount("umount -l /sys/fs/bpf; mount -t tmpfs none /sys/fs/bpf")?;
    ensure!(has_program(&stage.street.gateway, GATE), "the program went with its pins");
    works(&stage)?;
    stage.daemon.wait_for("cannot be made again")?;
    works(&stage)?;
    stage.gateway.ctl(&["status"])?;
    let states: Vec<_> = stage.gateway.wait_audited("xdp", 2)?.iter().map(state).collect();
    ensure!(states.last().is_some_and(|state| state == " pins_lost"), "{states:?}");
    Ok(())
}

/// A second cable between the gateway and somebody outside.
struct Lane {
    outside: Namespace,
}

impl Lane {
    fn to(street: &Street) -> Result<Self> {
        let outside = Namespace::new("lane")?;
        join((&street.gateway, SIDE), (&outside, "back"))?;
        for (namespace, interface, address) in
            [(&street.gateway, SIDE, "198.51.100.1/24"), (&outside, "back", "198.51.100.2/24")]
        {
            namespace.ip(&format!("link set {interface} up"))?;
            namespace.ip(&format!("address add {address} dev {interface}"))?;
        }
        Ok(Self { outside })
    }

    /// Whether junk that comes in there is counted, and so dropped.
    fn is_filtered(&self, gateway: &Gateway) -> Result<()> {
        let before = gateway.counted("wrong_length")?;
        let to = SocketAddr::new("198.51.100.1".parse()?, SEALED_PORT);
        let source: IpAddr = "198.51.100.2".parse()?;
        let arrives = || {
            // A cable that has just been laid loses some.
            let _ = self.outside.send(&payload(100), source, to);
            gateway.counted("wrong_length").is_ok_and(|count| count > before)
        };
        ensure!(wait_until(PATIENCE, arrives), "junk is not seen on the second cable");
        Ok(())
    }
}

fn watching(interfaces: &[&str]) -> Plan {
    Plan { ingress: format!("interfaces = {interfaces:?}"), ..Plan::default() }
}

/// Waits until the status says so of each interface.
fn stands(gateway: &Gateway, wanted: &[(&str, &str)]) -> Result<()> {
    let mut last = String::new();
    let stands = || {
        let Ok(status) = gateway.ctl_json(&["status"]) else { return false };
        let interfaces = status["interfaces"].as_array().cloned().unwrap_or_default();
        last = format!("{interfaces:?}");
        let seen: Vec<_> =
            interfaces.iter().filter_map(|at| Some((at["name"].as_str()?, at["mode"].as_str()?))).collect();
        seen == wanted
    };
    let came = wait_until(2 * PATIENCE, stands);
    ensure!(came, "not {wanted:?}: {last}");
    Ok(())
}

fn state(record: &serde_json::Value) -> String {
    format!("{} {}", record["interface"].as_str().unwrap_or_default(), record["state"].as_str().unwrap_or_default())
}

/// Whether a knock opens.
fn works(stage: &Stage) -> Result<()> {
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}

fn has_program(namespace: &Namespace, interface: &str) -> bool {
    namespace.ip(&format!("link show {interface}")).is_ok_and(|link| link.contains("prog/xdp"))
}

/// As `bpftool link detach` does it: not by the pin, which stays.
fn detach_by_force(gateway: &Gateway, interface: &str) -> Result<()> {
    let pin = gateway.pins().join(format!("link_{interface}"));
    run(Command::new("bpftool").args(["link", "detach", "pinned"]).arg(pin)).map(drop)
}
