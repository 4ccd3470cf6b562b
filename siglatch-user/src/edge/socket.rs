//! The other ingress: a plain UDP socket on each knock port, judged by the same filter code. Never answers.
//!
//! For containers and foreign kernels. What is lost: junk costs a trip through the network stack, the port shows in
//! `ss`, and while the daemon is not running the host answers probes of it with ICMP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use siglatch_common::address::{Address, Halves};
use siglatch_common::filter::{self, Arrival, Host, Word};
use siglatch_common::lane::Lane;
use siglatch_common::layout::{Candidate, PortRule};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::Key;
use siglatch_common::stamp::Slot;
use thiserror::Error;
use tokio::net::UdpSocket;

use super::clock;
use super::lanes::Queues;
use crate::config::KnockPort;

/// One socket of one knock port.
#[derive(Debug)]
pub struct KnockSocket {
    socket: UdpSocket,
    rule: PortRule,
    counts: Arc<Counts>,
    queues: Arc<Queues>,
}

/// Datagrams by outcome, over all sockets: what the map `counters` is for XDP.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Outcome::ALL.len()]);

/// The port cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on UDP port {port} of {family}: {source}{cure}")]
pub struct SocketError {
    port: u16,
    family: &'static str,
    cure: &'static str,
    #[source]
    source: io::Error,
}

impl Counts {
    /// The counts, as they stand.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::from_fn(|outcome| self.0[outcome as usize].load(Ordering::Relaxed))
    }

    fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl KnockSocket {
    /// Opens the sockets of a port, for IPv4 and, if the host speaks it, for IPv6.
    ///
    /// # Errors
    /// [`SocketError`] names the port and what to do.
    pub fn open(port: KnockPort, counts: &Arc<Counts>, queues: &Arc<Queues>) -> Result<Vec<Self>, SocketError> {
        let rule = PortRule::new(port.port, port.wire);
        let of = |socket| Self { socket, rule, counts: Arc::clone(counts), queues: Arc::clone(queues) };
        let mut sockets = vec![of(bind(Ipv4Addr::UNSPECIFIED.into(), port.port)?)];
        match bind(Ipv6Addr::UNSPECIFIED.into(), port.port) {
            Ok(socket) => sockets.push(of(socket)),
            Err(error) if error.source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        Ok(sockets)
    }

    /// Hands what the filter does not drop to its lane, for ever.
    ///
    /// # Errors
    /// If the socket is broken.
    pub async fn listen(self) -> io::Result<()> {
        // One byte more than the longest datagram: what fills it is too long, however long it was.
        let mut bytes = [0; Candidate::ROOM + 1];
        loop {
            let (length, from) = match self.socket.recv_from(&mut bytes).await {
                Ok(received) => received,
                // An ICMP error that some earlier datagram set off; nothing is ever sent here, but the kernel may say so.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let desk = Desk { rule: self.rule, bytes: &bytes, queues: &self.queues };
            let arrival = Arrival {
                source: Address::from(from.ip()).halves(),
                source_port: from.port(),
                dest_port: self.rule.port,
                payload_at: 0,
            };
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            let outcome = match filter::form(false, length, &self.rule) {
                None => filter::judge(&arrival, &self.rule, &&bytes[..], &desk),
                Some(flaw) => flaw,
            };
            self.counts.count(outcome);
        }
    }
}

/// What the filter asks, for a datagram that the network stack has delivered.
struct Desk<'a> {
    rule: PortRule,
    bytes: &'a [u8; Candidate::ROOM + 1],
    queues: &'a Queues,
}

impl Host for Desk<'_> {
    type Word = Nowhere;

    fn port(&self, port: u16) -> Option<PortRule> {
        (port == self.rule.port).then_some(self.rule)
    }

    /// The stack delivers only what is for this host, and takes nothing from outside that says to come from it.
    fn is_own(&self, _: Halves) -> bool {
        false
    }

    fn bans_hosts(&self) -> bool {
        false
    }

    fn is_allowed(&self, _: Halves) -> bool {
        false
    }

    fn is_banned(&self, _: Halves) -> bool {
        false
    }

    fn stamp_key(&self, _: Slot) -> Option<Key> {
        None
    }

    fn spread(&self) -> Key {
        Key { k0: 0, k1: 0 }
    }

    fn now(&self) -> u64 {
        clock::boot().as_nanos()
    }

    fn source_pace(&self) -> Pace {
        Pace::UNLIMITED
    }

    fn known(&self, _: Halves) -> Option<Nowhere> {
        None
    }

    fn bucket(&self, _: u64) -> Option<Nowhere> {
        None
    }

    fn copy(&self, _: u64) -> Option<Nowhere> {
        None
    }

    fn lane_pace(&self, _: Lane) -> Pace {
        Pace::UNLIMITED
    }

    fn lane(&self, _: Lane) -> Option<Nowhere> {
        None
    }

    fn submit(&self, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        self.queues.put(lane, candidate(arrival, rule, lane, self.bytes))
    }
}

/// A number that is not kept.
struct Nowhere;

impl Word for Nowhere {
    fn read(&self) -> u64 {
        0
    }

    fn write(&self, _: u64) {}
}

fn candidate(arrival: &Arrival, rule: &PortRule, lane: Lane, bytes: &[u8; Candidate::ROOM + 1]) -> Candidate {
    let mut candidate = Candidate {
        arrival_ns: clock::boot().as_nanos(),
        source: arrival.source.address(),
        source_port: arrival.source_port,
        dest_port: arrival.dest_port,
        length: rule.length,
        wire: rule.wire,
        lane: lane as u8,
        datagram: [0; Candidate::ROOM],
    };
    candidate.datagram.copy_from_slice(&bytes[..Candidate::ROOM]);
    candidate
}

fn bind(ip: IpAddr, port: u16) -> Result<UdpSocket, SocketError> {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    open_socket(SocketAddr::new(ip, port)).map_err(|source| {
        let cure = match source.kind() {
            io::ErrorKind::AddrInUse => "; `ss -lunp` shows who has it",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "",
        };
        SocketError { port, family, cure, source }
    })
}

fn open_socket(at: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // A knock that arrives while junk is being judged waits here: as many as the XDP ring holds.
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    bind(&socket, &at)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

/// Bytes; the kernel counts its own overhead against it, some 768 a datagram.
const RECEIVE_BUFFER: usize = 512 * 1024;
