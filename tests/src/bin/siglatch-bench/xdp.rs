//! What a frame costs in XDP, for each outcome, beside empty programs timed in turns with it. Never attaches anything.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, ensure};
use siglatch_common::layout::{PortRule, PortTable};
use siglatch_common::outcome::{Fate, Outcome};
use siglatch_common::wire::Wire;
use siglatch_tests::bpf::Subject;
use siglatch_tests::packet::{Lie, Transport};
use siglatch_tests::scene::{BEHIND, GATEWAY, PORTS, SEALED_PORT, Shape, payload};

use crate::figures::{Figure, Target, median};
use siglatch_tests::raw_bpf::{Answer, Program, time};

/// A frame to time, and what must become of it.
struct Load {
    name: String,
    frame: Vec<u8>,
    outcome: Outcome,
    nanos: Vec<f64>,
    floors: Vec<f64>,
    /// Whether all ports that there is room for are in use.
    crowded: bool,
}

/// Times every outcome.
pub(crate) fn figures(rounds: u32) -> Result<Vec<Figure>> {
    let mut subject = Subject::load(&PORTS, &GATEWAY.addresses())?;
    let mut full = Subject::load(&PORTS, &GATEWAY.addresses())?;
    let crowded = Subject::load(&every_port(), &GATEWAY.addresses())?;
    let (drop, pass) = (Program::empty(Answer::Drop)?, Program::empty(Answer::Pass)?);
    let mut loads = loads();
    for load in &loads {
        if load.outcome != Outcome::RingFullUnknown && !load.crowded {
            let judged = subject.judge(&load.frame).with_context(|| load.name.clone())?;
            ensure!(judged.outcome == load.outcome, "{} became {}", load.name, judged.outcome.label());
        }
    }
    for _ in 0..rounds {
        for load in &mut loads {
            // In turns, so that whatever else the machine does slows both.
            let floor = match load.outcome.fate() {
                Fate::Drop => drop.as_fd(),
                Fate::Pass => pass.as_fd(),
            };
            load.floors.push(one(floor, &load.frame, load.outcome)?);
            load.nanos.push(match load.outcome {
                Outcome::SubmittedUnknown => submit(&mut subject, &load.frame)?,
                Outcome::RingFullUnknown => one(full.descriptor()?, &load.frame, load.outcome)?,
                _ if load.crowded => one(crowded.descriptor()?, &load.frame, load.outcome)?,
                _ => one(subject.descriptor()?, &load.frame, load.outcome)?,
            });
        }
    }
    ensure!(full.take()?.is_some(), "the ring was not full");
    Ok(with_other_traffic(loads.into_iter().map(Load::figure).collect()))
}

fn one(program: BorrowedFd<'_>, frame: &[u8], outcome: Outcome) -> Result<f64> {
    let timed = time(program, frame, REPEAT)?;
    let expected = match outcome.fate() {
        Fate::Drop => Answer::Drop,
        Fate::Pass => Answer::Pass,
    };
    ensure!(timed.verdict == expected as u32, "{} answered {}", outcome.label(), timed.verdict);
    Ok(f64::from(timed.nanos))
}

/// The ring holds so many at a time; it is emptied between the calls, which is not timed.
fn submit(subject: &mut Subject, frame: &[u8]) -> Result<f64> {
    let mut nanos = 0.0;
    for _ in 0..RING_FILLS {
        nanos += f64::from(time(subject.descriptor()?, frame, RING_HOLDS)?.nanos);
        let mut taken = 0;
        while subject.take()?.is_some() {
            taken += 1;
        }
        ensure!(taken == RING_HOLDS, "only {taken} of {RING_HOLDS} reached the ring");
    }
    Ok(nanos / f64::from(RING_FILLS))
}

impl Load {
    fn figure(self) -> Figure {
        let target = match self.outcome {
            Outcome::WrongLength => Some(Target::RatioAtMost(1.8)),
            _ => None,
        };
        Figure { name: self.name, value: median(self.nanos), unit: "ns/packet", floor: median(self.floors), target }
    }
}

/// Adds the middle one of the frames that are none of the filter's business, by their cost against the empty program:
/// each of them has a figure of its own.
fn with_other_traffic(mut figures: Vec<Figure>) -> Vec<Figure> {
    let mut passing: Vec<_> = figures.iter().filter(|figure| OTHER_TRAFFIC.contains(&&figure.name[..])).collect();
    passing.sort_by(|a, b| a.value.total_cmp(&b.value));
    let middle = passing.get(passing.len() / 2).map(|figure| (*figure).clone());
    figures.extend(middle.map(|figure| Figure {
        name: "xdp.other_traffic".into(),
        target: Some(Target::RatioAtMost(1.3)),
        ..figure
    }));
    figures
}

fn loads() -> Vec<Load> {
    let mut loads: Vec<Load> = Shape::plain().iter().flat_map(loads_of).collect();
    let [shape, _] = Shape::plain();
    let crowded = [(Outcome::OtherPort, "other_port", 443), (Outcome::WrongLength, "wrong_length", LAST_PORT)];
    loads.extend(crowded.map(|(outcome, name, port)| Load {
        name: format!("xdp.{name}_16_ports"),
        frame: shape.to_gateway(port, &payload(1200)).bytes(),
        outcome,
        nanos: Vec::new(),
        floors: Vec::new(),
        crowded: true,
    }));
    loads
}

fn every_port() -> Vec<PortRule> {
    (0..PortTable::CAPACITY as u16).rev().map(|n| PortRule::new(LAST_PORT + n, Wire::Sealed)).collect()
}

fn loads_of(shape: &Shape) -> Vec<Load> {
    let v4 = shape.is_v4();
    let knock = || shape.to_gateway(SEALED_PORT, &payload(256));
    let ip_at = knock().build().ip_at;
    let nobody = (if v4 { "127.0.0.1:4000" } else { "[::1]:4000" }).parse().expect("an address");
    let behind = std::net::SocketAddr::new(BEHIND.of(v4), SEALED_PORT);
    [
        (Outcome::NotIp, "not_ip", knock().lying(Lie::EtherType(0x0806)).bytes()),
        (Outcome::NotUdp, "not_udp", knock().carrying(Transport::Tcp(0x10)).bytes()),
        (Outcome::CutShort, "cut_short", knock().bytes()[..ip_at + 18].to_vec()),
        (Outcome::OtherPort, "other_port", shape.to_gateway(443, &payload(1200)).bytes()),
        (Outcome::Routed, "routed", knock().to(behind).bytes()),
        (Outcome::Fragment, "fragment", knock().piece(0, true).bytes()),
        (Outcome::WrongLength, "wrong_length", shape.to_gateway(SEALED_PORT, &payload(255)).bytes()),
        (Outcome::ImpossibleSource, "impossible_source", knock().from(nobody).bytes()),
        (Outcome::RingFullUnknown, "ring_full", knock().bytes()),
        (Outcome::SubmittedUnknown, "submit", knock().bytes()),
    ]
    .map(|(outcome, name, frame)| {
        let family = if v4 { "" } else { "_v6" };
        Load {
            name: format!("xdp.{name}{family}"),
            frame,
            outcome,
            nanos: Vec::new(),
            floors: Vec::new(),
            crowded: false,
        }
    })
    .into()
}

/// Everything a gateway carries that is not for a knock port of its own.
const OTHER_TRAFFIC: [&str; 5] = ["xdp.not_ip", "xdp.not_udp", "xdp.not_udp_v6", "xdp.other_port", "xdp.other_port_v6"];

/// Packets a call; a call costs some 20 ms besides them.
const REPEAT: u32 = 200_000;
/// 256 KiB over a candidate and its header of 8 bytes are 862.
const RING_HOLDS: u32 = 800;
const RING_FILLS: u32 = 3;
/// The last one in the list, when all are in use.
const LAST_PORT: u16 = 61_000;
