//! The other ingress: a plain UDP socket on each knock port, judged by the same filter code. Never answers.
//!
//! For containers and foreign kernels. What is lost: junk costs a trip through the network stack, the port shows in
//! `ss`, and while the daemon is not running the host answers probes of it with ICMP.

mod filter;
mod prefixes;
mod tables;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use siglatch_common::layout::{Candidate, PortRule};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};

use self::tables::Letter;
use super::xdp::Measures;
use super::{activation, clock};
use crate::config::KnockPort;

pub use filter::Filter;

/// The sockets of all knock ports, while ports come and go.
#[derive(Debug)]
pub struct Sockets {
    filter: Filter,
    open: BTreeMap<u16, Vec<AbortHandle>>,
    listeners: Arc<Mutex<JoinSet<()>>>,
    broken: UnboundedSender<io::Error>,
}

/// Sockets of ports that are to be opened, bound already.
#[derive(Debug, Default)]
pub struct Bound(Vec<KnockSocket>);

/// The listening of all sockets: they are closed when it is dropped.
#[derive(Debug)]
pub struct Listening {
    listeners: Arc<Mutex<JoinSet<()>>>,
    broken: UnboundedReceiver<io::Error>,
}

/// One socket of one knock port.
#[derive(Debug)]
struct KnockSocket {
    socket: UdpSocket,
    port: u16,
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

impl Sockets {
    /// None yet. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(filter: Filter) -> (Self, Listening) {
        let (broken, breaks) = unbounded_channel();
        let listeners = Arc::new(Mutex::new(JoinSet::new()));
        let listening = Listening { listeners: Arc::clone(&listeners), broken: breaks };
        (Self { filter, open: BTreeMap::new(), listeners, broken }, listening)
    }

    /// Binds the ports of a list that are not open yet. Nothing else changes.
    ///
    /// # Errors
    /// [`SocketError`] names the port and what to do.
    pub fn bind(&self, ports: &[KnockPort]) -> Result<Bound, SocketError> {
        let new = ports.iter().filter(|port| !self.open.contains_key(&port.port));
        let sockets = new.map(|port| KnockSocket::open(port.port, &self.filter)).collect::<Result<Vec<_>, _>>()?;
        Ok(Bound(sockets.into_iter().flatten().collect()))
    }

    /// Lets these ports and limits count, listens at those that were bound, and closes those that are none any more.
    pub fn adopt(&mut self, ports: &[KnockPort], measures: Measures, bound: Bound) {
        let rules: Vec<_> = ports.iter().map(|port| PortRule::new(port.port, port.wire)).collect();
        self.filter.set_rules(&rules, measures);
        self.open.retain(|open, listeners| {
            let stays = ports.iter().any(|port| port.port == *open);
            if !stays {
                listeners.iter().for_each(AbortHandle::abort);
            }
            stays
        });
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        while listeners.try_join_next().is_some() {}
        for socket in bound.0 {
            let (port, broken) = (socket.port, self.broken.clone());
            let listener = listeners.spawn(async move {
                let Err(error) = socket.listen().await;
                // Fails only when nobody listens any more.
                let _ = broken.send(error);
            });
            self.open.entry(port).or_default().push(listener);
        }
    }
}

impl Listening {
    /// Goes on until a socket breaks.
    ///
    /// # Errors
    /// Why it broke.
    pub async fn run(mut self) -> io::Result<()> {
        self.broken.recv().await.map_or(Ok(()), Err)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl KnockSocket {
    /// Opens the sockets of a port, for IPv4 and, if the host speaks it, for IPv6; those that the service manager has
    /// passed for that port, if there are any.
    fn open(port: u16, filter: &Filter) -> Result<Vec<Self>, SocketError> {
        let of = |socket| Self { socket, port, filter: filter.clone() };
        let passed = passed(port)?;
        if !passed.is_empty() {
            return Ok(passed.into_iter().map(of).collect());
        }
        let mut sockets = vec![of(bind(Ipv4Addr::UNSPECIFIED.into(), port)?)];
        match bind(Ipv6Addr::UNSPECIFIED.into(), port) {
            Ok(socket) => sockets.push(of(socket)),
            Err(error) if error.source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        Ok(sockets)
    }

    /// Lets the filter judge whatever comes, until the socket breaks.
    async fn listen(self) -> io::Result<Infallible> {
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
                // A socket for both families shows IPv4 mapped.
                source: from.ip().to_canonical().into(),
                source_port: from.port(),
                port: self.port,
                payload: bytes.get(..length).unwrap_or(&bytes),
                arrived: clock::boot(),
            });
        }
    }
}

fn passed(port: u16) -> Result<Vec<UdpSocket>, SocketError> {
    let failed = |source| SocketError { port, family: "the service manager", cure: "", source };
    let sockets = activation::sockets_of(port).map_err(failed)?.into_iter();
    sockets.map(|socket| take_in(socket).map_err(failed)).collect()
}

fn take_in(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    UdpSocket::from_std(socket)
}

fn bind(ip: IpAddr, port: u16) -> Result<UdpSocket, SocketError> {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    open_socket(SocketAddr::new(ip, port)).map_err(|source| {
        let cure = match source.kind() {
            io::ErrorKind::AddrInUse => "; `ss -lunp` shows who has it",
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 are taken at the start only: restart siglatch-user, with CAP_NET_BIND_SERVICE"
            }
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
