//! A port of this host that leads to a service of a host behind it, as operators write it: `tcp/2222 -> 10.0.0.5:22`.
//! Never decides who may go there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use siglatch_common::address::Address;
use thiserror::Error;

use super::service::{Service, ServiceFlaw};

/// Where a port of this host leads.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortForward {
    /// The port here.
    pub service: Service,
    /// The host behind this one.
    pub host: Address,
    /// Its port there, of the same protocol.
    pub port: u16,
}

/// Why a text says no such thing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PortForwardFlaw {
    /// There is no `->`.
    #[error("where a port leads is written tcp/PORT -> ADDRESS:PORT")]
    Form,
    /// The part before it is no service.
    #[error(transparent)]
    Service(ServiceFlaw),
    /// The part behind it is no port of one host.
    #[error("behind the -> stands the address of one host and a port: 10.0.0.5:22 or [2001:db8::5]:22")]
    Host,
}

impl FromStr for PortForward {
    type Err = PortForwardFlaw;

    fn from_str(text: &str) -> Result<Self, PortForwardFlaw> {
        let (service, to) = text.split_once("->").ok_or(PortForwardFlaw::Form)?;
        let service = service.trim_end().parse().map_err(PortForwardFlaw::Service)?;
        let to: SocketAddr = to.trim_start().parse().map_err(|_| PortForwardFlaw::Host)?;
        let host = Address::from(to.ip());
        // What no packet may come from cannot be a host to go to, either.
        if host.is_impossible_source() || to.port() == 0 {
            return Err(PortForwardFlaw::Host);
        }
        Ok(Self { service, host, port: to.port() })
    }
}

impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.service, SocketAddr::new(IpAddr::from(self.host), self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_back_as_they_were_written() {
        for text in ["tcp/2222 -> 10.0.0.5:22", "udp/53 -> [2001:db8::5]:5353"] {
            assert_eq!(text.parse::<PortForward>().unwrap().to_string(), text);
        }
        assert_eq!("tcp/1->192.0.2.1:1".parse::<PortForward>().unwrap().to_string(), "tcp/1 -> 192.0.2.1:1");
    }

    #[test]
    fn each_flaw_is_named() {
        for (text, flaw) in [
            ("tcp/22", PortForwardFlaw::Form),
            ("22 -> 10.0.0.5:22", PortForwardFlaw::Service(ServiceFlaw::Form)),
            ("tcp/0 -> 10.0.0.5:22", PortForwardFlaw::Service(ServiceFlaw::Port)),
            ("tcp/22 -> 10.0.0.5", PortForwardFlaw::Host),
            ("tcp/22 -> 10.0.0.5:0", PortForwardFlaw::Host),
            ("tcp/22 -> 127.0.0.1:22", PortForwardFlaw::Host),
            ("tcp/22 -> host:22", PortForwardFlaw::Host),
            ("tcp/22 -> 2001:db8::5:22", PortForwardFlaw::Host),
        ] {
            assert_eq!(text.parse::<PortForward>(), Err(flaw), "{text}");
        }
    }
}
