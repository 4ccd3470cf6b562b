//! A capture on the gateway's cable, by tcpdump: everything that leaves the gateway, and every knock on its way there.
//! Never touches a packet.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use siglatch_tests::process::{PATIENCE, Process, wait_until};

use crate::town::{Family, Host, KNOCKS, TO_GATEWAY, Town};

/// A capture under way.
pub(crate) struct Tap {
    tcpdump: Process,
    file: PathBuf,
}

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) content: Content,
    /// By the router's Ethernet address, which is the sender's or the receiver's.
    pub(crate) from_gateway: bool,
    /// Since some moment before the first.
    at: Duration,
}

/// What is in it, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// ARP, neighbour discovery and group membership: how a host finds its neighbours.
    Neighbours,
    /// An IP packet.
    Ip { from: IpAddr, to: IpAddr, udp: Option<Datagram> },
    /// A TCP segment that says yes to a connection.
    Welcome { to: IpAddr },
    /// Anything else.
    Unknown,
}

/// A UDP datagram.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) to_port: u16,
    pub(crate) payload: Vec<u8>,
}

impl Tap {
    /// Begins, and returns when tcpdump listens.
    pub(crate) fn start(town: &Town, folder: &Path) -> Result<Self> {
        let file = folder.join("gateway.pcap");
        // What the stranger sends is known; only what he is sent matters.
        let Host { addresses, .. } = &town.stranger;
        let filter = format!("not src host {} and not src host {}", addresses.v4, addresses.v6);
        let mut command = town.router.command("tcpdump");
        command.args(["-i", TO_GATEWAY, "-n", "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-w"]).arg(&file);
        let tcpdump = Process::start(command.arg(filter))?;
        tcpdump.wait_for("listening on")?;
        Ok(Self { tcpdump, file })
    }

    /// The frames so far.
    pub(crate) fn frames(&self, town: &Town) -> Result<Vec<Frame>> {
        let router = town.router.ip(&format!("-o link show {TO_GATEWAY}"))?;
        let router =
            router.split("link/ether ").nth(1).and_then(|rest| rest.get(..17)).context("no Ethernet address")?;
        let router: Vec<u8> = router.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        let bytes = fs::read(&self.file)?;
        Ok(records(&bytes).map(|(at, frame)| Frame::read(frame, &router, at)).collect())
    }

    /// The last knock that somebody has sent, as anybody on its way could have copied it.
    pub(crate) fn last_knock(&self, by: &Host, family: Family, town: &Town) -> Result<Vec<u8>> {
        let mut knock = None;
        wait_until(PATIENCE, || {
            let frames = self.frames(town).unwrap_or_default();
            knock = frames.into_iter().rev().find(|frame| frame.is_knock(by.address(family)));
            knock.is_some()
        });
        match knock.context("tcpdump saw no knock")?.content {
            Content::Ip { udp: Some(udp), .. } => Ok(udp.payload),
            other => bail!("no knock, but {other:?}"),
        }
    }

    /// From the last knock that somebody has sent to the first connection that the gateway took from him then.
    pub(crate) fn knock_to_answer(&self, by: &Host, family: Family, town: &Town) -> Result<Duration> {
        let address = by.address(family);
        let mut delay = None;
        wait_until(PATIENCE, || {
            let frames = self.frames(town).unwrap_or_default();
            let knock = frames.iter().rposition(|frame| frame.is_knock(address));
            let since = knock.and_then(|knock| frames.get(knock..)).unwrap_or_default();
            let welcome = since.iter().find(|frame| frame.is_welcome(address));
            delay = since.first().zip(welcome).map(|(knock, welcome)| welcome.at.saturating_sub(knock.at));
            delay.is_some()
        });
        let delay = delay.context("tcpdump saw no connection after the knock")?;
        ensure!(delay < MILLISECONDS, "open only {} ms after the datagram", delay.as_millis());
        Ok(delay)
    }

    /// Waits until everything is written down, and ends.
    pub(crate) fn finish(self, town: &Town) -> Result<Vec<Frame>> {
        let gateway = SocketAddr::new(town.gateway.address(Family::V4), MARKER);
        town.client.place.send(b"the end", town.client.address(Family::V4), gateway)?;
        let is_marker = |frame: &Frame| match &frame.content {
            Content::Ip { udp: Some(udp), .. } => udp.to_port == MARKER,
            Content::Ip { .. } | Content::Welcome { .. } | Content::Neighbours | Content::Unknown => false,
        };
        let complete = wait_until(PATIENCE, || self.frames(town).is_ok_and(|frames| frames.iter().any(is_marker)));
        ensure!(complete, "tcpdump does not write down what it sees");
        std::thread::sleep(Duration::from_millis(50));
        let frames = self.frames(town)?;
        self.tcpdump.signal(Signal::INT)?;
        let (_, said) = self.tcpdump.end()?;
        ensure!(said.contains("\n0 packets dropped by kernel"), "tcpdump has missed packets:\n{said}");
        Ok(frames)
    }
}

impl Frame {
    fn read(bytes: &[u8], router: &[u8], at: Duration) -> Self {
        let content = Content::read(bytes).unwrap_or(Content::Unknown);
        Self { content, from_gateway: bytes.get(6..12) != Some(router), at }
    }

    fn is_knock(&self, by: IpAddr) -> bool {
        match &self.content {
            Content::Ip { from, udp: Some(udp), .. } => *from == by && udp.to_port == KNOCKS,
            Content::Ip { .. } | Content::Welcome { .. } | Content::Neighbours | Content::Unknown => false,
        }
    }

    fn is_welcome(&self, whose: IpAddr) -> bool {
        matches!(self.content, Content::Welcome { to } if to == whose)
    }
}

impl Content {
    /// Ethernet, then IPv4 or IPv6 without extension headers.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (from, to, protocol, rest): (IpAddr, IpAddr, u8, &[u8]) = match bytes.get(12..14)? {
            [0x08, 0x06] => return Some(Self::Neighbours),
            [0x08, 0x00] => {
                let header = bytes.get(14..)?;
                let length = usize::from(header.first()? & 0x0f) * 4;
                let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?));
                (address(12)?.into(), address(16)?.into(), *header.get(9)?, header.get(length..)?)
            }
            [0x86, 0xdd] => {
                let header = bytes.get(14..)?;
                let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
                (address(8)?.into(), address(24)?.into(), *header.get(6)?, header.get(40..)?)
            }
            _ => return None,
        };
        match (protocol, rest) {
            // RFC 4861 and RFC 3810; the latter behind a hop-by-hop header.
            (ICMP_V6, [133..=137, ..]) | (HOP_BY_HOP, [ICMP_V6, ..]) => Some(Self::Neighbours),
            (UDP, [_, _, t0, t1, _, _, _, _, payload @ ..]) => {
                let udp = Datagram { to_port: u16::from_be_bytes([*t0, *t1]), payload: payload.to_vec() };
                Some(Self::Ip { from, to, udp: Some(udp) })
            }
            // RFC 9293, section 3.1: SYN and ACK.
            (TCP, [_, _, _, _, _, _, _, _, _, _, _, _, _, 0x12, ..]) => Some(Self::Welcome { to }),
            _ => Some(Self::Ip { from, to, udp: None }),
        }
    }
}

/// The frames of a capture file, and when they passed; stops at one that is only half written.
fn records(file: &[u8]) -> impl Iterator<Item = (Duration, &[u8])> {
    let mut rest = file.get(FILE_HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u32::from_ne_bytes(*rest.get(at..)?.first_chunk()?));
        let (seconds, micros, length) = (word(0)?, word(4)?, word(8)?);
        let end = RECORD_HEADER + usize::try_from(length).ok()?;
        let frame = rest.get(RECORD_HEADER..end)?;
        rest = rest.get(end..)?;
        Some((Duration::new(seconds.into(), 1000 * micros), frame))
    })
}

/// pcap-savefile(5).
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// A knock opens within milliseconds; this much is granted to a machine with other things to do.
const MILLISECONDS: Duration = Duration::from_millis(250);
/// The client's last word goes there.
const MARKER: u16 = 61_001;
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;
