//! A service of this host, as operators write it: `tcp/22`. Never knows whether anything listens there.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of a protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Service {
    /// Which of the port spaces.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub port: u16,
}

/// Why a text is no service.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ServiceFlaw {
    /// There is no protocol before the slash, or none that has ports.
    #[error("a service is written tcp/PORT or udp/PORT")]
    Form,
    /// The part behind the slash is no number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
}

impl Protocol {
    /// The name in texts and in nftables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The number in IP headers (IANA, Assigned Internet Protocol Numbers).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The protocol with that number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

impl FromStr for Service {
    type Err = ServiceFlaw;

    fn from_str(text: &str) -> Result<Self, ServiceFlaw> {
        let (protocol, port) = text.split_once('/').ok_or(ServiceFlaw::Form)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(ServiceFlaw::Form),
        };
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(ServiceFlaw::Port)?;
        Ok(Self { protocol, port })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol.label(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_read_back_as_they_were_written() {
        for text in ["tcp/22", "udp/51820", "tcp/65535", "tcp/1"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_flaw_is_named() {
        for text in ["22", "icmp/1", "TCP/22", "/22", ""] {
            assert_eq!(text.parse::<Service>(), Err(ServiceFlaw::Form), "{text}");
        }
        for text in ["tcp/", "tcp/0", "tcp/65536", "tcp/ssh", "tcp/-1"] {
            assert_eq!(text.parse::<Service>(), Err(ServiceFlaw::Port), "{text}");
        }
    }
}
