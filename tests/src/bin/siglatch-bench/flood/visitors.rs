//! Honest people who knock while a flood goes on, and who of them gets in. Never floods.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use siglatch_tests::netns::Namespace;
use siglatch_tests::packet::Frame;
use siglatch_tests::probe::Probe;
use socket2::{Domain, Protocol, Socket, Type};

use crate::bed::PROTECTED;

/// Somebody who knocks once.
pub(super) struct Visitor {
    who: Who,
    source: IpAddr,
    /// The IP packet that is the knock.
    packet: Vec<u8>,
}

/// What sets visitors apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    /// Has knocked from there before.
    Known,
    /// Has never knocked from there, at a stamped port.
    Stamped,
    /// Has never knocked from there, at a sealed port.
    FirstTime,
}

/// A visitor who has knocked, and now tries the door.
struct Waiting {
    who: Who,
    probe: Probe,
    until: Instant,
}

/// How many of each kind came, and got in.
#[derive(Debug, Default)]
pub(super) struct Tally([(u32, u32); 3]);

impl Visitor {
    /// Somebody whose knock is this datagram.
    pub(super) fn new(who: Who, source: IpAddr, to: SocketAddr, datagram: &[u8]) -> Self {
        let built = Frame::udp(SocketAddr::new(source, SOURCE_PORT), to, datagram).build();
        Self { who, source, packet: built.bytes[built.ip_at..].to_vec() }
    }

    /// Knocks, out of the namespace of the calling thread, for every address that is routed there.
    fn knock(&self, socket: &Socket) -> Result<()> {
        socket.send_to(&self.packet, &SocketAddr::new(PROTECTED.ip(), 0).into()).context("a knock does not leave")?;
        Ok(())
    }
}

impl Waiting {
    fn of(visitor: &Visitor) -> Self {
        let probe = Probe::new(visitor.source, PROTECTED).every(Duration::ZERO);
        Self { who: visitor.who, probe, until: Instant::now() + PATIENCE }
    }
}

impl Who {
    /// All, in the order of [`Tally`].
    pub(super) const ALL: [Self; 3] = [Self::Known, Self::Stamped, Self::FirstTime];

    /// The name in figures.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Stamped => "stamped",
            Self::FirstTime => "first_time",
        }
    }
}

impl Tally {
    /// The share of those who came that got in; nothing if nobody came.
    pub(super) fn share(&self, who: Who) -> Option<f64> {
        let (came, got_in) = self.0[who as usize];
        (came > 0).then(|| f64::from(got_in) / f64::from(came))
    }
}

/// Lets everybody knock, one after the other at this pace, and try the door until it opens or [`PATIENCE`] is over.
pub(super) fn visit(outside: &Namespace, visitors: &[Visitor], pace: Duration) -> Result<Tally> {
    outside.within(|| {
        let socket = raw_socket()?;
        let (mut tally, mut waiting) = (Tally::default(), Vec::<Waiting>::new());
        let mut coming = visitors.iter();
        let mut due = Instant::now();
        while coming.len() > 0 || !waiting.is_empty() {
            if Instant::now() >= due
                && let Some(visitor) = coming.next()
            {
                visitor.knock(&socket)?;
                tally.0[visitor.who as usize].0 += 1;
                waiting.push(Waiting::of(visitor));
                due += pace;
            }
            let mut still = Vec::with_capacity(waiting.len());
            for mut one in waiting {
                if one.probe.opens_within(Duration::ZERO)? {
                    tally.0[one.who as usize].1 += 1;
                } else if Instant::now() < one.until {
                    still.push(one);
                }
            }
            waiting = still;
            thread::sleep(STEP);
        }
        Ok(tally)
    })?
}

/// Lets everybody knock at once, and waits for nobody.
pub(super) fn knock_all(outside: &Namespace, visitors: &[Visitor]) -> Result<()> {
    outside.within(|| {
        let socket = raw_socket()?;
        for visitor in visitors {
            visitor.knock(&socket)?;
            thread::sleep(STEP);
        }
        Ok(())
    })?
}

fn raw_socket() -> Result<Socket> {
    Ok(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?)
}

const SOURCE_PORT: u16 = 40_000;
/// How long a door may take to open.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts at all doors.
const STEP: Duration = Duration::from_millis(10);
