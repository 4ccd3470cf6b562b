//! The other ingress: a plain UDP socket on each knock port, judged by the same filter code. Never answers.
//!
//! For containers and foreign kernels. What is lost: junk costs a trip through the network stack, the port shows in
//! `ss`, and while the daemon is not running the host answers probes of it with ICMP.

mod filter;
mod prefixes;
mod tables;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siglatch_common::layout::{Candidate, PortRule};
use thiserror::Error;
use tokio::net::UdpSocket;

use self::tables::Letter;
use super::clock;
use crate::config::KnockPort;

pub use filter::Filter;

/// One socket of one knock port.
#[derive(Debug)]
pub struct KnockSocket {
    socket: UdpSocket,
    rule: PortRule,
    filter: Filter,
}

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

impl KnockSocket {
    /// Opens the sockets of a port, for IPv4 and, if the host speaks it, for IPv6.
    ///
    /// # Errors
    /// [`SocketError`] names the port and what to do.
    pub fn open(port: KnockPort, filter: &Filter) -> Result<Vec<Self>, SocketError> {
        let rule = PortRule::new(port.port, port.wire);
        let of = |socket| Self { socket, rule, filter: filter.clone() };
        let mut sockets = vec![of(bind(Ipv4Addr::UNSPECIFIED.into(), port.port)?)];
        match bind(Ipv6Addr::UNSPECIFIED.into(), port.port) {
            Ok(socket) => sockets.push(of(socket)),
            Err(error) if error.source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        Ok(sockets)
    }

    /// Lets the filter judge whatever comes, for ever.
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
            self.filter.judge(Letter {
                source: from.ip().into(),
                source_port: from.port(),
                rule: self.rule,
                payload: bytes.get(..length).unwrap_or(&bytes),
                arrived: clock::boot(),
            });
        }
    }
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

#[cfg(test)]
mod tests;
