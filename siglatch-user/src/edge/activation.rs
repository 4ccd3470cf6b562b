//! Sockets that the process was born with: bound by the service manager, and passed (sd_listen_fds(3)). Never binds one.
//!
//! They are kept as long as the process lives, and handed out as copies: a knock port that goes and comes back finds its
//! socket again, whose port the service manager has not given up meanwhile.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::net::{AddressFamily, SocketType, sockopt};
use thiserror::Error;

use crate::config::{Ingress, KnockPort};

/// What was passed cannot be used.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// The environment says what cannot be.
    #[error("cannot use the sockets that the service manager has passed (LISTEN_FDS): {0}")]
    Environment(#[source] io::Error),
    /// It is no UDP socket.
    #[error(
        "descriptor {descriptor}, which the service manager has passed, is no UDP socket: siglatch.socket takes \
         ListenDatagram=PORT lines alone"
    )]
    NoDatagrams {
        /// Its number.
        descriptor: RawFd,
    },
    /// Nobody would knock there.
    #[error(
        "the service manager has passed a socket for {address}, and {} is no knock port: take that ListenDatagram= out of \
         siglatch.socket, or add a [[port]] with port = {}", .address.port(), .address.port()
    )]
    NoKnockPort {
        /// Where it is bound.
        address: SocketAddr,
    },
    /// The XDP program takes the knocks.
    #[error(
        "the service manager has passed sockets, and the XDP program takes the knocks: disable siglatch.socket, or write \
         mode = \"socket\" under [ingress]"
    )]
    Unused,
}

/// Takes over what was passed. To be called before the process begins others, which would inherit it.
///
/// # Errors
/// [`ActivationError`] if it is of no use here.
pub fn receive() -> Result<(), ActivationError> {
    if PASSED.get().is_some() {
        return Ok(());
    }
    // Closes them for programs as well.
    let descriptors = sd_notify::listen_fds().map_err(ActivationError::Environment)?;
    let sockets = descriptors.map(|descriptor| {
        // SAFETY: the service manager says that these descriptors are this process's, they are open (their flags were
        // just set), and nobody else has taken them: this is done once, before anything else is opened.
        #[expect(unsafe_code, reason = "descriptors that a process is born with have nothing but a number")]
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        datagrams(owned).ok_or(ActivationError::NoDatagrams { descriptor })
    });
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    PASSED.get_or_init(|| sockets);
    Ok(())
}

/// Whether everything that was passed has its use.
///
/// # Errors
/// [`ActivationError`] names the first that has none.
pub fn check(ingress: &Ingress, ports: &[KnockPort]) -> Result<(), ActivationError> {
    let passed = passed();
    match ingress {
        Ingress::Xdp(_) if !passed.is_empty() => Err(ActivationError::Unused),
        Ingress::Xdp(_) | Ingress::Socket => {
            let is_knock_port = |address: &SocketAddr| ports.iter().any(|port| port.port == address.port());
            match passed.iter().find(|(address, _)| !is_knock_port(address)) {
                Some((address, _)) => Err(ActivationError::NoKnockPort { address: *address }),
                None => Ok(()),
            }
        }
    }
}

/// Copies of the sockets that were passed for a port; then nobody else may bind it.
pub(super) fn sockets_of(port: u16) -> io::Result<Vec<UdpSocket>> {
    let of_port = passed().iter().filter(|(address, _)| address.port() == port);
    of_port.map(|(_, socket)| socket.try_clone()).collect()
}

fn passed() -> &'static [(SocketAddr, UdpSocket)] {
    PASSED.get().map_or(&[], Vec::as_slice)
}

fn datagrams(descriptor: OwnedFd) -> Option<(SocketAddr, UdpSocket)> {
    let family = sockopt::socket_domain(descriptor.as_fd()).ok()?;
    let is_udp = matches!(family, AddressFamily::INET | AddressFamily::INET6)
        && sockopt::socket_type(descriptor.as_fd()).ok()? == SocketType::DGRAM;
    if !is_udp {
        return None;
    }
    let socket = UdpSocket::from(descriptor);
    socket.set_nonblocking(true).ok()?;
    Some((socket.local_addr().ok()?, socket))
}

/// What was passed, and where each is bound.
static PASSED: OnceLock<Vec<(SocketAddr, UdpSocket)>> = OnceLock::new();
