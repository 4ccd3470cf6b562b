//! Asks the kernel about this host's network: its addresses, its interfaces, and what is attached to one. Never changes it.

use std::net::IpAddr;

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use rtnetlink::sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use siglatch_common::address::Address;
use thiserror::Error;

use super::xdp::Mode;

/// A connection to rtnetlink that is told when addresses or interfaces change.
#[derive(Debug)]
pub struct Network {
    handle: Handle,
    events: Box<Events>,
}

type Events = futures_channel::mpsc::UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// An interface that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The kernel's number of it, which no other gets as long as the machine runs.
    pub index: u32,
    /// The XDP program that it has.
    pub occupant: Option<Occupant>,
}

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Occupant {
    /// The kernel's id of the program.
    pub program: u32,
    /// How it runs.
    pub mode: Mode,
}

/// The kernel does not answer.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// No netlink socket.
    #[error("cannot open an rtnetlink socket: {0}")]
    Open(#[source] std::io::Error),
    /// A request was refused.
    #[error("rtnetlink: {0}")]
    Request(#[from] rtnetlink::Error),
    /// The connection ended.
    #[error("the rtnetlink connection has ended")]
    Ended,
}

impl Network {
    /// Connects. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetworkError::Open`] if there is no rtnetlink here.
    pub fn open() -> Result<Self, NetworkError> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr, MulticastGroup::Link];
        let (mut connection, handle, events) = new_multicast_connection(&groups).map_err(NetworkError::Open)?;
        // Too many changes at once end no connection: whoever waits for them looks now and then as well.
        connection.socket_mut().socket_mut().set_no_enobufs(true).map_err(NetworkError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle, events: Box::new(events) })
    }

    /// Every address of every interface, loopback included.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub async fn own_addresses(&self) -> Result<Vec<Address>, NetworkError> {
        let mut own = Vec::new();
        let mut messages = self.handle.address().get().execute();
        while let Some(message) = messages.try_next().await? {
            own.extend(message.attributes.iter().filter_map(own_address));
        }
        own.sort_unstable();
        own.dedup();
        Ok(own)
    }

    /// Waits until some address or some interface has come, gone or become another.
    ///
    /// # Errors
    /// [`NetworkError::Ended`] if no more changes will be told.
    pub async fn changed(&mut self) -> Result<(), NetworkError> {
        self.events.next().await.ok_or(NetworkError::Ended)?;
        while self.events.try_recv().is_ok() {}
        Ok(())
    }

    /// The interface of that name, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub async fn interface(&self, name: &str) -> Result<Option<Found>, NetworkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        Ok(there(links.try_next().await)?.map(|link| found(&link)))
    }

    /// The name of the interface of that number, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub async fn name_of(&self, index: u32) -> Result<Option<String>, NetworkError> {
        let mut links = self.handle.link().get().match_index(index).execute();
        let link = there(links.try_next().await)?;
        Ok(link.and_then(|link| {
            link.attributes.into_iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name),
                _ => None,
            })
        }))
    }
}

/// That there is no such interface is an answer.
fn there(answer: Result<Option<LinkMessage>, rtnetlink::Error>) -> Result<Option<LinkMessage>, NetworkError> {
    match answer {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
        answer => Ok(answer?),
    }
}

fn found(link: &LinkMessage) -> Found {
    let xdp = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    });
    Found { index: link.header.index, occupant: xdp.and_then(|xdp| occupant(xdp)) }
}

/// `Local` is the host's own end where the two differ (point-to-point links); else only `Address` may be there.
fn own_address(attribute: &AddressAttribute) -> Option<Address> {
    match attribute {
        AddressAttribute::Local(ip) => Some(Address::from(*ip)),
        // IPv4 always says Local as well; there, Address may be the other end's.
        AddressAttribute::Address(ip @ IpAddr::V6(_)) => Some(Address::from(*ip)),
        _ => None,
    }
}

fn occupant(xdp: &[LinkXdp]) -> Option<Occupant> {
    let program =
        xdp.iter().find_map(|attribute| if let LinkXdp::ProgId(id) = attribute { Some(*id) } else { None })?;
    let generic = xdp.iter().any(|attribute| matches!(attribute, LinkXdp::Attached(XdpAttached::SocketBuffer)));
    Some(Occupant { program, mode: if generic { Mode::Generic } else { Mode::Native } })
}
