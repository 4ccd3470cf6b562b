//! A service of a host behind this one, as operators write it: `tcp/5432@10.0.0.5`. Never knows how to get there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use siglatch_common::address::Address;
use thiserror::Error;

use super::service::{Service, ServiceFlaw};

/// A service of one host.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Door {
    /// The host.
    pub destination: Address,
    /// Its service.
    pub service: Service,
}

/// Why a text is no such service.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DoorFlaw {
    /// There is no `@`.
    #[error("a service behind this host is written tcp/PORT@ADDRESS")]
    Form,
    /// The part before it is no service.
    #[error(transparent)]
    Service(ServiceFlaw),
    /// The part behind it is no address of one host.
    #[error("behind the @ stands the IPv4 or IPv6 address of one host")]
    Address,
}

impl FromStr for Door {
    type Err = DoorFlaw;

    fn from_str(text: &str) -> Result<Self, DoorFlaw> {
        let (service, destination) = text.split_once('@').ok_or(DoorFlaw::Form)?;
        let service = service.parse().map_err(DoorFlaw::Service)?;
        let destination: IpAddr = destination.parse().map_err(|_| DoorFlaw::Address)?;
        let destination = Address::from(destination);
        // What no packet may come from cannot be a host to go to, either.
        if destination.is_impossible_source() { Err(DoorFlaw::Address) } else { Ok(Self { destination, service }) }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_read_back_as_they_were_written() {
        for text in ["tcp/5432@10.0.0.5", "udp/53@2001:db8::5", "tcp/1@192.0.2.255"] {
            assert_eq!(text.parse::<Door>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_flaw_is_named() {
        for (text, flaw) in [
            ("tcp/22", DoorFlaw::Form),
            ("", DoorFlaw::Form),
            ("22@10.0.0.5", DoorFlaw::Service(ServiceFlaw::Form)),
            ("tcp/0@10.0.0.5", DoorFlaw::Service(ServiceFlaw::Port)),
            ("tcp/22@", DoorFlaw::Address),
            ("tcp/22@10.0.0.0/8", DoorFlaw::Address),
            ("tcp/22@[2001:db8::5]", DoorFlaw::Address),
            ("tcp/22@host", DoorFlaw::Address),
            ("tcp/22@10.0.0.5@10.0.0.6", DoorFlaw::Address),
            ("tcp/22@0.0.0.0", DoorFlaw::Address),
            ("tcp/22@127.0.0.1", DoorFlaw::Address),
            ("tcp/22@::", DoorFlaw::Address),
            ("tcp/22@ff02::1", DoorFlaw::Address),
        ] {
            assert_eq!(text.parse::<Door>(), Err(flaw), "{text}");
        }
    }
}
