//! The daemon as a service: what it tells the service manager, signs of life that end when a thread hangs, sockets that it
//! is born with.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the service manager's socket, and what it begins, is what is tested here"
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use siglatch_tests::gateway::{Gateway, OPEN, Plan, SSH, clear, knock, sealed};
use siglatch_tests::held_thread::HeldThread;
use siglatch_tests::netns::Street;
use siglatch_tests::process::{PATIENCE, Process, outcome, program};
use siglatch_tests::scene::{CLEAR_PORT, GATEWAY, SEALED_PORT};
use siglatch_tests::service::{Echo, opens_within};
use siglatch_tests::stage::client;

#[test]
fn the_service_manager_hears_that_it_is_ready_and_that_it_stops() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    let manager = Manager::new(&gateway)?;
    let daemon = manager.start(&gateway, None)?;
    let ready = manager.next()?;
    ensure!(ready.starts_with("READY=1\nSTATUS=XDP on gate ("), "{ready}");
    ensure!(ready.ends_with("; ports 62201 sealed, 62205 clear; 2 users"), "{ready}");
    daemon.wait_for(" ready ")?;
    daemon.signal(Signal::TERM)?;
    // Its line may be told anew before.
    let stopping = manager.wait_for("STOPPING=1")?;
    ensure!(stopping == "STOPPING=1\nSTATUS=stopping", "{stopping}");
    let (status, said) = daemon.end()?;
    ensure!(status.success(), "{said}");
    ensure!(manager.is_silent(), "it was told more");
    Ok(())
}

#[test]
fn a_reload_is_told_and_that_it_is_over() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    let manager = Manager::new(&gateway)?;
    let daemon = manager.start(&gateway, None)?;
    manager.wait_for("READY=1")?;
    gateway.configure(&Plan { users: vec!["alice"], ..Plan::default() })?;
    daemon.signal(Signal::HUP)?;
    let reloading = manager.wait_for("RELOADING=1")?;
    ensure!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    let ready = manager.wait_for("READY=1")?;
    ensure!(ready.ends_with("; 1 users"), "{ready}");
    Ok(())
}

#[test]
fn signs_of_life_come_as_long_as_judge_and_warden_go_round_and_end_when_one_hangs() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    let manager = Manager::new(&gateway)?;
    let daemon = manager.start(&gateway, Some(WATCHDOG))?;
    manager.wait_for("READY=1")?;
    for thread in ["judge", "warden"] {
        // Nobody knocks meanwhile: both go round all the same.
        let began = Instant::now();
        for _ in 0..8 {
            manager.wait_for("WATCHDOG=1")?;
        }
        ensure!(began.elapsed() >= WATCHDOG, "signs of life come all at once");
        let held = HeldThread::hold(daemon.id(), thread)?;
        daemon.wait_until(&format!("{thread} hangs"), |log| {
            log.lines().any(|line| line.contains("a thread hangs") && line.contains(&format!("thread=\"{thread}\"")))
        })?;
        manager.forget();
        ensure!(!manager.hears("WATCHDOG=1", 2 * WATCHDOG), "a watchdog was fed while {thread} hung");
        drop(held);
        manager.wait_for("WATCHDOG=1")?;
    }
    Ok(())
}

#[test]
fn the_line_says_so_when_no_program_can_be_started_any_more() -> Result<()> {
    let rule = "[action.true]\nid = 40\nusers = \"all\"\nexec = [\"/bin/true\"]\nrun_as = \"nobody\"\n";
    let (_street, gateway) = scene(&Plan::plus(rule))?;
    let manager = Manager::new(&gateway)?;
    let daemon = manager.start(&gateway, None)?;
    let ready = manager.wait_for("READY=1")?;
    ensure!(!ready.contains("PROGRAMS"), "{ready}");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.id()))?;
    for child in children.split_whitespace() {
        if fs::read_to_string(format!("/proc/{child}/comm"))?.trim() == "siglatch-keeper" {
            kill_process(Pid::from_raw(child.parse()?).context("no pid")?, Signal::KILL)?;
        }
    }
    let line = manager.wait_for("PROGRAMS CANNOT BE STARTED")?;
    ensure!(
        line.starts_with("STATUS=XDP on gate (") && line.ends_with("; PROGRAMS CANNOT BE STARTED: restart it"),
        "{line}"
    );
    Ok(())
}

#[test]
fn without_a_service_manager_nothing_is_told_and_a_socket_that_is_gone_stops_nobody() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    drop(gateway.start()?);
    let daemon = Process::start(gateway.command()?.env("NOTIFY_SOCKET", gateway.file("nobody")))?;
    daemon.wait_for("the service manager cannot be told that this is ready")?;
    daemon.wait_for(" ready ")?;
    Ok(())
}

#[test]
fn the_first_knock_begins_the_daemon_and_is_not_lost() -> Result<()> {
    let (street, gateway) = scene(&socket())?;
    let _service = Echo::start(&street.gateway, SSH)?;
    // The table of an earlier run closes the service.
    drop(gateway.start()?);
    for (v4, port) in [(true, SEALED_PORT), (false, SEALED_PORT), (true, CLEAR_PORT)] {
        let daemon = activated(&street, &gateway, &[SEALED_PORT, CLEAR_PORT])?;
        let knock = knock(OPEN);
        let datagram = if port == CLEAR_PORT { clear(&knock)? } else { sealed(&knock)? };
        let source = client(v4);
        street.outside.send(&datagram, source, (GATEWAY.of(v4), port).into())?;
        daemon.wait_for(" ready ")?;
        daemon.wait_for(&format!("grant opened source={source}"))?;
        opens_within(PATIENCE, &street.outside, source, (GATEWAY.of(v4), SSH).into())?;
        drop(daemon);
    }
    Ok(())
}

#[test]
fn ports_that_were_not_passed_are_bound_as_ever() -> Result<()> {
    let (street, gateway) = scene(&socket())?;
    let daemon = activated(&street, &gateway, &[SEALED_PORT])?;
    street.outside.send(&sealed(&knock(OPEN))?, client(true), (GATEWAY.of(true), SEALED_PORT).into())?;
    daemon.wait_for(" ready ")?;
    street.outside.send(&clear(&knock(OPEN))?, client(false), (GATEWAY.of(false), CLEAR_PORT).into())?;
    daemon.wait_for(&format!("grant opened source={}", client(false)))?;
    Ok(())
}

#[test]
fn sockets_of_no_use_are_told_with_their_cure() -> Result<()> {
    let (street, gateway) = scene(&socket())?;
    let fails = |port: u16, words: &[&str]| {
        let daemon = activated(&street, &gateway, &[port])?;
        street.outside.send(b"wake up", client(true), (GATEWAY.of(true), port).into())?;
        let (status, said) = daemon.end()?;
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        ensure!(status.code() == Some(78) && missing.is_empty(), "{status}; {missing:?} missing in:\n{said}");
        Ok(())
    };
    fails(9999, &["9999 is no knock port", "ListenDatagram=", "[[port]] with port = 9999"])?;
    gateway.configure(&Plan::default())?;
    fails(SEALED_PORT, &["the XDP program takes the knocks", "disable siglatch.socket", "mode = \"socket\""])
}

#[test]
fn exit_statuses_tell_what_a_restart_can_mend() -> Result<()> {
    let (_street, gateway) = scene(&socket())?;
    let (code, said) = outcome(gateway.command()?.arg("--no-such-option"))?;
    ensure!(code == 64 && said.contains("unexpected argument"), "{code} {said}");
    let (code, said) = outcome(Command::new(program("siglatchctl")?).arg("statsu"))?;
    ensure!(code == 64, "{code} {said}");
    let (code, said) = outcome(Command::new(program("siglatch")?).arg("knokc"))?;
    ensure!(code == 64, "{code} {said}");
    for name in ["siglatch-user", "siglatchctl", "siglatch"] {
        let (code, said) = outcome(Command::new(program(name)?).arg("--help"))?;
        ensure!(code == 0 && ["64 ", "77 ", "78 "].iter().all(|status| said.contains(status)), "{name}: {code} {said}");
    }
    // Somebody else may not even read the configuration.
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--clear-groups", "--"]).arg(program("siglatch-user")?);
    let (code, said) = outcome(other.arg("--config").arg(gateway.config()))?;
    ensure!(code == 77, "{code} {said}");
    fs::write(gateway.config(), "nonsense = 1\n")?;
    let (code, said) = outcome(&mut gateway.command()?)?;
    ensure!(code == 78 && said.contains("nonsense"), "{code} {said}");
    Ok(())
}

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(gateway: &Gateway) -> Result<Self> {
        let path = gateway.file("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    fn start(&self, gateway: &Gateway, watchdog: Option<Duration>) -> Result<Process> {
        let mut command = gateway.command()?;
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(interval) = watchdog {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
        Process::start(&mut command)
    }

    fn next_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).ok()?;
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn next(&self) -> Result<String> {
        match self.next_within(PATIENCE) {
            Some(letter) => Ok(letter),
            None => bail!("the service manager hears nothing"),
        }
    }

    /// The next letter that says this.
    fn wait_for(&self, what: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let letter = self.next()?;
            if letter.contains(what) {
                return Ok(letter);
            }
        }
        bail!("the service manager does not hear {what}")
    }

    /// Reads what has come, so that only what comes later counts.
    fn forget(&self) {
        while self.next_within(Duration::ZERO).is_some() {}
    }

    fn hears(&self, what: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            if self.next_within(left).is_some_and(|letter| letter.contains(what)) {
                return true;
            }
        }
        false
    }

    fn is_silent(&self) -> bool {
        self.next_within(Duration::ZERO).is_none()
    }
}

fn scene(plan: &Plan) -> Result<(Street, Gateway)> {
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, plan)?;
    Ok((street, gateway))
}

fn socket() -> Plan {
    Plan { ingress: "mode = \"socket\"".to_owned(), ..Plan::default() }
}

/// A daemon that systemd begins when a datagram comes to one of these ports, for which it holds sockets of both families.
fn activated(street: &Street, gateway: &Gateway, ports: &[u16]) -> Result<Process> {
    let daemon = gateway.command()?;
    // What comes behind the namespace is the daemon's own command.
    let own: Vec<_> = daemon.get_args().skip_while(|argument| *argument != "--").skip(1).collect();
    let mut command = street.gateway.command("systemd-socket-activate");
    command.args(["--datagram", "--setenv=NO_COLOR=1"]);
    command.args(ports.iter().map(|port| format!("--listen={port}"))).args(own);
    let process = Process::start(&mut command)?;
    for port in ports {
        process.wait_for(&format!("Listening on [::]:{port} "))?;
    }
    Ok(process)
}

const WATCHDOG: Duration = Duration::from_secs(1);
