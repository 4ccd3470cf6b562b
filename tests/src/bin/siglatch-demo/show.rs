//! The programme: what is shown, in which order. Never checks anything itself.

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use siglatch_common::outcome::Outcome;
use siglatch_tests::netns::run as run_command;
use siglatch_tests::process::{PATIENCE, Process, wait_until};
use siglatch_tests::service::{say, talk};

use crate::commands::{AUDIT, CONFIG, Desk};
use crate::expectation::{Stamp, counters, dropped, ends_after, forged, is_answered, opens_by, refused, silence};
use crate::scan::scan;
use crate::screen::{Screen, Seen};
use crate::tap::{Content, Tap};
use crate::town::{DATABASE, Family, Host, INTERFACE, KNOCKS, NAME, SSH, Town};

/// Shows everything.
pub(crate) fn run() -> ExitCode {
    let mut screen = Screen::new();
    match play(&mut screen) {
        Ok(()) if screen.verdict() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nsiglatch-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything on the stage. The daemon goes first when it is dropped.
struct Play<'a> {
    daemon: Process,
    tap: Tap,
    desk: &'a Desk,
    town: &'a Town,
    screen: &'a mut Screen,
}

fn play(screen: &mut Screen) -> Result<()> {
    screen.title("siglatch", "a gateway, a client and a stranger, each in a network namespace of its own");
    run_command(Command::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]))?;
    let town = Town::build()?;
    let desk = Desk::new(&town)?;
    desk.name_hosts(&town)?;
    let (daemon, tap) = set_up(screen, &town, &desk)?;
    let mut play = Play { daemon, tap, desk: &desk, town: &town, screen };

    play.screen.heading("One knock");
    play.one_knock(Family::V4);
    play.screen.heading("Three steps");
    play.three_steps();
    play.screen.heading("The same over IPv6");
    play.one_knock(Family::V6);
    play.screen.heading("The daemon dies");
    play.death()?;
    play.screen.heading("A program, and who did what");
    play.program();
    play.screen.heading("What the stranger learned");
    play.secrecy()
}

/// Keys, configuration and daemon, by the commands of the manual. What fails here ends the show.
fn set_up(screen: &mut Screen, town: &Town, desk: &Desk) -> Result<(Process, Tap)> {
    let Town { gateway, client, stranger, .. } = town;
    let failed = "the stage could not be set up";
    screen.heading("Setting up");
    screen.line("before siglatch, port 22 is open to the stranger", || {
        let begin = Instant::now();
        talk(&stranger.place, stranger.address(Family::V4), town.service(SSH, Family::V4))?;
        Ok(Seen::new("connected and talked").within(begin.elapsed()))
    });
    let mut types = |line: &str, at: &Host, told: &str, seen: &str| {
        let typed = screen.line(line, || {
            let said = desk.types(line, at)?;
            ensure!(said.contains(told), "it does not say {told:?}: {said}");
            Ok(Seen::new(seen))
        });
        typed.context(failed)
    };
    types(&format!("siglatchctl init --dir gw --host {NAME}"), gateway, "server.key", "keys and a configuration")?;
    desk.add_actions()?;
    let add = format!("siglatchctl user add alice --config {CONFIG}");
    types(&add, gateway, "alice may knock", "her key, and a file to hand over")?;
    types(&format!("siglatchctl check {CONFIG}"), gateway, "", "no finding, with a sequence and a program added")?;
    types("siglatch import alice.siglatch", client, "imported gateway", "a profile on her machine")?;

    let line = format!("siglatch-user --config {CONFIG} --iface {INTERFACE}");
    let daemon = screen.line(&line, || {
        let daemon = desk.starts(&line, gateway)?;
        let said = daemon.wait_for(" ready ")?;
        let mode = if said.contains("mode=\"native\"") { "native" } else { "generic" };
        ensure!(said.contains(&format!("mode=\"{mode}\"")), "it does not say how it is attached:\n{said}");
        Ok(Seen::new(format!("XDP attached in {mode} mode")).giving(daemon))
    });
    Ok((daemon.context(failed)?, Tap::start(town, desk.folder())?))
}

impl Play<'_> {
    /// Closed, open, closed again; and open to nobody else meanwhile.
    fn one_knock(&mut self, family: Family) {
        let Self { desk, town, screen, daemon, tap, .. } = self;
        let Town { client, stranger, .. } = *town;
        let (alice, eve) = (client.address(family), stranger.address(family));
        let (ssh, knocks) = (town.service(SSH, family), town.service(KNOCKS, family));

        screen.line("port 22 is closed", || {
            silence(stranger, eve, ssh)?;
            Ok(Seen::new(silence(client, alice, ssh)?))
        });
        let line = knock_line(family, " --ttl 3s");
        let opened = screen.line(&line, || {
            let (took, at) = opens_by(|| desk.types(&line, client), client, alice, ssh)?;
            let delay = tap.knock_to_answer(client, family, town)?;
            Ok(Seen::new(opened_after(delay)).within(took).giving(at))
        });
        let connection = screen.line("the client connects and talks", || {
            let begin = Instant::now();
            let connection = talk(&client.place, alice, ssh)?;
            Ok(Seen::new("heard its own words back").within(begin.elapsed()).giving(connection))
        });
        screen.line("the stranger stays shut out", || Ok(Seen::new(silence(stranger, eve, ssh)?)));
        screen.line("the same datagram, sent again by the stranger", || {
            let copy = tap.last_knock(client, family, town)?;
            dropped(daemon, eve, Outcome::Copy, || stranger.place.send(&copy, eve, knocks))?;
            Ok(Seen::new(format!("a copy; {}", silence(stranger, eve, ssh)?)))
        });
        screen.line("forged in alice's name, with a guessed stamp", || {
            let forged = forged(desk, Stamp::Guessed)?;
            dropped(daemon, eve, Outcome::WrongStamp, || stranger.place.send(&forged, eve, knocks))?;
            Ok(Seen::new(format!("wrong stamp; {}", silence(stranger, eve, ssh)?)))
        });
        screen.line("forged in alice's name, stamped with the gate key", || {
            let forged = forged(desk, Stamp::Valid)?;
            refused(daemon, eve, "unauthentic", || stranger.place.send(&forged, eve, knocks))?;
            Ok(Seen::new(format!("unauthentic; {}", silence(stranger, eve, ssh)?)))
        });
        screen.line("the grant expires by itself", || {
            let lasted = ends_after(TTL, opened.context("there was none")?, client, alice, ssh)?;
            say(&mut connection.context("there was no connection")?, b"still here")?;
            Ok(Seen::new("closed; open connections go on").within(lasted))
        });
    }

    fn three_steps(&mut self) {
        let Self { desk, town, screen, daemon, tap } = self;
        let (client, family) = (&town.client, Family::V4);
        let (alice, database) = (client.address(family), town.service(DATABASE, family));
        let wrong = "siglatch sequence gateway --steps db-2,db-1,db-3 -4";
        screen.line(wrong, || {
            refused(daemon, alice, "out_of_order", || desk.types(wrong, client).map(drop))?;
            Ok(Seen::new(format!("out of turn; {}", silence(client, alice, database)?)))
        });
        let right = "siglatch sequence gateway db -4";
        screen.line(right, || {
            let (took, _) = opens_by(|| desk.types(right, client), client, alice, database)?;
            Ok(Seen::new(opened_after(tap.knock_to_answer(client, family, town)?)).within(took))
        });
        screen.line("the client connects and talks", || {
            let begin = Instant::now();
            talk(&client.place, alice, database)?;
            Ok(Seen::new("heard its own words back").within(begin.elapsed()))
        });
    }

    /// The kernel keeps what was promised when nobody is there to see to it.
    fn death(&mut self) -> Result<()> {
        let (desk, town, family) = (self.desk, self.town, Family::V4);
        let Town { gateway, client, stranger, .. } = town;
        let (alice, eve, ssh) = (client.address(family), stranger.address(family), town.service(SSH, family));
        let tap = &self.tap;
        let knock = knock_line(family, " --ttl 3s");
        let opened = self.screen.line(&knock, || {
            let (took, at) = opens_by(|| desk.types(&knock, client), client, alice, ssh)?;
            Ok(Seen::new(opened_after(tap.knock_to_answer(client, family, town)?)).within(took).giving(at))
        });
        let copy = tap.last_knock(client, family, town)?;
        let daemon = &mut self.daemon;
        self.screen.line("kill -9 the daemon", || {
            let begin = Instant::now();
            daemon.kill()?;
            let took = begin.elapsed();
            talk(&client.place, alice, ssh).context("the client is shut out")?;
            silence(stranger, eve, ssh)?;
            Ok(Seen::new("client in, stranger out").within(took))
        });
        self.screen.line("the grant expires without it", || {
            let lasted = ends_after(TTL, opened.context("there was none")?, client, alice, ssh)?;
            Ok(Seen::new("closed").within(lasted))
        });
        let rotate = format!("siglatchctl gate-key rotate --config {CONFIG}");
        self.screen.line(&rotate, || {
            let said = desk.types(&rotate, gateway)?;
            ensure!(said.contains("Made gate key 1"), "it makes none: {said}");
            Ok(Seen::new("a second key; alice's counts on"))
        });
        let line = format!("siglatch-user --config {CONFIG} --iface {INTERFACE}");
        let again = self.screen.line(&line, || {
            let daemon = desk.starts(&line, gateway)?;
            daemon.wait_for(" ready ")?;
            Ok(Seen::new("ready again").giving(daemon))
        });
        self.daemon = again.context("the daemon did not start again")?;
        let daemon = &self.daemon;
        self.screen.line("the knock from before, sent again", || {
            let knocks = town.service(KNOCKS, family);
            refused(daemon, alice, "replay", || client.place.send(&copy, alice, knocks))?;
            Ok(Seen::new(format!("a replay; {}", silence(client, alice, ssh)?)))
        });
        let fresh = knock_line(family, "");
        self.screen.line(&fresh, || {
            let (took, _) = opens_by(|| desk.types(&fresh, client), client, alice, ssh)?;
            Ok(Seen::new(opened_after(tap.knock_to_answer(client, family, town)?)).within(took))
        });
        Ok(())
    }

    /// A program that a knock starts, and the log that says so.
    fn program(&mut self) {
        let Self { desk, town, screen, .. } = self;
        let Town { gateway, client, .. } = *town;
        let knock = "siglatch knock gateway hello -4";
        screen.line(knock, || {
            let begin = Instant::now();
            desk.types(knock, client)?;
            let search = format!("siglatchctl audit --event exec_ended --user alice --json --config {CONFIG}");
            let said = || desk.types(&search, gateway).unwrap_or_default();
            let greeting = "\"output\":\"hello alice, I am nobody\\\\n\"";
            ensure!(wait_until(PATIENCE, || said().contains(greeting)), "no program has said hello: {}", said());
            Ok(Seen::new("\"hello alice, I am nobody\"").within(begin.elapsed()))
        });
        let verify = format!("siglatchctl audit verify --config {CONFIG}");
        screen.line(&verify, || {
            let said = desk.types(&verify, gateway)?;
            ensure!(said.contains("as it was written"), "it does not say so: {said}");
            Ok(Seen::new("as it was written"))
        });
        screen.line("the same, with one letter changed", || {
            desk.tampers(AUDIT, "tampered.jsonl")?;
            let found = desk.types("siglatchctl audit verify --file tampered.jsonl", gateway);
            ensure!(found.is_err(), "nothing is found: {}", found.unwrap_or_default());
            Ok(Seen::new("found"))
        });
    }

    /// The scan, the capture, and what an operator sees of it all.
    fn secrecy(self) -> Result<()> {
        let Self { daemon, tap, desk, town, screen } = self;
        let Town { gateway, client, stranger, .. } = town;
        screen.line("a host without a gateway answers the stranger", || {
            let begin = Instant::now();
            let to = SocketAddr::new(client.address(Family::V4), SSH);
            is_answered(stranger, stranger.address(Family::V4), to)?;
            Ok(Seen::new("\"connection refused\"").within(begin.elapsed()))
        });
        for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            screen.line(&format!("the stranger scans every port over {name}"), || {
                let before = frames_judged()?;
                let sent = scan(town, stranger, family)?;
                let arrived = frames_judged()?.saturating_sub(before);
                ensure!(arrived >= sent, "only {arrived} of {sent} packets have reached the gateway");
                Ok(Seen::new(format!("{sent} packets arrived")))
            });
        }
        screen
            .line("the gateway never sent the stranger one byte", || {
                let frames = tap.finish(town)?;
                let (mut to_client, mut neighbours, mut others) = (0, 0, Vec::new());
                for frame in frames.into_iter().filter(|frame| frame.from_gateway) {
                    match frame.content {
                        Content::Neighbours => neighbours += 1,
                        Content::Ip { to, .. } | Content::Welcome { to } if client.owns(to) => to_client += 1,
                        other @ (Content::Ip { .. } | Content::Welcome { .. } | Content::Unknown) => others.push(other),
                    }
                }
                ensure!(others.is_empty(), "{} other frames, the first: {:?}", others.len(), others[0]);
                ensure!(to_client > 0, "the capture saw not even what the client was sent");
                Ok(Seen::new(format!("{to_client} frames, all to the client")).giving(neighbours))
            })
            .inspect(|neighbours| {
                screen.remark(&format!(
                    "not counted: {neighbours} ARP and neighbour discovery frames between the gateway and its router"
                ));
            });
        for command in ["nft list set inet siglatch grants_v4", "bpftool map dump pinned /sys/fs/bpf/siglatch/counters"]
        {
            screen.transcript(command, &desk.types(command, gateway)?);
        }
        if !screen.all_so() {
            screen.transcript("the daemon's log", &daemon.said());
        }
        Ok(())
    }
}

fn knock_line(family: Family, more: &str) -> String {
    format!("siglatch knock gateway ssh {}{more}", family.option())
}

fn opened_after(delay: Duration) -> String {
    format!("open {:.1} ms after the datagram", delay.as_secs_f64() * 1e3)
}

/// Frames that the filter has counted, whatever became of them.
fn frames_judged() -> Result<u64> {
    Ok(counters()?.values().sum())
}

/// What the knocks ask for.
const TTL: Duration = Duration::from_secs(3);
