//! A daemon at work between two namespaces, with services to protect: what most end-to-end tests begin with.
//! Never says what ought to open.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, ensure};
use siglatch_client::knocker::Knock;

use crate::gateway::{DATABASE, Gateway, Plan, SSH, sealed};
use crate::netns::{CLIENT, DOOR, Street};
use crate::process::{PATIENCE, Process};
use crate::scene::{CLEAR_PORT, GATEWAY, SEALED_PORT};
use crate::service::{Echo, is_open, opens_within};

/// The daemon, and everything around it. Its parts are taken down in this order.
#[derive(Debug)]
pub struct Stage {
    /// The daemon.
    pub daemon: Process,
    /// Its configuration, keys and pins.
    pub gateway: Gateway,
    _services: [Echo; 2],
    /// The namespaces.
    pub street: Street,
    newcomers: AtomicU8,
}

impl Stage {
    /// Starts everything, by the default plan.
    ///
    /// # Errors
    /// If something does not start.
    pub fn new() -> Result<Self> {
        Self::with(&Plan::default())
    }

    /// Starts everything.
    ///
    /// # Errors
    /// If something does not start.
    pub fn with(plan: &Plan) -> Result<Self> {
        let street = Street::new()?;
        let services = [Echo::start(&street.gateway, SSH)?, Echo::start(&street.gateway, DATABASE)?];
        let gateway = Gateway::new(&street.gateway, plan)?;
        let daemon = gateway.start()?;
        Ok(Self { daemon, gateway, _services: services, street, newcomers: AtomicU8::new(FIRST_NEWCOMER) })
    }

    /// An address that nobody outside has used before.
    ///
    /// # Errors
    /// After a hundred of them.
    pub fn newcomer(&self) -> Result<IpAddr> {
        let address = Ipv4Addr::new(192, 0, 2, self.newcomers.fetch_add(1, Ordering::Relaxed));
        self.street.outside.ip(&format!("address add {address}/24 dev {DOOR}"))?;
        Ok(address.into())
    }

    /// Sends a datagram to the sealed knock port of the gateway's address of the source's family.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn send(&self, datagram: &[u8], source: IpAddr) -> Result<()> {
        self.street.outside.send(datagram, source, SocketAddr::new(GATEWAY.of(source.is_ipv4()), SEALED_PORT))
    }

    /// Sends a datagram to the clear knock port of the gateway's address of the source's family.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn send_clear(&self, datagram: &[u8], source: IpAddr) -> Result<()> {
        self.street.outside.send(datagram, source, SocketAddr::new(GATEWAY.of(source.is_ipv4()), CLEAR_PORT))
    }

    /// Knocks on the sealed port.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn knock(&self, knock: &Knock, source: IpAddr) -> Result<()> {
        self.send(&sealed(knock)?, source)
    }

    /// Waits until [`SSH`] is open to that address.
    ///
    /// # Errors
    /// With the daemon's log if it does not open by [`PATIENCE`].
    pub fn opens(&self, source: IpAddr) -> Result<()> {
        self.port_opens(SSH, source)
    }

    /// Waits until a protected port is open to that address.
    ///
    /// # Errors
    /// With the daemon's log if it does not open by [`PATIENCE`].
    pub fn port_opens(&self, port: u16, source: IpAddr) -> Result<()> {
        let service = self.service(port, source);
        opens_within(PATIENCE, &self.street.outside, source, service)
            .map_err(|error| error.context(self.daemon.said()))?;
        Ok(())
    }

    /// Asserts that [`SSH`] is shut to that address.
    ///
    /// # Errors
    /// If it is open.
    pub fn is_shut(&self, source: IpAddr) -> Result<()> {
        self.port_is_shut(SSH, source)
    }

    /// Asserts that a protected port is shut to that address.
    ///
    /// # Errors
    /// If it is open.
    pub fn port_is_shut(&self, port: u16, source: IpAddr) -> Result<()> {
        let open = is_open(&self.street.outside, source, self.service(port, source));
        ensure!(!open, "port {port} is open to {source}; the daemon said:\n{}", self.daemon.said());
        Ok(())
    }

    /// Waits until the daemon has refused so many knocks from an address for that reason.
    ///
    /// # Errors
    /// With its log if it does not.
    pub fn refuses(&self, times: usize, reason: &str, source: IpAddr) -> Result<()> {
        let (from, because) = (format!("source={source} "), format!("reason=\"{reason}\""));
        let refusal = |line: &&str| line.contains("knock refused") && line.contains(&from) && line.contains(&because);
        self.daemon.wait_until(&format!("{because} from {source}, {times} times"), |log| {
            log.lines().filter(refusal).count() == times
        })?;
        Ok(())
    }

    /// A protected service, by the gateway's address of the source's family.
    #[must_use]
    pub fn service(&self, port: u16, source: IpAddr) -> SocketAddr {
        SocketAddr::new(GATEWAY.of(source.is_ipv4()), port)
    }
}

/// The client's address of one family.
#[must_use]
pub const fn client(v4: bool) -> IpAddr {
    CLIENT.of(v4)
}

/// The last byte of the first newcomer's address.
const FIRST_NEWCOMER: u8 = 100;
