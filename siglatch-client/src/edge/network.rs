//! The one socket that a command sends from. Never receives: a gateway does not answer.
#![expect(clippy::disallowed_types, reason = "this is where sockets enter the client")]

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};

use crate::bind::{Bind, Family};
use crate::failure::Failure;

/// A way to a knock port.
pub(crate) struct Route {
    socket: UdpSocket,
    /// The knock port.
    pub(crate) to: SocketAddr,
    /// The address and port that datagrams leave from.
    pub(crate) from: SocketAddr,
}

/// What came of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    /// It left.
    Quietly,
    /// It left, and the host had said of an earlier one that the port is closed: no gateway does.
    AfterRefusal,
}

impl Route {
    /// Finds the host and the first of its addresses that this machine knows a way to. Sends nothing to it.
    pub(crate) fn find(host: &str, port: u16, family: Option<Family>, bind: Option<Bind>) -> Result<Self, Failure> {
        let mut failure = None;
        for to in resolve(host, port, family)? {
            match Self::open(to, bind) {
                Ok(route) => return Ok(route),
                Err(failed) => failure = failure.or(Some(failed)),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::Unresolved {
            host: host.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "it has no address"),
        }))
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, datagram: &[u8]) -> Result<Sent, Failure> {
        let failed = |source| Failure::Send { to: self.to, source };
        match self.socket.send(datagram) {
            Ok(_) => Ok(Sent::Quietly),
            // The answer to an earlier datagram; this one did not leave.
            Err(source) if source.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(datagram).map_err(failed)?;
                Ok(Sent::AfterRefusal)
            }
            Err(source) => Err(failed(source)),
        }
    }

    fn open(to: SocketAddr, bind: Option<Bind>) -> Result<Self, Failure> {
        let local = bind.map_or(Family::of(to.ip()).unspecified(), Bind::address);
        let socket = UdpSocket::bind(local).map_err(|source| Failure::Bind { address: local, source })?;
        let failed = |source| Failure::Send { to, source };
        socket.connect(to).map_err(failed)?;
        let from = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, to, from })
    }
}

fn resolve(host: &str, port: u16, family: Option<Family>) -> Result<Vec<SocketAddr>, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found: Vec<_> = (bare, port)
        .to_socket_addrs()
        .map_err(|source| Failure::Unresolved { host: host.to_owned(), source })?
        .collect();
    let Some(family) = family else {
        return Ok(found);
    };
    let fitting: Vec<_> = found.iter().copied().filter(|address| Family::of(address.ip()) == family).collect();
    if fitting.is_empty() && !found.is_empty() {
        let found = found.iter().map(SocketAddr::ip).collect();
        return Err(Failure::NoAddress { host: host.to_owned(), family, found });
    }
    Ok(fitting)
}
